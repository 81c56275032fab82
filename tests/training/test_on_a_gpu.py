"""What only a GPU can show: gradients, no silent fallback, no wait in a step, full memory, going on from a state."""

import os
from functools import partial

import numpy as np
import pytest
import torch
from tqdm import tqdm

from smifbench import FusionProblem, Recipe, build_method
from smifbench.degradation.pairs import Pair
from smifbench.degradation.simulation import simulate
from smifbench.fusion.scaled import ScaledNetwork
from smifbench.system.precision import be_exact, fast_on_gpu
from smifbench.training.loop import Training

DEVICE = torch.device(os.environ.get("SMIFBENCH_TEST_DEVICE", "cuda"))
ON_GPU = DEVICE.type == "cuda"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(ON_GPU and not torch.cuda.is_available(), reason="PyTorch sees no GPU"),
]
NARROW = {
    "ssr_net": {},
    "tsfn": {"blocks": 2, "width": 16},
    "mog_dcn": {"width": 8, "stages": 2, "levels": 2},
    "mssjfl": {"fh": 16, "fm": 8, "blocks": 1},
    "dhif_net": {"width": 8, "stages": 2, "filter_width": 20},
    "psrt": {"width": 16, "heads": 4, "pyramids": 1},
    "msst_net": {
        **{"features": 16, "blocks": 1, "spectral_widths": [16], "patches": [8], "spatial_width": 32, "layers": 1},
        "position_noise": 0.0,
    },
    "smif_net": {"width": 16, "layers": 1, "blocks": 2, "stages": 2},
}
BANDS = 31
SRF = np.full((3, BANDS), 1 / BANDS)
quiet = partial(tqdm, disable=True)


@pytest.fixture(autouse=True)
def exact():
    deterministic = torch.are_deterministic_algorithms_enabled()
    be_exact()
    yield
    torch.use_deterministic_algorithms(deterministic)


def pair(seed=0, side=64):
    noise = np.random.default_rng(seed).random((BANDS, side // 8, side // 8), dtype=np.float32)
    return Pair("toy", "train", *simulate(np.kron(noise, np.ones((1, 8, 8), np.float32)), 4, SRF), data="0")


def training(method, device=DEVICE, state=None, **recipe):
    torch.manual_seed(0)
    model = ScaledNetwork(build_method(method, FusionProblem(BANDS, 3, 4), **NARROW[method]))
    settings = {"batch": 8, "patch": 32, "steps": 1000} | recipe
    run = Training(model.to(device).train(), [pair(), pair(1)], [], Recipe(**settings), 0, state, "a")
    run.piece = run.recipe.batch
    return run


def gradients(run):
    batch = run.patches.sample(run.recipe.batch, run.recipe.patch, True, run.generator)
    with fast_on_gpu(run.bf16):
        loss = run._gradients(batch)
    weights = [weight.grad.flatten().double().cpu() for weight in run.model.parameters() if weight.grad is not None]
    return float(loss), torch.cat(weights)


@pytest.mark.parametrize("method", NARROW)
@pytest.mark.parametrize(("precision", "bound"), [("float32", 2e-3), ("bf16", 0.15)])
def test_gradients_are_those_of_the_cpu(method, precision, bound):
    loss, expected = gradients(training(method, torch.device("cpu")))
    run = training(method, precision=precision)
    found_loss, found = gradients(run)
    error = float((found - expected).norm() / expected.norm())
    print(f"{method} {precision}: loss {loss:.6f} {found_loss:.6f}, gradients differ by {error:.1e}")
    assert not ON_GPU or run.loss != run._eager_loss, "torch.compile failed; the log says why"
    assert found_loss == pytest.approx(loss, rel=bound)
    assert error < bound


@pytest.mark.skipif(not ON_GPU, reason="a CPU waits for nothing")
@pytest.mark.parametrize("method", NARROW)
def test_a_step_never_waits_for_the_gpu(method, monkeypatch):
    monkeypatch.setitem(NARROW["msst_net"], "position_noise", 0.02)
    run = training(method, ema=0.999, clip_norm=1.0, augment=True)
    for _ in range(3):
        run.one_step()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        run.one_step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.skipif(not ON_GPU, reason="a CPU's memory has no bound that torch keeps")
def test_a_batch_too_large_for_the_memory_passes_in_pieces():
    run = training("ssr_net", batch=256, patch=64)
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 0.6e9) / total)
    try:
        run.one_step()
        run.one_step()
        assert run.piece < 256
        assert run.healthy()
        assert run.loss != run._eager_loss
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.parametrize("method", ["ssr_net", "tsfn"])
def test_a_saved_state_goes_on(method, tmp_path):
    run = training(method, state=tmp_path, steps=6, ema=0.9, rollbacks=1)
    run.run(quiet)
    run._save()
    again = training(method, state=tmp_path, steps=6, ema=0.9, rollbacks=1)
    again._restore()
    assert again.step == 6
    for mine, theirs in zip(run.model.state_dict().values(), again.model.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)
    again.one_step()
    assert again.healthy()
