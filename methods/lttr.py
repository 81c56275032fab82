"""LTTR, low tensor-train rank: groups of patches alike in the MSI have low rank along each way to unfold them.

R. Dian, S. Li, L. Fang, "Learning a Low Tensor-Train Rank Representation for Hyperspectral Image Super-Resolution",
IEEE Transactions on Neural Networks and Learning Systems 30(9):2672-2683, 2019, doi:10.1109/TNNLS.2018.2885616.
Official code: the authors' version 2.0 of 2018, as in magamig/hif-benchmarking on GitHub, all rights reserved but for
research and education; it settles the variant and its constants, none of it is here, the code is written anew.

ADMM minimises, over the scene Z,

    |lr_hsi - A Z|^2 + |hr_msi - R Z|^2 + weight * sum over groups, unfoldings of share * sum of log(singular values),

where A blurs and decimates a periodic scene and R is the SRF. A group is a stack of patches of 8 x 8 pixels, which
overlap by half. It is unfolded as pixels by the rest, as patches by the rest, and as rows of pixels by the rest. The
share of an unfolding is the root of the most ranks that it can have, over the sum of the three. Each unfolding has a
copy of the scene, in which overlapping patches are averaged. Groups come from k-means on the patches of the MSI.

Differences: singular values are shrunk by eigenvectors of Gram matrices of the short side, at most as large as a patch
or the group. Scenes that patches do not cover are continued by their mirror image, on which the official code fails.
It is given the number of groups; here there is one for every hundred patches, which on 512 x 512 pixels comes to its
demo's. It needs PSF and SRF; for scenes without see `_observation.py`. Groups are drawn by another generator.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from smifbench.errors import UserError
from smifbench.problem import FusionProblem

from ._layers import upsample_bicubic
from ._observation import Blur, PairSolver, operators
from ._resampling import framed

SIDE, STEP = 8, 4
"""Of patches, and from one to the next, in pixels."""
PENALTY = 1e-3
"""Weight with which ADMM ties the scene to its copies."""
PATCHES_A_GROUP = 100
LONGEST = 100
"""Rounds of k-means; it hardly ever takes half of them."""
UNFOLDINGS = ((0, 1), (1,), (2,))
"""Axes of a group (C, patches, rows, columns of pixels) that make the rows of a matrix; the others make its columns."""
FLOOR = 2.2e-16
"""What is added to singular values in the logarithm."""


class LTTR(PairSolver):
    """Least squares for both images, with low rank in groups of similar patches; every forward solves anew.

    Parameters
    ----------
    problem
        Its `psf` and `srf` are used where present; else a Gaussian PSF is assumed and the SRF is estimated.
    groups
        Of patches; by default one for every hundred patches. There are fewer where patches are the same.
    weight
        Of the ranks, for images of values in [0,1]; at least 0.
    iterations
        Steps of ADMM; the error is often least before the last one.
    seed
        Of the patches from which k-means sets out.

    Raises
    ------
    UserError
        For an option outside its range.
    """

    title = "LTTR"
    citation = "dian2019lttr"
    halo = None  # groups take patches from everywhere

    def __init__(
        self,
        problem: FusionProblem,
        groups: int | None = None,
        weight: float = 1e-2,
        iterations: int = 25,
        seed: int = 0,
    ) -> None:
        super().__init__(problem)
        if groups is not None and groups < 1:
            raise UserError(f"groups is {groups}; give 1 or more, or None")
        if not weight >= 0:
            raise UserError(f"weight is {weight}; give 0 or more")
        if iterations < 1:
            raise UserError(f"iterations is {iterations}; give 1 or more")
        self.groups, self.weight, self.iterations, self.seed = groups, weight, iterations, seed

    def _solve(self, lr_hsi: Tensor, hr_msi: Tensor) -> Tensor:
        # Columns of patches come first: the official code's order.
        features = patches(hr_msi.double()).permute(2, 1, 0, 3, 4).flatten(0, 1).flatten(1)
        groups = self.groups or max(1, round(len(features) / PATCHES_A_GROUP))
        labels = k_means(features, groups, torch.Generator().manual_seed(self.seed))
        blur, srf, hr_msi = operators(self.problem, lr_hsi, hr_msi)
        return solve(lr_hsi, hr_msi, blur, srf, labels, self.weight, self.iterations)


def patches(image: Tensor) -> Tensor:
    """View (C, H, W), continued by its mirror image where need be, as patches (C, rows of patches, columns, 8, 8)."""
    for axis in (1, 2):
        side = image.shape[axis]
        beyond = max(SIDE, -(-side // STEP) * STEP) - side
        index = np.pad(np.arange(side), (0, beyond), mode="symmetric")
        image = image if beyond == 0 else image.index_select(axis, torch.from_numpy(index).to(image.device))
    return image.unfold(1, SIDE, STEP).unfold(2, SIDE, STEP)


def averaged(stacks: Tensor, size: Sequence[int]) -> Tensor:
    """Put patches (C, rows, columns, 8, 8) back to (C, *size); pixels are means over the patches on them."""
    channels, rows, columns = stacks.shape[:3]
    cells = stacks.new_zeros(channels, rows + 1, STEP, columns + 1, STEP)
    count = stacks.new_zeros(rows + 1, 1, columns + 1, 1)
    for down, right in np.ndindex(2, 2):
        window = slice(down, down + rows), slice(None), slice(right, right + columns)
        quarter = stacks[..., down * STEP : (down + 1) * STEP, right * STEP : (right + 1) * STEP]
        cells[:, *window] += quarter.transpose(2, 3)
        count[window] += 1
    return (cells / count).flatten(3, 4).flatten(1, 2)[:, : size[0], : size[1]]


def k_means(points: Tensor, clusters: int, generator: torch.Generator) -> Tensor:
    """Labels (n,) of points (n, features), 0 upwards without a gap: k-means, seeded far apart (k-means++).

    The generator draws on the CPU.
    """
    centres = points[[int(torch.randint(len(points), (), generator=generator))]]
    distances = points.new_full((len(points),), math.inf)
    while len(centres) < clusters:
        distances = torch.minimum(distances, (points - centres[-1]).square().sum(1))
        mass = distances.cumsum(0)
        if mass[-1] <= 0:  # the others are all the same as a centre
            break
        drawn = torch.rand((), generator=generator, dtype=torch.float64).to(mass) * mass[-1]
        chosen = int(torch.searchsorted(mass, drawn, right=True).clamp_max(len(points) - 1))
        centres = torch.cat([centres, points[[chosen]]])
    labels = _nearest(points, centres)
    for _ in range(LONGEST - 1):
        members = F.one_hot(labels).to(points)
        centres = members.T @ points / members.sum(0)[:, None]
        before, labels = labels, _nearest(points, centres)
        if torch.equal(labels, before):
            break
    return labels


def _nearest(points: Tensor, centres: Tensor) -> Tensor:
    """Number of each point's nearest centre, counted among the centres that are any point's nearest."""
    nearest = (centres.square().sum(1) - 2 * points @ centres.T).argmin(1)
    return nearest.unique(return_inverse=True)[1]


def solve(
    lr_hsi: Tensor, hr_msi: Tensor, blur: Blur, srf: Tensor, labels: Tensor, weight: float, iterations: int
) -> Tensor:
    """Scene (C, H, W) after so many steps of ADMM from the enlarged LR-HSI, in the precision of the MSI.

    Parameters
    ----------
    lr_hsi, hr_msi
        (C, h, w) in float64 and (c, H, W).
    blur, srf
        What A does, and R (c, C) in float64.
    labels
        Group of every patch, column by column of patches.
    weight, iterations
        As in `LTTR`.
    """
    rows = patches(hr_msi).shape[1]
    members = [torch.nonzero(labels == label)[:, 0] for label in range(int(labels.max()) + 1)]
    groups = [(indices % rows, indices // rows) for indices in members]
    curvature = srf.T @ srf + len(UNFOLDINGS) * PENALTY * torch.eye(len(lr_hsi)).to(srf)
    weights, directions = torch.linalg.eigh(curvature)
    lr_rotated, from_msi = _mix(directions.T, lr_hsi), _mix(srf.T, hr_msi)
    pull = len(UNFOLDINGS) * enlarged(lr_hsi, blur.ratio).to(hr_msi)  # sum of the copies and their multipliers
    multipliers = [torch.zeros_like(pull) for _ in UNFOLDINGS]
    for remaining in reversed(range(iterations)):
        guess = _mix(directions.T / weights[:, None], pull.mul_(PENALTY).add_(from_msi))
        scene = _mix(directions, blur.nearest(lr_rotated, guess, weights))
        if remaining:
            pull.zero_()
            for unfolding, multiplier in enumerate(multipliers):
                copy = low_rank(scene - multiplier, groups, unfolding, weight / (2 * PENALTY))
                multiplier += copy
                multiplier -= scene
                pull += copy
                pull += multiplier
    return scene


def enlarged(lr_hsi: Tensor, ratio: int) -> Tensor:
    """Bring (C, h, w) to (C, H, W) by cubic convolution, which sees the mirror image beyond the border."""
    wide = framed(lr_hsi, 2, "symmetric")
    height, width = (ratio * side for side in wide.shape[1:])
    inside = slice(2 * ratio, -2 * ratio)
    return upsample_bicubic(wide[None], (height, width))[0, :, inside, inside]


def low_rank(image: Tensor, groups: Sequence[tuple[Tensor, Tensor]], unfolding: int, strength: float) -> Tensor:
    """Lower the rank that groups of patches of (C, H, W) have along one unfolding.

    Parameters
    ----------
    image
        Any values.
    groups
        Rows and columns of patches in each group.
    unfolding
        Number of one of `UNFOLDINGS`.
    strength
        By which singular values are shrunk, times the unfolding's share.
    """
    stacks = patches(image)
    result = torch.empty(stacks.shape, dtype=image.dtype, device=image.device)
    axes = UNFOLDINGS[unfolding]
    order = [*axes, *(axis for axis in range(4) if axis not in axes)]
    for group in groups:
        stack = stacks[:, *group]
        roots = [math.sqrt(_most_ranks(stack.shape, axes)) for axes in UNFOLDINGS]
        unfolded = stack.permute(order)
        shrunk = _shrink(unfolded.flatten(len(axes)).flatten(0, -2), strength * roots[unfolding] / sum(roots))
        result[:, *group] = shrunk.reshape(unfolded.shape).permute(*np.argsort(order).tolist())
    return averaged(result, image.shape[1:])


def _most_ranks(shape: Sequence[int], axes: tuple[int, ...]) -> int:
    rows = math.prod(shape[axis] for axis in axes)
    return min(rows, math.prod(shape) // rows)


def _shrink(matrix: Tensor, threshold: float) -> Tensor:
    """Shrink the singular values of (m, n) by the logarithm's rule: those below 2 sqrt(threshold) vanish."""
    wide = matrix.shape[0] <= matrix.shape[1]
    gram = matrix @ matrix.T if wide else matrix.T @ matrix
    squares, directions = torch.linalg.eigh(gram.double())
    values = squares.clamp_min(0).sqrt()
    kept = shrunk_values(values, threshold)
    directions, gains = (chosen.to(matrix) for chosen in (directions[:, kept > 0], (kept / values)[kept > 0]))
    if wide:
        return (directions * gains) @ (directions.T @ matrix)
    return (matrix @ directions) @ (directions * gains).T


def shrunk_values(values: Tensor, threshold: float) -> Tensor:
    """Minimum over x >= 0 of (x - value)^2 / 2 + threshold * log(x + FLOOR), or 0 where there is none but at 0."""
    discriminant = (values - FLOOR) ** 2 - 4 * (threshold - FLOOR * values)
    return torch.where(discriminant > 0, (values - FLOOR + discriminant.clamp_min(0).sqrt()) / 2, 0)


def _mix(weights: Tensor, image: Tensor) -> Tensor:
    """Apply a matrix to every pixel of (channels, H, W)."""
    return torch.tensordot(weights.to(image), image, 1)
