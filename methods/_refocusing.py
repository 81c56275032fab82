"""Displacement and blur of every band of a scene against a prediction, measured at the low resolution and undone.

The bands of a scene are seldom taken by the same optics at the same moment: a lens focuses one colour before another
and magnifies one more than another, and things move between two exposures. But what is predicted from an MSI has the
MSI's place and focus. To first order a band that is displaced, blurred or sharpened differs from its prediction by a
multiple of each of its `derivatives`. The same holds of both reduced by the PSF, where a regression in a window finds
the multiples (`displacement`).
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from ._local_regression import solve, window_reach
from ._resampling import psf_reach, reduce

WINDOW = 8.0
"""Standard deviation in LR pixels of the window in which a band's displacement and blur are taken to be the same."""

RIDGE = 1e-6
"""Mean square of derivatives, of images in [0,1], below which a window says nothing."""


def refocus(estimate: Tensor, lr_hsi: Tensor, psf: Tensor, ratio: int, gains: Tensor | None = None) -> Tensor:
    """Move and focus every band of an estimate (B, C, H, W) as the LR-HSI (B, C, H/r, W/r) has it; same shape.

    `psf` (k, k), k >= r, reduces the estimate. `gains` (3, C) say by what part of the displacement along rows and
    columns, and of the blur; None stands for all.
    """
    terms = derivatives(estimate)
    multiples = displacement(estimate, terms, lr_hsi, psf, ratio)
    if gains is not None:
        multiples = gains[..., None, None] * multiples
    multiples = F.interpolate(multiples.flatten(1, 2), size=estimate.shape[-2:], mode="bilinear", align_corners=False)
    return estimate + (multiples.view_as(terms) * terms).sum(1)


def derivatives(image: Tensor) -> Tensor:
    """Differences of (B, C, H, W) along rows and columns, and the sum of both second ones: (B, 3, C, H, W)."""
    framed = F.pad(image, (1, 1, 1, 1), mode="replicate")
    left, right = framed[:, :, 1:-1, :-2], framed[:, :, 1:-1, 2:]
    above, below = framed[:, :, :-2, 1:-1], framed[:, :, 2:, 1:-1]
    return torch.stack([(right - left) / 2, (below - above) / 2, left + right + above + below - 4 * image], 1)


@torch.no_grad()
def displacement(estimate: Tensor, terms: Tensor, lr_hsi: Tensor, psf: Tensor, ratio: int) -> Tensor:
    """Multiples (B, 3, C, h, w) of its derivatives `terms` by which an estimate (B, C, H, W) misses (B, C, h, w)."""
    kernel = psf.to(estimate)
    residual = (lr_hsi - reduce(estimate, kernel, ratio, "edge")).double()
    reduced = reduce(terms, kernel, ratio, "edge").double()
    rows = torch.cat([residual[:, None], reduced], 1)  # (B, 4, C, h, w)
    moments = (rows[:, :, None] * reduced[:, None]).permute(0, 3, 1, 2, 4, 5)  # (B, C, 4, 3, h, w)
    moments = _wide_mean(moments).flatten(0, 1)
    moments[:, 1:].diagonal(0, 1, 2).add_(RIDGE)
    found = solve(moments, 1).view(len(estimate), -1, 3, *lr_hsi.shape[-2:])
    return found.transpose(1, 2).to(estimate.dtype)


def _wide_mean(images: Tensor) -> Tensor:
    """Mean of (..., h, w) in a window of `WINDOW` around every pixel, over what of the window lies in the image.

    By products of matrices, because a window as wide as this one takes convolutions longer.
    """
    weights = []
    for side in images.shape[-2:]:
        places = torch.arange(side, dtype=images.dtype, device=images.device)
        distances = places[:, None] - places
        line = torch.exp(-0.5 * (distances / WINDOW) ** 2) * (distances.abs() <= window_reach(WINDOW))
        weights.append(line / line.sum(1, keepdim=True))
    return weights[0] @ images @ weights[1].T


def displacement_reach(psf: Tensor, ratio: int) -> int:
    """LR pixels to each side on which the multiples depend."""
    return window_reach(WINDOW) + psf_reach(psf, ratio) + 1
