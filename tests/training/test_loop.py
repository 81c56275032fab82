"""The training loop: when it stops, what it survives, and that a killed run ends like an undisturbed one."""

import copy
import csv
import math
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from smifbench import FusionMethod, FusionProblem, Recipe, UserError, build_method
from smifbench.degradation.pairs import Pair
from smifbench.degradation.simulation import simulate
from smifbench.errors import MachineError
from smifbench.fusion.scaled import ScaledNetwork
from smifbench.system import precision
from smifbench.training import loop
from smifbench.training.loop import HISTORY_COLUMNS, LOOK_STEPS, Training, learning_rate_factor, steps_of

RECIPE = Recipe(lr=1e-3, batch=2, patch=16, steps=12, schedule="cosine", warmup=0.1, augment=True, ema=0.9)
TINY_MSST = {
    "features": 4,
    "blocks": 1,
    "spectral_widths": [4],
    "patches": [8],
    "spatial_width": 8,
    "heads": 2,
    "layers": 1,
}
SRF = np.array([[0.5, 0.5, 0, 0, 0, 0], [0, 0, 0, 0, 0.5, 0.5]])
quiet = partial(tqdm, disable=True)


def pair(height=32, width=48, seed=0):
    hr_hsi = np.random.default_rng(seed).random((6, height, width), dtype=np.float32)
    return Pair("toy", "train", *simulate(hr_hsi, 4, SRF), data="0")


def training(recipe=RECIPE, state=None, fingerprint="a", seed=0, method="ssr_net", validation=True, **options):
    torch.manual_seed(seed)
    model = ScaledNetwork(build_method(method, FusionProblem(6, 2, 4), **options))
    return Training(model, [pair()], [pair(seed=1)] if validation else [], recipe, seed, state, fingerprint)


def finished(recipe=RECIPE, **settings):
    """A training run to its end."""
    done = training(recipe, **settings)
    done.run(quiet)
    return done


def weights(done):
    return torch.cat([weight.flatten() for weight in done.finished().parameters()])


def curve(done):
    """The history without what the clock and the machine decide."""
    return [tuple(row[key] for key in ("step", "loss", "lr", "val_psnr", "val_sam")) for row in done.history]


@pytest.fixture
def saves_always(monkeypatch):
    """Make a training save its state after every step."""
    monkeypatch.setattr("smifbench.training.loop.SAVE_SECONDS", -1)


def test_budget_in_epochs_or_steps():
    assert steps_of(Recipe(epochs=10, batch=4), 8) == 20
    assert steps_of(Recipe(epochs=10, batch=3), 8) == math.ceil(80 / 3)
    assert steps_of(Recipe(epochs=10, steps=7), 8) == 7


def test_schedules():
    cosine = Recipe(schedule="cosine", warmup=0.1)
    assert learning_rate_factor(cosine, 0.05) == pytest.approx(0.5)
    assert learning_rate_factor(cosine, 0.1) == pytest.approx(1)
    assert learning_rate_factor(cosine, 0.55) == pytest.approx(0.5)
    assert learning_rate_factor(cosine, 1.0) == pytest.approx(0)
    step = Recipe(schedule="step", milestones=(0.2, 0.6), gamma=0.1)
    assert [learning_rate_factor(step, done) for done in (0.1, 0.2, 0.9)] == pytest.approx([1, 0.1, 0.01])
    assert learning_rate_factor(Recipe(), 0.9) == 1


def test_training_lowers_the_loss_and_keeps_a_history():
    done = finished(Recipe(lr=3e-3, batch=4, patch=16, steps=60, schedule="cosine"))
    assert [row["step"] for row in done.history] == list(range(3, 61, 3))
    assert done.history[-1]["loss"] < 0.7 * done.history[0]["loss"]
    assert done.history[-1]["val_psnr"] > done.history[0]["val_psnr"]
    assert all(row["memory_mb"] > 10 for row in done.history)


def test_same_seed_same_weights_and_another_seed_others():
    results = [weights(finished(seed=seed)) for seed in (0, 0, 1)]
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_validation_decides_nothing():
    # A network that draws noise while it trains, of which validation must take none.
    runs = [finished(method="msst_net", validation=given, **TINY_MSST) for given in (True, False)]
    assert torch.equal(*map(weights, runs))


