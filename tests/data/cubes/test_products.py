"""Small files in the layouts of satellites' products, as their guides describe them; no real product was at hand."""

import numpy as np
import pytest
import rasterio
from affine import Affine

from smifbench import UserError
from smifbench.data.cubes.products import read_product

GRID = {"crs": "EPSG:32632", "transform": Affine(10, 0, 600000, 0, -10, 5320000)}


def save(path, array, driver="GTiff", **profile):
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = array.shape
    shape = {"count": count, "height": height, "width": width, "dtype": array.dtype.name}
    with rasterio.open(path, "w", driver=driver, **shape, **{**GRID, **profile}) as file:
        file.write(array)
    return path


@pytest.fixture
def bands():
    array = np.random.default_rng(0).integers(1, 4000, (4, 40, 50), dtype=np.uint16)
    array[:, :3, :5] = 0
    return array


def test_several_files_of_bands_are_one_image_in_their_order(tmp_path, bands):
    paths = [save(tmp_path / f"{number}.tif", bands[number : number + 1], nodata=0) for number in (2, 0, 3)]
    cube = read_product(paths)
    np.testing.assert_array_equal(cube.array, bands[[2, 0, 3]])
    assert cube.grid.transform == GRID["transform"]
    assert cube.missing.sum() == 15


@pytest.mark.parametrize("change", [{"transform": Affine(10, 0, 600010, 0, -10, 5320000)}, {"crs": "EPSG:32633"}])
def test_bands_of_different_grids_are_refused(tmp_path, bands, change):
    paths = [save(tmp_path / "a.tif", bands[:1]), save(tmp_path / "b.tif", bands[1:2], **change)]
    with pytest.raises(UserError, match="differ in size or place"):
        read_product(paths)


def test_bands_of_different_sizes_are_refused(tmp_path, bands):
    paths = [save(tmp_path / "a.tif", bands[:1]), save(tmp_path / "b.tif", bands[1:2, :20])]
    with pytest.raises(UserError, match="differ in size or place"):
        read_product(paths)


LAYOUTS = {"level 1C": "T32UPU_20240601T101559_{}.jp2", "level 2A": "R10m/T32UPU_20240601T101559_{}_10m.jp2"}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_sentinel_2_folder_gives_its_10_m_bands(tmp_path, bands, layout):
    product = tmp_path / "S2A_MSIL2A_20240601T101559_N0510_R065_T32UPU_20240601T160000.SAFE"
    images = product / "GRANULE" / "L2A_T32UPU_A046705_20240601T101559" / "IMG_DATA"
    options = {"QUALITY": "100", "REVERSIBLE": "YES"}
    for number, name in enumerate(("B02", "B03", "B04", "B08")):
        save(images / LAYOUTS[layout].format(name), bands[number : number + 1], "JP2OpenJPEG", **options)
    if layout == "level 2A":
        save(images / "R20m" / "T32UPU_20240601T101559_B02_20m.jp2", bands[:1, ::2, ::2], "JP2OpenJPEG", **options)
    cube = read_product([product])
    np.testing.assert_array_equal(cube.array, bands)
    np.testing.assert_allclose(cube.wavelengths_nm, [492.4, 559.8, 664.6, 832.8])
    assert cube.missing.sum() == 15


def test_a_folder_without_the_bands_is_told(tmp_path):
    (tmp_path / "S2A.SAFE").mkdir()
    with pytest.raises(UserError, match="holds 0 images of band B02"):
        read_product([tmp_path / "S2A.SAFE"])


def enmap(folder, bands, described=4):
    image = save(folder / "ENMAP01-____L2A-DT0000001-SPECTRAL_IMAGE.TIF", bands.astype(np.int16), nodata=-32768)
    entries = "".join(
        f'<bandID number="{number + 1}"><wavelengthCenterOfBand>{420 + 5.5 * number}</wavelengthCenterOfBand>'
        f"<FWHMOfBand>7.1</FWHMOfBand><GainOfBand>0.0001</GainOfBand><OffsetOfBand>0</OffsetOfBand></bandID>"
        for number in range(described)
    )
    text = f"<level_X><specific><bandCharacterisation>{entries}</bandCharacterisation></specific></level_X>"
    (folder / "ENMAP01-____L2A-DT0000001-METADATA.XML").write_text(text)
    return image


def test_wavelengths_of_an_enmap_image_come_from_its_metadata(tmp_path, bands):
    cube = read_product([enmap(tmp_path, bands)])
    np.testing.assert_allclose(cube.wavelengths_nm, [420, 425.5, 431, 436.5])
    np.testing.assert_allclose(cube.bandwidths_nm, 7.1)
    assert cube.nodata == -32768


def test_metadata_of_other_bands_are_refused(tmp_path, bands):
    with pytest.raises(UserError, match="describes 3 bands"):
        read_product([enmap(tmp_path, bands, described=3)])


@pytest.mark.parametrize(("name", "tool"), [("a.he5", "prismaread"), ("a.nc", "EnMAP-Box"), ("a.h5", "hytools")])
def test_other_products_are_told_what_converts_them(tmp_path, name, tool):
    (tmp_path / name).write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(UserError, match=tool):
        read_product([tmp_path / name])
