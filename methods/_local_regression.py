"""Linear regression of an HSI by an MSI at the low resolution, in a window around every pixel."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

WINDOW_REACH = 3
"""Standard deviations at which a Gaussian window is cut."""


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
    return solve(covariance, bands)


def solve(matrices: Tensor, rows: int) -> Tensor:
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
