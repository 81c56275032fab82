"""Framing an image and reducing it to the LR grid, as more than one solver does it.

LR pixel (i, j) is the weighted sum of a square window centred on HR block (i, j): the convention of
`FusionProblem.psf`.
"""

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from smifbench.problem import FusionProblem

Border = Literal["edge", "symmetric", "wrap"]
"""NumPy's words for what lies beyond an image: its border repeated, its mirror image, or its other side."""


def framed(image: Tensor, margin: int, border: Border) -> Tensor:
    """Lay a frame of any width around (..., H, W)."""
    if margin == 0:
        return image
    rows, columns = (torch.from_numpy(np.pad(np.arange(side), margin, mode=border)) for side in image.shape[-2:])
    return image.index_select(-2, rows.to(image.device)).index_select(-1, columns.to(image.device))


def reduce(image: Tensor, window: Tensor, ratio: int, border: Border) -> Tensor:
    """Bring (..., H, W) to (..., H/r, W/r) by weights `window` (k, k), where k >= r and k - r is even."""
    seen = framed(image, (len(window) - ratio) // 2, border)
    reduced = F.conv2d(seen.reshape(-1, 1, *seen.shape[-2:]), window.to(image)[None, None], stride=ratio)
    return reduced.reshape(*image.shape[:-2], *reduced.shape[-2:])


def reduce_double(image: Tensor, window: Tensor, ratio: int, border: Border) -> Tensor:
    """Reduce (B, c, H, W) in float64; band by band, because that precision would double the memory of all."""
    return torch.cat([reduce(band.double(), window, ratio, border) for band in image.split(1, 1)], 1)


def reduce_gaussian(image: Tensor, ratio: int) -> Tensor:
    """Bring (..., H, W) to (..., H/r, W/r) by a Gaussian whose full width at half maximum is the ratio.

    LR pixels inside the image see half a block beyond their own; those on its border see their own block only.
    """
    reduced = reduce(image, gaussian(ratio, ratio), ratio, "edge")
    reduced[..., 1:-1, 1:-1] = reduce(image, wide_gaussian(ratio), ratio, "edge")[..., 1:-1, 1:-1]
    return reduced


def covering(psf: np.ndarray, ratio: int) -> Tensor:
    """Return a PSF (k, k) in float64, framed with zeros where it is smaller than a block."""
    return torch.as_tensor(np.pad(psf, max(0, ratio - len(psf)) // 2), dtype=torch.float64)


def reducing_psf(problem: FusionProblem) -> Tensor:
    """Kernel (k, k) float64, k >= r, that reduces the MSI: the PSF where it is known, else the mean over blocks."""
    psf = problem.psf if problem.psf is not None else np.full(2 * [problem.ratio], problem.ratio**-2)
    return covering(psf, problem.ratio)


def psf_reach(psf: Tensor, ratio: int) -> int:
    """LR pixels beyond its own that an LR pixel's window (k, k) touches."""
    return math.ceil((len(psf) - ratio) / 2 / ratio)


def reduce_by_psf(image: Tensor, psf: Tensor, ratio: int) -> Tensor:
    """Bring (B, c, H, W) to (B, c, H/r, W/r), float64, by the PSF; beyond the border the pixels there are repeated."""
    return reduce_double(image, psf, ratio, "edge")


def wide_gaussian(ratio: int) -> Tensor:
    """Weights of a Gaussian whose full width at half maximum is the ratio, over a block and half a block around it."""
    return gaussian(ratio + 2 * (ratio // 2), ratio)


def gaussian(side: int, ratio: int) -> Tensor:
    """Weights (side, side) of a Gaussian whose full width at half maximum is the ratio, sum 1."""
    offsets = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    profile = torch.exp(-0.5 * (2.35482 / ratio * offsets) ** 2)
    return torch.outer(profile, profile) / profile.sum() ** 2


def triangle(ratio: int) -> Tensor:
    """Weights of a reduction by linear interpolation without aliasing: a pyramid over about twice the block, sum 1."""
    side = 2 * ratio - ratio % 2
    profile = ratio - (torch.arange(side, dtype=torch.float64) - (side - 1) / 2).abs()
    return torch.outer(profile, profile) / profile.sum() ** 2
