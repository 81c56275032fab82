"""HySure, hyperspectral superresolution: vector total variation on the coefficients of end members.

M. Simoes, J. Bioucas-Dias, L. B. Almeida, J. Chanussot, "A Convex Formulation for Hyperspectral Image Superresolution
via Subspace-Based Regularization", IEEE Transactions on Geoscience and Remote Sensing 53(6):3373-3388, 2015,
doi:10.1109/TGRS.2014.2375320. End members: J. M. P. Nascimento, J. M. Bioucas-Dias, "Vertex component analysis", IEEE
TGRS 43(4):898-910, 2005. Official code: alfaiate/HySure on GitHub, GPL-3.0, with the sampling of the toolbox of the
2017 review. It settles the variant and its constants; none of it is here, the code is written anew.

The scene is E z with spectra E and coefficients z. Both images divided by the LR-HSI's maximum, z minimises

    |lr_hsi - A E z|^2 / 2 + |hr_msi - R E z|^2 / 2 + smoothness * sum over pixels of |D z|,

where A blurs and decimates a periodic scene, R is the SRF, and |D z| is the norm of the differences of all coefficients
to the pixel's right and lower neighbours. ADMM takes a fixed number of steps; E z is then projected on the leading
singular vectors of the LR-HSI.

ADMM splits z into four copies: blurred, as it is, and its two differences. The multiplier of the blurred copy is 0 off
the sampled pixels, so that here it lives on the LR grid, and one Fourier transform of z each way makes a step.

Differences: the official code estimates PSF and SRF; here see `_observation.py`. It draws end members from MATLAB's
generator.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from smifbench.errors import UserError
from smifbench.problem import FusionProblem

from ._observation import Blur, PairSolver, operators
from ._subspace import farthest_pixels, lifted, principal_axes

PENALTY = 0.05
"""Weight with which ADMM ties z to its copies."""
AXES = (1, 2)
"""Rows and columns of (channels, H, W)."""
DRAWS = 20
"""Sets of end members that are drawn; the one of the largest volume is kept."""


class HySure(PairSolver):
    """Few spectra from the LR-HSI, whose maps explain both images and are piecewise smooth; every forward solves anew.

    Parameters
    ----------
    problem
        Its `psf` and `srf` are used where present; else a Gaussian PSF is assumed and the SRF is estimated.
    endmembers
        Number of spectra, 1 to bands. By default 10, or all bands if fewer.
    smoothness
        Weight of the total variation for images of maximum 1, at least 0.
    iterations
        Steps of ADMM.
    seed
        Of the directions in which end members are sought; they are the same for every image.

    Raises
    ------
    UserError
        For an option outside its range.
    """

    title = "HySure"
    citation = "simoes2015hysure"
    halo = None  # every step sees the whole scene

    def __init__(
        self,
        problem: FusionProblem,
        endmembers: int | None = None,
        smoothness: float = 5e-4,
        iterations: int = 200,
        seed: int = 0,
    ) -> None:
        super().__init__(problem)
        if endmembers is not None and not 1 <= endmembers <= problem.bands:
            raise UserError(f"endmembers is {endmembers}; give a number from 1 to the {problem.bands} bands, or None")
        if not smoothness >= 0:
            raise UserError(f"smoothness is {smoothness}; give 0 or more")
        if iterations < 1:
            raise UserError(f"iterations is {iterations}; give 1 or more")
        self.endmembers = endmembers or min(10, problem.bands)
        self.smoothness, self.iterations, self.seed = smoothness, iterations, seed

    def _solve(self, lr_hsi: Tensor, hr_msi: Tensor) -> Tensor:
        scale = float(lr_hsi.max())
        if scale <= 0:
            return hr_msi.new_zeros(len(lr_hsi), *hr_msi.shape[1:])
        lr_hsi, hr_msi = lr_hsi / scale, hr_msi / scale
        blur, srf, hr_msi = operators(self.problem, lr_hsi, hr_msi)
        spectra = end_members(lr_hsi.flatten(1), self.endmembers, torch.Generator().manual_seed(self.seed))
        maps = coefficients(lr_hsi, hr_msi, spectra, blur, srf, self.smoothness, self.iterations)
        return scale * synthesise(lr_hsi, spectra, maps)


def end_members(pixels: Tensor, members: int, generator: torch.Generator) -> Tensor:
    """Spectra (bands, members) of pixels far out in random directions, projected on the affine set of that dimension.

    Parameters
    ----------
    pixels
        (bands, pixels), float64.
    members
        1 to bands; spectra repeat where it exceeds the rank of the pixels.
    generator
        Draws the directions, on the CPU.
    """
    if members == 1:
        return pixels[:, [int(pixels.square().sum(0).argmax())]]
    mean = pixels.mean(1, keepdim=True)
    axes = principal_axes(pixels - mean, members - 1)
    projected = axes.T @ (pixels - mean)
    simplex = lifted(projected)
    draws = [axes @ projected[:, farthest_pixels(simplex, generator)] + mean for _ in range(DRAWS)]
    return max(draws, key=lambda spectra: float(torch.linalg.slogdet(spectra.T @ spectra).logabsdet))


def coefficients(
    lr_hsi: Tensor,
    hr_msi: Tensor,
    spectra: Tensor,
    blur: Blur,
    srf: Tensor,
    smoothness: float,
    iterations: int,
) -> Tensor:
    """Maps (p, H, W) of the end members after so many steps of ADMM from 0, in the precision of the MSI.

    Parameters
    ----------
    lr_hsi, hr_msi
        (C, h, w) in float64 and (c, H, W), of maximum 1 or so.
    spectra, srf
        (C, p) and (c, C), float64.
    blur
        What A does.
    smoothness, iterations
        As in `HySure`.
    """
    size, threshold = hr_msi.shape[1:], smoothness / PENALTY
    tiny = max(threshold, torch.finfo(hr_msi.dtype).tiny)
    lr_known, lr_kept = _least_squares(spectra, lr_hsi)
    known, kept = _least_squares(srf @ spectra, hr_msi)
    blurred = blur.transfer()
    curvature = blurred + 1 + _squared_differences(size).to(blurred)
    blurred, inverse = blurred.to(hr_msi), (1 / curvature).to(hr_msi)

    pull = torch.zeros_like(known)  # sum of the copies and their multipliers, brought back to where z is
    spectrum = torch.fft.rfft2(pull)
    lr_dual, dual = torch.zeros_like(lr_known), torch.zeros_like(known)
    excess = [torch.zeros_like(known) for _ in AXES]  # what the threshold cuts off differences: minus their multiplier
    for _ in range(iterations):
        spectrum = (spectrum * blurred + torch.fft.rfft2(pull)) * inverse
        maps = torch.fft.irfft2(spectrum, s=size)

        seen = blur.reduce(maps).double()
        wanted = seen - lr_dual
        copy = lr_known + _mix(lr_kept, wanted)
        lr_dual = copy - wanted
        pull = blur.spread((copy + lr_dual - seen).to(pull))

        wanted = torch.sub(maps, dual, out=dual)
        copy = known + _mix(kept, wanted)
        pull += copy
        pull += torch.sub(copy, wanted, out=dual)

        steps = [maps.roll(-1, axis).neg_().add_(maps).add_(above) for axis, above in zip(AXES, excess, strict=True)]
        cut = threshold / sum(step.square().sum(0) for step in steps).sqrt_().clamp_min_(tiny)
        for axis, step, above in zip(AXES, steps, excess, strict=True):
            torch.mul(step, cut, out=above)
            pull += step.sub_(above, alpha=2)
            pull -= step.roll(1, axis)
    return maps


def synthesise(lr_hsi: Tensor, spectra: Tensor, maps: Tensor) -> Tensor:
    """Scene (C, H, W) of the end members' maps, projected on as many leading singular vectors of the LR-HSI."""
    axes = principal_axes(lr_hsi.flatten(1), spectra.shape[1])
    return _mix(axes @ (axes.T @ spectra), maps)


def _least_squares(mixing: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
    """K and P of the z nearest to `wanted` that explains `image` by `mixing` z: z = K + P wanted."""
    inverse = torch.linalg.inv(mixing.T @ mixing + PENALTY * torch.eye(mixing.shape[1]).to(mixing))
    return _mix(inverse @ mixing.T, image), PENALTY * inverse


def _squared_differences(size: Sequence[int]) -> Tensor:
    """Squared moduli (H, W/2 + 1), added, of the transfer functions of differences along both axes."""
    rows, columns = size
    along_rows = 4 * torch.sin(torch.pi * torch.fft.fftfreq(rows, dtype=torch.float64)) ** 2
    along_columns = 4 * torch.sin(torch.pi * torch.fft.rfftfreq(columns, dtype=torch.float64)) ** 2
    return along_rows[:, None] + along_columns


def _mix(weights: Tensor, image: Tensor) -> Tensor:
    """Apply a matrix to every pixel of (channels, H, W)."""
    return torch.tensordot(weights.to(image), image, 1)
