"""Rasters as other programs write them: the right values, gains applied, missing pixels known, or one sentence."""

import gzip
import json

import numpy as np
import pytest
import rasterio
import tifffile
from affine import Affine
from made_up_cubes import NM, braces, cube_of, write_envi
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.shutil import copy

from smifbench import UserError
from smifbench.data.cubes.reading import files_of, read_cube
from smifbench.data.cubes.writing import write_cube

PLACE = {"crs": "EPSG:32632", "transform": Affine(10, 0, 600000, 0, -10, 5320000)}


def write_tiff(path, cube, **options):
    """Write (C, H, W) by GDAL as users' programs do."""
    count, height, width = cube.shape
    about = {"count": count, "height": height, "width": width, "dtype": cube.dtype.name} | options
    with rasterio.open(path, "w", driver="GTiff", **about) as file:
        file.write(cube)
    return path


COMPRESSIONS = {
    "lzw": ("u2", {"compress": "lzw"}),
    "lzw, predictor 2": ("u2", {"compress": "lzw", "predictor": 2}),
    "deflate, predictor 3": ("f4", {"compress": "deflate", "predictor": 3}),
    "zstd": ("u2", {"compress": "zstd"}),
    "lerc": ("u2", {"compress": "lerc"}),
    "packbits": ("u1", {"compress": "packbits"}),
    "tiles": ("i2", {"tiled": True, "blockxsize": 16, "blockysize": 16}),
    "big endian": ("u2", {"ENDIANNESS": "BIG", "compress": "deflate", "predictor": 2}),
    "BigTIFF": ("f8", {"BIGTIFF": "YES", "interleave": "band"}),
}


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_every_compression(tmp_path, name, capfd):
    dtype, options = COMPRESSIONS[name]
    path = write_tiff(tmp_path / "a.tif", cube_of(dtype), **options)
    np.testing.assert_array_equal(read_cube(path).array, cube_of(dtype))
    assert [file.name for file in tmp_path.iterdir()] == ["a.tif"]
    assert capfd.readouterr() == ("", "")


def test_twelve_bits_overviews_and_cloud_optimised(tmp_path):
    cube = cube_of("u2") % 4096
    path = write_tiff(tmp_path / "bits.tif", cube, NBITS=12)
    np.testing.assert_array_equal(read_cube(path).array, cube)
    large = cube_of("u2", (3, 100, 80))
    path = write_tiff(tmp_path / "large.tif", large, tiled=True, blockxsize=32, blockysize=32, compress="lzw")
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4], Resampling.average)
    copy(path, tmp_path / "cog.tif", driver="COG")
    for name in ("large", "cog"):
        np.testing.assert_array_equal(read_cube(tmp_path / f"{name}.tif").array, large)


@pytest.mark.parametrize(("driver", "suffix"), [("JP2OpenJPEG", ".jp2"), ("HFA", ".img"), ("PCIDSK", ".pix")])
def test_other_formats_of_gdal(tmp_path, driver, suffix):
    source = write_tiff(tmp_path / "a.tif", cube_of("u2", (3, 40, 30)), **PLACE)
    lossless = {"QUALITY": "100", "REVERSIBLE": "YES"} if suffix == ".jp2" else {}
    copy(source, tmp_path / f"a{suffix}", driver=driver, **lossless)
    read = read_cube(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read.array, cube_of("u2", (3, 40, 30)))
    assert read.grid.transform == PLACE["transform"]


def test_more_than_ten_pages_keep_their_order(tmp_path):
    cube = cube_of("u2", (23, 20, 13))
    for name, options in {"mapped": {}, "packed": {"compression": "zlib"}}.items():
        tifffile.imwrite(tmp_path / f"{name}.tif", cube, photometric="minisblack", metadata=None, **options)
        np.testing.assert_array_equal(read_cube(tmp_path / f"{name}.tif").array, cube)


