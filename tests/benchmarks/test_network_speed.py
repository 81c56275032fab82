"""Forward and backward of every network, to be read in units of one convolution measured in the same run.

`pytest tests/benchmarks/test_network_speed.py` prints the table; `unit` is U, forward and backward of
Conv2d(64, 64, 3, padding=1) on 1 x 64 x 128 x 128, float32. Networks see 31/3 bands, 64 x 64, ratio 4, batch 1, L1, in
the memory order of their training on a CPU.
"""

import pytest
import torch
from torch import nn

from smifbench import FusionProblem, build_method, plugins

NETWORKS = [name for name in plugins.names("methods") if plugins.method_class(name).trainable]


def test_unit(benchmark):
    torch.manual_seed(0)
    convolution, image = nn.Conv2d(64, 64, 3, padding=1), torch.rand(1, 64, 128, 128, requires_grad=True)
    benchmark.pedantic(lambda: convolution(image).sum().backward(), rounds=20, warmup_rounds=3)


@pytest.mark.parametrize("precision", ["float32", "bf16-anywhere"])
@pytest.mark.parametrize("name", NETWORKS)
def test_network(name, precision, benchmark):
    torch.manual_seed(0)
    order = torch.channels_last if plugins.method_class(name).channels_last else torch.contiguous_format
    network = build_method(name, FusionProblem(31, 3, 4)).train().to(memory_format=order)
    shapes = (1, 31, 16, 16), (1, 3, 64, 64), (1, 31, 64, 64)
    images = [torch.rand(shape).contiguous(memory_format=order) for shape in shapes]

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-anywhere"):
            loss = network.training_loss(*images)
        loss.backward()

    benchmark.pedantic(step, rounds=7, warmup_rounds=2)
