"""GSA, Gram-Schmidt adaptive component substitution in its form for hyperspectral and multispectral images.

B. Aiazzi, S. Baronti, M. Selva, "Improving Component Substitution Pansharpening Through Multivariate Regression of
MS+Pan Data", IEEE Transactions on Geoscience and Remote Sensing 45(10):3230-3239, 2007, doi:10.1109/TGRS.2007.901007;
for two images of many bands as in N. Yokoya, C. Grohnfeldt, J. Chanussot, "Hyperspectral and Multispectral Data
Fusion: A comparative review of the recent literature", IEEE Geoscience and Remote Sensing Magazine 5(2):29-56, 2017.
Written from the published formulas; no code was consulted.

For each HSI band an intensity I is synthesised from the MSI bands, by least squares at the low resolution. The band is
then enlarged, and g * (I - enlarged LR I) is added, with the Gram-Schmidt gain g = cov(band, LR I) / var(LR I).
Least squares leaves a residual that is uncorrelated with the fit, so g is exactly 1 where the regression is made.
Hence what is computed: I plus the enlarged residual of the regression.

Differences: the statistics are taken at the low resolution, not from enlarged images, where g differs from 1 by what
the enlargement adds. The MSI is reduced by the PSF where it is known, and else by the mean over blocks.
"""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from smifbench.method import FusionMethod
from smifbench.problem import FusionProblem

from ._layers import upsample_bicubic

RELATIVE_RANK = 1e-6
"""Variations this small beside the largest are rounding errors of float32 images and take no part in a regression."""


class GSA(FusionMethod):
    """Every HSI band predicted from the MSI by linear regression, plus the enlarged residual of that regression.

    It is exact where each HSI band is an affine function of the MSI bands. Scaling or shifting an MSI band changes
    nothing. An MSI without detail leaves the bicubic image.
    """

    title = "GSA"
    citation = "aiazzi2007gsa"
    trainable = False
    halo = None  # the regression takes the whole scene; once made, tiles will do (`for_scene`)

    def __init__(self, problem: FusionProblem) -> None:
        super().__init__(problem)
        psf = problem.psf if problem.psf is not None else np.full(2 * [problem.ratio], problem.ratio**-2)
        psf = np.pad(psf, max(0, problem.ratio - len(psf)) // 2)
        self.register_buffer("psf", torch.as_tensor(psf, dtype=torch.float64), persistent=False)

    def forward(self, lr_hsi: Tensor, hr_msi: Tensor) -> Tensor:
        """Fuse (B, C, H/r, W/r) and (B, c, H, W) to (B, C, H, W), not clamped, float32 at least."""
        return self.for_scene(lr_hsi, hr_msi)(lr_hsi, hr_msi)

    def for_scene(self, lr_hsi: Tensor, hr_msi: Tensor) -> "_Prediction":
        """Make the regression, which is all that takes the whole scene."""
        with torch.autocast(hr_msi.device.type, enabled=False):
            # Band by band, because float64 would double the memory of the MSI.
            lr_msi = torch.cat([_reduce(band.double(), self.psf, self.problem.ratio) for band in hr_msi.split(1, 1)], 1)
            slopes = _regress(lr_hsi.flatten(2).double(), lr_msi.flatten(2))
        return _Prediction(self.problem, self.psf, slopes)


class _Prediction(FusionMethod):
    """What GSA does with the slopes (B, C, c) of its regression."""

    def __init__(self, problem: FusionProblem, psf: Tensor, slopes: Tensor) -> None:
        super().__init__(problem)
        self.psf, self.slopes = psf, slopes
        self.halo = 2 + math.ceil((len(psf) - problem.ratio) / 2 / problem.ratio)  # bicubic enlargement, PSF

    def forward(self, lr_hsi: Tensor, hr_msi: Tensor) -> Tensor:
        precision = torch.promote_types(lr_hsi.dtype, torch.float32)
        with torch.autocast(hr_msi.device.type, enabled=False):  # bfloat16 would blur what is predicted
            lr_msi = _reduce(hr_msi.double(), self.psf, self.problem.ratio)
            residual = lr_hsi - _predict(self.slopes, lr_msi)
            prediction = _predict(self.slopes.to(precision), hr_msi.to(precision))
            return prediction + upsample_bicubic(residual.to(precision), hr_msi.shape[-2:])


def _reduce(hr_msi: Tensor, psf: Tensor, ratio: int) -> Tensor:
    """Bring (B, c, H, W) to (B, c, H/r, W/r) by the PSF; windows beyond the border see its pixels repeated."""
    framed = F.pad(hr_msi, 4 * [(len(psf) - ratio) // 2], mode="replicate")
    kernels = psf.to(hr_msi.dtype).expand(hr_msi.shape[1], 1, -1, -1)
    return F.conv2d(framed, kernels, stride=ratio, groups=hr_msi.shape[1])


def _regress(hsi: Tensor, msi: Tensor) -> Tensor:
    """Slopes (B, C, c) of the least-squares fit of `hsi` (B, C, n) by `msi` (B, c, n) and an intercept.

    Where MSI bands are flat or depend on one another, the slopes of least norm over standardised bands.
    """
    centred = msi - msi.mean(2, keepdim=True)
    spread, magnitude = (torch.linalg.vector_norm(image, dim=2, keepdim=True) for image in (centred, msi))
    scale = torch.where(spread > RELATIVE_RANK * magnitude, 1 / spread, 0)
    return hsi @ torch.linalg.pinv(centred * scale, rtol=RELATIVE_RANK) * scale.mT


def _predict(slopes: Tensor, msi: Tensor) -> Tensor:
    """Apply slopes (B, C, c) to every pixel of (B, c, H, W)."""
    return (slopes @ msi.flatten(2)).unflatten(2, msi.shape[2:])
