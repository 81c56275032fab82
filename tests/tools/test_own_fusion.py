"""`python -m smifbench fuse` with what an experiment has trained, and with a method that its config does not name."""

import dataclasses
import json

import numpy as np
import pytest
from tiny_zoo import NAME

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


@pytest.fixture
def toy_pair(tiny_zoo):
    """A pair of files of the bands and ratio for which the zoo's entry was trained."""
    pair = simulate(np.load("files/two.npy"), 4, np.kron(np.eye(2), np.full(3, 1 / 3)))
    for name, image, nm in (("hsi", pair.lr_hsi, np.linspace(400, 700, 6)), ("msi", pair.hr_msi, None)):
        write_cube(tiny_zoo / f"{name}.npz", Cube(image, nm, None, None, 0, "made up", ()))
    return tiny_zoo


KNOWN = ("--psf", RUN.protocol, "--scale", 1, "--weights")


def test_weights_of_the_zoo_are_those_of_the_results_that_they_came_from(toy_pair):
    assert run(toy_pair, "shipped.npz", "ssr_net", *KNOWN, f"zoo:{NAME}") == 0
    assert run(toy_pair, "trained.npz", "ssr_net", *KNOWN, "results/tiny") == 0
    assert np.array_equal(read_cube("shipped.npz").array, read_cube("trained.npz").array)
    about = json.loads((toy_pair / "shipped.json").read_text())
    assert about["training"]["weights"].endswith(f"zoo/{NAME}.safetensors")


@pytest.mark.parametrize(("shift", "told"), [(4, False), (20, True)])
def test_bands_elsewhere_than_in_training_are_noted(toy_pair, capsys, shift, told):
    nm = ",".join(f"{400 + 60 * band + shift}" for band in range(6))
    assert run(toy_pair, "fused.npz", "ssr_net", *KNOWN, f"zoo:{NAME}", "--wavelengths", nm) == 0
    note = f"note: zoo:{NAME} was trained on bands from 400 to 700 nm, and these are from 420 to 720 nm"
    assert (note in capsys.readouterr().out) == told


@pytest.mark.parametrize(
    ("method", "weights", "options", "sentence"),
    [
        ("ssr_net", "zoo:nothing", [], f"the zoo holds no 'nothing'; it holds: {NAME}"),
        ("tsfn", f"zoo:{NAME}", [], "holds weights of ssr_net and not of tsfn"),
        ("ssr_net", f"zoo:{NAME}", ["--hsi-bands", "0-4"], "and these images have 5 with 2 bands at ratio 4"),
    ],
)
def test_weights_of_the_zoo_that_do_not_fit_are_told(toy_pair, capsys, method, weights, options, sentence):
    before = sorted(toy_pair.iterdir())
    assert run(toy_pair, "fused.npz", method, *KNOWN, weights, *options) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert told.count("\n") == 1
    assert sorted(toy_pair.iterdir()) == before


def test_a_method_that_the_config_does_not_name_has_its_own_recipe():
    demo = load_experiment(DEMO)
    others = {key: about for key, about in demo.methods.items() if "lla_net" not in key}
    experiment = dataclasses.replace(demo, methods=others)
    options, recipe = _settings("lla_net", experiment, None)
    own = plugins.method_class("lla_net").recipe
    assert options == {}
    assert (recipe.lr, recipe.batch, recipe.steps) == (own.lr, own.batch, DEFAULT_STEPS)
    assert _settings("lla_net", experiment, 7)[1].steps == 7
    assert _settings("ssr_net", experiment, None)[1].lr == experiment.recipe_of("ssr_net").lr