def test_pages_compressed_in_different_ways_are_all_read(tmp_path):
    cube = cube_of("u2", (5, 20, 13))
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for band, values in enumerate(cube):
            file.write(values, photometric="minisblack", metadata=None, compression="zlib" if band == 2 else None)
    np.testing.assert_array_equal(read_cube(tmp_path / "a.tif").array, cube)


def test_one_band_is_a_cube(tmp_path):
    pan = cube_of("u2", (1, 20, 13))
    np.testing.assert_array_equal(read_cube(write_tiff(tmp_path / "pan.tif", pan)).array, pan)
    np.testing.assert_array_equal(read_cube(write_envi(tmp_path, pan, name="other")).array, pan)


@pytest.mark.parametrize("xml", [b"<GDALMetadata>R & D</GDALMetadata>", b" ", b"<GDALMetadata>\xfc\xff"])
def test_metadata_that_are_no_xml_do_not_cost_the_image(tmp_path, xml, capfd):
    cube = cube_of()
    tag = (42112, 2, 0, xml, True)
    pixels = np.ascontiguousarray(cube.transpose(1, 2, 0))
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", planarconfig="contig", extratags=[tag])
    np.testing.assert_array_equal(read_cube(tmp_path / "a.tif").array, cube)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("nodata", [None, 7])
def test_tiles_that_were_never_written_are_missing(tmp_path, nodata):
    about = {"count": 2, "height": 32, "width": 32, "dtype": "uint16", "nodata": nodata}
    tiles = {"tiled": True, "blockxsize": 16, "blockysize": 16, "SPARSE_OK": True}
    with rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", **about, **tiles) as file:
        file.write(np.full((2, 16, 32), 9, np.uint16), window=((0, 16), (0, 32)))
    read = read_cube(tmp_path / "a.tif")
    assert (read.array[:, :16] == 9).all()
    np.testing.assert_array_equal(read.missing, np.repeat(np.arange(32) >= 16, 32).reshape(32, 32))


def test_gains_are_applied_and_known(tmp_path):
    refl = np.random.default_rng(2).random((6, 20, 13))
    gain, offset = np.linspace(2e-5, 2e-4, 6), np.linspace(-0.1, 0, 6)
    stored = np.rint((refl - offset[:, None, None]) / gain[:, None, None]).astype(np.uint16)
    stored[:, 3, 4] = 65535
    header = write_envi(
        tmp_path, stored, data_gain_values=braces(gain), data_offset_values=braces(offset), data_ignore_value=65535
    )
    path = write_tiff(tmp_path / "tiff.tif", stored, nodata=65535)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = gain.tolist(), offset.tolist()
    for file in (header, path):
        read = read_cube(file)
        assert (read.array.dtype, read.stored) == (np.float32, np.uint16)
        assert np.argwhere(read.missing).tolist() == [[3, 4]]
        assert np.isnan(read.array[:, 3, 4]).all()
        there = ~read.missing
        # half a step of the coarsest band, and float32
        np.testing.assert_allclose(read.array[:, there], refl[:, there], atol=1.1e-4)
        np.testing.assert_allclose(read.gain, gain)
        np.testing.assert_allclose(read.offset, offset)
        assert any("gains 2e-05 .. 0.0002 and offsets" in note for note in read.notes)


@pytest.mark.parametrize("listed", ["{1e-4, 2e-4}", "{1, 1, 1, 1, 1, x}", "{1, 1, 1, 1, 1, nan}"])
def test_a_list_of_gains_that_does_not_fit_is_refused(tmp_path, listed):
    with pytest.raises(UserError, match=r"'data gain values' are not 6 numbers"):
        read_cube(write_envi(tmp_path, cube_of(), data_gain_values=listed))


def test_gains_of_zero_are_refused(tmp_path):
    with pytest.raises(UserError, match="no finite numbers other than 0"):
        read_cube(write_envi(tmp_path, cube_of(), data_gain_values=braces([1, 1, 0, 1, 1, 1])))


