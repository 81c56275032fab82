"""What is written reads back as it was: values, gains, what is missing, wavelengths and the place on the ground."""

from dataclasses import replace

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from smifbench import UserError
from smifbench.data.cubes.content import Grid
from smifbench.data.cubes.reading import Cube, files_of, read_cube
from smifbench.data.cubes.writing import SUFFIXES, check_output, write_cube

ARRAY = np.random.default_rng(0).integers(-300, 9000, (5, 9, 12), dtype=np.int16)
NM = np.array([443.25, 490, 560.5, 2202.375, 665])
PLACES = {
    "UTM": Grid(CRS.from_epsg(32632), Affine(10, 0, 600000, 0, -10, 5320000)),
    "LAEA": Grid(CRS.from_epsg(3035), Affine(30, 0, 4e6, 0, -30, 3e6)),
    "turned": Grid(CRS.from_epsg(32632), Affine(9.4, 3.42, 600000, 3.42, -9.4, 5320000)),
}
RASTERS = (".hdr", ".dat", ".tif")


def cube_of(array=ARRAY, **fields):
    return Cube(array, NM, None, None, 0, "made up", (), **fields)


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "f4", "f8"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_written_cube_reads_back(tmp_path, suffix, dtype):
    path = tmp_path / f"fused image{suffix}"
    notes = write_cube(path, cube_of(ARRAY.astype(dtype)))
    read = read_cube(path, band_axis=0)
    assert read.array.dtype.newbyteorder("=") == np.dtype(dtype)
    np.testing.assert_array_equal(read.array, ARRAY.astype(dtype))
    assert (read.grid, read.nodata, read.missing, read.gain) == (None, None, None, None)
    if suffix == ".npy":
        assert notes == ["fused image.npy has no room for wavelengths"]
    else:
        np.testing.assert_allclose(read.wavelengths_nm, NM)
        assert notes == []


@pytest.mark.parametrize("suffix", RASTERS)
@pytest.mark.parametrize("place", PLACES)
def test_every_raster_keeps_the_place(tmp_path, suffix, place):
    path = tmp_path / f"a{suffix}"
    assert write_cube(path, cube_of(grid=PLACES[place])) == []
    grid = read_cube(path).grid
    assert grid.crs == PLACES[place].crs
    np.testing.assert_allclose(grid.transform.to_gdal(), PLACES[place].transform.to_gdal(), rtol=1e-9, atol=1e-6)
    image = path.with_suffix(".img") if suffix == ".hdr" else path
    with rasterio.open(image) as seen:
        assert seen.crs == PLACES[place].crs
    assert not list(tmp_path.glob("*.xml"))


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".mat"])
def test_a_format_without_room_for_the_place_says_so(tmp_path, suffix):
    notes = write_cube(tmp_path / f"a{suffix}", cube_of(grid=PLACES["UTM"]))
    assert "does not keep the geo-reference" in notes[-1]


