"""Estimates from files: any format gives the same cube, and what is not of the scene is told in a sentence."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io

from smifbench.data.cubes.reading import Cube
from smifbench.data.cubes.writing import write_cube
from smifbench.errors import UserError
from smifbench.evaluation.estimates import Reading, file_of_scene, files_of_scene, read_estimate

SUFFIXES = [".npy", ".npz", ".mat", ".hdr", ".img", ".tif"]
WAVELENGTHS = np.linspace(400, 700, 6)


@pytest.fixture
def truth():
    return np.random.default_rng(0).random((6, 20, 24), dtype=np.float32)


def write(path: Path, cube: np.ndarray, wavelengths_nm=None) -> Path:
    """Write a cube (C, H, W) in the format of the suffix."""
    path.parent.mkdir(exist_ok=True)
    write_cube(path, Cube(cube, wavelengths_nm, None, None, 0, "", ()))
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_gives_the_same_estimate(suffix, truth, tmp_path):
    estimate = truth + np.float32(0.01)
    write(tmp_path / "theirs" / f"scene.v2{suffix}", estimate, WAVELENGTHS)
    write(tmp_path / "theirs" / f"scene{suffix}", 0 * estimate)
    path = file_of_scene(tmp_path / "theirs", "scene.v2")
    np.testing.assert_array_equal(read_estimate(path, truth, None, WAVELENGTHS), estimate)
    held = files_of_scene(tmp_path / "theirs", "scene.v2")[path]
    assert len(held) == (2 if suffix in (".hdr", ".img") else 1), "an ENVI image lies in two files"


def test_matlab_puts_bands_last_and_may_have_another_scale(truth, tmp_path):
    variables = {"fused": 255.0 * np.moveaxis(truth, 0, -1), "other": np.zeros((20, 24, 6))}
    scipy.io.savemat(tmp_path / "scene.mat", variables)
    read = read_estimate(tmp_path / "scene.mat", truth, None, None, Reading(variable="fused", scale=255))
    np.testing.assert_allclose(read, truth, atol=1e-7)


def test_what_missing_pixels_hold_does_not_matter(truth, tmp_path):
    missing = np.zeros((20, 24), bool)
    missing[3, 4:9] = True
    path = write(tmp_path / "scene.npy", np.where(missing, np.nan, truth))
    read = read_estimate(path, truth, missing)
    np.testing.assert_array_equal(read, np.where(missing, 0, truth))
    with pytest.raises(UserError, match="no value at 5 pixels where the reference has one"):
        read_estimate(path, truth)
    write(path, np.where(missing, 7e9, truth))
    np.testing.assert_array_equal(read_estimate(path, truth, missing), read)


def test_a_folder_holds_one_estimate_of_a_scene(truth, tmp_path):
    with pytest.raises(UserError, match=f"there is no folder {tmp_path}/gone"):
        file_of_scene(tmp_path / "gone", "scene")
    (tmp_path / "scene.txt").write_text("notes")
    with pytest.raises(UserError, match=r"holds no estimate of scene scene; put scene\.npy"):
        file_of_scene(tmp_path, "scene")
    write(tmp_path / "scene.npy", truth)
    write(tmp_path / "scene2.npy", truth)
    assert file_of_scene(tmp_path, "scene").name == "scene.npy"
    write(tmp_path / "scene.mat", truth)
    with pytest.raises(UserError, match=r"several estimates of scene scene \(scene.mat, scene.npy\); leave one"):
        file_of_scene(tmp_path, "scene")


@pytest.mark.parametrize("cut", [np.s_[:5], np.s_[:, :10], np.s_[:, :, 1:]])
def test_another_shape_is_refused(cut, truth, tmp_path):
    path = write(tmp_path / "scene.npy", truth[cut])
    with pytest.raises(UserError, match=r"bands of .* pixels, the reference 6 of 20 x 24; fuse that scene whole"):
        read_estimate(path, truth, None, None, Reading(band_axis=0))


def test_a_file_that_cannot_be_read_is_told(truth, tmp_path):
    (tmp_path / "scene.mat").write_bytes(b"MATLAB 5.0 MAT-file, cut off")
    with pytest.raises(UserError, match=r"scene\.mat"):
        read_estimate(tmp_path / "scene.mat", truth)


def test_bands_in_another_order_are_refused_where_the_file_says_so(truth, tmp_path):
    path = write(tmp_path / "scene.hdr", truth[::-1], WAVELENGTHS[::-1])
    with pytest.raises(UserError, match=r"band 0 .* lies at 700 nm and the reference's at 400 nm"):
        read_estimate(path, truth, None, WAVELENGTHS)
    near = write(tmp_path / "near.hdr", truth, WAVELENGTHS.round(-1))
    np.testing.assert_array_equal(read_estimate(near, truth, None, WAVELENGTHS), truth)


@pytest.mark.parametrize(
    "unit",
    [
        lambda x: 255 * x,
        lambda x: (1e4 * x).round().astype(np.uint16),
        lambda x: x / 255,
        lambda x: 2 * x - 1,
        lambda x: (x - x.mean()) / x.std(),
        lambda x: 0 * x,
        lambda x: -x,
    ],
)
def test_values_in_another_unit_are_refused(unit, truth, tmp_path):
    path = write(tmp_path / "scene.npy", unit(truth))
    with pytest.raises(UserError, match=r"98 % of its values lie from .* those of the reference from .* scale"):
        read_estimate(path, truth)


def test_a_bad_estimate_is_none_in_another_unit(truth, tmp_path):
    """Wild pixels, an offset, noise, a gain: to be scored, and not refused."""
    noise = np.random.default_rng(1).standard_normal(truth.shape).astype(np.float32)
    wild = truth.copy()
    wild[:, 5, 5] = 40
    for number, estimate in enumerate([wild, truth + 0.3, truth + 0.2 * noise, 0.4 * truth, 1 - truth]):
        path = write(tmp_path / f"{number}.npy", estimate.astype(np.float32))
        np.testing.assert_array_equal(read_estimate(path, truth), estimate.astype(np.float32))


def test_reading_a_folder_never_fails(tmp_path):
    (tmp_path / "scene.hdr").write_text("ENVI\nno more")
    assert list(files_of_scene(tmp_path, "scene")) == [tmp_path / "scene.hdr"]
    assert files_of_scene(tmp_path / "gone", "scene") == {}