@pytest.mark.parametrize(("dtype", "value"), [("i2", "-9999"), ("u2", "0"), ("f4", "-9999"), ("f4", "-3.40282e+38")])
def test_declared_values_are_missing(tmp_path, dtype, value):
    cube = np.abs(cube_of("f4")).astype(dtype) + np.dtype(dtype).type(5)
    gone = np.zeros((20, 13), bool)
    gone[:3, 2] = True
    cube[4, gone] = np.finfo("f4").min if "e+38" in value else float(value)
    header = write_envi(tmp_path, cube, data_ignore_value=value, bbl=braces([1, 1, 0, 1, 1, 1]))
    read = read_cube(header)
    assert read.nodata == float(value)
    np.testing.assert_array_equal(read.missing, gone)
    assert read.missing_in([0, 1, 2]) is None
    assert read.take([5, 3]).missing is None
    np.testing.assert_array_equal(read.take([5, 4]).missing, gone)
    tiff = read_cube(write_tiff(tmp_path / "t.tif", cube, nodata=float(value)))
    np.testing.assert_array_equal(tiff.missing, gone)


def test_values_that_are_no_numbers_are_missing(tmp_path):
    cube = cube_of("f4")
    cube[1, 0, 0], cube[2, 5, 5] = np.nan, np.inf
    np.save(tmp_path / "a.npy", cube)
    assert np.argwhere(read_cube(tmp_path / "a.npy", band_axis=0).missing).tolist() == [[0, 0], [5, 5]]


def test_a_mask_in_the_file_or_beside_it(tmp_path):
    there = np.random.default_rng(1).random((20, 13)) > 0.3
    for name, inside in (("inside", "YES"), ("beside", "NO")):
        path = write_tiff(tmp_path / f"{name}.tif", cube_of())
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=inside), rasterio.open(path, "r+") as file:
            file.write_mask(there)
        np.testing.assert_array_equal(read_cube(path).missing, ~there)


def test_alpha_is_a_mask_and_a_fourth_band_is_none(tmp_path):
    cube = cube_of("u2", (3, 20, 13))
    alpha = np.full((1, 20, 13), 65535, np.uint16)
    alpha[0, 2, 3] = 0
    read = read_cube(write_tiff(tmp_path / "a.tif", np.concatenate([cube, alpha]), photometric="RGB", ALPHA="YES"))
    np.testing.assert_array_equal(read.array, cube)
    assert np.argwhere(read.missing).tolist() == [[2, 3]]
    assert any("band 3 is marked as alpha" in note for note in read.notes)
    four = cube_of("u1", (4, 20, 13))  # GDAL marks the fourth of four such bands as alpha by itself
    read = read_cube(write_tiff(tmp_path / "b.tif", four))
    np.testing.assert_array_equal(read.array, four)
    assert read.missing is None


@pytest.mark.parametrize("name", ["s.tif.hdr", "s.hdr"])
@pytest.mark.parametrize("kind", ["TIFF", "ENVI Standard"])
def test_the_header_of_a_tiff_is_never_read_as_one_of_numbers(tmp_path, name, kind):
    write_tiff(tmp_path / "s.tif", cube_of(), interleave="pixel")
    words = {"wavelength": braces(NM), "wavelength_units": "Nanometers", "file_type": kind}
    write_envi(tmp_path, cube_of(), "bip", name="made", **words).rename(tmp_path / name)
    (tmp_path / "made.img").unlink()
    for path in (tmp_path / name, tmp_path / "s.tif"):
        read = read_cube(path)
        np.testing.assert_array_equal(read.array, cube_of())
        np.testing.assert_allclose(read.wavelengths_nm, NM)
        assert set(files_of(path)) == {tmp_path / name, tmp_path / "s.tif"}


