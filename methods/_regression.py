"""Linear regression of the bands of one image on those of another, as more than one solver makes it."""

import numpy as np
import scipy  # its optimisers take a third of a second to load, so only where they are used
import torch
from torch import Tensor
from torch.nn import functional as F

RELATIVE_RANK = 1e-6
"""Variations this small beside the largest are rounding errors of float32 images and take no part in a regression."""


def regress(hsi: Tensor, msi: Tensor) -> Tensor:
    """Slopes (B, C, c) of the least-squares fit of `hsi` (B, C, n) by `msi` (B, c, n) and an intercept.

    Where MSI bands are flat or depend on one another, the slopes of least norm over standardised bands.
    """
    scale = inverse_deviation(msi)
    return hsi @ torch.linalg.pinv((msi - msi.mean(2, keepdim=True)) * scale, rtol=RELATIVE_RANK) * scale.mT


def inverse_deviation(msi: Tensor) -> Tensor:
    """One over the root of the sum of squared deviations of each band of (B, c, n), as (B, c, 1); 0 for a flat band."""
    centred = msi - msi.mean(2, keepdim=True)
    spread, magnitude = (torch.linalg.vector_norm(image, dim=2, keepdim=True) for image in (centred, msi))
    return torch.where(spread > RELATIVE_RANK * magnitude, 1 / spread, 0)


def regress_affine(hsi: Tensor, msi: Tensor) -> Tensor:
    """Slopes and, last, the intercept (B, C, c + 1) of that fit of `hsi` (B, C, n) by `msi` (B, c, n)."""
    slopes = regress(hsi, msi)
    return torch.cat([slopes, hsi.mean(2, keepdim=True) - slopes @ msi.mean(2, keepdim=True)], 2)


def with_ones(image: Tensor) -> Tensor:
    """Append a band of ones to (..., c, H, W), for the intercept."""
    return F.pad(image, (0, 0, 0, 0, 0, 1), value=1.0)


def predict(slopes: Tensor, msi: Tensor) -> Tensor:
    """Apply slopes (B, C, c) to every pixel of (B, c, H, W)."""
    return (slopes @ msi.flatten(2)).unflatten(2, msi.shape[2:])


def regress_non_negative(targets: Tensor, regressors: Tensor) -> Tensor:
    """Non-negative weights (C, c) of the least-squares fit of `targets` (C, n) by `regressors` (c, n), float64."""
    basis, triangle = np.linalg.qr(regressors.T.cpu().numpy())
    weights = [scipy.optimize.nnls(triangle, band)[0] for band in targets.cpu().numpy() @ basis]
    return torch.from_numpy(np.stack(weights)).to(regressors)


def estimate_srf(lr_hsi: Tensor, lr_msi: Tensor) -> tuple[Tensor, Tensor]:
    """SRF (c, C) and offset (c,) of each MSI band: that fit of `lr_msi` (c, h, w) by `lr_hsi` (C, h, w) and ones."""
    fits = regress_non_negative(lr_msi.flatten(1), with_ones(lr_hsi).flatten(1))
    return fits[:, :-1], fits[:, -1]
