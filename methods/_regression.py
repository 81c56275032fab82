"""Linear regression of an HSI by an MSI at the low resolution, over a whole scene or in a window around every pixel."""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from smifbench.problem import FusionProblem

RELATIVE_RANK = 1e-6
"""Variations this small beside the largest are rounding errors of float32 images and take no part in a regression."""

WINDOW_REACH = 3
"""Standard deviations at which a Gaussian window is cut."""


def reducing_psf(problem: FusionProblem) -> Tensor:
    """Kernel (k, k) float64 that reduces the MSI: the PSF where it is known, else the mean over blocks; k >= r."""
    psf = problem.psf if problem.psf is not None else np.full(2 * [problem.ratio], problem.ratio**-2)
    return torch.as_tensor(np.pad(psf, max(0, problem.ratio - len(psf)) // 2), dtype=torch.float64)


def psf_reach(psf: Tensor, ratio: int) -> int:
    """LR pixels beyond its own that an LR pixel's window (k, k) touches."""
    return math.ceil((len(psf) - ratio) / 2 / ratio)


def reduce_by_psf(image: Tensor, psf: Tensor, ratio: int) -> Tensor:
    """Bring (B, c, H, W) to (B, c, H/r, W/r), float64, by the PSF; beyond the border the pixels there are repeated."""
    framed, kernel = 4 * [(len(psf) - ratio) // 2], psf.double()[None, None]
    # Band by band, because float64 would double the memory of the image.
    bands = (F.pad(band.double(), framed, mode="replicate") for band in image.split(1, 1))
    return torch.cat([F.conv2d(band, kernel, stride=ratio) for band in bands], 1)


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


def apply_slopes(slopes: Tensor, msi: Tensor) -> Tensor:
    """Apply slopes (B, C, c) to every pixel of (B, c, H, W)."""
    return (slopes @ msi.flatten(2)).unflatten(2, msi.shape[2:])


def local_mean(image: Tensor, sigma: float) -> Tensor:
    """Mean of (B, C, h, w) in a Gaussian window around every pixel, over what of the window lies in the image.

    `sigma` is the window's standard deviation in pixels; it is cut at `WINDOW_REACH` of them (`window_reach`).
    """
    reach = window_reach(sigma)
    offsets = torch.arange(-reach, reach + 1, dtype=image.dtype, device=image.device)
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2)
    for kernel, padding in ((weights[None, None, :, None], (reach, 0)), (weights[None, None, None], (0, reach))):
        lines = torch.cat([image.flatten(0, 1), image.new_ones(1, *image.shape[2:])])
        sums = F.conv2d(lines[:, None], kernel, padding=padding)[:, 0]
        image = (sums[:-1] / sums[-1]).view_as(image)
    return image


def window_reach(sigma: float) -> int:
    """Pixels that a window reaches to each side."""
    return math.ceil(WINDOW_REACH * sigma)


def regress_locally(hsi: Tensor, msi: Tensor, sigma: float, ridge: float, slopes: Tensor) -> Tensor:
    """Slopes (B, C, c, h, w) of the regression of `hsi` by `msi` in a Gaussian window around every pixel.

    Parameters
    ----------
    hsi, msi
        (B, C, h, w) and (B, c, h, w), float64, means not far beyond deviations, or rounding errors drown these.
    sigma
        The window's standard deviation in pixels.
    ridge
        Variance of the MSI, in its units, below which a window's slopes are pulled to `slopes`; above 0.
    slopes
        (B, C, c, h or 1, w or 1): what is taken where the MSI does not vary.
    """
    bands, msi_bands = hsi.shape[1], msi.shape[1]
    images = torch.cat([hsi, msi], 1)
    mean = local_mean(images, sigma)
    moments = local_mean((images[:, :, None] * msi[:, None]).flatten(1, 2), sigma).unflatten(1, (-1, msi_bands))
    covariance = moments - mean[:, :, None] * mean[:, None, bands:]
    covariance[:, :bands] += ridge * slopes
    covariance.diagonal(-bands, 1, 2).add_(ridge)
    return _divide(covariance, bands)


def _divide(matrices: Tensor, rows: int) -> Tensor:
    """Return X (B, rows, c, h, w) that solves X S = R in every pixel, where `matrices` holds R above S.

    S is (B, c, c, h, w), symmetric and positive. Elimination column by column over whole images: for systems as small
    as these, and as many, it takes a fraction of the time of a solver that is called for each.
    """
    for column in range(matrices.shape[2]):
        row = matrices[:, rows + column]
        unit = matrices[:, :, column] / row[:, None, column]
        others = matrices - unit[:, :, None] * row[:, None]
        matrices = torch.cat([others[:, :, :column], unit[:, :, None], others[:, :, column + 1 :]], 2)
    return matrices[:, :rows]
