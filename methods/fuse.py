"""FUSE, fusion in closed form: the most probable scene under a Gaussian prior, which solves a Sylvester equation.

Q. Wei, N. Dobigeon, J.-Y. Tourneret, "Fast Fusion of Multi-Band Images Based on Solving a Sylvester Equation", IEEE
Transactions on Image Processing 24(11):4109-4121, 2015, doi:10.1109/TIP.2015.2458572; solver: Q. Wei, N. Dobigeon,
J.-Y. Tourneret, J. Bioucas-Dias, S. Godsill, "R-FUSE: Robust Fast Fusion of Multiband Images Based on Solving a
Sylvester Equation", IEEE Signal Processing Letters 23(11):1632-1636, 2016. Official code: qw245/BlindFuse on GitHub,
GPL-2.0; basis, prior and interpolation as in magamig/hif-benchmarking (GPL-2.0). They settle the variant and its
constants; none of it is here, the code is written anew.

The scene is V a, with V the principal axes of the LR-HSI (mean not removed) and variances L along them. With A the
blur and decimation of a periodic scene and R the SRF, a minimises

    |lr_hsi - A V a|^2 + |hr_msi - R V a|^2 + prior * sum (a - a0)^2 / L,

where a0 is the LR-HSI enlarged by cubic splines. The last two terms are first brought together, pixel by pixel, to
one quadratic form around the best a that they give; in its eigenvectors the first term then is a filter on the LR grid.

Differences: the official code multiplies images by 1e4 and weighs the prior by 1e-3, which is `prior` = 1e-11 here; it
solves one system for all three terms in the Fourier domain of the HR grid, with products as far apart as 1e8; axes
whose variance is a rounding error are left out, it divides by them. Without a known PSF or SRF it estimates them; here
see `_observation.py`.
"""

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

from smifbench.errors import UserError
from smifbench.problem import FusionProblem

from ._observation import PairSolver, operators
from ._subspace import principal_axes


class FUSE(PairSolver):
    """The minimum of a quadratic cost in a subspace, in closed form; every forward solves anew.

    Parameters
    ----------
    problem
        Its `psf` and `srf` are used where present; else a Gaussian PSF is assumed and the SRF is estimated.
    dimensions
        Of the subspace, at most as many as there are bands.
    prior
        Weight of the prior, positive: the ratio of the noise's variance, in the images' units, to that of the prior,
        which is that of the scene along each axis. For noise of standard deviation s give s**2 or more.

    Raises
    ------
    UserError
        For an option outside its range.
    """

    title = "FUSE"
    citation = "wei2015fuse"
    halo = None  # a filter without end on the LR grid

    def __init__(self, problem: FusionProblem, dimensions: int = 15, prior: float = 1e-11) -> None:
        super().__init__(problem)
        if dimensions < 1:
            raise UserError(f"dimensions is {dimensions}; give 1 or more")
        if not prior > 0:
            raise UserError(f"prior is {prior}; give a positive number")
        self.dimensions, self.prior = dimensions, prior

    def _solve(self, lr_hsi: Tensor, hr_msi: Tensor) -> Tensor:
        blur, srf, hr_msi = operators(self.problem, lr_hsi, hr_msi)
        axes, variances = subspace(lr_hsi.flatten(1), self.dimensions)
        if not len(variances):  # all is dark
            return hr_msi.new_zeros(len(lr_hsi), *hr_msi.shape[1:])
        lr_image = _mix(axes.T, lr_hsi)
        mean = prior_mean(lr_image, self.problem.ratio).to(hr_msi)
        response = srf @ axes
        # The best guess from MSI and prior alone, pixel by pixel.
        gain = variances[:, None] * response.T
        gain = gain @ torch.linalg.inv(response @ gain + self.prior * torch.eye(len(srf)).to(srf))
        guess = mean + _mix(gain, hr_msi - _mix(response, mean))
        weights, directions = torch.linalg.eigh(response.T @ response + torch.diag(self.prior / variances))
        solved = blur.nearest(_mix(directions.T, lr_image), _mix(directions.T, guess), weights)
        return _mix(axes @ directions, solved)


def subspace(pixels: Tensor, dimensions: int) -> tuple[Tensor, Tensor]:
    """Principal axes (bands, d) of (bands, pixels), mean not removed, and the second moments (d,) along them.

    d is at most `dimensions`, and less where moments are rounding errors.
    """
    axes = principal_axes(pixels, dimensions)
    moments = (axes.T @ pixels).square().mean(1)
    real = moments > len(pixels) * torch.finfo(pixels.dtype).eps * moments.max()
    return axes[:, real], moments[real]


def prior_mean(lr_image: Tensor, ratio: int) -> Tensor:
    """Enlarge (d, h, w) by cubic splines to (d, H, W).

    The samples lie on the pixels before the centres of their blocks, or on these where the ratio is odd. Rows above the
    first sample, and columns left of it, are those that follow the last one.
    """
    rows, columns = (_spline(side, ratio).to(lr_image) for side in lr_image.shape[1:])
    phase = (ratio - 1) // 2
    return (rows @ lr_image @ columns.T).roll((phase, phase), (1, 2))


def _spline(samples: int, ratio: int) -> Tensor:
    """Matrix (samples * ratio, samples) of a not-a-knot cubic spline through samples and a mirrored one at each end."""
    mirrored = np.pad(np.eye(samples), ((1, 1), (0, 0)), mode="symmetric")
    return torch.from_numpy(CubicSpline(range(-1, samples + 1), mirrored)(np.arange(samples * ratio) / ratio))


def _mix(weights: Tensor, image: Tensor) -> Tensor:
    """Apply a matrix to every pixel of (channels, H, W)."""
    return torch.tensordot(weights.to(image), image, 1)
