import math

import pytest
import torch

from smifbench.method import LOSSES

TRUTH = torch.zeros(2, 1, 2, 2, dtype=torch.float64)
ESTIMATE = torch.tensor([[0.3, 0.3, 0.3, 0.3], [0.0, 0.0, 0.0, 0.2]], dtype=torch.float64).view(2, 1, 2, 2)


@pytest.mark.parametrize(
    ("loss", "expected"), [("l1", 1.4 / 8), ("mse", (4 * 0.09 + 0.04) / 8), ("rmse", (0.3 + math.sqrt(0.04 / 4)) / 2)]
)
def test_losses_by_hand(loss, expected):
    assert float(LOSSES[loss](ESTIMATE, TRUTH)) == pytest.approx(expected, rel=1e-9)


def test_rmse_changes_no_proportion_between_patches_of_any_error():
    """Ten times smaller errors in one patch weigh as much in the gradient, which is what decibels do."""
    estimate = ESTIMATE * torch.tensor([1.0, 0.1]).view(2, 1, 1, 1)
    gradients = []
    for images in (ESTIMATE, estimate):
        images = images.clone().requires_grad_()
        LOSSES["rmse"](images, TRUTH).backward()
        gradients.append(images.grad)
    torch.testing.assert_close(*gradients, rtol=1e-6, atol=0)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_is_finite_where_the_error_is_zero(loss):
    estimate = TRUTH.clone().requires_grad_()
    LOSSES[loss](estimate, TRUTH).backward()
    assert estimate.grad.isfinite().all()