def test_the_order_of_memory_is_the_methods_and_changes_rounding_alone(monkeypatch):
    recipe = Recipe(lr=1e-3, batch=2, patch=16, steps=3)
    last = finished(recipe)
    assert any(weight.stride(1) == 1 for weight in last.model.parameters())
    monkeypatch.setattr(type(last.model.network), "channels_last", False)
    first = finished(recipe)
    assert all(weight.is_contiguous() for weight in first.model.parameters())
    assert all(weight.is_contiguous() for weight in last.finished().parameters())
    torch.testing.assert_close(weights(last), weights(first), rtol=0, atol=1e-4)


# Budgets in seconds


@pytest.fixture
def clock(monkeypatch):
    """A clock that each step advances by one second."""
    now = [100.0]
    original = Training.one_step

    def one_step(self):
        now[0] += 1
        return original(self)

    monkeypatch.setattr("smifbench.training.loop.time.monotonic", lambda: now[0])
    monkeypatch.setattr(Training, "one_step", one_step)
    return now


@pytest.mark.usefixtures("clock")
def test_a_budget_in_seconds_decides_end_schedule_and_curve():
    done = finished(Recipe(lr=1.0, batch=1, patch=16, steps=1, seconds=40, schedule="cosine"))
    assert done.step == 40
    assert [row["seconds"] for row in done.history] == list(range(2, 41, 2))
    assert [row["lr"] for row in done.history] == pytest.approx(
        [0.5 + 0.5 * math.cos(math.pi * (seconds - 1) / 40) for seconds in range(2, 41, 2)]
    )


@pytest.mark.usefixtures("saves_always")
def test_an_interruption_does_not_count_in_a_budget_in_seconds(clock, tmp_path):
    recipe = Recipe(batch=1, patch=16, seconds=10)
    interrupted(4, tmp_path, recipe)
    clock[0] += 1000
    resumed = finished(recipe, state=tmp_path)
    assert (resumed.step, resumed.seconds) == (10, 10)
    assert [row["step"] for row in resumed.history] == list(range(1, 11))


def takes(clock, seconds, method):
    """Let a method of a training take so many seconds of the clock."""

    def slow(*arguments, **settings):
        clock[0] += seconds
        return method(*arguments, **settings)

    return slow


@pytest.mark.usefixtures("saves_always")
def test_validation_and_saving_do_not_count_in_a_budget_in_seconds(clock, monkeypatch, tmp_path):
    monkeypatch.setattr("smifbench.training.loop.fuse", takes(clock, 300, loop.fuse))
    monkeypatch.setattr(Training, "_save", takes(clock, 70, Training._save))
    done = finished(Recipe(batch=1, patch=16, seconds=40), state=tmp_path)
    assert (done.step, done.seconds) == (40, 40)
    assert [row["seconds"] for row in done.history] == list(range(2, 41, 2))


def test_compiling_does_not_count_in_a_budget_in_seconds(clock):
    recipe = Recipe(lr=1.0, batch=2, patch=16, seconds=40, schedule="cosine", warmup=0.25)
    run = training(recipe)
    run.warm, rates = False, []

    def compiled(lr_hsi, *others):
        rates.append(run.optimizer.param_groups[0]["lr"])
        if len(rates) in (1, 5):
            clock[0] += 100  # at the start, and again for pieces of another size
        if len(rates) == 4:
            raise RuntimeError("CUDNN_STATUS_ALLOC_FAILED")
        return run._eager_loss(lr_hsi, *others)

    run.loss = compiled
    run.run(quiet)
    assert run.piece == 1
    assert (run.step, run.seconds) == (42, 40)  # the two steps that compiled are free
    assert rates[:4] == pytest.approx([0, 0, 0.1, 0.2])


def test_a_compiled_step_without_time_has_no_speed(clock):
    run = training(Recipe(batch=1, patch=16, steps=1))
    run.warm = False
    run.run(quiet)
    assert math.isnan(run.history[-1]["patches_per_second"])


@pytest.mark.parametrize(
    ("budget", "shown"),
    [({"steps": 7}, (7, "step")), ({"seconds": 3.5, "steps": 7}, (3, "s"))],
    ids=["steps", "seconds"],
)
@pytest.mark.usefixtures("clock")
def test_the_progress_line_counts_the_budget(budget, shown):
    seen = []

    def progress(total, initial, unit):
        seen.append((total, unit))
        return tqdm(disable=True)

    training(Recipe(batch=1, patch=16, **budget)).run(progress)
    assert seen == [shown]


