"""What `inspect` says of a cube: faults put into a clean scene are found, and nothing else."""

import re
import tracemalloc

import numpy as np
import pytest
import yaml
from affine import Affine
from conftest import SHARED
from PIL import Image
from rasterio.crs import CRS

from smifbench import UserError, plugins
from smifbench.data.cubes import inspection
from smifbench.data.cubes.content import Grid
from smifbench.data.cubes.inspection import inspect, quick_look
from smifbench.data.cubes.reading import Cube, read_cube
from smifbench.data.cubes.writing import write_cube

RENO = SHARED / "data" / "other" / "Reno150-150-100.mat"


def smooth_scene(bands=12, height=60, width=50):
    """Counts (C, H, W) between 1000 and 3000 in which neighbours are alike."""
    rows, columns = np.mgrid[0:height, 0:width]
    pattern = 2000 + 900 * np.sin(rows / 9) * np.cos(columns / 7)
    return np.stack([pattern * (0.9 + 0.02 * band) for band in range(bands)]).round().astype(np.uint16)


def report(folder, cube, **options):
    """Inspect a cube; returns the lines as {label: text}."""
    np.save(folder / "cube.npy", cube)
    text = inspect(folder / "cube.npy", band_axis=0, **options)
    return {line[:12].strip(): line[13:] for line in text.splitlines()}


def test_a_clean_scene(tmp_path):
    cube = smooth_scene()
    lines = report(tmp_path, cube)
    assert lines["file"] == f"{tmp_path / 'cube.npy'} (NumPy .npy)"
    assert lines["shape"] == "12 bands x 60 rows x 50 columns (band axis 0)"
    assert lines["values"] == f"uint16, {cube.min()} .. {cube.max()}, mean {cube.mean():.6g}; no NaN, no infinite"
    assert "state wavelengths_nm" in lines["wavelengths"]
    assert lines["suspicious"] == "no band is zero, constant, saturated, dark or noisy"
    assert not {"zero", "constant", "saturated", "dark", "noisy", "empty"} & lines.keys()


def test_every_fault_is_found_and_the_advice_is_the_option_of_a_data_set(tmp_path):
    cube = smooth_scene()
    generator = np.random.default_rng(3)
    cube[2] = 0
    cube[3] = 1234
    cube[5] = generator.integers(1000, 3000, cube[5].shape)
    cube[6] = cube[6] // 300
    cube[9] = np.minimum(cube[9] * 2, 4095)
    cube[10] = np.minimum(cube[10] * 2, 4095)
    lines = report(tmp_path, cube)
    assert (lines["zero"], lines["constant"], lines["noisy"], lines["dark"]) == ("[2]", "[3]", "[5]", "[6]")
    assert lines["saturated"] == "[[9, 10]]"
    advice = yaml.safe_load(lines["suspicious"].partition("; to leave them out: ")[2])
    assert advice == {"drop_bands": [[2, 3], [5, 6], [9, 10]]}
    dataset = plugins.build_dataset(
        "own", path=str(tmp_path / "cube.npy"), wavelengths_nm={"start": 400, "step": 10}, **advice
    )
    np.testing.assert_array_equal(dataset.wavelengths_nm(None), [400, 410, 440, 470, 480, 510])


def test_values_that_are_not_finite_are_counted_and_spoil_nothing(tmp_path):
    cube = smooth_scene().astype(np.float32)
    expected = np.float64(cube[1, 1:].min())
    cube[0, :2] = np.nan
    cube[1, 0] = np.inf
    cube[4] = np.nan
    lines = report(tmp_path, cube)
    assert lines["values"].endswith(f"; {100 + 3000} NaN, 50 infinite")
    assert re.match(r"float32, \d+ \.\. \d+, mean \d+", lines["values"])
    assert float(lines["values"].split()[1]) <= expected
    assert lines["empty"] == "[4]"
    assert lines["suspicious"].startswith("1 bands")


def test_statistics_do_not_depend_on_the_slabs(tmp_path, monkeypatch):
    cube = smooth_scene().astype(np.float32)
    cube[3, 7:9] = np.nan
    cube[5] = np.random.default_rng(0).random(cube[5].shape)
    whole = report(tmp_path, cube)
    monkeypatch.setattr("smifbench.data.cubes.reading.BLOCK_VALUES", 2000)
    assert report(tmp_path, cube) == whole


