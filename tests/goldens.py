"""What the tests of methods share: building a method, counting its parameters, comparing with the authors' numbers."""

import pytest
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


def classical_case(golden, method, case, output="out") -> tuple[dict, dict]:
    """Inputs of a golden case of the classical solvers, and what a method's authors made of them; may skip the test."""
    inputs, stored = (_of_case(golden(f"classical/{name}"), case) for name in ("classical_inputs", method))
    if "lr_hsi" not in inputs or output not in stored:
        pytest.skip(f"golden case {case} is kept elsewhere")
    return inputs, stored


def _of_case(arrays, case) -> dict:
    return {key.removeprefix(f"{case}."): array for key, array in arrays.items() if key.startswith(f"{case}.")}
