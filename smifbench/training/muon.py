"""Muon, an optimizer that gives every direction of a layer's weights a step of the same length.

K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024; the step's length is that of J. Liu
et al., "Muon is scalable for LLM training", 2025, at which learning rates of AdamW serve.

torch.optim.Muon takes matrices alone; the weights here are kernels of convolutions, and biases.
"""

import torch
from torch import Tensor

MOMENTUM = 0.95
"""Share of the gradients before in the mean that is stepped along."""

STEP = 0.2
"""Root mean square of a step at a learning rate of 1, about that of Adam's."""

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of a x + b x^3 + c x^5, which, applied five times, brings singular values from 0.01 to 1 into 0.7 to 1.2."""


class Muon(torch.optim.AdamW):
    """Muon for weights of two dimensions and more, taken as (outputs, all else) matrices; AdamW for all others."""

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # a closure that computes more gradients has no use here
        """Take one step; a kernel's gradient is given up with it."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.ndim < 2 or weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["mean_gradient"] = torch.zeros_like(weight)
                    state["step"] = torch.zeros(())  # AdamW looks for it in a state that it loads
                mean = state["mean_gradient"].lerp_(weight.grad, 1 - MOMENTUM)
                ahead = weight.grad.lerp(mean, MOMENTUM)
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.sub_(group["lr"] * _orthogonal(ahead.flatten(1)).view_as(weight))
                weight.grad = None
        super().step()


def _orthogonal(matrix: Tensor) -> Tensor:
    """Return a matrix (m, n) with its singular values brought near one another and a root mean square of `STEP`."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + torch.finfo(x.dtype).tiny)
    linear, cubic, quintic = COEFFICIENTS
    for _ in range(5):
        square = x @ x.T
        x = linear * x + (cubic * square + quintic * square @ square) @ x
    return STEP * max(matrix.shape) ** 0.5 * (x.T if tall else x)