@pytest.mark.parametrize("suffix", RASTERS)
def test_gains_are_written_back_with_the_numbers_that_were_read(tmp_path, suffix):
    gain, offset = np.linspace(2e-5, 2e-4, 5), np.linspace(-0.1, 0.1, 5)
    values = (ARRAY * gain[:, None, None] + offset[:, None, None]).astype(np.float32)
    path = tmp_path / f"a{suffix}"
    assert write_cube(path, cube_of(values, gain=gain, offset=offset, stored=np.dtype("i2"))) == []
    with rasterio.open(path.with_suffix(".img") if suffix == ".hdr" else path) as seen:
        np.testing.assert_array_equal(seen.read(), ARRAY)
        np.testing.assert_allclose(seen.scales, gain)
        np.testing.assert_allclose(seen.offsets, offset)
    read = read_cube(path)
    np.testing.assert_allclose(read.array, values, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(read.gain, gain)
    assert read.stored == np.dtype("i2")


def test_without_room_for_gains_the_values_are_written_and_it_is_told(tmp_path):
    gain = np.full(5, 0.5)
    cube = cube_of(np.float32(ARRAY) / 2, gain=gain, offset=gain * 0, stored=np.dtype("i2"))
    assert any("gains" in note for note in write_cube(tmp_path / "a.npz", cube))
    np.testing.assert_array_equal(read_cube(tmp_path / "a.npz", band_axis=0).array, ARRAY / 2)


@pytest.mark.parametrize("suffix", RASTERS)
@pytest.mark.parametrize(
    ("dtype", "stated", "declared"),
    [
        *(("i2", -9999, -9999), ("u2", 0, 0), ("u2", 65535, 65535), ("u2", -9999, 65535), ("i2", None, -32768)),
        *(("f4", -9999, -9999), ("f4", None, np.nan), ("f8", -3.4e38, -3.4e38)),
    ],
)
def test_missing_pixels_become_the_value_that_the_file_declares(tmp_path, suffix, dtype, stated, declared):
    mask = np.zeros(ARRAY.shape[1:], bool)
    mask[2:4, 5:] = True
    array = np.abs(ARRAY).astype(dtype)
    array[0, 0, 0] = 0  # the mark of one case, but valid here
    cube = cube_of(array, nodata=stated, mask=mask)
    if stated == 0:
        cube = replace(cube, array=np.where(array == 0, 1, array).astype(dtype))
    path = tmp_path / f"a{suffix}"
    write_cube(path, cube)
    with rasterio.open(path.with_suffix(".img") if suffix == ".hdr" else path) as seen:
        np.testing.assert_equal(seen.nodata, declared)
        np.testing.assert_array_equal(seen.dataset_mask() == 0, mask)
    read = read_cube(path)
    np.testing.assert_array_equal(read.missing, mask)
    np.testing.assert_array_equal(read.array[:, ~mask], cube.array[:, ~mask])


def test_a_valid_value_that_is_the_mark_is_moved_by_one(tmp_path):
    array = np.full((5, 9, 12), 32767, np.int16)
    write_cube(
        tmp_path / "a.tif",
        cube_of(array.astype(np.float32), nodata=32767, gain=np.ones(5), offset=np.zeros(5), stored=np.dtype("i2")),
    )
    with rasterio.open(tmp_path / "a.tif") as seen:
        assert set(np.unique(seen.read())) == {32766}


@pytest.mark.parametrize("suffix", RASTERS)
def test_words_and_names_are_kept(tmp_path, suffix):
    words = {"reflectance scale factor": "10000", "sensor type": "EnMAP"}
    names = tuple(f"layer {band}" for band in range(5))
    cube = replace(cube_of(words=words, band_names=names), bandwidths_nm=np.full(5, 12.5))
    write_cube(tmp_path / f"a{suffix}", cube)
    read = read_cube(tmp_path / f"a{suffix}")
    assert (read.words, read.band_names) == (words, names)
    np.testing.assert_allclose(read.bandwidths_nm, 12.5)


def test_envi_keeps_the_list_of_bad_bands_and_takes_either_name(tmp_path):
    write_cube(tmp_path / "a.hdr", cube_of(bad_bands=(1, 4)))
    assert read_cube(tmp_path / "a.img").bad_bands == (1, 4)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a.hdr", "a.img"]


def test_four_bands_of_eight_bits_stay_four(tmp_path):
    array = np.random.default_rng(1).choice(np.array([0, 255], np.uint8), (4, 9, 12))
    write_cube(tmp_path / "a.tif", replace(cube_of(array), wavelengths_nm=None))
    np.testing.assert_array_equal(read_cube(tmp_path / "a.tif").array, array)


def test_what_cannot_be_written_leaves_no_file(tmp_path):
    for name, dtype in (("a.xyz", "i2"), ("a.hdr", "f2"), ("a.tif", "f2"), ("a", "i2")):
        with pytest.raises(UserError):
            write_cube(tmp_path / name, cube_of(ARRAY.astype(dtype)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("out", ["scene.hdr", "scene.dat", "./scene.HDR", "link.dat", "other.npy"])
def test_an_output_that_is_an_input_is_refused(tmp_path, out):
    write_cube(tmp_path / "scene.dat", cube_of())
    np.save(tmp_path / "other.npy", ARRAY)
    (tmp_path / "link.dat").symlink_to("scene.dat")
    (tmp_path / "link.hdr").symlink_to("scene.hdr")
    with pytest.raises(UserError):
        check_output(tmp_path / out, [*files_of(tmp_path / "scene.hdr"), tmp_path / "other.npy"])


@pytest.mark.parametrize(
    ("out", "there"),
    [
        *(("r.hdr", "r"), ("r.hdr", "r.dat"), ("r.hdr", "r.TIF"), ("r.dat", "r.img"), ("r.img", "r.img.hdr")),
        *(("r.hdr", "r.HDR"), ("r.tif", "r.tif.aux.xml"), ("r.tif", "r.tif.msk"), ("r.tif", "r.hdr")),
    ],
)
def test_an_output_that_would_not_be_found_again_is_refused(tmp_path, out, there):
    (tmp_path / there).write_bytes(b"ENVI\nsamples = 2\n")
    with pytest.raises(UserError, match=there):
        check_output(tmp_path / out)


def test_a_result_may_be_written_again_and_beside_others(tmp_path):
    for name in ("r.hdr", "q.tif", "r.npy", "s.dat"):
        write_cube(tmp_path / name, cube_of())
    for name in ("r.hdr", "r.img", "q.tif", "r.npy", "s.dat", "t.mat", "new folder/r.hdr"):
        check_output(tmp_path / name, [tmp_path / "q.tif"] if name != "q.tif" else [])