# Interruptions


class Killed(Exception):
    pass


def interrupted(at, state, recipe=RECIPE, prepare=lambda run: run):
    """Train and stop by force before the step after step `at`."""
    run = prepare(training(recipe, state=state))
    original = run.one_step

    def one_step():
        if run.step == at:
            raise Killed
        return original()

    run.one_step = one_step
    with pytest.raises(Killed):
        run.run(quiet)


@pytest.mark.parametrize("at", [1, 5, 11])
@pytest.mark.usefixtures("saves_always")
def test_an_interrupted_run_goes_on_to_the_same_weights_bit_for_bit(at, tmp_path):
    undisturbed = finished()
    interrupted(at, tmp_path)
    resumed = finished(state=tmp_path)
    assert torch.equal(weights(resumed), weights(undisturbed))
    assert curve(resumed) == curve(undisturbed)


KILLED = Recipe(lr=1e-3, batch=2, patch=16, steps=60, schedule="cosine", augment=True, ema=0.9, rollbacks=1)


def main(state, result):
    """What the killed processes do: train a network that draws random numbers, saving at each step."""
    import smifbench.training.loop

    smifbench.training.loop.SAVE_SECONDS = -1
    run = training(KILLED, Path(state) if state else None, method="msst_net", **TINY_MSST)
    if state:
        Path(result).with_suffix(".ready").touch()
    run.run(quiet)
    everything = {**run._state(), "curve": curve(run)}
    torch.save({key: value for key, value in everything.items() if key not in ("seconds", "history")}, result)


def test_kills_at_any_moment_change_nothing(tmp_path):
    result, undisturbed = tmp_path / "result.pt", tmp_path / "undisturbed.pt"
    ready = result.with_suffix(".ready")
    code = "import sys; sys.path.insert(0, sys.argv[1]); import test_loop; test_loop.main(*sys.argv[2:])"
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path / "state"), str(result)]
    kills = 0
    while not result.exists():
        process = subprocess.Popen(command)
        while process.poll() is None and not ready.exists():
            time.sleep(0.01)
        ready.unlink(missing_ok=True)
        if kills < 2:
            time.sleep(random.uniform(0.02, 0.5))  # any moment must do, saving included
            process.kill()
            kills += 1
        assert process.wait() in (0, -signal.SIGKILL)
    main("", undisturbed)
    states = [torch.load(path, weights_only=True) for path in (result, undisturbed)]
    assert states[0]["step"] == 60
    assert_same(*states)


def assert_same(one, other):
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list):
        for pair_of_items in zip(one, other, strict=True):
            assert_same(*pair_of_items)
    else:
        assert one == other


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_the_state_and_ends_with_a_sentence(number, tmp_path):
    before = signal.getsignal(number)
    run = training(state=tmp_path)
    original = run.one_step

    def one_step():
        original()
        if run.step == 5:
            os.kill(os.getpid(), number)

    run.one_step = one_step
    with pytest.raises(MachineError, match=rf"stopped by {number.name} after step 5; run the same command again"):
        run.run(quiet)
    assert signal.getsignal(number) == before
    resumed = training(state=tmp_path)
    resumed._restore()
    assert resumed.step == 5
    resumed.run(quiet)
    assert torch.equal(weights(resumed), weights(finished()))


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def put_something_else(path):
    path.write_text("not a state")


def put_another_file_of_torch(path):
    torch.save({"a": torch.zeros(3)}, path)


def change_fingerprint(path):
    content = torch.load(path, weights_only=True)
    torch.save({**content, "fingerprint": "another"}, path)


DAMAGES = [truncate, flip_a_byte, put_something_else, put_another_file_of_torch, change_fingerprint]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.usefixtures("saves_always")
def test_a_bad_state_gives_way_to_the_one_before(damage, tmp_path, caplog):
    interrupted(5, tmp_path)
    damage(tmp_path / "last.pt")
    resumed = training(state=tmp_path)
    resumed._restore()
    assert resumed.step == 4
    assert len(caplog.records) == 1
    assert f"{tmp_path / 'last.pt'} is not used, because" in caplog.text
    # A bad file never takes the place of the good one before it.
    resumed._save()
    kept = torch.load(tmp_path / "previous.pt", weights_only=True)
    assert kept["state"]["step"] == 4
    resumed.run(quiet)
    assert torch.equal(weights(resumed), weights(finished()))


