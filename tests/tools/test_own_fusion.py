"""`python -m smifbench fuse` with what an experiment has trained, and with a method that its config does not name."""

import json

import numpy as np
import pytest

from smifbench import Recipe, load_method, plugins, simulate
from smifbench.__main__ import main
from smifbench.data.cubes.reading import Cube, read_cube
from smifbench.data.cubes.writing import write_cube
from smifbench.data.scenes import prepare
from smifbench.degradation.degrade import degrade
from smifbench.experiment.config import load_experiment
from smifbench.fusion.build import RunMethod
from smifbench.places import DEMO
from smifbench.run import Run
from smifbench.steps.train import train
from smifbench.tools.own_fusion import DEFAULT_STEPS, _settings

RUN = Run("indian_pines", "block-gauss-s2/1", 4, "ssr_net", "default", 0)


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """Results of an experiment that has trained a network, and a pair of files of the same bands and ratio."""
    folder = tmp_path_factory.mktemp("desk")
    dataset = plugins.build_dataset("indian_pines")
    scenes = [folder / "scenes" / f"{scene}.npy" for scene in dataset.scenes()]
    for path in scenes:
        prepare(dataset, "indian_pines", path.stem, folder, path)
    degrade(scenes, RUN.protocol, RUN.ratio, folder / "pairs")
    trained = folder / "results" / "runs" / RUN.folder / "trained"
    train(RunMethod(RUN, {}), folder / "pairs", Recipe(batch=1, patch=16, steps=2), folder / "state", trained)
    pair = simulate(np.load(scenes[-1]), RUN.ratio, dataset.srf(folder))
    for name, image, nm in (("hsi", pair.lr_hsi, dataset.wavelengths_nm(folder)), ("msi", pair.hr_msi, None)):
        write_cube(folder / f"{name}.npz", Cube(image, nm, None, None, 0, "made up", ()))
    return folder


def run(desk, output, method, *options):
    """Fuse the pair of files by the command line."""
    files = ["--hsi", desk / "hsi.npz", "--msi", desk / "msi.npz", "--out", output]
    return main([*map(str, ["fuse", "--method", method, *files, "--device", "cpu", *options])])


def test_weights_are_found_in_a_results_folder(desk, tmp_path):
    known = ("--weights", desk / "results", "--psf", RUN.protocol, "--srf", "sentinel2a_10m", "--scale", 1)
    assert run(desk, tmp_path / "fused.npz", "ssr_net", *known) == 0
    about = json.loads((tmp_path / "fused.json").read_text())
    assert about["training"]["weights"].endswith("seed0/trained/weights.safetensors")
    network = load_method(desk / "results", "ssr_net")
    assert read_cube(tmp_path / "fused.npz").array.shape[0] == network.network.problem.bands


def test_results_without_such_a_training_are_told(desk, tmp_path, capsys):
    assert run(desk, tmp_path / "fused.npz", "tsfn", "--weights", desk / "results") == 2
    assert (
        "holds no training of tsfn/default that was asked for; it has trained: indian_pines/" in capsys.readouterr().err
    )
    assert not list(tmp_path.iterdir())


def test_a_method_that_the_config_does_not_name_has_its_own_recipe():
    experiment = load_experiment(DEMO)
    options, recipe = _settings("lla_net", experiment, None)
    own = plugins.method_class("lla_net").recipe
    assert options == {}
    assert (recipe.lr, recipe.batch, recipe.steps) == (own.lr, own.batch, DEFAULT_STEPS)
    assert _settings("lla_net", experiment, 7)[1].steps == 7
    assert _settings("ssr_net", experiment, None)[1].lr == experiment.recipe_of("ssr_net").lr
