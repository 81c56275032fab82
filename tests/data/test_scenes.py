"""Prepared scenes and pairs: what is written is what was read, and bad cubes are refused whole."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from smifbench import UserError, plugins
from smifbench.data import scenes
from smifbench.dataset import DataSet
from smifbench.degradation import degrade, pairs
from smifbench.fusion.build import RunMethod
from smifbench.run import Run
from smifbench.steps.fuse import fuse
from smifbench.steps.score import score
from smifbench.system.files import read_json
from smifbench.system.identity import file_hash


class Toy(DataSet):
    """Two scenes of 5 bands whose values the test decides."""

    title = "Toy"

    def __init__(self, cube: np.ndarray) -> None:
        self.cube = cube

    def scenes(self) -> dict[str, str]:
        return {"first": "train", "second": "test"}

    def wavelengths_nm(self, folder: Path) -> np.ndarray:
        return np.linspace(400, 800, 5)

    def srf(self, folder: Path) -> np.ndarray:
        return np.array([[0.5, 0.5, 0, 0, 0], [0, 0, 0, 0.5, 0.5]])

    def read(self, folder: Path, scene: str) -> np.ndarray:
        return self.cube


@pytest.fixture
def cube():
    return np.random.default_rng(0).random((5, 16, 24), dtype=np.float32)


def pairs_of(cube, tmp_path, ratio=4):
    paths = [tmp_path / "scenes" / f"{scene}.npy" for scene in ("first", "second")]
    for path in paths:
        scenes.prepare(Toy(cube), "toy", path.stem, tmp_path, path)
    degrade.degrade(paths, "block-gauss-s2/1", ratio, tmp_path / "pairs")
    return tmp_path / "pairs"


def test_pairs_hold_the_scene_and_its_degradations(cube, tmp_path):
    folder = pairs_of(cube, tmp_path)
    (pair,) = pairs.load_pairs(folder, "test")
    assert (pair.scene, pair.split) == ("second", "test")
    np.testing.assert_array_equal(pair.hr_hsi, cube)
    assert pair.lr_hsi.shape == (5, 4, 6)
    np.testing.assert_allclose(pair.hr_msi[0], (cube[0] + cube[1]) / 2, rtol=1e-6)
    problem = pairs.load_problem(folder)
    assert (problem.bands, problem.msi_bands, problem.ratio) == (5, 2, 4)
    assert problem.psf.sum() == pytest.approx(1)
    assert len(pairs.load_pairs(folder, "train")) == 1
    assert pairs.load_pairs(folder, "val") == []


def test_pairs_survive_a_move_of_the_whole_folder(cube, tmp_path):
    pairs_of(cube, tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    (pair,) = pairs.load_pairs(tmp_path / "there" / "pairs", "test")
    np.testing.assert_array_equal(pair.hr_hsi, cube)


def test_a_stretching_protocol_takes_the_extremes_of_all_regions(cube, tmp_path):
    paths = [tmp_path / "scenes" / f"{scene}.npy" for scene in ("first", "second")]
    for path, brightness in zip(paths, (1.0, 0.5), strict=True):
        scenes.prepare(Toy(cube * np.float32(brightness)), "toy", path.stem, tmp_path, path)
    degrade.degrade(paths, "paper-wdcm/1", 4, tmp_path / "pairs")
    (bright,), (dark,) = (pairs.load_pairs(tmp_path / "pairs", split) for split in ("train", "test"))
    for image in ("hr_hsi", "lr_hsi", "hr_msi"):
        np.testing.assert_allclose(getattr(bright, image).max(axis=(1, 2)), 1, rtol=1e-6)
        np.testing.assert_allclose(getattr(dark, image).min(axis=(1, 2)), 0, atol=1e-6)
        assert getattr(dark, image).max() < 0.6


def test_a_prepared_scene_says_where_it_comes_from(tmp_path):
    dataset = plugins.build_dataset("indian_pines")
    scenes.prepare(dataset, "pines", "indian_pines_val", tmp_path, tmp_path / "indian_pines_val.npy")
    about = read_json(tmp_path / "indian_pines_val.json")
    assert (about["name"], about["dataset"], about["split"]) == ("indian_pines_val", "pines", "val")
    assert about["full_scale"] == 10000
    assert re.fullmatch("indian_pines [0-9a-f]{12}", about["reader"])
    (source,) = about["sources"].items()
    assert source == ("Indian_pines_corrected.npy", file_hash(dataset.scene_files(tmp_path, "")[0]))


def test_data_hash_follows_the_values(cube, tmp_path):
    before = pairs.load_pairs(pairs_of(cube, tmp_path / "a"), "test")[0].data
    changed = cube.copy()
    changed[2, 3, 4] += 0.001
    assert pairs.load_pairs(pairs_of(cube, tmp_path / "b"), "test")[0].data == before
    assert pairs.load_pairs(pairs_of(changed, tmp_path / "c"), "test")[0].data != before


def spoiled(cube, value):
    cube = cube.copy()
    cube[1, 2, 3] = value
    return cube


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda cube: spoiled(cube, np.nan), "holds 1 NaN or infinite values"),
        (lambda cube: spoiled(cube, np.inf), "holds 1 NaN or infinite values"),
        (lambda cube: spoiled(cube, 2.0), "scale it into"),
        (lambda cube: np.moveaxis(cube, 0, 2), "the band axis must come first"),
        (lambda cube: cube.astype(np.float64), "must return float32"),
        (lambda cube: cube[0], "the band axis must come first"),
    ],
)
def test_a_bad_cube_is_refused_and_leaves_nothing(change, sentence, cube, tmp_path):
    target = tmp_path / "out" / "first.npy"
    with pytest.raises(UserError, match=f"scene toy/first.*{sentence}"):
        scenes.prepare(Toy(change(cube)), "toy", "first", tmp_path, target)
    assert not target.parent.exists() or not list(target.parent.iterdir())


def test_a_ratio_that_does_not_divide_the_scene_is_refused_and_leaves_nothing(cube, tmp_path):
    with pytest.raises(UserError, match=r"first\.npy: .*5"):
        pairs_of(cube, tmp_path, ratio=5)
    assert not (tmp_path / "pairs").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scenes"]


def test_indian_pines_regions_share_no_pixel_and_cover_what_they_say():
    dataset = plugins.build_dataset("indian_pines")
    read = {split: dataset.read(Path(), scene) for scene, split in dataset.scenes().items()}
    assert {split: cube.shape for split, cube in read.items()} == {
        "train": (40, 80, 144),
        "val": (40, 64, 64),
        "test": (40, 64, 64),
    }
    seen = np.zeros((145, 145), int)
    import sys

    regions = sys.modules[type(dataset).__module__].REGIONS
    for rows, columns in regions.values():
        seen[rows, columns] += 1
    assert seen.max() == 1
    for cube in read.values():
        assert cube.dtype == np.float32
        assert 0 < cube.min() < cube.max() < 1


def test_indian_pines_bins_are_in_order_of_wavelength_and_the_response_is_normalised():
    dataset = plugins.build_dataset("indian_pines")
    wavelengths = dataset.wavelengths_nm(Path())
    assert len(wavelengths) == 40
    assert (np.diff(wavelengths) > 0).all()
    srf = dataset.srf(Path())
    np.testing.assert_allclose(srf.sum(1), 1)
    # The centroids of Sentinel-2A's B02, B03, B04 and B08, in nm, as far as bins of 50 nm resolve them.
    np.testing.assert_allclose(srf @ wavelengths, [492.4, 559.8, 664.6, 832.8], atol=12)


def test_indian_pines_band_one_is_the_mean_of_the_five_shortest_channels():
    import tensorly.datasets

    whole = tensorly.datasets.load_indian_pines().tensor
    cube = plugins.build_dataset("indian_pines").read(Path(), "indian_pines_test")
    np.testing.assert_allclose(cube[0], whole[80:144, 80:144, :5].mean(2) / 10000, rtol=1e-6)


def test_data_that_cannot_be_had_are_a_row_for_each_test_scene(tmp_path):
    cave = plugins.build_dataset("cave")
    prepared = [tmp_path / "scenes" / f"{scene}.npy" for scene in cave.scenes()]
    for path in prepared:
        scenes.prepare_missing(cave, "cave", path.stem, "no server answers", path)
    run = Run("cave", "block-gauss-s2/1", 4, "bicubic", "default", 0)
    degrade.degrade(prepared, run.protocol, run.ratio, tmp_path / "pairs")
    fuse(RunMethod(run, {}), tmp_path / "pairs", tmp_path / "fused")
    score("e", run, tmp_path / "pairs", tmp_path / "fused", tmp_path / "scores.csv")
    rows = pd.read_csv(tmp_path / "scores.csv")
    assert set(rows.scene) == {scene for scene, split in cave.scenes().items() if split == "test"}
    assert len(rows) == 5
    assert set(rows.status) == {"not run"}
    assert set(rows.message) == {"no server answers"}


class Paired(Toy):
    """A toy whose scenes have a measured MSI."""

    def __init__(self, cube: np.ndarray, measured: np.ndarray) -> None:
        super().__init__(cube)
        self.measured = measured

    def msi(self, folder: Path, scene: str) -> np.ndarray:
        return self.measured


def test_a_measured_msi_lies_behind_the_scenes_own_bands(cube, tmp_path):
    msi = np.random.default_rng(1).random((2, 16, 24), dtype=np.float32)
    path = tmp_path / "second.npy"
    scenes.prepare(Paired(cube, msi), "toy", "second", tmp_path, path)
    about, stored = read_json(path.with_suffix(".json")), np.load(path)
    for image, expected in zip(scenes.images_of(stored, about), (cube, msi), strict=True):
        np.testing.assert_array_equal(image, expected)
    assert scenes.images_of(cube, about)[1] is None
    degrade.degrade([path], "paper-wdcm/1+msi=measured", 4, tmp_path / "pairs")
    (pair,) = pairs.load_pairs(tmp_path / "pairs", "test")
    assert pair.hr_hsi.shape == cube.shape
    np.testing.assert_allclose(pair.hr_msi.max((1, 2)), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("msi", "sentence"),
    [
        (np.zeros((2, 16, 20), np.float32), "cut both alike"),
        (np.zeros((2, 16, 24)), "must return float32"),
        (np.full((2, 16, 24), 2, np.float32), "scale it into"),
        (np.full((2, 16, 24), np.nan, np.float32), "NaN or infinite"),
        (np.zeros((3, 16, 24), np.float32), "has 3 bands and the response 2"),
    ],
)
def test_a_bad_measured_msi_is_refused_and_leaves_nothing(msi, sentence, cube, tmp_path):
    with pytest.raises(UserError, match=f"toy/first.*{sentence}"):
        scenes.prepare(Paired(cube, msi), "toy", "first", tmp_path, tmp_path / "first.npy")
    assert list(tmp_path.iterdir()) == []


def test_a_scene_without_a_measured_msi_says_so(cube, tmp_path):
    scenes.prepare(Toy(cube), "toy", "first", tmp_path, tmp_path / "first.npy")
    with pytest.raises(UserError, match=r"first\.npy: the protocol takes a measured MSI, and there is none"):
        degrade.degrade([tmp_path / "first.npy"], "block-gauss-s2/1+msi=measured", 4, tmp_path / "pairs")
    assert not (tmp_path / "pairs").exists()
