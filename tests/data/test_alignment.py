"""`fuse` on pairs with geo-references: the same ground gives the same result, however the files were cut."""

import json
from dataclasses import replace

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS
from scipy.ndimage import convolve1d

from smifbench import metrics, plugins, simulate
from smifbench.__main__ import main
from smifbench.data.alignment import common_ground, moved, ratio_between, warp
from smifbench.data.cubes.content import Grid
from smifbench.data.cubes.reading import Cube, read_cube
from smifbench.data.cubes.writing import write_cube
from smifbench.degradation.protocol import DEFAULT

RATIO = 4
UTM = CRS.from_epsg(32632)
PLACE = Grid(UTM, Affine(20, 0, 600000, 0, -20, 5320000))
COARSE = Grid(UTM, Affine(80, 0, 600000, 0, -80, 5320000))


@pytest.fixture(scope="module")
def truth():
    """A real scene (40, 80, 144), its wavelengths and the noisy pair that it makes."""
    dataset = plugins.build_dataset("indian_pines")
    scene, srf = dataset.read(None, "indian_pines_train"), dataset.srf(None)
    return scene, dataset.wavelengths_nm(None), simulate(scene, RATIO, srf, replace(DEFAULT, snr_hsi_db=40))


def save(path, image, grid, nm=None):
    write_cube(path, Cube(np.rint(image * 10000).astype(np.int16), nm, None, None, 0, "made up", (), grid))
    return str(path)


def fused(tmp_path, hsi, msi, *options):
    output = tmp_path / "fused.tif"
    assert main(["fuse", "--method", "gsa", "--hsi", hsi, "--msi", msi, "--out", str(output), *options]) == 0
    return read_cube(output), json.loads(output.with_suffix(".json").read_text())


def psnr(scene, image):
    return metrics.psnr(scene, np.asarray(image, np.float32) / np.float32(10000))


def test_another_extent_gives_the_same_result_on_the_common_ground(truth, tmp_path):
    scene, nm, pair = truth
    hsi, msi = save(tmp_path / "h.tif", pair.lr_hsi, COARSE, nm), save(tmp_path / "m.tif", pair.hr_msi, PLACE)
    whole, _ = fused(tmp_path, hsi, msi)
    hsi_window, msi_window = (slice(1, 20), slice(0, 36)), (slice(0, 80), slice(3, 144))
    hsi = save(tmp_path / "h2.tif", pair.lr_hsi[:, *hsi_window], moved(COARSE, hsi_window), nm)
    msi = save(tmp_path / "m2.tif", pair.hr_msi[:, *msi_window], moved(PLACE, msi_window))
    cut, about = fused(tmp_path, hsi, msi)
    common = slice(4, 80), slice(4, 144)
    assert cut.array.shape == scene[:, *common].shape
    assert cut.grid.transform.almost_equals(moved(PLACE, common).transform)
    inside = slice(8, 76), slice(8, 140)  # pixels on a border see another blur than those within
    alone = psnr(scene[:, *inside], cut.array[:, 4:-4, 4:-4])
    assert alone == pytest.approx(psnr(scene[:, *inside], whole.array[:, *inside]), abs=0.1)
    assert any("cut to the common ground: HSI rows 0-18, columns 1-35" in note for note in about["notes"])


def test_the_same_grids_in_another_reference_system_give_the_same_numbers(truth, tmp_path):
    _, nm, pair = truth
    hsi, msi = save(tmp_path / "h.tif", pair.lr_hsi, COARSE, nm), save(tmp_path / "m.tif", pair.hr_msi, PLACE)
    first, _ = fused(tmp_path, hsi, msi)
    laea = CRS.from_epsg(3035)
    hsi = save(tmp_path / "h.tif", pair.lr_hsi, replace(COARSE, crs=laea), nm)
    msi = save(tmp_path / "m.tif", pair.hr_msi, replace(PLACE, crs=laea))
    second, _ = fused(tmp_path, hsi, msi)
    np.testing.assert_array_equal(first.array, second.array)


def smooth(rows, columns):
    """Ground that no resampling blurs: (2, n) waves far longer than a pixel."""
    return np.stack([np.sin(rows / 190) + np.cos(columns / 230), np.cos(rows / 170) * np.sin(columns / 210)])


