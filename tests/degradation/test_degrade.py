"""Missing pixels of a prepared scene, on their way to training and to the rows of `metrics.csv`."""

import json

import numpy as np
import pytest

from smifbench.data.missing import fill_nearest, mask_to_text
from smifbench.degradation.degrade import degrade
from smifbench.degradation.pairs import load_pairs
from smifbench.evaluation.scoring import score_pair
from smifbench.system.identity import array_hash

SHAPE = (6, 32, 48)


def prepared(path, seed, missing=None, spoilt=0.0):
    """Write a prepared scene; `spoilt` is what the file held where pixels are missing."""
    cube = np.random.default_rng(seed).random(SHAPE, np.float32)
    more = {}
    if missing is not None:
        cube[:, missing] = spoilt
        cube = fill_nearest(cube, missing)
        more = {"missing": mask_to_text(missing), "pixels_missing": int(missing.sum())}
    np.save(path, cube)
    about = {
        "split": path.stem,
        "sha256": array_hash(cube),
        "shape": SHAPE,
        "wavelengths_nm": [450.0 + i for i in range(6)],
    }
    path.with_suffix(".json").write_text(json.dumps(about | {"srf": np.full((2, 6), 1 / 6).tolist()} | more))
    return path


@pytest.fixture
def missing():
    mask = np.zeros(SHAPE[1:], bool)
    mask[9:11, 14] = True
    return mask


@pytest.mark.parametrize("protocol", ["block-gauss-s2/1", "fwhm/1", "paper-wdcm/1"])
def test_a_mask_goes_with_its_scene(tmp_path, missing, protocol):
    scenes = [prepared(tmp_path / "train.npy", 0, missing), prepared(tmp_path / "test.npy", 1)]
    degrade(scenes, protocol, 4, tmp_path / "pairs")
    (train,), (test,) = (load_pairs(tmp_path / "pairs", split) for split in ("train", "test"))
    np.testing.assert_array_equal(train.missing, missing)
    assert train.lr_missing[2, 3]
    assert train.lr_missing.sum() < 16
    assert (test.missing, test.lr_missing, test.pixels_missing) == (None, None, 0)
    assert sorted(path.name for path in (tmp_path / "pairs").glob("test*")) == [
        "test.hr_msi.npy",
        "test.lr_hsi.npy",
    ] or (protocol == "paper-wdcm/1")


def test_what_missing_pixels_held_changes_no_number(tmp_path, missing):
    rows = []
    for name, spoilt in (("a", 0.0), ("b", 1.0)):
        folder = tmp_path / name
        (folder / "fused").mkdir(parents=True)
        degrade([prepared(folder / "test.npy", 1, missing, spoilt)], "block-gauss-s2/1", 4, folder / "pairs")
        (pair,) = load_pairs(folder / "pairs", "test")
        np.save(folder / "fused" / "test.npy", np.where(missing, spoilt, pair.hr_hsi * np.float32(0.9)))
        rows.append(score_pair(pair, {"status": "ok", "fuse_seconds": {"test": 1.0}}, folder / "fused", 4))
    assert rows[0] == rows[1]
    assert rows[0]["pixels_missing"] == 2
