"""Estimates from outside become a run's own: scored like the suite's, each scene by itself."""

import numpy as np
import pandas as pd
import pytest
import scipy.io
from prepared import SRF, write_scene

from smifbench import plugins
from smifbench.data.cubes.reading import Cube
from smifbench.data.cubes.writing import write_cube
from smifbench.degradation.degrade import degrade
from smifbench.evaluation.results import load_results
from smifbench.fusion.build import RunMethod
from smifbench.metrics import METRICS
from smifbench.run import Run
from smifbench.steps.adopt import adopt
from smifbench.steps.collect import run as collect
from smifbench.steps.fuse import fuse
from smifbench.steps.score import score
from smifbench.system.files import read_json

SOLVERS = [name for name in plugins.names("methods") if not plugins.method_class(name).trainable]
SCENES = ("one", "two", "three")
THEIRS = Run("toy", "block-gauss-s2/1", 4, "theirs", "default", 0)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Three test scenes of 6 bands at ratio 4."""
    folder = tmp_path_factory.mktemp("pairs")
    generator = np.random.default_rng(0)
    coarse = [generator.random((6, 8, 8), dtype=np.float32).repeat(4, 1).repeat(4, 2) for _ in SCENES]
    cubes = [(0.8 * cube + 0.2 * generator.random(cube.shape)).astype(np.float32) for cube in coarse]
    paths = [
        write_scene(folder / "scenes" / f"{scene}.npy", cube, "test", SRF, np.linspace(400, 700, 6))
        for scene, cube in zip(SCENES, cubes, strict=True)
    ]
    degrade(paths, THEIRS.protocol, 4, folder / "pairs")
    return folder / "pairs"


def rows_of(run, pairs, fused):
    """The run's rows of `metrics.csv`."""
    score("e", run, pairs, fused, fused.parent / "scores.csv")
    return pd.read_csv(fused.parent / "scores.csv", keep_default_na=False, na_values=[""]).set_index("scene")


def brought_back(fused, folder, suffix):
    """Write a run's estimates to a folder of its user's, as other programs do."""
    folder.mkdir()
    for scene in SCENES:
        cube = np.load(fused / f"{scene}.npy")
        if suffix == ".mat":
            scipy.io.savemat(folder / f"{scene}.mat", {"fused": np.moveaxis(cube, 0, -1)})
        else:
            write_cube(folder / f"{scene}{suffix}", Cube(cube, None, None, None, 0, "", ()))


@pytest.mark.parametrize(("method", "suffix"), [*((name, ".mat") for name in SOLVERS), ("gsa", ".tif")])
def test_what_a_method_has_fused_scores_alike_when_it_comes_from_outside(method, suffix, pairs, tmp_path):
    run = Run("toy", THEIRS.protocol, 4, method, "default", 0)
    fuse(RunMethod(run, {}), pairs, tmp_path / "own" / "fused")
    expected = rows_of(run, pairs, tmp_path / "own" / "fused")
    assert set(expected.status) == {"ok"}
    brought_back(tmp_path / "own" / "fused", tmp_path / "theirs", suffix)
    adopt(THEIRS, pairs, tmp_path / "theirs", tmp_path / "run" / "fused")
    found = rows_of(THEIRS, pairs, tmp_path / "run" / "fused")
    same = ["status", *METRICS, "data", "pixels_missing"]
    pd.testing.assert_frame_equal(found[same], expected[same])
    assert found.spectral_consistency.notna().all()
    assert set(found.device) == {"external"}
    assert found.code.str.fullmatch("external:[0-9a-f]{12}").all()
    assert found.fuse_seconds.isna().all()


def test_a_scene_without_an_estimate_fails_alone(pairs, tmp_path):
    theirs, fused = tmp_path / "theirs", tmp_path / "run" / "fused"
    theirs.mkdir()
    for scene, factor in (("one", 1), ("two", 255)):
        np.save(theirs / f"{scene}.npy", factor * np.load(pairs.parent / "scenes" / f"{scene}.npy"))
    adopt(THEIRS, pairs, theirs, fused)
    rows = rows_of(THEIRS, pairs, fused)
    assert rows.status.to_dict() == {"one": "ok", "two": "failed", "three": "failed"}
    assert rows.psnr["one"] == np.inf
    assert "bring them to one scale" in rows.message["two"]
    assert "holds no estimate of scene three" in rows.message["three"]
    assert rows.loc[["two", "three"], list(METRICS)].isna().all(axis=None)
    assert sorted(path.name for path in fused.iterdir()) == ["facts.json", "one.npy"]


def test_the_code_id_is_that_of_the_files(pairs, tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    ids = []
    for value in (0.4, 0.5, 0.4):
        np.save(theirs / "one.npy", value + np.load(pairs.parent / "scenes" / "one.npy"))
        adopt(THEIRS, pairs, theirs, tmp_path / "fused")
        ids.append(read_json(tmp_path / "fused" / "facts.json")["code"])
    assert ids[0] == ids[2] != ids[1]


def test_leaderboards_mark_what_is_external(pairs, tmp_path):
    from argparse import Namespace

    import smifbench

    own = Run("toy", THEIRS.protocol, 4, "bicubic", "default", 0)
    fuse(RunMethod(own, {}), pairs, tmp_path / "own" / "fused")
    adopt(THEIRS, pairs, tmp_path / "own" / "fused", tmp_path / "theirs" / "fused")
    tables = []
    for run, name in ((own, "own"), (THEIRS, "theirs")):
        rows_of(run, pairs, tmp_path / name / "fused")
        tables.append(tmp_path / name / "scores.csv")
    collect(Namespace(tables=tables, output=tmp_path / "metrics.csv"))
    board = smifbench.leaderboard(load_results(tmp_path), ["psnr", "q2n", "spatial_consistency"])
    assert list(board.index) == [("bicubic", "default"), ("theirs (external)", "default")]
    assert board.nunique().eq(1).all()
    assert "theirs (external)" in smifbench.to_latex(board)