def test_the_header_of_another_image_lends_a_tiff_nothing(tmp_path):
    write_tiff(tmp_path / "scene.tif", cube_of())
    header = write_envi(tmp_path, cube_of("i2"), wavelength=braces(NM))
    assert read_cube(tmp_path / "scene.tif").wavelengths_nm is None
    np.testing.assert_array_equal(read_cube(header).array, cube_of("i2"))
    (tmp_path / "scene.img").unlink()
    header.write_text(header.read_text().replace("samples = 13", "samples = 14"))
    read = read_cube(tmp_path / "scene.tif")
    assert read.wavelengths_nm is None
    assert any("of another size" in note for note in read.notes)


@pytest.mark.parametrize(
    "words",
    [
        {"file type": "PCI"},
        {"file type": "ENVI Spectral Library"},
        {"read procedures": "{pci_read_spatial, pci_read_spectral}"},
        {"major frame offsets": "{16, 8}"},
        {"minor frame offsets": "{0, 1}"},
    ],
)
def test_a_file_that_is_said_not_to_be_plain_is_not_read_as_such(tmp_path, words):
    header = write_envi(tmp_path, cube_of(), **words)
    with pytest.raises(UserError, match=r"scene\.img is no plain raw file .*export it"):
        read_cube(header)


def test_a_pci_file_under_an_envi_header_is_read_as_pci(tmp_path):
    copy(write_tiff(tmp_path / "a.tif", cube_of("u2")), tmp_path / "scene.pix", driver="PCIDSK")
    write_envi(tmp_path, cube_of("u2"), name="other", **{"file type": "PCI"}).rename(tmp_path / "scene.hdr")
    for name in ("scene.hdr", "scene.pix"):
        np.testing.assert_array_equal(read_cube(tmp_path / name).array, cube_of("u2"))


def test_frame_offsets_of_zero_are_none(tmp_path):
    header = write_envi(tmp_path, cube_of(), **{"major frame offsets": "{0, 0}"})
    np.testing.assert_array_equal(read_cube(header).array, cube_of())


def test_a_compressed_envi_file(tmp_path):
    header = write_envi(tmp_path, cube_of(), "bil", **{"file compression": 1})
    image = tmp_path / "scene.img"
    image.write_bytes(gzip.compress(image.read_bytes()))
    np.testing.assert_array_equal(read_cube(header).array, cube_of())


@pytest.mark.parametrize("rotation", [0, 20])
def test_the_grid_of_an_envi_header(tmp_path, rotation):
    info = f"{{UTM, 1, 1, 600000, 5320000, 10, 10, 32, North, WGS-84, units=Meters, rotation={rotation}}}"
    grid = read_cube(write_envi(tmp_path, cube_of(), map_info=info)).grid
    assert grid.crs == CRS.from_epsg(32632)
    turn = np.radians(rotation)
    np.testing.assert_allclose(grid.transform.c, 600000)
    np.testing.assert_allclose([grid.transform.a, abs(grid.transform.b)], [10 * np.cos(turn), 10 * np.sin(turn)])


def test_no_grid_where_none_is_stated(tmp_path):
    assert read_cube(write_envi(tmp_path, cube_of())).grid is None
    assert read_cube(write_tiff(tmp_path / "a.tif", cube_of())).grid is None
    grid = read_cube(write_tiff(tmp_path / "b.tif", cube_of(), **PLACE)).grid
    assert (grid.crs, grid.transform) == (CRS.from_epsg(32632), PLACE["transform"])


def test_nothing_is_left_beside_the_users_files_or_told_on_the_terminal(tmp_path, capfd):
    header = write_envi(tmp_path, cube_of(), data_ignore_value=-9999, map_info="{UTM, 1, 1}")
    before = sorted(tmp_path.iterdir())
    read_cube(header)
    assert sorted(tmp_path.iterdir()) == before
    assert capfd.readouterr() == ("", "")