def test_memory_stays_small_for_a_mapped_file(tmp_path):
    np.save(tmp_path / "cube.npy", np.ones((64, 512, 512), np.float32))
    tracemalloc.start()
    inspect(tmp_path / "cube.npy", band_axis=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * inspection.row_blocks.__globals__["BLOCK_VALUES"] * 8


def test_wavelengths_that_step_back_are_named(tmp_path):
    nm = [400.0, 410, 405, 420, 430, 440, 450, 460, 455, 470, 480, 490]
    np.savez(tmp_path / "cube.npz", cube=smooth_scene(), wavelengths=nm)
    text = inspect(tmp_path / "cube.npz")
    assert "400 .. 490 nm, not increasing at bands [2, 8]" in text
    assert "variable cube, band axis 0" in text
    np.savez(tmp_path / "cube.npz", cube=smooth_scene(), wavelengths=sorted(nm))
    assert "400 .. 490 nm, increasing" in inspect(tmp_path / "cube.npz")


def test_quick_look_takes_the_bands_nearest_to_red_green_and_blue(tmp_path):
    cube = np.zeros((6, 8, 10))
    for shown, band in enumerate((4, 2, 1)):
        cube[band] = np.linspace(0, 1, 80).reshape(8, 10)[:, :: [1, -1, 1][shown]]
    np.savez(tmp_path / "cube.npz", cube=cube, wavelengths=[400, 465, 545, 600, 645, 900])
    assert quick_look(read_cube(tmp_path / "cube.npz"))[1] == (4, 2, 1)
    text = inspect(tmp_path / "cube.npz", png=tmp_path / "new folder" / "a look.png")
    assert "red, green, blue from bands 4, 2, 1 (645, 545, 465 nm)" in text
    with Image.open(tmp_path / "new folder" / "a look.png") as image:
        pixels = np.asarray(image)
    assert (pixels.shape, pixels.dtype) == ((8, 10, 3), np.uint8)
    # Green is stored from right to left: 9/79 of the range, of which the stretch cuts 2 % off both ends.
    np.testing.assert_array_equal(pixels[0, 0], [0, round(255 * (9 / 79 - 0.02) / 0.96), 0])
    np.testing.assert_array_equal(pixels[..., 0], pixels[..., 1, None][:, ::-1, 0])
    assert list((tmp_path / "new folder").iterdir()) == [tmp_path / "new folder" / "a look.png"]


def test_a_picture_of_the_users_is_never_replaced(tmp_path):
    Image.new("RGB", (2, 2)).save(tmp_path / "x.png")
    (tmp_path / "x_look1.png").write_text("no picture")
    before = (tmp_path / "x.png").read_bytes()
    for _ in range(2):  # the second time it is its own picture that is replaced
        line = report(tmp_path, smooth_scene(), png=tmp_path / "x.png")["quick look"]
        assert line.startswith(f"{tmp_path / 'x_look2.png'} ({tmp_path / 'x.png'} is there already")
    assert (tmp_path / "x.png").read_bytes() == before
    assert len(list(tmp_path.glob("*.png"))) == 3


def test_missing_pixels_are_counted_shown_and_left_out_of_everything(tmp_path):
    cube = smooth_scene().astype(np.int16)
    kept = cube[:, 10:]
    expected = f"int16, {kept.min()} .. {kept.max()}, mean {kept.mean():.6g}; no NaN, no infinite"
    cube[:, :10] = -9999
    grid = Grid(CRS.from_epsg(32632), Affine(10, 0, 600000, 0, -10, 5320000))
    made = Cube(cube, None, None, None, 0, "made up", (), grid, -9999.0, bad_bands=(3,))
    write_cube(tmp_path / "a.hdr", made)
    lines = inspect(tmp_path / "a.hdr", png=tmp_path / "look.png").splitlines()
    said = {line[:12].strip(): line[13:] for line in lines}
    assert said["values"] == expected
    assert said["missing"].startswith("500 of 3000 pixels (16.67%), in rows 0..9 and columns 0..49; the value -9999 is")
    at = next(number for number, line in enumerate(lines) if line.startswith("missing"))
    assert [line.strip() for line in lines[at + 1 : at + 9]] == ["#" * 32, "+" * 32, *["." * 32] * 6]
    assert said["grid"] == "EPSG:32632, pixels of 10 x 10, upper left corner 600000, 5320000"
    assert said["bad bands"] == "[3], by the file's own list"
    with Image.open(tmp_path / "look.png") as image:
        magenta = (np.asarray(image) == (255, 0, 255)).all(-1)
    np.testing.assert_array_equal(magenta, np.repeat(np.arange(60) < 10, 50).reshape(60, 50))


def test_gains_are_told(tmp_path):
    gain, offset = np.linspace(1e-4, 2e-4, 12), np.full(12, -0.1)
    values = (smooth_scene() * gain[:, None, None] - 0.1).astype(np.float32)
    made = Cube(values, None, None, None, 0, "", (), gain=gain, offset=offset, stored=np.dtype("u2"))
    write_cube(tmp_path / "a.tif", made)
    text = inspect(tmp_path / "a.tif")
    assert "stored uint16 times 0.0001 .. 0.0002 by band, plus -0.1, applied" in text


@pytest.mark.parametrize(("bands", "chosen"), [(1, (0, 0, 0)), (2, (1, 1, 0)), (3, (2, 1, 0)), (100, (83, 50, 16))])
def test_quick_look_spreads_its_bands_where_no_wavelengths_help(tmp_path, bands, chosen):
    cube = np.random.default_rng(0).random((bands, 9, 7))
    np.save(tmp_path / "plain.npy", cube)
    assert quick_look(read_cube(tmp_path / "plain.npy", band_axis=0))[1] == chosen
    np.savez(tmp_path / "infrared.npz", cube=cube, wavelengths=np.linspace(1000, 2500, bands))
    assert quick_look(read_cube(tmp_path / "infrared.npz", band_axis=0))[1] == chosen


def test_quick_look_skips_pixels_of_large_scenes_and_survives_odd_values(tmp_path):
    cube = np.zeros((3, 4, 3100))
    cube[0], cube[1, 0, :50], cube[2, 2, 5] = np.nan, np.inf, 1e308
    np.save(tmp_path / "cube.npy", cube)
    image, _ = quick_look(read_cube(tmp_path / "cube.npy", band_axis=0))
    assert image.shape == (2, 1034, 3)


def test_a_quick_look_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"look\.png cannot be written"):
        report(tmp_path, smooth_scene(), png=tmp_path / "file" / "look.png")


