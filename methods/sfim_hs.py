"""SFIM-HS, smoothing-filter intensity modulation with a synthetic sharp band for each band of the hyperspectral image.

J. G. Liu, "Smoothing filter-based intensity modulation: A spectral preserve image fusion technique for improving
spatial details", International Journal of Remote Sensing 21(18):3461-3472, 2000, doi:10.1080/014311600750037499.
Synthetic bands: M. Selva, B. Aiazzi, F. Butera, L. Chiarantini, S. Baronti, "Hyper-Sharpening: A First Approach on
SIM-GA Data", IEEE JSTARS 8(6):3008-3024, 2015. For two images of many bands as in N. Yokoya, C. Grohnfeldt,
J. Chanussot, "Hyperspectral and Multispectral Data Fusion", IEEE Geoscience and Remote Sensing Magazine 5(2):29-56,
2017. Official code: the review's toolbox, as in magamig/hif-benchmarking on GitHub, without a licence, so none of it is
here; the variant was re-derived from it.

For each HSI band an intensity is synthesised from the MSI bands by non-negative least squares with a non-negative
intercept at the low resolution. The HSI band is multiplied, block by block, by the intensity over its LR version.
The MSI is reduced by linear interpolation; neither PSF nor SRF is used.

Differences: the toolbox's demo fits weights of either sign, whose intensity comes near 0 and ruins whole scenes, and
then predicts every fused band from the others; this is its non-negative variant without that last step. Where an
LR intensity is 0, or nearly so, the block takes the value of its LR pixel; the toolbox divides by it.
"""

import torch
from torch import Tensor

from smifbench.method import FusionMethod
from smifbench.problem import FusionProblem

from ._regression import predict, regress_non_negative, with_ones
from ._resampling import reduce_double, triangle

DARK = 1e-6
"""Intensities below this fraction of the band's largest are no measure of detail."""


class SFIMHS(FusionMethod):
    """Every HSI band times the ratio between a synthetic band from the MSI and its LR version.

    Non-negative images give a non-negative result, and scaling either image by a positive number scales it alike or not
    at all. It is exact where each HSI band is a non-negative mixture of the MSI bands.
    """

    title = "SFIM-HS"
    citation = "liu2000sfim"
    trainable = False
    halo = None  # the fit takes the whole scene; once made, tiles will do (`for_scene`)

    def forward(self, lr_hsi: Tensor, hr_msi: Tensor) -> Tensor:
        """Fuse (B, C, H/r, W/r) and (B, c, H, W) to (B, C, H, W), not clamped, float32 at least."""
        return self.for_scene(lr_hsi, hr_msi)(lr_hsi, hr_msi)

    def for_scene(self, lr_hsi: Tensor, hr_msi: Tensor) -> "_Modulation":
        """Fit the weights, which is all that takes the whole scene."""
        lr_msi = with_ones(_reduced(hr_msi, self.problem.ratio))
        pairs = zip(lr_hsi.flatten(2).double(), lr_msi.flatten(2), strict=True)
        weights = torch.stack([regress_non_negative(*pair) for pair in pairs])
        brightest = predict(weights, lr_msi).amax((2, 3), keepdim=True)
        return _Modulation(self.problem, weights, DARK * brightest)


class _Modulation(FusionMethod):
    """What SFIM-HS does with its weights (B, C, c + 1), and LR intensities (B, C, 1, 1) too dark to divide by."""

    halo = 1  # the reduction sees half a block beyond its own

    def __init__(self, problem: FusionProblem, weights: Tensor, dark: Tensor) -> None:
        super().__init__(problem)
        self.weights, self.dark = weights, dark

    def forward(self, lr_hsi: Tensor, hr_msi: Tensor) -> Tensor:
        ratio, precision = self.problem.ratio, torch.promote_types(lr_hsi.dtype, torch.float32)
        with torch.autocast(hr_msi.device.type, enabled=False):  # bfloat16 would blur what is predicted
            lr_intensity = predict(self.weights, with_ones(_reduced(hr_msi, ratio)))
            dark = lr_intensity <= self.dark
            gain = torch.where(dark, 0, lr_hsi / lr_intensity).to(precision)
            alone = torch.where(dark, lr_hsi, 0).to(precision)
            intensity = predict(self.weights.to(precision), with_ones(hr_msi.to(precision)))
            blocks = intensity.unflatten(3, (-1, ratio)).unflatten(2, (-1, ratio))
            blocks.mul_(gain[:, :, :, None, :, None]).add_(alone[:, :, :, None, :, None])
        return intensity


def _reduced(hr_msi: Tensor, ratio: int) -> Tensor:
    return reduce_double(hr_msi, triangle(ratio), ratio, "symmetric")
