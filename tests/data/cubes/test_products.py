"""Small files in the layouts of satellites' products, as their guides describe them; no real product was at hand."""

import numpy as np
import pytest
import rasterio
from affine import Affine

from smifbench import UserError
from smifbench.data.cubes.inspection import inspect
from smifbench.data.cubes.products import product_files, read_product
from smifbench.data.cubes.reading import files_of
from smifbench.data.cubes.writing import write_cube

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
    product = sentinel2(tmp_path, bands, layout.split()[1])
    if layout == "level 2A":
        coarse = next(product.glob("GRANULE/*/IMG_DATA")) / "R20m" / "T32UPU_20240601T101559_B02_20m.jp2"
        save(coarse, bands[:1, ::2, ::2], "JP2OpenJPEG", QUALITY="100", REVERSIBLE="YES")
    cube = read_product([product])
    np.testing.assert_array_equal(cube.array, bands)
    np.testing.assert_allclose(cube.wavelengths_nm, [492.4, 559.8, 664.6, 832.8])
    assert cube.missing.sum() == 15


def sentinel2(folder, bands, level="2A", metadata=None):
    """A folder in the layout of Sentinel-2, with the text of its metadata below the root."""
    product = folder / f"S2A_MSIL{level}_20240601T101559_N0510_R065_T32UPU_20240601T160000.SAFE"
    for number, name in enumerate(("B02", "B03", "B04", "B08")):
        image = product / "GRANULE" / "L2A_T32UPU_A046705_20240601T101559" / "IMG_DATA"
        layout = image / LAYOUTS[f"level {level}"].format(name)
        save(layout, bands[number : number + 1], "JP2OpenJPEG", QUALITY="100", REVERSIBLE="YES")
    if metadata is not None:
        text = f'<n1:User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD">{metadata}</n1:User_Product>'
        (product / f"MTD_MSIL{level}.xml").write_text(text)
    return product


def offsets(name, numbers=range(13)):
    return "".join(f'<{name} band_id="{number}">{-1000 - number}</{name}>' for number in numbers)


@pytest.mark.parametrize(
    ("level", "metadata", "added"),
    [
        ("1C", '<QUANTIFICATION_VALUE unit="none">10000</QUANTIFICATION_VALUE>' + offsets("RADIO_ADD_OFFSET"), True),
        ("2A", "<BOA_QUANTIFICATION_VALUE>10000</BOA_QUANTIFICATION_VALUE>" + offsets("BOA_ADD_OFFSET"), True),
        ("2A", "<BOA_QUANTIFICATION_VALUE>10000</BOA_QUANTIFICATION_VALUE>", False),
    ],
)
def test_reflectances_of_sentinel_2_are_those_of_its_metadata(tmp_path, bands, level, metadata, added):
    """Bands 2, 3, 4 and 8 have the numbers 1, 2, 3 and 7 in the metadata; 0 is missing, not a reflectance of -0.1."""
    product = sentinel2(tmp_path, bands, level, metadata)
    cube = read_product([product])
    offset = np.array([-1001, -1002, -1003, -1007]) * added
    expected = (bands[:, 3:].astype(float) + offset[:, None, None]) / 10000
    np.testing.assert_allclose(cube.array[:, 3:], expected, atol=1e-6)
    assert cube.missing.sum() == 15
    assert len(product_files(product)) == 5


@pytest.mark.parametrize(
    "metadata",
    [
        "<BOA_QUANTIFICATION_VALUE>0</BOA_QUANTIFICATION_VALUE>",
        "<BOA_QUANTIFICATION_VALUE>10000</BOA_QUANTIFICATION_VALUE>" + offsets("BOA_ADD_OFFSET", range(4)),
        "",
        "<not closed>",
    ],
)
def test_metadata_of_sentinel_2_that_state_no_reflectances_are_refused(tmp_path, bands, metadata):
    with pytest.raises(UserError, match="fetch the product again"):
        read_product([sentinel2(tmp_path, bands, metadata=metadata)])


def test_a_folder_without_the_bands_is_told(tmp_path):
    (tmp_path / "S2A.SAFE").mkdir()
    with pytest.raises(UserError, match="holds 0 images of band B02"):
        read_product([tmp_path / "S2A.SAFE"])


ENMAP = {"centre": "wavelengthCenterOfBand", "width": "FWHMOfBand", "gain": "GainOfBand", "offset": "OffsetOfBand"}
DESIS = {
    "centre": "wavelengthCenterOfBand",
    "width": "wavelengthWidthOfBand",
    "gain": "gainOfBand",
    "offset": "offsetOfBand",
}
PRODUCTS = {
    "ENMAP": ("ENMAP01-____L2A-DT0000001-{}", "SPECTRAL_IMAGE.TIF", "METADATA.XML", "bandID", ENMAP),
    "DESIS": ("DESIS-HSI-L2A-DT0000001-{}", "SPECTRAL_IMAGE.tif", "METADATA.xml", "band", DESIS),
}
"""File names, the element of a band and the names of its numbers."""