def test_a_large_envi_image_is_mapped_and_not_loaded(tmp_path):
    """Two terabytes, sparse on the disk."""
    header = write_envi(tmp_path, cube_of("u1", (1, 1, 1)), samples=10**4, lines=10**4, bands=10**4)
    with (tmp_path / "scene.img").open("wb") as file:
        file.truncate(10**12)
        file.seek(10**12 - 1)
        file.write(b"\x05")
    read = read_cube(header)
    assert isinstance(read.array, np.memmap)
    assert read.array[-1, -1, -1] == 5


def test_a_header_longer_than_gdal_can_count(tmp_path):
    start = 5 * 2**30 + 8
    header = write_envi(tmp_path, cube_of(), header_offset=start)
    data = (tmp_path / "scene.img").read_bytes()
    with (tmp_path / "scene.img").open("r+b") as file:
        file.seek(start)
        file.write(data)
    np.testing.assert_array_equal(read_cube(header).array, cube_of())


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".mat", ".tif", ".hdr", ".jp2"])
def test_a_web_page_or_a_pointer_is_called_that(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    (tmp_path / "a.img").write_bytes(b"")
    for content, words in {
        b"\n<!DOCTYPE html><html><body>Log in</body></html>": "is a web page",
        b'<?xml version="1.0"?>\n<html xmlns="x">': "is a web page",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n": "is a pointer of Git LFS",
    }.items():
        path.write_bytes(content)
        with pytest.raises(UserError, match=words):
            read_cube(path)


def test_messages_name_what_the_user_can_type(tmp_path):
    def ask(option):
        return "--hsi-" + option.replace("_", "-")

    np.save(tmp_path / "a.npy", np.zeros((9, 9, 9)))
    np.savez(tmp_path / "a.npz", one=np.zeros((3, 9, 9)), two=np.zeros((3, 9, 9)))
    for name, words in {"a.npy": "set --hsi-band-axis to 0, 1 or 2", "a.npz": "by the option --hsi-variable"}.items():
        with pytest.raises(UserError, match=words):
            read_cube(tmp_path / name, ask=ask)
    with pytest.raises(UserError, match="--hsi-band-axis must be"):
        read_cube(tmp_path / "a.npy", band_axis=7, ask=ask)
    notes = read_cube(write_envi(tmp_path, cube_of(), bbl=braces([1, 0, 1, 1, 1, 1])), ask=ask).notes
    assert "--hsi-drop-bands: [1]" in json.dumps(notes)


@pytest.mark.parametrize("packed", [0, 1])
def test_a_system_without_links_reads_the_same(tmp_path, monkeypatch, packed):
    def refuse(*_):
        raise OSError("a privilege is not held")

    monkeypatch.setattr("pathlib.Path.symlink_to", refuse)
    header = write_envi(tmp_path, cube_of(), map_info="{UTM, 1, 1, 600000, 5320000, 10, 10, 32, North, WGS-84}")
    if packed:
        header.write_text(header.read_text() + "file compression = 1\n")
        image = tmp_path / "scene.img"
        image.write_bytes(gzip.compress(image.read_bytes()))
    read = read_cube(header)
    np.testing.assert_array_equal(read.array, cube_of())
    assert read.grid.crs == CRS.from_epsg(32632)


def test_an_image_of_which_next_to_nothing_is_stored(tmp_path):
    tiles = {"tiled": True, "compress": "zstd", "SPARSE_OK": True, "nodata": 0}
    about = {"count": 1, "height": 5000, "width": 5000, "dtype": "uint16"}
    with rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", **about, **tiles) as file:
        file.write(np.full((1, 256, 256), 9, np.uint16), window=((0, 256), (0, 256)))
    read = read_cube(tmp_path / "a.tif")
    assert (~read.missing).sum() == 256**2


def test_a_scale_factor_divides_the_values_and_comes_back(tmp_path):
    """20000 counts of a factor of 10000 are a reflectance of 2, and 20000 counts again in the file that is written."""
    stored = cube_of("u2")
    stored[0, 0, 0], stored[1, 2, 3] = 20000, 65535
    words = {"reflectance_scale_factor": 10000, "data_ignore_value": 65535}
    read = read_cube(write_envi(tmp_path / "in", stored, **words))
    assert read.array.dtype == np.float32
    assert read.array[0, 0, 0] == 2
    np.testing.assert_allclose(read.array[:, 5], stored[:, 5] / 10000, rtol=1e-6)
    assert np.isnan(read.array[1, 2, 3])
    assert "the file's reflectance scale factor is 10000" in read.notes
    assert "gains 0.0001 and offsets 0 of the file are applied" in read.notes
    for name in ("out.hdr", "out.tif"):
        write_cube(tmp_path / name, read)
        again = read_cube(tmp_path / name)
        assert (again.stored, again.nodata) == (np.uint16, 65535)
        np.testing.assert_array_equal(again.array, read.array)
    header = (tmp_path / "out.hdr").read_text()
    assert "reflectance scale factor = 10000" in header
    assert "gain" not in header
    assert np.fromfile(tmp_path / "out.img", "<u2")[0] == 20000


def test_gains_that_say_the_same_as_a_scale_factor_are_applied_once_and_both_come_back(tmp_path):
    stored = cube_of("u2")
    words = {"reflectance_scale_factor": 10000, "data_gain_values": braces([1e-4] * 6)}
    read = read_cube(write_envi(tmp_path, stored, **words))
    np.testing.assert_allclose(read.array, stored / 10000, rtol=1e-6)
    write_cube(tmp_path / "out.hdr", read)
    header = (tmp_path / "out.hdr").read_text()
    assert "reflectance scale factor = 10000" in header
    assert "data gain values" in header
    np.testing.assert_array_equal(read_cube(tmp_path / "out.hdr").array, read.array)


def test_gains_go_before_a_scale_factor_which_is_told(tmp_path):
    stored = cube_of("u2")
    words = {"reflectance_scale_factor": 10000, "data_gain_values": braces([0.5] * 6)}
    read = read_cube(write_envi(tmp_path, stored, **words))
    np.testing.assert_allclose(read.array, stored / 2)
    assert any("reflectance scale factor 10000 is not applied besides its gains" in note for note in read.notes)
    write_cube(tmp_path / "out.hdr", read)
    np.testing.assert_array_equal(read_cube(tmp_path / "out.hdr").array, read.array)


@pytest.mark.parametrize("factor", ["0", "-10000", "nan", "ten", "{10000, 1000}"])
def test_a_scale_factor_that_is_none_is_refused(tmp_path, factor):
    with pytest.raises(UserError, match=r"the reflectance scale factor is .* correct it to a number above 0"):
        read_cube(write_envi(tmp_path, cube_of("u2"), reflectance_scale_factor=factor))


@pytest.mark.parametrize("gains", [{}, {"data_gain_values": [1e-4] * 6, "data_offset_values": [-0.1] * 6}])
@pytest.mark.parametrize("factor", [{}, {"reflectance_scale_factor": 10000}])
def test_values_that_the_user_calls_missing_are_those_that_the_file_stores(tmp_path, gains, factor):
    """1000 counts are 0 where the gain is 1e-4 and the offset -0.1; 999 and 1001 are there."""
    stored = np.full((6, 20, 13), 1001, np.uint16)
    stored[:, :5], stored[2, 7, 7], stored[2, 8, 8] = 999, 1000, 0
    words = {key: braces(listed) for key, listed in gains.items()} | factor
    read = read_cube(write_envi(tmp_path, stored, **words), fills=(1000.0,))
    assert np.argwhere(read.missing).tolist() == [[7, 7]]
    assert read.take([0, 1]).missing is None
    assert np.argwhere(read_cube(tmp_path / "scene.hdr", fills=(1000, 0)).missing).tolist() == [[7, 7], [8, 8]]
