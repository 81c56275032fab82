"""How the two images arise from the scene, for solvers that invert it: LR-HSI = A scene, HR-MSI = srf scene.

The scene is taken to be periodic, which makes A A' a filter on the LR grid and many a problem solvable in closed form.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from smifbench.method import FusionMethod
from smifbench.problem import FusionProblem

from ._regression import estimate_srf
from ._resampling import covering, reduce, reduce_double, wide_gaussian


def operators(problem: FusionProblem, lr_hsi: Tensor, hr_msi: Tensor) -> tuple["Blur", Tensor, Tensor]:
    """Return A, SRF (c, C) in float64, and the MSI without the offset of its bands, of images (C, h, w) and (c, H, W).

    Without a known PSF, a Gaussian whose full width at half maximum is the ratio; without a known SRF, non-negative
    least squares at the low resolution, as in CNMF.
    """
    ratio = problem.ratio
    psf = wide_gaussian(ratio) if problem.psf is None else covering(problem.psf, ratio)
    if problem.srf is None:
        srf, offsets = estimate_srf(lr_hsi.double(), reduce_double(hr_msi[None], psf, ratio, "edge")[0])
        hr_msi = hr_msi - offsets.to(hr_msi)[:, None, None]
    else:
        srf = torch.as_tensor(problem.srf, dtype=torch.float64, device=hr_msi.device)
    height, width = lr_hsi.shape[-2:]
    return Blur(psf.to(hr_msi.device), ratio, (height, width)), srf, hr_msi


class Blur:
    """The linear map A from a periodic HR image to its LR pixels, weighted sums over windows centred on their blocks.

    Parameters
    ----------
    psf
        Weights (k, k) in float64, k >= r and k - r even.
    ratio
        r.
    lr_size
        (h, w).
    """

    def __init__(self, psf: Tensor, ratio: int, lr_size: tuple[int, int]) -> None:
        self.psf, self.ratio, self.lr_size = psf, ratio, lr_size
        margin = (len(psf) - ratio) // 2
        self._framed = [
            torch.from_numpy(np.pad(np.arange(ratio * side), margin, mode="wrap")).to(psf.device) for side in lr_size
        ]
        impulse = psf.new_zeros(self.lr_size)
        impulse[0, 0] = 1
        self.impulse_response = self.spread(impulse)
        self.power = torch.fft.rfft2(self.reduce(self.impulse_response)).real.clamp_min(0)  # eigenvalues of A A'

    def reduce(self, image: Tensor) -> Tensor:
        """A: (..., H, W) to (..., h, w)."""
        return reduce(image, self.psf, self.ratio, "wrap")

    def spread(self, image: Tensor) -> Tensor:
        """A', the adjoint: (..., h, w) to (..., H, W)."""
        images, kernel = image.reshape(-1, 1, *self.lr_size), self.psf.to(image)[None, None]
        spread = F.conv_transpose2d(images, kernel, stride=self.ratio)
        for axis, (index, side) in enumerate(zip(self._framed, self.lr_size, strict=True), start=2):
            if len(index) > self.ratio * side:
                size = [*spread.shape]
                size[axis] = self.ratio * side
                spread = spread.new_zeros(size).index_add_(axis, index, spread)
        return spread.reshape(*image.shape[:-2], *spread.shape[-2:])

    def transfer(self) -> Tensor:
        """Squared modulus (H, W/2 + 1) of the blur's transfer function on the HR grid."""
        return torch.fft.rfft2(self.impulse_response).abs().square()

    def nearest(self, lr_image: Tensor, image: Tensor, weights: Tensor) -> Tensor:
        """Argmin over x of |lr_image - A x|^2 + weight |x - image|^2, for every channel with its own weight.

        Parameters
        ----------
        lr_image, image
            (channels, h, w) and (channels, H, W).
        weights
            (channels,), positive, float64.
        """
        missing = torch.fft.rfft2(lr_image.double() - self.reduce(image))
        solved = torch.fft.irfft2(missing / (self.power + weights[:, None, None]), s=self.lr_size)
        return image + self.spread(solved.to(image))


class PairSolver(FusionMethod):
    """Base of methods that solve for one pair at a time: a subclass defines `_solve`."""

    trainable = False

    @torch.no_grad()
    def forward(self, lr_hsi: Tensor, hr_msi: Tensor) -> Tensor:
        """Fuse (B, C, H/r, W/r) and (B, c, H, W) to (B, C, H, W), not clamped, float32 at least."""
        precision = torch.promote_types(torch.promote_types(lr_hsi.dtype, hr_msi.dtype), torch.float32)
        with torch.autocast(hr_msi.device.type, enabled=False):
            pairs = zip(lr_hsi.double(), hr_msi.to(precision), strict=True)
            return torch.stack([self._solve(*pair) for pair in pairs])

    def _solve(self, lr_hsi: Tensor, hr_msi: Tensor) -> Tensor:
        """Fuse (C, H/r, W/r) in float64 and (c, H, W) to (C, H, W) in the precision of `hr_msi`."""
        raise TypeError(f"{type(self).__name__} must define _solve(lr_hsi, hr_msi)")