GAINS = np.array([1e-4, 2e-4, 1e-4, 5e-5])
OFFSETS = np.array([0, 0.01, -0.1, 0])


def described(folder, bands, product="ENMAP", leave_out=(), changes=(), **profile):
    """An image with a metadata file in the layout of EnMAP's or DESIS's level 2A."""
    name, image, metadata, element, names = PRODUCTS[product]
    path = save(folder / name.format(image), bands.astype(np.int16), **profile)
    text = ""
    for number, (gain, offset) in enumerate(zip(GAINS, OFFSETS, strict=True)):
        values = {"centre": 420 + 5.5 * number, "width": 7.1, "gain": gain, "offset": offset} | dict(changes)
        inner = "".join(
            f"<{names[key]}>{value}</{names[key]}>" for key, value in values.items() if key not in leave_out
        )
        text += f'<{element} number="{number + 1}">{inner}</{element}>' * (number not in leave_out)
    text = f"<doc><specific><bandCharacterisation>{text}</bandCharacterisation></specific></doc>"
    (folder / name.format(metadata)).write_text(text)
    return path


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("declared", [{}, {"nodata": -32768}])
def test_bands_of_an_image_are_described_by_its_metadata(tmp_path, bands, product, declared):
    bands = bands.astype(np.int16)
    bands[:, :3, :5] = -32768
    path = described(tmp_path, bands, product, **declared)
    cube = read_product([path])
    np.testing.assert_allclose(cube.wavelengths_nm, [420, 425.5, 431, 436.5])
    np.testing.assert_allclose(cube.bandwidths_nm, 7.1)
    expected = bands[:, 3:] * GAINS[:, None, None] + OFFSETS[:, None, None]
    np.testing.assert_allclose(cube.array[:, 3:], expected, atol=1e-6)
    assert (cube.nodata, cube.missing.sum()) == (-32768, 15)
    assert any("gains 5e-05 .. 0.0002 and offsets -0.1 .. 0.01 of the file are applied" in note for note in cube.notes)
    assert [file.name for file in files_of(path)] == [PRODUCTS[product][0].format(PRODUCTS[product][2]), path.name]
    write_cube(tmp_path / "out.tif", cube)
    with rasterio.open(tmp_path / "out.tif") as file:
        np.testing.assert_array_equal(file.read(), bands)
        np.testing.assert_allclose(file.scales, GAINS)
        np.testing.assert_allclose(file.offsets, OFFSETS)


def test_metadata_of_other_bands_are_refused(tmp_path, bands):
    with pytest.raises(UserError, match="describes 3 bands"):
        read_product([described(tmp_path, bands, leave_out=(3,))])


@pytest.mark.parametrize("change", [{"gain": 0}, {"offset": "nan"}, {"gain": "inf"}])
def test_gains_that_cannot_be_are_refused(tmp_path, bands, change):
    with pytest.raises(UserError, match="no finite gain other than 0, or no finite offset"):
        read_product([described(tmp_path, bands, changes=change.items())])


def test_metadata_without_gains_leave_the_values_as_stored(tmp_path, bands):
    cube = read_product([described(tmp_path, bands, leave_out=("gain", "offset"))])
    np.testing.assert_array_equal(cube.array, bands)
    assert any("states no gains" in note for note in cube.notes)


def test_gains_of_the_image_itself_go_before_its_metadata(tmp_path, bands):
    path = described(tmp_path, bands)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = [0.5] * 4, [1] * 4
    np.testing.assert_allclose(read_product([path]).array, bands * 0.5 + 1)


@pytest.mark.parametrize(("name", "tool"), [("a.h5", "hytools"), ("a.hdf", "gdal_translate"), ("a.zip", "unpack")])
def test_other_products_are_told_what_converts_them(tmp_path, name, tool):
    (tmp_path / name).write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(UserError, match=tool):
        read_product([tmp_path / name])


def test_inspect_shows_products_and_says_what_converts_those_that_are_not_read(tmp_path, bands):
    said = inspect(sentinel2(tmp_path, bands))
    assert "4 bands x 40 rows x 50 columns" in said
    assert "15 of 2000 pixels" in said
    said = inspect(described(tmp_path, bands))
    assert "by band, plus -0.1 .. 0.01 by band, applied to the values above" in said
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(UserError, match="hytools"):
        inspect(tmp_path / "a.h5")
