"""Local GSA: the regression of GSA in a sliding window.

The smifbench authors, "smifbench: a reproducible benchmark of hyperspectral/multispectral image fusion", 2026. A method
of this suite, published nowhere else; no code was consulted.

Over a scene, the relation from MSI to HSI is not linear; within a small window one or two materials rule, and there it
is, with slopes of their own. So the slopes of GSA (`methods/gsa.py`, Aiazzi et al. 2007) are taken in a Gaussian window
around every LR pixel, as a guided filter does (K. He, J. Sun, X. Tang, "Guided Image Filtering", IEEE TPAMI 35(6),
2013), and a ridge pulls them to those of the whole scene where a window's MSI is flat:

    A = (cov(l, m) + ridge S) (cov(m, m) + ridge I)^-1

with l the LR-HSI, m the MSI reduced by the PSF, each of its bands in units of its standard deviation over the scene,
covariances in the window, and S the slopes of GSA. Then, with the mean of A in the same window, every LR pixel j holds
a predictor that is right at itself, l_j + A_j (MSI - m_j), and a pixel takes the mixture of the predictors around it
by the weights of bicubic enlargement. With slopes that are the same everywhere, this is GSA and its enlarged residual.

With `refocusing`, every band is then moved and focused as the LR-HSI has it (`_refocusing.py`), and what is left is
enlarged and added as in GSA.

Window and ridge were chosen on the five CAVE validation scenes, at ratios 4 and 8 together.
"""

import torch
from torch import Tensor

from smifbench.errors import UserError
from smifbench.method import FusionMethod
from smifbench.problem import FusionProblem

from ._layers import upsample_bicubic
from ._local_regression import local_mean, regress_locally, window_reach
from ._refocusing import displacement_reach, refocus
from ._regression import inverse_deviation, regress
from ._resampling import psf_reach, reduce_by_psf, reducing_psf


class LocalGSA(FusionMethod):
    """Every LR pixel predicts the HSI around it from the MSI, by a regression in a window; a pixel mixes predictors.

    A large ridge gives GSA. Scaling or shifting an MSI band changes nothing. Without refocusing, an MSI without detail
    leaves the bicubic image.

    Parameters
    ----------
    problem
        Band counts and ratio. The MSI is reduced by the PSF where it is known, else by the mean over blocks.
    window
        Standard deviation of the Gaussian window in LR pixels; more averages noise over more pixels.
    ridge
        Variance, as a part of an MSI band's over the scene, below which a window takes the slopes of the scene.
    refocusing
        Whether every band is then moved and focused as the LR-HSI has it, and what is left enlarged and added.
    """

    psf: Tensor
    title = "Local GSA"
    citation = "smifbench2026"
    trainable = False
    halo = None  # the slopes of the scene take all of it; once made, tiles will do (`for_scene`)

    def __init__(
        self, problem: FusionProblem, window: float = 0.6, ridge: float = 1e-4, refocusing: bool = False
    ) -> None:
        super().__init__(problem)
        for name, value in (("window", window), ("ridge", ridge)):
            if not value > 0:
                raise UserError(f"option {name} of local_gsa must be above 0, not {value!r}")
        self.window, self.ridge, self.refocusing = window, ridge, refocusing
        self.register_buffer("psf", reducing_psf(problem), persistent=False)

    def forward(self, lr_hsi: Tensor, hr_msi: Tensor) -> Tensor:
        """Fuse (B, C, H/r, W/r) and (B, c, H, W) to (B, C, H, W), not clamped, float32 at least."""
        return self.for_scene(lr_hsi, hr_msi)(lr_hsi, hr_msi)

    def for_scene(self, lr_hsi: Tensor, hr_msi: Tensor) -> "_Prediction":
        """Take means and deviations of the scene, and its slopes, which is all that takes the whole scene."""
        with torch.autocast(hr_msi.device.type, enabled=False):
            lr_msi = reduce_by_psf(hr_msi, self.psf, self.problem.ratio).flatten(2)
            scale = inverse_deviation(lr_msi) * lr_msi.shape[2] ** 0.5
            slopes = regress(lr_hsi.flatten(2).double(), lr_msi) / torch.where(scale > 0, scale, 1).mT
            means = lr_hsi.double().mean((2, 3), keepdim=True), lr_msi.mean(2)[..., None, None]
        return _Prediction(self, *means, scale[..., None], slopes[..., None, None])


class _Prediction(FusionMethod):
    """What is done with means (B, C, 1, 1), (B, c, 1, 1), scales (B, c, 1, 1), slopes (B, C, c, 1, 1) of a scene."""

    def __init__(self, method: LocalGSA, hsi_mean: Tensor, msi_mean: Tensor, scale: Tensor, slopes: Tensor) -> None:
        super().__init__(method.problem)
        self.psf, self.window, self.ridge = method.psf, method.window, method.ridge
        self.refocusing = method.refocusing
        self.hsi_mean, self.msi_mean, self.scale, self.slopes = hsi_mean, msi_mean, scale, slopes
        reach = psf_reach(self.psf, method.problem.ratio)
        self.halo = 2 * window_reach(self.window) + 2 + reach  # 2: enlargement
        if self.refocusing:
            self.halo += displacement_reach(self.psf, method.problem.ratio) + 1 + reach + 2  # 1: derivatives

    def forward(self, lr_hsi: Tensor, hr_msi: Tensor) -> Tensor:
        precision, size = torch.promote_types(lr_hsi.dtype, torch.float32), hr_msi.shape[-2:]
        with torch.autocast(hr_msi.device.type, enabled=False):  # bfloat16 would blur what is predicted
            lr_msi = (reduce_by_psf(hr_msi, self.psf, self.problem.ratio) - self.msi_mean) * self.scale
            slopes = regress_locally(lr_hsi.double() - self.hsi_mean, lr_msi, self.window, self.ridge, self.slopes)
            slopes = local_mean(slopes.flatten(1, 2), self.window).view_as(slopes)
            intercepts = lr_hsi - (slopes * lr_msi[:, None]).sum(2)
            estimate = upsample_bicubic(intercepts.to(precision), size)
            for band in range(hr_msi.shape[1]):  # one after another, as all slopes enlarged at once are many images
                detail = (hr_msi[:, band, None] - self.msi_mean[:, band, None]) * self.scale[:, band, None]
                estimate += upsample_bicubic(slopes[:, :, band].to(precision), size) * detail.to(precision)
            if self.refocusing:
                estimate = refocus(estimate, lr_hsi.to(precision), self.psf, self.problem.ratio)
                residual = lr_hsi - reduce_by_psf(estimate, self.psf, self.problem.ratio)
                estimate = estimate + upsample_bicubic(residual.to(precision), size)
            return estimate
