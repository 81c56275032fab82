"""The training loop: what it samples, when it stops, and that a killed run ends like an undisturbed one."""

import math

import numpy as np
import pytest
import torch

from smifbench import FusionProblem, Recipe, UserError, build_method
from smifbench.degradation import simulate
from smifbench.scaling import ScaledNetwork
from smifbench.scenes import Pair
from smifbench.training import Patches, Training, learning_rate_factor, steps_of

RECIPE = Recipe(lr=1e-3, batch=2, patch=16, steps=12, schedule="cosine", warmup=0.1, augment=True, ema=0.9)
SRF = np.array([[0.5, 0.5, 0, 0, 0, 0], [0, 0, 0, 0, 0.5, 0.5]])


def pair(height=32, width=48, seed=0):
    hr_hsi = np.random.default_rng(seed).random((6, height, width), dtype=np.float32)
    simulated = simulate(hr_hsi, 4, SRF)
    return Pair("toy", "train", *simulated, data="0")


def training(recipe=RECIPE, state=None, fingerprint="a", seed=0):
    torch.manual_seed(seed)
    model = ScaledNetwork(build_method("ssr_net", FusionProblem(6, 2, 4)))
    patches = Patches.load([pair()], 4, torch.device("cpu"))
    return Training(model, patches, [pair(seed=1)], recipe, seed, state, fingerprint)


def weights(done):
    return torch.cat([weight.flatten() for weight in done.finished().parameters()])


def quiet(**settings):
    from tqdm import tqdm

    return tqdm(disable=True, **settings)


def test_patches_are_aligned_cuts_of_one_scene():
    patches = Patches.load([pair(seed=0), pair(40, 32, seed=1)], 4, torch.device("cpu"))
    lr_hsi, hr_msi, hr_hsi = patches.sample(20, 16, False, torch.Generator().manual_seed(0))
    assert lr_hsi.shape == (20, 6, 4, 4)
    assert hr_msi.shape == (20, 2, 16, 16)
    for index in range(20):
        again = simulate(hr_hsi[index].numpy(), 4, SRF)
        np.testing.assert_allclose(again.lr_hsi, lr_hsi[index], atol=1e-6)
        np.testing.assert_allclose(again.hr_msi, hr_msi[index], atol=1e-6)


def test_turned_and_flipped_patches_stay_aligned():
    patches = Patches.load([pair()], 4, torch.device("cpu"))
    lr_hsi, hr_msi, hr_hsi = patches.sample(30, 16, True, torch.Generator().manual_seed(0))
    for index in range(30):
        again = simulate(hr_hsi[index].numpy(), 4, SRF)
        np.testing.assert_allclose(again.lr_hsi, lr_hsi[index], atol=1e-6)
        np.testing.assert_allclose(again.hr_msi, hr_msi[index], atol=1e-6)


def test_scenes_are_drawn_by_area_and_positions_reach_both_corners():
    small, large = pair(16, 16, seed=0), pair(32, 32, seed=1)
    patches = Patches.load([small, large], 4, torch.device("cpu"))
    _, _, hr_hsi = patches.sample(400, 16, False, torch.Generator().manual_seed(0))
    from_small = sum(np.array_equal(cut, small.hr_hsi) for cut in hr_hsi.numpy())
    assert 50 < from_small < 115  # a fifth of 400, within four deviations
    corners = [large.hr_hsi[:, :16, :16], large.hr_hsi[:, -16:, -16:]]
    assert all(any(np.array_equal(cut, corner) for cut in hr_hsi.numpy()) for corner in corners)


def test_budget_in_epochs_counts_patches_that_tile_the_scenes():
    patches = Patches.load([pair(32, 48), pair(40, 20)], 4, torch.device("cpu"))
    assert patches.per_epoch(16) == 2 * 3 + 2 * 1
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
    done = training(Recipe(lr=3e-3, batch=4, patch=16, steps=60, schedule="cosine"))
    done.run(quiet)
    assert done.step == 60
    assert done.history[-1]["step"] == 60
    assert done.history[-1]["loss"] < 0.7 * done.history[0]["loss"]
    assert done.history[-1]["val_psnr"] > done.history[0]["val_psnr"]


def test_same_seed_same_weights_and_another_seed_others():
    results = []
    for seed in (0, 0, 1):
        done = training(seed=seed)
        done.run(quiet)
        results.append(weights(done))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


class Killed(Exception):
    pass


def interrupted(at, state):
    """Train with a state saved after every validation and stop by force after step `at`."""
    run = training(state=state)
    original = run._one_step

    def one_step():
        if run.step == at:
            raise Killed
        return original()

    run._one_step = one_step
    with pytest.raises(Killed):
        run.run(quiet)


@pytest.mark.parametrize("at", [1, 5, 11])
def test_a_killed_run_goes_on_to_the_same_weights_bit_for_bit(at, tmp_path, monkeypatch):
    monkeypatch.setattr("smifbench.training.SAVE_SECONDS", -1)
    undisturbed = training()
    undisturbed.run(quiet)
    state = tmp_path / "state.pt"
    interrupted(at, state)
    resumed = training(state=state, seed=0)
    resumed.run(quiet)
    assert torch.equal(weights(resumed), weights(undisturbed))
    keys = ("step", "loss", "lr", "val_psnr", "val_sam")
    rows = [[tuple(row[key] for key in keys) for row in run.history] for run in (resumed, undisturbed)]
    assert rows[0] == rows[1]


def test_a_state_of_other_settings_is_not_taken_up(tmp_path, monkeypatch):
    monkeypatch.setattr("smifbench.training.SAVE_SECONDS", -1)
    state = tmp_path / "state.pt"
    interrupted(5, state)
    other = training(state=state, fingerprint="b")
    other._restore()
    assert other.step == 0
    same = training(state=state)
    same._restore()
    assert same.step == 5


def test_a_loss_that_is_not_finite_stops_with_advice():
    run = training(Recipe(lr=1e30, batch=2, patch=16, steps=50))
    with pytest.raises(UserError, match=r"the loss became (nan|inf) by step \d+; lower recipe.lr"):
        run.run(quiet)


@pytest.mark.parametrize("patch", [18, 64])
def test_a_patch_that_does_not_fit_is_told(patch):
    with pytest.raises(UserError, match=rf"recipe.patch is {patch}; it must be a multiple of ratio 4 and at most 32"):
        training(Recipe(patch=patch))
