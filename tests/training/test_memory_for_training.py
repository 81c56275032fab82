"""What training keeps for the backward, counted on tensors without values, stays below the bounds of the docs."""

import re

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from smifbench import FusionProblem, build_method, plugins

BATCH, PATCH = 64, 128
PAGE = plugins.ROOT / "docs" / "performance.md"
BOUNDS = {name: float(bound) for name, bound in re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", PAGE.read_text(), re.M)}
QUICK = ("ssr_net", "tsfn")


def gigabytes_kept(method):
    """GB of tensors that a forward in half precision keeps for the backward, beside the images and the weights."""
    network, fake = build_method(method, FusionProblem(31, 3, 4)).train(), FakeTensorMode()
    for module in network.modules():
        for tensors, kind in ((module._parameters, torch.nn.Parameter), (module._buffers, lambda tensor: tensor)):
            tensors.update(
                {key: kind(fake.from_tensor(value.data)) for key, value in tensors.items() if value is not None}
            )
    kept = []
    with fake:
        sizes = (31, PATCH // 4), (3, PATCH), (31, PATCH)
        images = [torch.empty(BATCH, bands, side, side) for bands, side in sizes]
        images = [image.contiguous(memory_format=torch.channels_last) for image in images]
        # A CPU's autocast, because a build without CUDA has no other.
        with (
            torch.autocast("cpu", torch.bfloat16),
            torch.autograd.graph.saved_tensors_hooks(
                lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor
            ),
        ):
            network.training_loss(*images)
    given = {part.untyped_storage()._cdata for part in (*images, *network.parameters(), *network.buffers())}
    storages = {tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes() for tensor in kept}
    return sum(size for key, size in storages.items() if key not in given) / 1e9


@pytest.mark.parametrize(
    "method", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in BOUNDS]
)
def test_a_training_step_keeps_within_the_bound_of_the_page(method):
    found = gigabytes_kept(method)
    print(method, round(found, 2))
    assert 0.75 * BOUNDS[method] < found <= BOUNDS[method]


def test_every_network_of_the_paper_has_a_bound():
    assert len(BOUNDS) == 8
    assert all(plugins.method_class(name).trainable for name in BOUNDS)
