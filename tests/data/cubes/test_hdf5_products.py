"""Small files in the layouts of PRISMA's level 2D and EMIT's level 2A, after their guides; no real one was at hand."""

import h5py
import numpy as np
import pytest
from affine import Affine

from smifbench import UserError
from smifbench.data.cubes.products import read_product
from smifbench.data.cubes.reading import read_cube

ROWS, COLUMNS = 7, 9
VNIR = [0.0, 0.0, 973.2, 700.5, 402.1]
SWIR = [2497.1, 1600.2, 943.3, 0.0]
SCALES = {"Vnir": (0.0, 0.5), "Swir": (-0.1, 1.2)}
FIELDS = "HDFEOS/SWATHS/PRS_L2D_HCO/Data Fields"
OUTER = {"left": 500000.0, "right": 500000.0 + 30 * COLUMNS, "top": 5000000.0, "bottom": 5000000.0 - 30 * ROWS}
CENTRES = {side: OUTER[side] + 15 * sign for side, sign in zip(OUTER, (1, -1, -1, 1), strict=True)}
"""Centres of the corner pixels of an image whose upper left corner is (500000, 5000000), as `OUTER` has it."""


def prisma(path, corners=CENTRES, without=(), **changes):
    """Write a level 2D product; returns the stored numbers (bands, rows, columns) of its two cubes."""
    generator = np.random.default_rng(3)
    cubes = {
        name: generator.integers(1, 65536, (len(nm), ROWS, COLUMNS), dtype=np.uint16)
        for name, nm in (("Vnir", VNIR), ("Swir", SWIR))
    }
    for cube in cubes.values():
        cube[:, 0, :4] = 0  # beyond the image
    cubes["Vnir"][3, 5, 5] = 0  # the lowest reflectance, which is one
    attributes = {"Epsg_Code": 32632}
    for name, nm in (("Vnir", VNIR), ("Swir", SWIR)):
        low, high = SCALES[name]
        attributes |= {
            f"List_Cw_{name}": np.array(nm, np.float32),
            f"List_Fwhm_{name}": np.full(len(nm), 10.5, np.float32),
            f"List_Cw_{name}_Flags": (np.array(nm) > 0).astype(np.uint32),
            f"L2Scale{name}Min": np.float32(low),
            f"L2Scale{name}Max": np.float32(high),
        }
    for corner, x, y in (("UL", "left", "top"), ("LR", "right", "bottom")):
        attributes |= {f"Product_{corner}corner_easting": corners[x], f"Product_{corner}corner_northing": corners[y]}
    with h5py.File(path, "w") as file:
        for name, cube in cubes.items():
            stored = np.ascontiguousarray(cube.transpose(1, 0, 2))
            file.create_dataset(f"{FIELDS}/{name.upper()}_Cube", data=stored, compression="gzip")
            errors = np.zeros(stored.shape, np.uint8)
            if name == "Swir":
                errors[4, 1, 6], errors[4, 1, 7], errors[4, 1, 8], errors[6, 3, 8] = 1, 2, 3, 1
            file.create_dataset(f"{FIELDS}/{name.upper()}_PIXEL_L2_ERR_MATRIX", data=errors)
        for name, value in (attributes | changes).items():
            if name not in without:
                file.attrs[name] = value
    return cubes["Vnir"], cubes["Swir"]


def test_prisma_gives_reflectances_of_the_bands_that_are_used(tmp_path):
    vnir, swir = prisma(tmp_path / "a.he5")
    cube = read_product([tmp_path / "a.he5"])
    np.testing.assert_allclose(cube.wavelengths_nm, [973.2, 700.5, 402.1, 2497.1, 1600.2, 943.3], rtol=1e-6)
    np.testing.assert_allclose(cube.bandwidths_nm, 10.5)
    expected = np.concatenate([vnir[2:] / 65535 * 0.5, swir[:3] / 65535 * 1.3 - 0.1])
    there = np.isfinite(cube.array)
    np.testing.assert_allclose(cube.array[there], expected[there], atol=1e-6)
    assert np.argwhere(~there).tolist() == [[4, 4, 6]]  # code 1 in a band that is used; 2 and 3 are values
    missing = np.zeros((ROWS, COLUMNS), bool)
    missing[0, :4] = missing[4, 6] = True
    np.testing.assert_array_equal(cube.missing, missing)
    assert cube.array[1, 5, 5] == 0
    assert any("2 VNIR and 1 SWIR bands are without a wavelength, left out" in note for note in cube.notes)


