"""CNMF, coupled non-negative matrix factorisation: both images are unmixed with common spectra and abundances.

N. Yokoya, T. Yairi, A. Iwasaki, "Coupled Nonnegative Matrix Factorization Unmixing for Hyperspectral and Multispectral
Data Fusion", IEEE Transactions on Geoscience and Remote Sensing 50(2):528-537, 2012, doi:10.1109/TGRS.2011.2161320.
SRF estimate: N. Yokoya, N. Mayumi, A. Iwasaki, IEEE JSTARS 6(2):419-426, 2013. End members: J. M. P. Nascimento,
J. M. Bioucas-Dias, "Vertex component analysis", IEEE TGRS 43(4):898-910, 2005. Official code: the authors'
Python release of April 2016, as in codegaj/py_pansharpening and VytautasPau/HUBenchmark on GitHub, GPL-3.0. It settles
the variant and its constants; none of it is here, the code is written anew.

hr_hsi = W H with spectra W (bands, members) and abundances H (members, pixels), both non-negative; lr_hsi is W times
the reduced H, hr_msi is srf W times H. The PSF is the method's own: a Gaussian with the ratio as full width at half
maximum. `problem.psf` is not used.

Differences from that release:
- a known SRF is used where the problem states one; `estimate_srf` estimates it as they do, with SciPy's non-negative
  least squares, because theirs can run for ever on noise-free scenes;
- their last HR unmixing, whose result is discarded, is left out;
- a ratio with denominator 0 counts as 1; theirs turns the image into NaN where a band or the whole MSI is dark;
- VCA projects clean images on axes of the correlation (the VCA paper's choice), not of the covariance; it clips spectra
  at 0, fixes the sign of the axes and draws from its own generator;
- eigenvalues that are rounding errors do not count in the virtual dimensionality;
- a rejected step is undone in spectra and abundances, theirs in the abundances alone.
"""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from statistics import NormalDist

import torch
from torch import Tensor
from torch.nn import functional as F

from smifbench.errors import UserError
from smifbench.method import FusionMethod
from smifbench.problem import FusionProblem

from ._regression import estimate_srf
from ._resampling import reduce_gaussian
from ._subspace import farthest_pixels, lifted, principal_axes

TOLERANCE = 1e-8
"""An inner step that lowers the cost by less than this fraction is undone and ends the series of steps."""
OUTER_TOLERANCE = 1e-2
"""Outer rounds go on as long as both root mean square errors fall by more than this fraction."""
TILE_BYTES = 16384
"""One band of a tile of pixels: three arrays of 30 such rows stay in the cache of one core."""
RUN_AHEAD = 40
"""Abundance steps that each tile takes before the costs of all tiles are added and looked at."""
TINY = 1e-30
"""Added to numerator and denominator of an abundance step, so that 0/0 becomes 1."""


def virtual_dimension(pixels: Tensor, false_alarm: float = 0.05) -> int:
    """Count eigenvalues of the correlation of (bands, pixels) that lie significantly above the covariance's."""
    bands, count = pixels.shape
    if count == 1:
        return 0
    correlation = torch.linalg.eigvalsh(pixels @ pixels.T / count)
    covariance = torch.linalg.eigvalsh(torch.cov(pixels).reshape(bands, bands))
    deviation = (2 * (correlation**2 + covariance**2) / count).sqrt()
    significant = correlation - covariance > NormalDist().inv_cdf(1 - false_alarm) * deviation
    real = correlation > bands * torch.finfo(pixels.dtype).eps * correlation.max()
    return int((significant & real).sum())


def vca(pixels: Tensor, members: int, generator: torch.Generator) -> Tensor:
    """Vertex component analysis: spectra (bands, members) of the pixels farthest out in random directions.

    Parameters
    ----------
    pixels
        (bands, pixels), non-negative, float64.
    members
        1 to bands; spectra repeat where it exceeds the rank of the pixels.
    generator
        Draws the directions, on the CPU.
    """
    if members == 1:
        return pixels[:, [int(pixels.square().sum(0).argmax())]]
    mean = pixels.mean(1, keepdim=True)
    axes = principal_axes(pixels - mean, members)
    if _snr_db(pixels, mean, axes) > 15 + 10 * math.log(members) + 8:
        mean, axes = torch.zeros_like(mean), principal_axes(pixels, members)
        projected = axes.T @ pixels
        depth = projected.mean(1) @ projected
        simplex = torch.where(depth != 0, projected / depth, 0)
    else:
        axes = axes[:, :-1]
        projected = axes.T @ (pixels - mean)
        simplex = lifted(projected)
    picks = farthest_pixels(simplex, generator)
    return (axes @ projected[:, picks] + mean).clamp_min(0)