def test_warping_from_another_reference_system_puts_the_ground_where_it_is():
    from rasterio.warp import transform

    other = Grid(CRS.from_epsg(32633), Affine(20, 0, 148000, 0, -20, 5345000))
    rows, columns = np.mgrid[:400, :400] + 0.5
    xs, ys = other.transform @ (columns, rows)
    xs, ys = (np.reshape(side, (400, 400)) for side in transform(other.crs, UTM, xs.ravel(), ys.ravel()))
    image = smooth(ys, xs).astype(np.float32)
    x, y = float(xs[200, 200]), float(ys[200, 200])
    hsi = Grid(UTM, Affine(80, 0, x - 80 * 20, 0, -80, y + 80 * 20))
    assert ratio_between(hsi, (40, 40), other) == RATIO
    warped, missing, grid = warp(image, None, other, hsi, (40, 40), RATIO)
    assert missing is None
    rows, columns = np.mgrid[:160, :160] + 0.5
    xs, ys = grid.transform @ (columns, rows)
    np.testing.assert_allclose(warped, smooth(ys, xs), atol=2e-3)


BANDS = np.linspace(420, 900, 10)
BROAD = np.exp(-(((BANDS - np.array([[490], [560], [665], [842]])) / 40) ** 2))
RESPONSE = BROAD / BROAD.sum(1, keepdims=True)
SIDES = (96, 128)


def landscape(grid, shape):
    """Six materials (10, H, W) whose shares are made of waves of 160 m and more, eight MSI pixels, sampled anywhere."""
    from rasterio.warp import transform

    generator = np.random.default_rng(1)
    directions = generator.normal(size=(6, 12, 2))
    lengths = 160 * generator.uniform(1, 4, (6, 12, 1))
    waves = 2 * np.pi * directions / np.linalg.norm(directions, axis=2, keepdims=True) / lengths
    phases = generator.uniform(0, 2 * np.pi, (6, 12, 1, 1))
    spectra = np.abs(generator.normal(size=(10, 6)).cumsum(0))
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    xs, ys = grid.transform @ (columns, rows)
    if grid.crs != UTM:
        xs, ys = (np.reshape(side, shape) for side in transform(grid.crs, UTM, xs.ravel(), ys.ravel()))
    x, y = xs - 600000, ys - 5320000
    shares = np.exp(
        0.5 * np.sin(np.multiply.outer(waves[..., 0], x) + np.multiply.outer(waves[..., 1], y) + phases).sum(1)
    )
    return (0.9 / spectra.max() * np.tensordot(spectra, shares / shares.sum(0), 1)).astype(np.float32)


MISPLACED = {
    "another reference system": (Grid(CRS.from_epsg(32633), Affine(20, 0, 152400, 0, -20, 5329800)), (130, 150)),
    "half a pixel": (replace(PLACE, transform=PLACE.transform @ Affine.translation(-3.5, -3.5)), (104, 136)),
    "pixels of 18.5 m": (Grid(UTM, Affine(18.5, 0, 599900, 0, -18.5, 5320100)), (115, 150)),
}


@pytest.mark.parametrize("case", MISPLACED)
def test_align_gives_the_same_result_from_an_msi_on_any_grid(tmp_path, capsys, case):
    """Ground without detail finer than eight MSI pixels, which no resampling blurs, comes out alike to 0.1 dB."""
    grid, shape = MISPLACED[case]
    scene = landscape(PLACE, SIDES)
    pair = simulate(scene, RATIO, RESPONSE, replace(DEFAULT, snr_hsi_db=40))
    hsi, fitting = save(tmp_path / "h.tif", pair.lr_hsi, COARSE, BANDS), save(tmp_path / "m.tif", pair.hr_msi, PLACE)
    msi = save(tmp_path / "other.tif", np.tensordot(RESPONSE, landscape(grid, shape), 1), grid)
    assert main(["fuse", "--method", "gsa", "--hsi", hsi, "--msi", msi, "--out", str(tmp_path / "f.tif")]) == 2
    assert "--align" in capsys.readouterr().err
    plain, _ = fused(tmp_path, hsi, fitting)
    aligned, _ = fused(tmp_path, hsi, msi, "--align")
    assert aligned.array.shape == scene.shape
    assert aligned.missing is None
    assert aligned.grid.transform.almost_equals(PLACE.transform)
    inside = slice(8, -8), slice(8, -8)
    assert psnr(scene[:, *inside], plain.array[:, *inside]) > 50
    assert psnr(scene[:, *inside], aligned.array[:, *inside]) == pytest.approx(
        psnr(scene[:, *inside], plain.array[:, *inside]), abs=0.1
    )


