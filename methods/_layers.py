"""Layers that more than one method uses."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def upsample_bicubic(image: Tensor, size: Sequence[int]) -> Tensor:
    """Enlarge by Keys' cubic convolution with a = -0.5, in phase with block-aligned decimation.

    Pixel centres lie at half-integers, so LR pixel (i, j) stays in the middle of the HR block that it came from. At
    the borders, taps outside the image are dropped and the others rescaled to sum 1: constants stay constant.

    Parameters
    ----------
    image
        (B, C, h, w), any values.
    size
        Height and width of the result, not smaller than the image's.

    Returns
    -------
    Tensor
        (B, C, *size) in the image's precision, float32 at least (torch has no bfloat16 kernel for it on CPUs).

    References
    ----------
    R. Keys, "Cubic convolution interpolation for digital image processing", IEEE TASSP 29(6), 1981.
    """
    image = image.to(torch.promote_types(image.dtype, torch.float32))
    # Only with `antialias`, a no-op when enlarging, does torch take a = -0.5; without, it takes a = -0.75.
    return F.interpolate(image, size=list(size), mode="bicubic", antialias=True, align_corners=False)
