"""What an experiment has trained comes back as an object that fuses to the same values."""

from dataclasses import replace

import numpy as np
import pytest
from prepared import make_pairs

import smifbench
from smifbench import Recipe, UserError
from smifbench.fusion.build import RunMethod
from smifbench.run import Run
from smifbench.steps.fuse import fuse
from smifbench.steps.train import train

RUN = Run("toy", "block-gauss-s2/1", 4, "ssr_net", "default", 0)
RECIPE = Recipe(lr=1e-3, batch=1, patch=16, steps=2, scaling="standard")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Results with two seeds of a training, and what the first one fused."""
    folder = tmp_path_factory.mktemp("results")
    pairs = make_pairs(folder)
    for seed in (0, 1):
        run = replace(RUN, seed=seed)
        train(RunMethod(run, {}), pairs, RECIPE, folder / "state", folder / "runs" / run.folder / "trained")
    fuse(RunMethod(RUN, {}, folder / "runs" / RUN.folder / "trained"), pairs, folder / "fused")
    return folder


def test_a_loaded_network_fuses_as_the_experiment_did(results):
    network = smifbench.load_method(results, "ssr_net", seed=0)
    images = [np.load(results / "pairs" / f"second.{image}.npy") for image in ("lr_hsi", "hr_msi")]
    assert np.array_equal(smifbench.fuse(network, *images), np.load(results / "fused" / "second.npy"))
    assert network.network.problem.ratio == 4
    assert network.network.problem.psf.shape == (4, 4)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("ssr_net",), "holds 2 trainings of ssr_net/default; choose one by seed: toy/block-gauss-s2/1/x4/"),
        (("tsfn",), "holds no training of tsfn/default that was asked for; it has trained: toy/"),
        (("ssr_net", "wide"), "holds no training of ssr_net/wide"),
        (("gsa",), "gsa solves and is not trained"),
        (("ssrnet",), "did you mean 'ssr_net'"),
    ],
)
def test_what_cannot_be_loaded_is_told_in_one_sentence(results, arguments, sentence):
    with pytest.raises(UserError) as error:
        smifbench.load_method(results, *arguments)
    assert sentence in str(error.value)


def test_a_folder_without_runs_is_named(tmp_path):
    with pytest.raises(UserError, match="holds no runs"):
        smifbench.load_method(tmp_path, "ssr_net")


def test_a_name_without_zoo_is_no_folder():
    with pytest.raises(UserError, match=r"no folder lla_net-cave-x4; .* load_method\('zoo:lla_net-cave-x4'\)"):
        smifbench.load_method("lla_net-cave-x4")
