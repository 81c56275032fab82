"""What the tests of methods share: building a method, counting its parameters, comparing with the authors' numbers."""

import torch

from smifbench import FusionProblem, build_method
from smifbench.method import FusionMethod


def network(method, bands=31, msi_bands=3, ratio=4, **options) -> FusionMethod:
    """A method for a problem of which only band counts and ratio are known."""
    return build_method(method, FusionProblem(bands, msi_bands, ratio), **options)


def parameters(model) -> int:
    """How many numbers a network learns."""
    return sum(parameter.numel() for parameter in model.parameters())


def relative_error(output, expected) -> float:
    """Largest difference, over the largest magnitude of what is expected."""
    expected = torch.as_tensor(expected).to(output.dtype)
    return float((output - expected).abs().max() / expected.abs().max())