def test_align_loses_on_fine_detail_what_two_resamplings_by_half_a_pixel_take_and_no_more(truth, tmp_path):
    """Half-way between pixels, cubic convolution weighs four neighbours by (-1, 9, 9, -1)/16.

    There and back, that is a known blur of the MSI, so the result is that of an MSI with just this blur.
    """
    scene, nm, pair = truth
    half = replace(PLACE, transform=PLACE.transform @ Affine.translation(0.5, 0.5))
    shifted, _, _ = warp(pair.hr_msi, None, PLACE, half, (80, 144), 1)
    once = np.array([-1, 9, 9, -1]) / 16
    blurred = np.array(pair.hr_msi, np.float64)
    for axis in (1, 2):
        blurred = convolve1d(blurred, np.convolve(once, once), axis)
    hsi, msi = save(tmp_path / "h.tif", pair.lr_hsi, COARSE, nm), save(tmp_path / "b.tif", blurred, PLACE)
    least, _ = fused(tmp_path, hsi, msi)
    msi = save(tmp_path / "m.tif", shifted[:, :-1, :-1], half)  # the last ones lie half beyond the image
    cube, _ = fused(tmp_path, hsi, msi, "--align")
    assert cube.grid.transform.almost_equals(PLACE.transform)
    inside = slice(8, 72), slice(8, 136)
    bound = psnr(scene[:, *inside], least.array[:, *inside])
    assert psnr(scene[:, *inside], cube.array[:, *inside]) == pytest.approx(bound, abs=0.1)


def test_align_on_grids_that_fit_changes_next_to_nothing(truth, tmp_path):
    scene, nm, pair = truth
    hsi, msi = save(tmp_path / "h.tif", pair.lr_hsi, COARSE, nm), save(tmp_path / "m.tif", pair.hr_msi, PLACE)
    plain, _ = fused(tmp_path, hsi, msi)
    aligned, about = fused(tmp_path, hsi, msi, "--align")
    assert psnr(scene, aligned.array) == pytest.approx(psnr(scene, plain.array), abs=0.1)
    assert any("resampled onto the HSI's grid" in note for note in about["notes"])


def test_align_needs_the_place_of_both(truth, tmp_path, capsys):
    _, nm, pair = truth
    hsi, msi = save(tmp_path / "h.tif", pair.lr_hsi, COARSE, nm), save(tmp_path / "m.tif", pair.hr_msi, None)
    arguments = ["fuse", "--method", "gsa", "--hsi", hsi, "--msi", msi, "--out", str(tmp_path / "f.tif"), "--align"]
    assert main(arguments) == 2
    assert "the MSI states no geo-reference" in capsys.readouterr().err
    _, about = fused(tmp_path, hsi, msi)
    assert any("were not compared, because the MSI states no geo-reference" in note for note in about["notes"])


MISFITS = {
    "another reference system": (replace(PLACE, crs=CRS.from_epsg(32633)), "EPSG:32632 and the MSI in EPSG:32633"),
    "turned": (replace(PLACE, transform=PLACE.transform @ Affine.rotation(3)), "rotated against each other"),
    "shifted": (replace(PLACE, transform=PLACE.transform @ Affine.translation(0.3, 0)), "-0.30 columns and +0.00 rows"),
    "no whole ratio": (replace(PLACE, transform=PLACE.transform @ Affine.scale(1.5)), "2.667 x 2.667 MSI pixels"),
    "elsewhere": (replace(PLACE, transform=PLACE.transform @ Affine.translation(5000, 0)), "no common ground"),
    "coarser": (replace(PLACE, transform=PLACE.transform @ Affine.scale(8)), "the HSI is the finer one"),
    "alike": (replace(PLACE, transform=PLACE.transform @ Affine.scale(4)), "nothing to fuse"),
    "upside down": (replace(PLACE, transform=PLACE.transform @ Affine.scale(1, -1)), "different directions"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_grids_that_do_not_fit_are_refused_with_what_was_found(case):
    from smifbench import UserError

    msi, sentence = MISFITS[case]
    with pytest.raises(UserError, match=sentence.replace("+", r"\+")):
        common_ground(COARSE, (20, 36), msi, (80, 144))


def test_the_ratio_is_that_of_the_pixels_and_not_of_the_sides():
    """An HSI of 20 x 36 pixels and an MSI that shows half of its ground at ratio 4."""
    common = common_ground(COARSE, (20, 36), PLACE, (40, 72))
    assert (common.ratio, common.hsi) == (4, (slice(0, 10), slice(0, 18)))


def test_rounded_corners_and_sizes_of_pixels_are_forgiven():
    rounded = Grid(UTM, Affine(20.0001, 0, 600000.4, 0, -20.0001, 5320000.3))
    assert common_ground(COARSE, (20, 36), rounded, (80, 144)).ratio == RATIO
