"""No step of training makes the host wait for a GPU: seen on tensors without values, which stand for a GPU's.

Torch's own watch over waiting (`torch.cuda.set_sync_debug_mode`) sits in kernels, which only a GPU runs; by it,
`test_on_a_gpu.py` looks at torch's optimizer too.
"""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
import yaml
from torch.utils._python_dispatch import TorchDispatchMode

from smifbench import FusionMethod, FusionProblem, Recipe, build_method, plugins
from smifbench.degradation.pairs import Pair
from smifbench.fusion.scaled import ScaledNetwork
from smifbench.training.loop import Training

PROBLEM = FusionProblem(6, 2, 4)
DEMO = yaml.safe_load((plugins.ROOT / "config" / "demo.yaml").read_text())["methods"]


class Watch(TorchDispatchMode):
    """Refuse copies between host and device that wait; reading a value fails by itself, since there is none."""

    def __torch_dispatch__(self, operator, types, arguments=(), settings=None):
        settings = settings or {}
        outcome = operator(*arguments, **settings)
        name = operator._schema.name
        if name in ("aten::_to_copy", "aten::copy_"):
            source = arguments[0 if name == "aten::_to_copy" else 1]
            waits = not settings.get("non_blocking", arguments[2] if len(arguments) > 2 else False)
            assert not (waits and source.device != outcome.device), "a copy waits for the device"
        return outcome


def step(network, monkeypatch):
    """Take the second step of a training by all that a recipe may ask for."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # refuses such tensors
    sizes = (6, 32), (6, 8), (2, 32)
    pair = Pair("toy", "train", *(np.zeros((bands, side, side), np.float32) for bands, side in sizes), data="0")
    recipe = Recipe(batch=2, patch=16, steps=9, clip_norm=1.0, augment=True, ema=0.9)
    run = Training(ScaledNetwork(network.to("meta")).train(), [pair], [], recipe, 0)
    monkeypatch.setattr(run.optimizer, "step", lambda: None)  # its fused kernels refuse them too
    run.one_step()
    with Watch():
        run.one_step()


@pytest.mark.parametrize("name", [name for name in plugins.names("methods") if plugins.method_class(name).trainable])
def test_a_step_never_waits(name, monkeypatch):
    step(build_method(name, PROBLEM, **DEMO.get(name, {}).get("options", {})), monkeypatch)


class Impatient(FusionMethod):
    """A network that makes the host wait."""

    title = "Impatient"

    def __init__(self, waits):
        super().__init__(PROBLEM)
        self.weight, self.waits = torch.nn.Parameter(torch.ones(())), waits

    def forward(self, lr_hsi, hr_msi):
        self.waits(hr_msi)
        return self.weight * lr_hsi.repeat_interleave(4, 2).repeat_interleave(4, 3)


@pytest.mark.parametrize(
    "waits",
    [
        lambda image: image.mean().item(),
        lambda image: image + torch.randn(image.shape).to(image),
        lambda image: image.cpu(),
        lambda image: image[image > 0],
        lambda image: 1 if image.mean() > 0 else 0,
    ],
)
def test_waiting_is_seen(waits, monkeypatch):
    with pytest.raises((AssertionError, RuntimeError), match=r"waits for the device|[Mm]eta tensor|nonzero"):
        step(Impatient(waits), monkeypatch)
    step(Impatient(lambda image: image + torch.randn(image.shape, device=image.device)), monkeypatch)
