"""What training keeps for the backward, counted on tensors without values, stays below the bounds of the docs."""

import math
import re

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from smifbench import FusionProblem, build_method, plugins

BATCH, PATCH = 64, 128
DEVICE = "cuda" if torch.version.cuda else "cpu"
"""A build without CUDA has a CPU's rules alone, by which less is kept, up to a fifth."""
PAGE = plugins.ROOT / "docs" / "performance.md"
BOUNDS = {name: float(bound) for name, bound in re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", PAGE.read_text(), re.M)}
QUICK = ("ssr_net", "tsfn")


def gigabytes_kept(method):
    """GB of tensors that a forward in half precision keeps for the backward, beside the images and the weights."""
    network, fake = build_method(method, FusionProblem(31, 3, 4)).train(), FakeTensorMode()
    for module in network.modules():
        for tensors, kind in ((module._parameters, torch.nn.Parameter), (module._buffers, lambda tensor: tensor)):
            for name, value in tensors.items():
                if value is not None:
                    shape = fake.from_tensor(value.data)
                    with fake:
                        tensors[name] = kind(shape.to(DEVICE))
    kept = []
    with fake:
        sizes = (31, PATCH // 4), (3, PATCH), (31, PATCH)
        images = [torch.empty(BATCH, bands, side, side, device=DEVICE) for bands, side in sizes]
        images = [image.contiguous(memory_format=torch.channels_last) for image in images]
        with (
            torch.autocast(DEVICE, torch.bfloat16),
            torch.autograd.graph.saved_tensors_hooks(
                lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor
            ),
        ):
            network.training_loss(*images)
    given = {part.untyped_storage()._cdata for part in (*images, *network.parameters(), *network.buffers())}
    storages = {tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes() for tensor in kept}
    return sum(size for key, size in storages.items() if key not in given) / 1e9


def flash_attention(query, key, value, scale=None):
    """Attend by the kernel that torch takes on a GPU, which it looks for before it chooses."""
    width = query.shape[-1]
    factors = [F.pad(factor.bfloat16(), (0, -width % 8)) for factor in (query, key, value)]
    found = torch.ops.aten._scaled_dot_product_flash_attention(*factors, scale=scale or 1 / math.sqrt(width))
    return found[0][..., :width]


@pytest.fixture
def rules(monkeypatch):
    """Let autocast and attention do without a GPU what they do with one."""
    if DEVICE == "cuda":
        monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: True)
        monkeypatch.setattr(F, "scaled_dot_product_attention", flash_attention)


@pytest.mark.usefixtures("rules")
@pytest.mark.parametrize(
    "method", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in BOUNDS]
)
def test_a_training_step_keeps_within_the_bound_of_the_page(method):
    found = gigabytes_kept(method)
    print(method, round(found, 2))
    assert (0.9 if DEVICE == "cuda" else 0.75) * BOUNDS[method] < found <= BOUNDS[method]


def test_every_network_of_the_paper_has_a_bound():
    assert len(BOUNDS) == 8
    assert all(plugins.method_class(name).trainable for name in BOUNDS)
