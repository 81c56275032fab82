"""Executing a run: where it computes, what counts as the method's failure, and what its data are called."""

import csv
import json
import re
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from prepared import make_pairs

from smifbench import FusionMethod, FusionProblem, Recipe, UserError
from smifbench.degradation.pairs import load_pairs
from smifbench.errors import MachineError
from smifbench.experiment.recipes import resolved_recipe
from smifbench.fusion.build import RunMethod
from smifbench.fusion.tiles import fuse
from smifbench.run import Run
from smifbench.steps import fuse as fuse_step
from smifbench.steps import score as score_step
from smifbench.steps import train as train_step
from smifbench.training.loop import Training

RECIPE = Recipe(lr=1e-3, batch=1, patch=16, steps=4)


@pytest.fixture
def pairs(tmp_path):
    """A folder of pairs with one training and one test scene of 6 bands, at ratio 4."""
    return make_pairs(tmp_path)


def run_of(method):
    return Run("toy", "block-gauss-s2/1", 4, method, "default", 0)


def train(pairs, tmp_path):
    state, target = tmp_path / "state", tmp_path / "trained"
    train_step.train(RunMethod(run_of("ssr_net"), {}), pairs, RECIPE, state, target)
    return state, target


def test_a_network_is_trained_and_fuses_from_its_saved_weights(pairs, tmp_path):
    state, trained = train(pairs, tmp_path)
    assert not state.exists()
    assert sorted(path.name for path in trained.iterdir()) == ["facts.json", "history.csv", "weights.safetensors"]
    fuse_step.fuse(RunMethod(run_of("ssr_net"), {}, trained), pairs, tmp_path / "fused")
    facts = json.loads((tmp_path / "fused" / "facts.json").read_text())
    assert (facts["status"], facts["train_steps"]) == ("ok", 4)
    assert np.load(tmp_path / "fused" / "second.npy").shape == (6, 32, 32)


def test_what_a_training_depended_on_is_told_in_its_rows(pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(Training, "remark", lambda self: "batch normalisation saw 2 of 4 patches")
    _, trained = train(pairs, tmp_path)
    fuse_step.fuse(RunMethod(run_of("ssr_net"), {}, trained), pairs, tmp_path / "fused")
    score_step.score("toy", run_of("ssr_net"), pairs, tmp_path / "fused", tmp_path / "scores.csv")
    with (tmp_path / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["status"], row["message"]) for row in rows] == [("ok", "batch normalisation saw 2 of 4 patches")]


def test_a_scene_too_large_for_the_memory_fails_with_a_sentence_where_the_method_needs_all_of_it(pairs, tmp_path):
    fuse_step.fuse(RunMethod(run_of("cnmf"), {}), pairs, tmp_path / "fused", memory_gb=1e-6)
    facts = json.loads((tmp_path / "fused" / "facts.json").read_text())
    assert facts["status"] == "failed"
    assert "the method sees all of it at once; give it more memory (memory_gb)" in facts["message"]
    assert [path.name for path in (tmp_path / "fused").iterdir()] == ["facts.json"]


class Spy(FusionMethod):
    """Solver with a buffer that tells where its images and its buffer are."""

    title, citation, trainable = "Spy", "none", False

    def __init__(self, problem):
        super().__init__(problem)
        self.register_buffer("kernel", torch.ones(1))

    def forward(self, lr_hsi, hr_msi):
        raise RuntimeError(f"{lr_hsi.device} {hr_msi.device} {self.kernel.device}")


def test_images_and_buffers_of_a_solver_go_to_the_device_that_fuses():
    spy = Spy(FusionProblem(6, 2, 4))
    with pytest.raises(RuntimeError, match="meta meta meta"):
        fuse(spy, np.zeros((6, 4, 4), np.float32), np.zeros((2, 16, 16), np.float32), "meta")


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), MemoryError(), torch.OutOfMemoryError(""), MachineError("stop")]
)
def test_a_failure_of_the_machine_is_not_written_down_as_the_methods(error, pairs, tmp_path, monkeypatch):
    def fail(self):
        if self.step == 2:
            raise error
        return original(self)

    original = Training.one_step
    monkeypatch.setattr("smifbench.training.loop.SAVE_SECONDS", -1)
    monkeypatch.setattr(Training, "one_step", fail)
    with pytest.raises((type(error), MachineError)):
        train(pairs, tmp_path)
    assert (tmp_path / "state").exists()
    assert not (tmp_path / "trained").exists()


def test_a_failure_of_the_method_keeps_the_state_and_tells_why(pairs, tmp_path, monkeypatch):
    def fail(self):
        if self.step == 2:
            raise ValueError("a wrong turn\nand more")
        return original(self)

    original = Training.one_step
    monkeypatch.setattr("smifbench.training.loop.SAVE_SECONDS", -1)
    monkeypatch.setattr(Training, "one_step", fail)
    state, target = train(pairs, tmp_path)
    facts = json.loads((target / "facts.json").read_text())
    assert (facts["status"], facts["message"]) == ("failed", "ValueError: a wrong turn")
    assert state.exists()


def test_the_data_id_follows_every_image_of_the_pair(tmp_path):
    one, other = (
        make_pairs(tmp_path / name, srf)
        for name, srf in (
            ("a", [[1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0]]),
            ("b", [[1, 0, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0]]),
        )
    )
    ids = [load_pairs(folder, "train")[0].data for folder in (one, other)]
    assert ids[0] != ids[1]


def test_sigterm_ends_a_step_with_one_sentence_and_the_next_run_goes_on(pairs, tmp_path):
    recipe = {"batch": 1, "patch": 16, "steps": 10**6}
    command = [sys.executable, "-m", "smifbench.steps", "train", "--pairs", str(pairs), "--device", "cpu"]
    command += ["--run", run_of("ssr_net").folder, "--recipe", json.dumps(recipe)]
    command += ["--state", str(tmp_path / "state"), "--output", str(tmp_path / "trained")]
    log, steps = tmp_path / "log", []
    for _ in range(2):
        process = subprocess.Popen([*command, "--log", str(log)], stderr=subprocess.PIPE, text=True)
        while process.poll() is None and not (log.exists() and "training starts" in log.read_text()):
            time.sleep(0.02)
        process.terminate()
        told = process.communicate()[1]
        assert process.returncode == 2
        assert "Traceback" not in told
        steps.append(int(re.search(r"smifbench: training was stopped by SIGTERM after step (\d+); run", told).group(1)))
        log.unlink()
        assert not (tmp_path / "trained").exists()
    assert 0 < steps[0] < steps[1]


def test_epochs_of_an_experiment_replace_the_authors_steps():
    assert resolved_recipe("ssr_net", "own").steps == 10_000
    assert resolved_recipe("ssr_net", "own", {"epochs": 10}).steps is None
    assert resolved_recipe("ssr_net", "own", {"epochs": 10}, {"steps": 7}).steps == 7
    assert resolved_recipe("ssr_net", "own", {"seconds": 10}).seconds == 10
    assert resolved_recipe("ssr_net", "own", {"seconds": 10}, {"steps": 7}).seconds is None
    assert resolved_recipe("ssr_net", "own", {"seconds": 10}, {"lr": 1.0}).seconds == 10


def test_without_a_training_scene_there_is_one_sentence(tmp_path, pairs):
    about = json.loads((pairs / "pairs.json").read_text())
    del about["scenes"]["first"]
    (pairs / "pairs.json").write_text(json.dumps(about))
    with pytest.raises(UserError, match="holds no training scene"):
        train(pairs, tmp_path)