def _snr_db(pixels: Tensor, mean: Tensor, axes: Tensor) -> float:
    """Signal to noise in dB where `axes` span the signal; infinite where they leave nothing but rounding errors."""
    power = pixels.square().sum(0).mean()
    signal = (axes.T @ (pixels - mean)).square().sum(0).mean() + mean.square().sum()
    if power - signal <= 1e-12 * power:
        return math.inf
    return 10 * math.log10((signal - axes.shape[1] / axes.shape[0] * power) / (power - signal))


class _Unmixing:
    """The factorisation Y = W H of an image while it is being improved.

    Parameters
    ----------
    image
        Y (bands, pixels), non-negative.
    spectra, abundances
        W (bands, members) in float64 and H (members, pixels), whose precision is that of all work on pixels.
    sum_weight
        Weight of a further row that asks the abundances of each pixel to sum to 1. Spectra and costs ignore it.
    tile_map
        `map` or a parallel one, run over tiles of pixels.
    """

    def __init__(
        self, image: Tensor, spectra: Tensor, abundances: Tensor, *, sum_weight: float, tile_map: Callable
    ) -> None:
        size = TILE_BYTES // abundances.element_size() if image.device.type == "cpu" else image.shape[1]
        constants = image.new_tensor([[sum_weight], [1.0]]).expand(-1, image.shape[1])
        data = torch.cat([image, constants]).to(abundances.dtype)
        self._data = [tile.contiguous() for tile in data.split(size, 1)]
        self._abundances = [tile.contiguous() for tile in abundances.split(size, 1)]
        self._constants = spectra.new_tensor([[sum_weight], [TINY]]).expand(-1, spectra.shape[1])
        self._power = float(image.square().sum())
        self._map = tile_map if len(self._data) > 1 else map
        self.spectra = spectra
        self.cost = math.inf  # |Y - W H|^2 after the last accepted step

    @property
    def abundances(self) -> Tensor:
        """H (members, pixels)."""
        return torch.cat(self._abundances, 1)

    def abundance_steps(self, steps: int) -> None:
        """Improve the abundances alone. The first two steps are never rejected."""
        done = 0
        while done < steps:
            ahead = min(RUN_AHEAD, steps - done)
            tiles, costs, _ = self._advance(self.spectra, ahead)
            candidates = range(max(1, 3 - done), ahead + 1)
            rejected = next((step for step in candidates if _stalls(costs[step - 1], costs[step])), None)
            if rejected:
                tiles, costs, _ = self._advance(self.spectra, rejected - 1)
            self._abundances, self.cost = tiles, costs[-1]
            done = steps if rejected else done + ahead

    def spectra_steps(self, steps: int) -> None:
        """Improve the spectra alone. The first two steps are never rejected."""
        moments = self._advance(self.spectra, 0)[2]
        for step in range(1, steps + 1):
            spectra = _spectra_step(self.spectra, *moments)
            cost = self._cost(spectra, *moments)
            if step > 2 and _stalls(self.cost, cost):
                return
            self.spectra, self.cost = spectra, cost

    def joint_rounds(self, rounds: int, *, spectra_first: bool) -> None:
        """Improve spectra and abundances in turn. Any round may be rejected."""
        moments = self._advance(self.spectra, 0)[2]
        for _ in range(rounds):
            spectra = _spectra_step(self.spectra, *moments) if spectra_first else self.spectra
            tiles, costs, moments = self._advance(spectra, 1)
            cost = costs[-1]
            if not spectra_first:
                spectra = _spectra_step(spectra, *moments)
                cost = self._cost(spectra, *moments)
            if _stalls(self.cost, cost):
                return
            self._abundances, self.spectra, self.cost = tiles, spectra, cost

    def _advance(self, spectra: Tensor, steps: int) -> tuple[list[Tensor], list[float], tuple[Tensor, Tensor]]:
        """Abundances after `steps` steps, the cost before each and after the last, the moments Y H' and H H'."""
        constrained = torch.cat([spectra, self._constants]).to(self._abundances[0])
        advanced = self._map(partial(_advance_tile, constrained, steps), self._data, self._abundances)
        tiles, costs, crossed, squared = zip(*advanced, strict=True)
        return list(tiles), sum(costs).tolist(), (sum(crossed), sum(squared))

    def _cost(self, spectra: Tensor, crossed: Tensor, squared: Tensor) -> float:
        """|Y - W H|^2 from moments. It cancels, so these must be of float64 abundances."""
        return max(0.0, self._power + float((spectra * (spectra @ squared - 2 * crossed)).sum()))


