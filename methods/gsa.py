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

import torch
from torch import Tensor

from smifbench.method import FusionMethod
from smifbench.problem import FusionProblem

from ._layers import upsample_bicubic
from ._regression import predict, regress
from ._resampling import psf_reach, reduce_by_psf, reducing_psf


class GSA(FusionMethod):
    """Every HSI band predicted from the MSI by linear regression, plus the enlarged residual of that regression.

    It is exact where each HSI band is an affine function of the MSI bands. Scaling or shifting an MSI band changes
    nothing. An MSI without detail leaves the bicubic image.
    """

    title = "GSA"
    citation = "aiazzi2007gsa"
    trainable = False
    halo = None  # the regression needs the whole scene; what follows it can be done in tiles (`for_scene`)
    psf: Tensor

    def __init__(self, problem: FusionProblem) -> None:
        super().__init__(problem)
        self.register_buffer("psf", reducing_psf(problem), persistent=False)

    def forward(self, lr_hsi: Tensor, hr_msi: Tensor) -> Tensor:
        """Fuse (B, C, H/r, W/r) and (B, c, H, W) to (B, C, H, W), not clamped, float32 at least."""
        return self.for_scene(lr_hsi, hr_msi)(lr_hsi, hr_msi)

    def for_scene(self, lr_hsi: Tensor, hr_msi: Tensor) -> "_Prediction":
        """Return a method that has made the regression, the one step that needs the whole scene."""
        with torch.autocast(hr_msi.device.type, enabled=False):
            lr_msi = reduce_by_psf(hr_msi, self.psf, self.problem.ratio)
            slopes = regress(lr_hsi.flatten(2).double(), lr_msi.flatten(2))
        return _Prediction(self.problem, self.psf, slopes)


class _Prediction(FusionMethod):
    """Fuses with given slopes (B, C, c) of GSA's regression."""

    def __init__(self, problem: FusionProblem, psf: Tensor, slopes: Tensor) -> None:
        super().__init__(problem)
        self.psf, self.slopes = psf, slopes
        self.halo = 2 + psf_reach(psf, problem.ratio)  # bicubic enlargement, PSF

    def forward(self, lr_hsi: Tensor, hr_msi: Tensor) -> Tensor:
        precision = torch.promote_types(lr_hsi.dtype, torch.float32)
        with torch.autocast(hr_msi.device.type, enabled=False):  # bfloat16 would blur what is predicted
            lr_msi = reduce_by_psf(hr_msi, self.psf, self.problem.ratio)
            residual = lr_hsi - predict(self.slopes, lr_msi)
            prediction = predict(self.slopes.to(precision), hr_msi.to(precision))
            return prediction + upsample_bicubic(residual.to(precision), hr_msi.shape[-2:])