def test_bands_that_prisma_flags_as_unused_are_left_out(tmp_path):
    prisma(tmp_path / "a.he5", List_Cw_Swir_Flags=np.array([1, 0, 1, 1], np.uint32))
    np.testing.assert_allclose(read_cube(tmp_path / "a.he5").wavelengths_nm[3:], [2497.1, 943.3], rtol=1e-6)


@pytest.mark.parametrize("corners", [CENTRES, OUTER])
def test_the_place_of_prisma_is_that_of_its_corners_whichever_they_are(tmp_path, corners):
    prisma(tmp_path / "a.he5", corners)
    grid = read_cube(tmp_path / "a.he5").grid
    assert grid.crs.to_epsg() == 32632
    assert grid.transform.almost_equals(Affine(30, 0, 500000, 0, -30, 5000000))


@pytest.mark.parametrize(
    ("corners", "without", "word"),
    [(OUTER | {"right": 500400.0}, (), "pixels of 30 m apart"), (CENTRES, ("Epsg_Code",), "Epsg_Code")],
)
def test_prisma_without_a_certain_place_has_none_and_says_why(tmp_path, corners, without, word):
    prisma(tmp_path / "a.he5", corners, without)
    cube = read_cube(tmp_path / "a.he5")
    assert cube.grid is None
    assert any(word in note and "no grid" in note for note in cube.notes)


@pytest.mark.parametrize(
    ("without", "changes", "sentence"),
    [
        ((), {"L2ScaleVnirMax": 0.0}, "L2ScaleVnirMin and L2ScaleVnirMax are 0 and 0"),
        ((), {"List_Cw_Vnir": np.ones(4, np.float32)}, "with a centre, a width and a flag for each band"),
        (("L2ScaleSwirMin",), {}, "cannot be read as a product of PRISMA"),
    ],
)
def test_prisma_of_another_layout_is_refused(tmp_path, without, changes, sentence):
    prisma(tmp_path / "a.he5", CENTRES, without, **changes)
    with pytest.raises(UserError, match=sentence):
        read_cube(tmp_path / "a.he5")


def emit(path, fill=-9999.0, name="reflectance", good=(1, 0, 1, 1), bands=4):
    """Write a level 2A product; returns its reflectances (rows, columns, bands)."""
    values = np.random.default_rng(4).random((ROWS, COLUMNS, 4), np.float32)
    values[2, 3] = fill
    with h5py.File(path, "w") as file:
        file[name] = values
        file[name].attrs["_FillValue"] = np.array([fill], np.float32)
        file["sensor_band_parameters/wavelengths"] = np.array([400.0, 1380.0, 1600.0, 2200.0], np.float32)[:bands]
        file["sensor_band_parameters/fwhm"] = np.full(4, 8.5, np.float32)
        file["sensor_band_parameters/good_wavelengths"] = np.array(good, np.float32)
        file["location/glt_x"] = np.ones((ROWS + 3, COLUMNS + 2), np.int32)
    return values


def test_emit_gives_its_reflectances_and_no_grid(tmp_path):
    values = emit(tmp_path / "a.nc")
    cube = read_product([tmp_path / "a.nc"])
    np.testing.assert_array_equal(cube.array, values.transpose(2, 0, 1))
    np.testing.assert_allclose(cube.wavelengths_nm, [400, 1380, 1600, 2200])
    np.testing.assert_allclose(cube.bandwidths_nm, 8.5)
    assert cube.bad_bands == (1,)
    assert cube.grid is None
    assert np.argwhere(cube.missing).tolist() == [[2, 3]]
    assert any("in the sensor's own geometry and has no grid" in note for note in cube.notes)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [({"name": "radiance"}, "is no level 2A product of EMIT"), ({"bands": 3}, "lists another number of bands")],
)
def test_another_product_of_emit_is_refused(tmp_path, options, sentence):
    emit(tmp_path / "a.nc", **options)
    with pytest.raises(UserError, match=sentence):
        read_cube(tmp_path / "a.nc")


@pytest.mark.parametrize("suffix", [".he5", ".nc"])
def test_other_files_of_these_names_are_told(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"CDF\x01 of old")
    with pytest.raises(UserError, match="is no HDF5 file"):
        read_cube(path)
    with h5py.File(path, "w") as file:
        file["HDFEOS/SWATHS/PRS_L1_HCO/Data Fields/VNIR_Cube"] = np.zeros((2, 2, 2), np.uint16)
    with pytest.raises(UserError, match=r"which alone is read of its .*: it has no"):
        read_cube(path)