def _advance_tile(spectra: Tensor, steps: int, data: Tensor, abundances: Tensor) -> tuple[Tensor, ...]:
    """Take steps H <- H (W' Y) / (W' W H) on a tile; returns what `_Unmixing._advance` gathers."""
    image, transposed = data[:-2], spectra.T
    numerator = transposed @ data
    model, ratio = torch.ones_like(data), torch.empty_like(numerator)
    abundances = abundances.clone()
    costs = []
    for step in range(steps + 1):
        torch.mm(spectra[:-1], abundances, out=model[:-1])
        costs.append((image - model[:-2]).square().sum(dtype=torch.float64))
        if step < steps:
            torch.mm(transposed, model, out=ratio)  # W' (W H): few bands make it cheaper than (W' W) H
            abundances.mul_(torch.div(numerator, ratio, out=ratio))
    crossed, squared = image @ abundances.T, abundances @ abundances.T
    return abundances, torch.stack(costs), crossed.double(), squared.double()


def _spectra_step(spectra: Tensor, crossed: Tensor, squared: Tensor) -> Tensor:
    """W <- W (Y H') / (W H H')."""
    denominator = spectra @ squared
    return spectra * torch.where(denominator > 0, crossed / denominator, 1)


def _stalls(before: float, after: float) -> bool:
    return before - after < TOLERANCE * after


def couple(
    lr_hsi: Tensor,
    hr_msi: Tensor,
    spectra: Tensor,
    srf: Tensor,
    iterations: int = 200,
    outer: int = 1,
    precision: torch.dtype = torch.float64,
    tile_map: Callable = map,
) -> tuple[Tensor, list[float]]:
    """Fuse one image pair from given end members.

    Parameters
    ----------
    lr_hsi, hr_msi
        (C, H/r, W/r) and (c, H, W), non-negative, float64.
    spectra, srf
        (C, members) and (c, C), non-negative, float64.
    iterations, outer
        Inner steps and outer rounds (the authors' I1 and I2).
    precision
        Of HR abundances and result; the LR image is always unmixed in float64.
    tile_map
        `map` or a parallel one; the result is the same.

    Returns
    -------
    hr_hsi, costs
        (C, H, W), non-negative, and the squared error that each unmixing ended with (LR, HR, LR, ...).
    """
    ratio, lr_size, hr_size = hr_msi.shape[1] // lr_hsi.shape[1], lr_hsi.shape[1:], hr_msi.shape[1:]
    lr_hsi, hr_msi = lr_hsi.flatten(1), hr_msi.flatten(1)
    sum_weight = 2 * math.sqrt(float(hr_msi.mean()) / 0.7455) / len(hr_msi) ** 3
    unmixing = partial(_Unmixing, sum_weight=sum_weight, tile_map=tile_map)
    # Up to three MSI bands cannot carry spectra as well: what follows the first unmixing improves one factor at a time.
    alone, joint = (iterations, iterations - 1) if len(hr_msi) > 3 else (2 * iterations - 1, 0)

    members = spectra.shape[1]
    lr = unmixing(lr_hsi, spectra, lr_hsi.new_full((members, lr_hsi.shape[1]), 1 / members))
    lr.abundance_steps(3 * iterations)
    lr.joint_rounds(iterations - 1, spectra_first=True)
    maps = lr.abundances.unflatten(1, lr_size).to(precision)
    abundances = F.interpolate(maps[None], hr_size, mode="bilinear")[0].flatten(1)
    costs = [lr.cost]
    for _ in range(outer):
        hr = unmixing(hr_msi, srf @ lr.spectra, abundances)
        hr.abundance_steps(alone)
        hr.joint_rounds(joint, spectra_first=True)
        costs.append(hr.cost)
        if _outer_stalls(costs):
            break
        abundances = hr.abundances
        reduced = reduce_gaussian(abundances.unflatten(1, hr_size), ratio).double().flatten(1)
        lr = unmixing(lr_hsi, lr.spectra, reduced)
        lr.spectra_steps(alone)
        lr.joint_rounds(joint, spectra_first=False)
        costs.append(lr.cost)
        if _outer_stalls(costs):
            break
    return (lr.spectra.to(precision) @ abundances).unflatten(1, hr_size), costs