@pytest.mark.usefixtures("saves_always")
def test_without_a_good_state_training_starts_anew(tmp_path, caplog):
    interrupted(5, tmp_path)
    flip_a_byte(tmp_path / "last.pt")
    change_fingerprint(tmp_path / "previous.pt")
    resumed = training(state=tmp_path)
    resumed._restore()
    assert resumed.step == 0
    assert "damaged (wrong checksum of" in caplog.text
    assert "code, settings or data were others" in caplog.text
    resumed.run(quiet)
    assert torch.equal(weights(resumed), weights(finished()))


@pytest.mark.usefixtures("saves_always")
def test_the_history_is_written_as_training_runs(tmp_path):
    interrupted(5, tmp_path)
    with (tmp_path / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == HISTORY_COLUMNS
    assert [row["step"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert all(math.isfinite(float(value)) for row in rows for value in row.values())


# Health


def test_a_loss_that_is_not_finite_stops_at_once_with_advice():
    run = training(Recipe(lr=1e30, batch=2, patch=16, steps=50))
    with pytest.raises(UserError, match=r"the loss became (nan|inf) at step 2, on patches of toy; lower recipe.lr"):
        run.run(quiet)
    assert run.step == 2


def test_on_a_gpu_the_host_looks_now_and_then_and_names_the_step():
    run = training()
    run.device = torch.device("cuda")
    for step in range(1, LOOK_STEPS):
        noted = torch.tensor([math.inf if step == 40 else 1.0, math.nan if step == 30 else 1.0])
        run.unseen.append((step, noted, torch.tensor([0, 0])))
        assert run.healthy(now=False)
    run.unseen.append((LOOK_STEPS, torch.tensor([math.nan, math.nan]), torch.tensor([0, 0])))
    with pytest.raises(UserError, match="the norm of the gradient became nan at step 30"):
        run.healthy(now=False)


class Spike(FusionMethod):
    """Adds 0 to its estimate, once with a gradient of infinity times 0."""

    title, citation = "Spike", "spike"

    def __init__(self, problem, at=0):
        super().__init__(problem)
        self.weight, self.at, self.calls = nn.Parameter(torch.zeros(1)), at, 0

    def forward(self, lr_hsi, hr_msi):
        estimate = functional.interpolate(lr_hsi, hr_msi.shape[-2:]) + self.weight
        self.calls += self.training
        if self.training and self.calls == self.at:
            estimate = estimate + ((self.weight * 0).abs().sqrt() * 0).sum()
        return estimate


def spiked(at, validation, **recipe):
    scenes, model = [pair()], ScaledNetwork(Spike(FusionProblem(6, 2, 4), at))
    return Training(model, scenes, scenes if validation else [], replace(RECIPE, batch=1, steps=40, **recipe), 0)


@pytest.mark.parametrize("validation", [True, False])
@pytest.mark.parametrize("at", [1, 9, 10, 39, 40])  # the curve has a point after every second step
@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_a_gradient_that_is_not_finite_is_seen_in_its_own_step(at, validation, clip_norm):
    with pytest.raises(UserError, match=rf"norm of the gradient became nan at step {at}, on patches of toy; lower"):
        spiked(at, validation, clip_norm=clip_norm).run(quiet)
    run = spiked(at, validation, clip_norm=clip_norm, rollbacks=1, ema=0.9)
    run.run(quiet)
    assert (run.rollbacks, run.step) == (1, 40)
    assert weights(run).isfinite().all()


@pytest.mark.parametrize("at", [3, 9, 10])
def test_a_late_look_names_the_step_and_keeps_nothing_broken(at, monkeypatch):
    run = spiked(at, True, rollbacks=1)
    look = Training.healthy

    def late(self, now=True):
        if not now:
            return True  # as on a GPU between two looks
        return look(self, now)

    monkeypatch.setattr(Training, "healthy", late)
    run.run(quiet)
    assert run.rollbacks == 1
    assert all(tensor.isfinite().all() for tensor in run.good["model"].values())
    assert weights(run).isfinite().all()


def test_weights_that_overflow_in_a_finite_step_are_not_kept():
    run = training(replace(RECIPE, rollbacks=1))
    run.good = copy.deepcopy(run._state())
    run.one_step()
    with torch.no_grad():
        next(run.model.parameters()).fill_(math.inf)
    assert run.healthy(now=False)  # losses and gradients were finite
    run.unseen.append((1, torch.ones(2), torch.tensor([0])))
    assert not run.healthy()
    assert run.rollbacks == 1
    assert all(weight.isfinite().all() for weight in run.model.parameters())


def test_weights_that_start_broken_are_told():
    run = training()
    with torch.no_grad():
        next(run.model.parameters()).fill_(math.nan)
    with pytest.raises(
        UserError, match="is no longer finite after step 0; check the values that the method starts with"
    ):
        run.run(quiet)


def test_a_rollback_returns_to_the_last_good_state_at_half_the_rate(caplog):
    run = training(replace(RECIPE, rollbacks=1, schedule="constant", warmup=0))
    run.one_step()
    run.good = copy.deepcopy(run._state())
    good = copy.deepcopy(run._state())
    for _ in range(2):
        run.one_step()
    run.unseen.append((3, torch.tensor([math.nan, 1]), torch.tensor([0])))
    assert not run.healthy()
    assert "nan at step 3, on patches of toy; training goes back to step 1, at half the learning rate" in caplog.text
    assert_same({**run._state(), "rollbacks": 0}, good)
    run.one_step()
    assert run.optimizer.param_groups[0]["lr"] == RECIPE.lr / 2
    run.unseen.append((2, torch.tensor([math.nan, 1]), torch.tensor([0])))
    with pytest.raises(UserError, match="nan at step 2"):
        run.healthy()


def fragile(run):
    """Let the loss of `run` be NaN from the eighth step on, unless the rate has been lowered."""
    original = run.loss

    def loss(*arguments):
        broken = run.step >= 7 and not run.rollbacks
        return original(*arguments) * (math.nan if broken else 1)

    run.loss = run._eager_loss = loss
    return run


@pytest.mark.usefixtures("saves_always")
def test_a_run_with_a_rollback_goes_on_and_resumes_bit_for_bit(tmp_path):
    recipe = replace(RECIPE, rollbacks=1, steps=40)
    undisturbed = fragile(training(recipe))
    undisturbed.run(quiet)
    assert [row["step"] for row in undisturbed.history] == list(range(2, 41, 2))
    assert undisturbed.rollbacks == 1
    assert weights(undisturbed).isfinite().all()
    for at in (6, 10):  # before the rollback to step 6, and after it
        interrupted(at, tmp_path, recipe, fragile)
    resumed = fragile(training(recipe, state=tmp_path))
    resumed.run(quiet)
    assert torch.equal(weights(resumed), weights(undisturbed))


# The average of the weights


def test_the_average_follows_fast_at_first_and_slowly_later():
    run = training(replace(RECIPE, ema=0.6, steps=20))
    name = next(iter(dict(run.model.named_parameters())))
    expected = run.model.state_dict()[name].clone()
    for step in range(20):
        run.one_step()
        decay = min(0.6, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * run.model.state_dict()[name]
    torch.testing.assert_close(run.finished().state_dict()[name], expected)


def test_the_average_has_the_running_statistics_of_the_network():
    run = finished(Recipe(batch=2, patch=16, steps=3, ema=0.9), method="tsfn", blocks=1, width=4)
    kept, now = run.finished(), run.model
    assert kept is not now
    assert any(buffer.ndim == 1 for buffer in kept.buffers())
    for mine, theirs in zip(kept.buffers(), now.buffers(), strict=True):
        assert torch.equal(mine, theirs)


# Memory


def limit_memory(run, most):
    """Let the network of `run` raise torch's error on more than `most` patches; returns the numbers that came."""
    original, came = run.loss, []

    def loss(lr_hsi, *others):
        came.append(len(lr_hsi))
        if len(lr_hsi) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(lr_hsi, *others)

    run.loss = run._eager_loss = loss
    return came


def test_out_of_memory_halves_the_pieces_of_a_batch_and_changes_no_gradient(caplog):
    recipe = Recipe(lr=1e-3, batch=9, patch=16, steps=3)
    whole, pieces = training(recipe), training(recipe)
    came = limit_memory(pieces, most=3)
    whole.run(quiet)
    pieces.run(quiet)
    assert came == [9, 5, 3, 3, 3] + 2 * [3, 3, 3]
    torch.testing.assert_close(weights(pieces), weights(whole), rtol=0, atol=1e-6)
    assert [row["loss"] for row in pieces.history] == pytest.approx([row["loss"] for row in whole.history])
    assert "step 1: out of memory; from now on the network gets at most 5 patches of a batch at once" in caplog.text
    assert len(caplog.records) == 2


def test_on_a_gpu_an_attempt_that_failed_leaves_nothing_behind(monkeypatch):
    run, done = training(Recipe(batch=4, patch=16, steps=1)), []

    def accumulate(batch):
        done.append(run.piece)
        if run.piece > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return torch.zeros(())

    run.device = torch.device("cuda")
    monkeypatch.setattr(run, "_accumulate", accumulate)
    for name in ("empty_cache", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda *_, name=name: done.append(name))
    run._gradients(None)
    assert done == [4, "empty_cache", "reset_peak_memory_stats", 2]


def test_a_large_batch_passes_a_cpu_in_pieces_with_the_same_gradients(monkeypatch):
    recipe = Recipe(lr=1e-3, batch=9, patch=16, steps=3)
    whole = training(recipe)
    monkeypatch.setattr("smifbench.training.loop.PIECE_PIXELS", 4 * 16**2)
    pieces = training(recipe)
    assert (whole.piece, pieces.piece) == (9, 4)
    whole.run(quiet)
    pieces.run(quiet)
    torch.testing.assert_close(weights(pieces), weights(whole), rtol=0, atol=1e-6)


def test_a_network_that_normalises_over_the_batch_gets_it_whole(monkeypatch):
    monkeypatch.setattr("smifbench.training.loop.PIECE_PIXELS", 1)
    recipe = Recipe(batch=9, patch=16, steps=3)
    assert training(recipe, method="tsfn").piece == 9
    assert training(recipe, method="ssr_net").piece == 1


def test_a_cpu_without_memory_is_understood():
    run = training(Recipe(lr=1e-3, batch=1, patch=16, steps=3))
    run.loss = lambda *_: torch.empty(2**60)
    with pytest.raises(MachineError, match="not even one patch of 16 x 16 pixels fits into the memory of cpu"):
        run.run(quiet)


@pytest.mark.usefixtures("saves_always")
def test_a_smaller_piece_survives_an_interruption(tmp_path):
    run = training(state=tmp_path)
    run.piece = 1
    run._save()
    resumed = training(state=tmp_path)
    resumed._restore()
    assert resumed.piece == 1


@pytest.mark.usefixtures("saves_always")
def test_the_piece_of_another_device_is_not_taken_over(tmp_path):
    run = training(state=tmp_path)
    run.piece = 1
    run.checkpoint.save({**run._state(), "good": None, "device": "a small GPU"})
    resumed = training(state=tmp_path)
    resumed._restore()
    assert resumed.piece == RECIPE.batch


def test_a_rollback_keeps_to_the_pieces_that_fit():
    run = training(replace(RECIPE, rollbacks=1))
    run.good = copy.deepcopy(run._state())
    run.piece = 1
    run.unseen.append((1, torch.tensor([math.nan, 1]), torch.tensor([0])))
    assert not run.healthy()
    assert run.piece == 1


def test_pieces_of_a_network_that_normalises_over_the_batch_are_told():
    whole = finished(Recipe(batch=4, patch=16, steps=1), method="tsfn", blocks=1, width=4)
    assert whole.remark() == ""
    pieces = training(Recipe(batch=4, patch=16, steps=1), method="tsfn", blocks=1, width=4)
    limit_memory(pieces, most=2)
    pieces.run(quiet)
    assert pieces.remark() == (
        "batch normalisation saw 2 of 4 patches at once, because more did not fit into the memory"
    )
    other = training(Recipe(batch=4, patch=16, steps=1))
    limit_memory(other, most=2)
    other.run(quiet)
    assert other.remark() == ""


@pytest.mark.parametrize("text", ["no compiler\nand a long story", "", "\n"])
def test_a_failed_compilation_falls_back_and_tells(text, caplog):
    run = training()

    def compiled(*_):
        raise RuntimeError(text)

    run.loss = compiled
    run.run(quiet)
    told = text.partition("\n")[0] or "RuntimeError"
    assert [record.getMessage() for record in caplog.records] == [
        f"step 1: torch.compile failed, so the network runs uncompiled ({told})"
    ]
    assert torch.equal(weights(run), weights(finished()))


def test_a_compiled_loss_trains_alike():
    run = training()
    run.loss = torch.compile(run._eager_loss, backend="aot_eager", dynamic=False)
    run.run(quiet)
    assert run.loss != run._eager_loss
    torch.testing.assert_close(weights(run), weights(finished()), rtol=0, atol=1e-5)


def test_an_error_of_the_network_itself_is_not_hidden():
    run = training()
    run.loss = run._eager_loss = lambda *_: [][0]
    with pytest.raises(IndexError):
        run.run(quiet)


# Settings


@pytest.mark.parametrize("patch", [18, 64])
def test_a_patch_that_does_not_fit_is_told(patch):
    with pytest.raises(UserError, match=rf"recipe.patch is {patch}; it must be a multiple of ratio 4 and at most 32"):
        training(Recipe(patch=patch))


@pytest.mark.parametrize(
    ("field", "value", "known"),
    [
        ("optimizer", "sgd", "adam, adamw, muon"),
        ("schedule", "linear", "constant, cosine, step"),
        ("scaling", "whiten", "none, standard"),
        ("precision", "fp8", "bf16, bf16-anywhere, float32"),
    ],
)
def test_a_recipe_names_what_it_knows(field, value, known):
    with pytest.raises(UserError, match=rf"^unknown {field} '{value}' in a recipe; known: {known}$"):
        replace(RECIPE, **{field: value})


def test_a_loss_that_the_method_does_not_know_is_told():
    with pytest.raises(UserError, match="unknown loss 'huber' in a recipe of ssr_net; known: l1, mse, rmse, authors "):
        training(replace(RECIPE, loss="huber"))
    with pytest.raises(UserError, match="unknown loss 'authors' in a recipe of msst_net; known: l1, mse, rmse "):
        training(replace(RECIPE, loss="authors"), method="msst_net", **TINY_MSST)
    training(replace(RECIPE, loss="authors"))


class OneBand(FusionMethod):
    """Returns one band, which loss and scaling would broadcast to all."""

    def __init__(self, problem):
        super().__init__(problem)
        self.gain = torch.nn.Parameter(torch.ones(()))

    def forward(self, lr_hsi, hr_msi):
        return self.gain * hr_msi.mean(1, keepdim=True)


@pytest.mark.parametrize("scaling", ["none", "standard"])
def test_an_estimate_of_too_few_bands_is_not_trained(scaling):
    recipe = replace(RECIPE, scaling=scaling)
    run = Training(ScaledNetwork(OneBand(FusionProblem(6, 2, 4))), [pair()], [], recipe, seed=0)
    with pytest.raises(UserError, match=r"forward returned shape \(2, 1, 16, 16\) instead of \(2, 6, 16, 16\)"):
        run.run(quiet)


def test_gpu_shortcuts_last_as_long_as_their_block():
    def flags():
        allowed = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
        return (*allowed, torch.are_deterministic_algorithms_enabled())

    before = flags()
    try:
        precision.be_exact()
        assert flags() == (False, False, True)
        with precision.fast_on_gpu(True):
            assert flags() == (True, True, False)
        assert flags() == (False, False, True)
        with precision.fast_on_gpu(False):
            assert flags() == (False, False, True)
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before[:2]
        torch.use_deterministic_algorithms(before[2])


def test_a_cpu_trains_in_float32_unless_bfloat16_is_asked_for_anywhere():
    names = ("float32", "bf16", "bf16-anywhere", "bf16-anywhere")
    exact, same, rounded, again = (weights(finished(replace(RECIPE, precision=name))) for name in names)
    assert torch.equal(exact, same)
    assert torch.equal(rounded, again)
    assert not torch.equal(exact, rounded)
    assert torch.allclose(exact, rounded, atol=2e-3)