def test_extreme_values_do_not_disturb(tmp_path):
    for value in (np.finfo(np.float64).max, -np.finfo(np.float64).max, 5e-324):
        cube = np.zeros((3, 4, 5))
        cube[1, 2, 3] = value
        report(tmp_path, cube, png=tmp_path / "look.png")
    report(tmp_path, np.full((3, 4, 5), np.nan), png=tmp_path / "look.png")
    report(tmp_path, np.array([[[True]], [[False]]]), png=tmp_path / "look.png")


def test_the_real_reno_scene(tmp_path):
    if not RENO.exists():
        pytest.skip("the Reno scene is kept outside the repository and is not here")
    text = inspect(RENO, png=tmp_path / "reno.png")
    assert "(MATLAB v5)" in text
    assert "100 bands x 150 rows x 150 columns (variable C, band axis 2)" in text
    assert "float32, 783 .. 24639" in text
    assert "no NaN, no infinite" in text
    assert "none found; state wavelengths_nm" in text
    assert "no band is zero, constant, saturated, dark or noisy" in text
    with Image.open(tmp_path / "reno.png") as image:
        assert image.size == (150, 150)
        assert np.asarray(image).std() > 40


def test_two_bands_of_indian_pines_are_known_to_be_noise():
    from importlib.resources import files

    path = files("tensorly") / "datasets" / "data" / "Indian_pines_corrected.npy"
    lines = dict(line.split(maxsplit=1) for line in inspect(str(path)).splitlines())
    assert lines["shape"].startswith("200 bands x 145 rows x 145 columns (band axis 2)")
    assert {0, 199} <= set(yaml.safe_load(lines["noisy"]))
    assert len(yaml.safe_load(lines["noisy"])) < 6
