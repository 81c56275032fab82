"""MTF-GLP-HS, a generalised Laplacian pyramid with a synthetic sharp band for each band of the hyperspectral image.

B. Aiazzi, L. Alparone, S. Baronti, A. Garzelli, M. Selva, "MTF-tailored multiscale fusion of high-resolution MS and Pan
imagery", Photogrammetric Engineering and Remote Sensing 72(5):591-596, 2006, doi:10.14358/PERS.72.5.591.
Synthetic bands: M. Selva, B. Aiazzi, F. Butera, L. Chiarantini, S. Baronti, "Hyper-Sharpening: A First Approach on
SIM-GA Data", IEEE JSTARS 8(6):3008-3024, 2015. For two images of many bands as in N. Yokoya, C. Grohnfeldt,
J. Chanussot, "Hyperspectral and Multispectral Data Fusion", IEEE Geoscience and Remote Sensing Magazine 5(2):29-56,
2017. Official code: the review's toolbox, as in magamig/hif-benchmarking on GitHub, without a licence, so none of it is
here; windows, taps, phases and clipping were re-derived from it.

For each HSI band an intensity I is synthesised from the MSI bands by least squares at the low resolution. What is
fused is up(band) + g (I - up(low(I))): `low` is a Gaussian whose full width at half maximum is the ratio, whatever the
PSF; `up` interpolates by a windowed sinc of 45 taps; g is the gain of least squares between up(band) and up(low(I))
over all HR pixels. Negative values become 0. At an even ratio the centre of a block lies between pixels: the result is
the mean of two, whose LR samples lie on the pixels before and after it. Neither PSF nor SRF is used.

All of it is linear, so that here only band - g low(I) is enlarged, and the sums over HR pixels in g are sums over LR
pixels weighed by the autocorrelation of the taps, the same for both phases.

Differences: the toolbox clips the result from above at 2 to the power of the root of the LR-HSI's maximum, a slip that
never acts, and its demo then predicts every fused band from the others; both are left out.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from smifbench.errors import UserError
from smifbench.method import FusionMethod
from smifbench.problem import FusionProblem

from ._regression import predict, regress_affine, with_ones
from ._resampling import Border, framed, reduce_double, reduce_gaussian, triangle

REACH = 22
"""HR pixels that the interpolation sees on each side."""
BORDERS: dict[str, Border] = {"periodic": "wrap", "mirrored": "symmetric"}
FLAT = 1e-12
"""A variance below this fraction of the power is a rounding error."""


class MTFGLPHS(FusionMethod):
    """Every HSI band enlarged, plus the detail of a synthetic band from the MSI that its own low-pass version lacks.

    Parameters
    ----------
    problem
        Band counts and ratio.
    border
        How `up` sees the LR images beyond their border: `"periodic"`, as published, shows the opposite border;
        `"mirrored"` shows the image itself, and lets large scenes be fused in tiles.

    Raises
    ------
    UserError
        For another border.
    """

    title = "MTF-GLP-HS"
    citation = "aiazzi2006mtfglp"
    trainable = False
    halo = None  # regression and gains take the whole scene; once made, tiles will do (`for_scene`) where mirrored

    def __init__(self, problem: FusionProblem, border: str = "periodic") -> None:
        super().__init__(problem)
        if border not in BORDERS:
            raise UserError(f"border must be {' or '.join(BORDERS)}, not {border!r}")
        self.border = BORDERS[border]

    @classmethod
    def skip(cls, problem: FusionProblem) -> str | None:
        """Ratios whose LR pixels lie farther apart than the taps reach."""
        if problem.ratio > 2 * REACH:
            return f"MTF-GLP-HS interpolates by {2 * REACH + 1} taps, which leave gaps at a ratio of {problem.ratio}"
        return None

    def forward(self, lr_hsi: Tensor, hr_msi: Tensor) -> Tensor:
        """Fuse (B, C, H/r, W/r) and (B, c, H, W) to (B, C, H, W), non-negative, not clamped at 1, float32 at least."""
        return self.for_scene(lr_hsi, hr_msi)(lr_hsi, hr_msi)

    def for_scene(self, lr_hsi: Tensor, hr_msi: Tensor) -> "_Injection":
        """Make the regression and take the gains, which is all that needs the whole scene."""
        ratio = self.problem.ratio
        with torch.autocast(hr_msi.device.type, enabled=False):
            lr_msi = reduce_double(hr_msi, triangle(ratio), ratio, "symmetric")
            weights = regress_affine(lr_hsi.flatten(2).double(), lr_msi.flatten(2))
            gains = _gains(lr_hsi.double(), _low_pass(hr_msi, ratio), weights, ratio)
        return _Injection(self.problem, weights, gains, self.border)


class _Injection(FusionMethod):
    """What MTF-GLP-HS does with weights (B, C, c + 1) and gains (B, C)."""

    def __init__(self, problem: FusionProblem, weights: Tensor, gains: Tensor, border: Border) -> None:
        super().__init__(problem)
        self.weights, self.gains, self.border = weights, gains, border
        self.halo = None if border == "wrap" else _lr_reach(problem.ratio) + 1  # and the low-pass, half a block

    def forward(self, lr_hsi: Tensor, hr_msi: Tensor) -> Tensor:
        ratio, precision = self.problem.ratio, torch.promote_types(lr_hsi.dtype, torch.float32)
        with torch.autocast(hr_msi.device.type, enabled=False):  # bfloat16 would blur what is predicted
            injected = self.gains[..., None] * self.weights
            rest = (lr_hsi - predict(injected, _low_pass(hr_msi, ratio))).to(precision)
            sharp = predict(injected.to(precision), with_ones(hr_msi.to(precision)))
            phases = sorted({(ratio - 1) // 2, ratio // 2})
            fused = [enlarge(rest, ratio, phase, self.border).add_(sharp).clamp_min_(0) for phase in phases]
            return torch.stack(fused).mean(0)


def taps(ratio: int) -> np.ndarray:
    """Weights (45,) of a sinc whose zeros lie `ratio` pixels apart, under a Hamming window, sum `ratio`."""
    offsets = np.arange(-REACH, REACH + 1)
    weights = np.sinc(offsets / ratio) * np.hamming(len(offsets))
    return ratio * weights / weights.sum()


def enlarge(image: Tensor, ratio: int, phase: int, border: Border) -> Tensor:
    """Bring (B, C, h, w) to (B, C, h r, w r) by `taps`; the samples lie at rows and columns phase, phase + r, ..."""
    reach = _lr_reach(ratio)
    weights = taps(ratio)
    kernels = np.zeros((ratio, 2 * reach + 1))  # of each residue of the HR row or column
    for residue, lr_offset in np.ndindex(kernels.shape):
        offset = residue - phase - ratio * (lr_offset - reach)
        if abs(offset) <= REACH:
            kernels[residue, lr_offset] = weights[offset + REACH]
    rows = torch.from_numpy(kernels).to(image)[:, None, :, None]
    size = len(image), image.shape[1], *(ratio * side for side in image.shape[2:])
    image = framed(image, reach, border).flatten(0, 1)[:, None]
    image = F.conv2d(image, rows).transpose(1, 2).flatten(1, 2)[:, None]
    return F.conv2d(image, rows.mT).permute(0, 2, 3, 1).reshape(size)


def _lr_reach(ratio: int) -> int:
    """LR pixels that the interpolation sees on each side."""
    return (REACH + ratio - 1) // ratio


def _low_pass(hr_msi: Tensor, ratio: int) -> Tensor:
    """MSI (B, c + 1, h, w) as its bands' Gaussian reductions, in float64, and ones."""
    return with_ones(torch.cat([reduce_gaussian(band.double(), ratio) for band in hr_msi.split(1, 1)], 1))