def _outer_stalls(costs: list[float]) -> bool:
    """Whether the root mean square error is hardly below that of the same image's unmixing before."""
    if len(costs) < 3:
        return False
    before, after = math.sqrt(costs[-3]), math.sqrt(costs[-1])
    return before - after <= OUTER_TOLERANCE * after


@contextmanager
def _parallel_tiles() -> Iterator[Callable]:
    """A `map` over as many tiles at a time as torch has threads, with one thread to an operator.

    Operators on 30 rows end too soon to be shared among threads.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            yield pool.map if threads > 1 else map
    finally:
        torch.set_num_threads(threads)


class CNMF(FusionMethod):
    """Coupled non-negative matrix factorisation of the two images; every forward solves anew.

    Parameters
    ----------
    problem
        Its `srf` is used where present and else estimated, its `psf` never used (see the top of this file).
    endmembers
        Number of spectra, 1 to bands. By default the virtual dimensionality, but at least 30, or all bands if fewer.
    iterations
        Inner steps; by default 200, and 75 for a single MSI band.
    outer
        Outer rounds.
    seed
        Of the directions that VCA draws; they are the same for every image.
    estimate_srf
        Estimate the SRF from the images even where the problem states it.

    Raises
    ------
    UserError
        For an option outside its range.
    """

    title = "CNMF"
    citation = "yokoya2012cnmf"
    trainable = False
    halo = None  # all pixels decide the spectra, and when to stop

    def __init__(
        self,
        problem: FusionProblem,
        endmembers: int | None = None,
        iterations: int | None = None,
        outer: int = 1,
        seed: int = 0,
        estimate_srf: bool = False,
    ) -> None:
        super().__init__(problem)
        if iterations is None:
            iterations = 75 if problem.msi_bands == 1 else 200
        if endmembers is not None and not 1 <= endmembers <= problem.bands:
            raise UserError(f"endmembers is {endmembers}; give a number from 1 to the {problem.bands} bands, or None")
        if min(iterations, outer) < 1:
            raise UserError(f"iterations is {iterations} and outer {outer}; both must be 1 or more")
        self.endmembers, self.iterations, self.outer, self.seed = endmembers, iterations, outer, seed
        self.estimate_srf = estimate_srf or problem.srf is None

    @torch.no_grad()
    def forward(self, lr_hsi: Tensor, hr_msi: Tensor) -> Tensor:
        """Fuse (B, C, H/r, W/r) and (B, c, H, W) to (B, C, H, W), non-negative, not clamped at 1, float32 at least."""
        precision = torch.promote_types(torch.promote_types(lr_hsi.dtype, hr_msi.dtype), torch.float32)
        with torch.autocast(hr_msi.device.type, enabled=False), _parallel_tiles() as tile_map:
            pairs = zip(lr_hsi.double(), hr_msi.double(), strict=True)
            return torch.stack([self._solve(*pair, precision, tile_map) for pair in pairs])

    def _solve(self, lr_hsi: Tensor, hr_msi: Tensor, precision: torch.dtype, tile_map: Callable) -> Tensor:
        if self.estimate_srf:
            srf, offsets = estimate_srf(lr_hsi, reduce_gaussian(hr_msi, self.problem.ratio))
            hr_msi = hr_msi - offsets[:, None, None]
        else:
            srf = torch.as_tensor(self.problem.srf).to(lr_hsi)
        lr_hsi, hr_msi = lr_hsi.clamp_min(0), hr_msi.clamp_min(0)
        pixels = lr_hsi.flatten(1)
        members = self.endmembers or max(min(30, len(pixels)), virtual_dimension(pixels))
        spectra = vca(pixels, members, torch.Generator().manual_seed(self.seed))
        return couple(lr_hsi, hr_msi, spectra, srf, self.iterations, self.outer, precision, tile_map)[0]