def _gains(lr_hsi: Tensor, low: Tensor, weights: Tensor, ratio: int) -> Tensor:
    """Gains (B, C): covariance of the enlarged HSI bands and intensities over the variance of the latter.

    An intensity is weights @ low; sums of products over periodic enlarged images are those over LR images, one of them
    filtered by the autocorrelation of the taps.
    """
    weighted = _autocorrelated(low, ratio) - ratio**2 * low.mean((2, 3), keepdim=True)
    covariance = (weights * (lr_hsi.flatten(2) @ weighted.flatten(2).mT)).sum(2)
    variance = (weights * (weights @ low.flatten(2) @ weighted.flatten(2).mT)).sum(2)
    power = (weights @ low.flatten(2)).square().sum(2) * ratio**2
    return torch.where(variance > FLAT * power, covariance / variance, 0)


def _autocorrelated(image: Tensor, ratio: int) -> Tensor:
    """Filter (B, c, h, w), periodic, by the autocorrelation of the taps at multiples of the ratio."""
    weights = taps(ratio)
    kernel = torch.from_numpy(np.correlate(weights, weights, "full")[2 * REACH % ratio :: ratio].copy()).to(image)
    image_framed = framed(image, len(kernel) // 2, "wrap").flatten(0, 1)[:, None]
    filtered = F.conv2d(F.conv2d(image_framed, kernel[None, None, :, None]), kernel[None, None, None])
    return filtered.reshape(image.shape)
