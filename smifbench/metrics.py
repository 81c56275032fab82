"""Quality of a fused image against its reference, in two conventions.

The convention "wald" holds the usual definitions: `psnr`, `mpsnr`, `ssim`, `sam`, `rase`, `rmse`, `ergas`, `uiqi`,
`q2n`, `cc`, `scc`, and the agreement with the two images that were fused, `spectral_consistency` and
`spatial_consistency`. The convention "paper" (the functions `paper_*`) holds the formulas behind Tables 1-3 of the
SMIF-NET paper, as far as their numbers show them: there, RASE is four times ERGAS at both ratios, and the tangent of
SAM is proportional to RMSE. The public code of MSST-Net has these formulas. Values of the two conventions must not be
compared.

All images are (C, H, W), bands first, nominally in [0,1]. All arithmetic is in float64 and goes band by band, so that
it needs the memory of a few bands. Every function raises UserError when the two shapes differ, when the axes look like
(H, W, C), or when a value is NaN or infinite. A value that an image leaves undefined is NaN. Only `score` clamps the
estimate; a single function takes the values as they are.
"""

import inspect
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage, sparse

from smifbench.errors import UserError

GAUSSIAN = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
GAUSSIAN /= GAUSSIAN.sum()
UNIFORM = np.full(7, 1 / 7)
UIQI_WINDOW = np.full(8, 1 / 8)
Q2N_BLOCK = 32
"""Side of the blocks of `q2n` in pixels."""
ROUNDING = 1e-13
"""Variance of a window, as a share of its squared mean, that a difference of sums over windows cannot tell from 0."""
FLAT = 1e-10
"""Deviation, as a share of the values' magnitude, up to which values are alike but for rounding."""
MOST_BANDS = 300
"""An image whose first side is longer than this, and longer than twice its last, is taken for one with bands last."""
STRIP = 2**17
"""Values of an image that SSIM handles at once: 1 MiB in float64, which stays in a processor's cache."""

Function = TypeVar("Function", bound=Callable[..., float])

CONVENTIONS = {"wald": "", "paper": "paper_"}
"""The conventions, and how the names of their metrics begin."""


@dataclass(frozen=True)
class Metric:
    """A metric: the function that computes it, and how it is printed."""

    name: str
    """Name of the function, and of the column in tables of results."""
    function: Callable[..., float]
    """Takes of `score`'s arguments what its parameters name. One that takes `missing` looks at windows of the whole
    image, any other one that takes the reference at valid pixels alone."""
    symbol: str
    """Its name in print, such as "PSNR"; the same in both conventions."""
    unit: str
    """Unit in print, or ""."""
    higher_better: bool
    digits: int
    """Decimals in print, those of the published tables."""
    convention: str
    """A key of `CONVENTIONS`."""
    parameters: tuple[str, ...]
    """Names of the function's parameters."""

    @property
    def label(self) -> str:
        """Its name in print where both conventions may stand, such as "PSNR (paper)"."""
        return f"{self.symbol} (paper)" if self.convention == "paper" else self.symbol


METRICS: dict[str, Metric] = {}
"""Every metric by its name, in the order of the columns. The decorator `metric` fills it."""


def metric(symbol: str, unit: str = "", *, higher_better: bool = False, digits: int) -> Callable[[Function], Function]:
    """Enter the decorated function in `METRICS`; the parameters are fields of `Metric`."""

    def enter(function: Function) -> Function:
        name = function.__name__
        convention = "paper" if name.startswith(CONVENTIONS["paper"]) else "wald"
        parameters = tuple(inspect.signature(function).parameters)
        METRICS[name] = Metric(name, function, symbol, unit, higher_better, digits, convention, parameters)
        return function

    return enter


@dataclass(frozen=True, eq=False)
class Observed:
    """One of the two images that were fused, and how it follows from a scene."""

    image: np.ndarray
    """LR-HSI (C, H/r, W/r) or HR-MSI (c, H, W), in the reference's units."""
    model: Callable[[np.ndarray], np.ndarray]
    """Makes of a scene (C, H, W) what the sensor would have seen of it without noise, an image like `image`."""
    missing: np.ndarray | None = None
    """True where a pixel of the image does not count, (H/r, W/r) or (H, W); None where all do."""


def score(
    reference: ArrayLike,
    estimate: ArrayLike,
    ratio: float,
    missing: ArrayLike | None = None,
    lr_hsi: Observed | None = None,
    hr_msi: Observed | None = None,
) -> dict[str, float]:
    """Compute every metric of both conventions from one prediction.

    Parameters
    ----------
    reference
        True HR-HSI (C, H, W), values in [0,1].
    estimate
        Fused image (C, H, W), any finite values; clamped to [0,1] first, as all values of a scaled image lie there.
    ratio
        Spatial ratio r between the two fused images; only `ergas` depends on it.
    missing
        (H, W), true where the reference has no value: those pixels count in no metric. Metrics of windows (`ssim`,
        `uiqi`, `q2n`, `scc`) leave out every window that touches one. None where every pixel has a value.
    lr_hsi, hr_msi
        The images that were fused; without one of them its consistency is left out.

    Returns
    -------
    dict
        A float for each of `METRICS` under its name, and `sam_excluded`, the number of pixels that `sam` leaves out. An
        image equal to its reference has `psnr` inf, which tables print as ∞.

    Raises
    ------
    UserError
        As in all functions here, and when the reference leaves [0,1] by more than rounding.
    """
    truth, result = _checked(reference, estimate)
    low, high = float(truth.min()), float(truth.max())
    if low < -1e-6 or high > 1 + 1e-6:
        raise UserError(f"the reference has values from {low:g} to {high:g}; scale both images to [0,1] before scoring")
    result = np.clip(result, 0, 1)
    valid_truth, valid_result = valid_pixels(truth, missing), valid_pixels(result, missing)
    whole = {"reference": truth, "estimate": result, "missing": missing}
    pixels = {"reference": valid_truth, "estimate": valid_result, "ratio": ratio}
    fused = {"estimate": result, "lr_hsi": lr_hsi, "hr_msi": hr_msi}
    values = {}
    for name, each in METRICS.items():
        taken = whole if "missing" in each.parameters else pixels if "reference" in each.parameters else fused
        if all(taken[parameter] is not None for parameter in each.parameters if parameter != "missing"):
            values[name] = each.function(**{parameter: taken[parameter] for parameter in each.parameters})
    return values | {"sam_excluded": float(sam_excluded(valid_truth, valid_result))}


def valid_pixels(image: ArrayLike, missing: ArrayLike | None) -> np.ndarray:
    """Return an image (C, H, W) as it is, or its pixels that are not `missing` (H, W) as an image of one row (C, 1, n).

    A metric that looks at pixels one by one has the same value on both forms. Raises UserError where the mask has other
    sides or leaves no pixel.
    """
    image = np.asarray(image)
    if missing is None:
        return image
    valid = ~np.asarray(missing, bool)
    if valid.shape != image.shape[1:]:
        raise UserError(f"the mask of missing pixels has shape {valid.shape} and the image {image.shape[1:]}")
    if not valid.any():
        raise UserError("every pixel is missing, so nothing can be measured")
    return image[:, None, valid]


@metric("PSNR", "dB", higher_better=True, digits=2)
def psnr(reference: ArrayLike, estimate: ArrayLike) -> float:
    """Peak signal-to-noise ratio in dB, peak 1, one mean squared error over the cube: -10 log10(MSE).

    Higher is better; inf for identical images.
    """
    return _decibels(1.0, _band_mse(reference, estimate).mean())


@metric("mPSNR", "dB", higher_better=True, digits=2)
def mpsnr(reference: ArrayLike, estimate: ArrayLike) -> float:
    """Mean over bands of the band's PSNR in dB, peak 1: mean_b(-10 log10(MSE_b)).

    Higher is better, never below `psnr`. One band without any error makes it inf.
    """
    return float(np.mean([_decibels(1.0, mse) for mse in _band_mse(reference, estimate)]))


@metric("SSIM", higher_better=True, digits=4)
def ssim(reference: ArrayLike, estimate: ArrayLike, missing: ArrayLike | None = None) -> float:
    """Structural similarity, the mean over pixels and bands; at most 1, higher is better.

    Wang et al., IEEE TIP 2004: 11 x 11 Gaussian window of sigma 1.5, population covariance, K1 = 0.01, K2 = 0.03, range
    1, and only windows that lie inside the image (H - 10 by W - 10 of them) and touch none of the `missing` pixels
    (H, W). NaN when there is no such window.
    """
    index = partial(_ssim_map, window=GAUSSIAN, data_range=1.0)
    return _mean_of_windows(reference, estimate, len(GAUSSIAN), index, missing)


@metric("SAM", "°", digits=3)
def sam(reference: ArrayLike, estimate: ArrayLike) -> float:
    """Spectral angle in degrees, the mean over pixels of `arccos(<x, y> / (|x| |y|))`; 0 to 180, lower is better.

    A pixel whose spectrum is zero in the reference has no angle and is left out (`sam_excluded` counts them); NaN when
    none remains. One that is zero in the estimate alone counts 90 degrees, the most between spectra that are not
    negative: that is our choice, so that losing a pixel, by clamping say, never pays. A positive gain on a pixel does
    not change it.
    """
    inner, norms, power = _spectral_products(reference, estimate)
    if not power.any():
        return math.nan
    cosines = np.divide(inner, norms, out=np.zeros_like(inner), where=norms > 0)[power > 0]
    return float(np.degrees(np.arccos(np.clip(cosines, -1, 1))).mean())


def sam_excluded(reference: ArrayLike, estimate: ArrayLike) -> int:
    """Number of pixels without a spectral angle: all bands zero in the reference."""
    return int(np.count_nonzero(_spectral_products(reference, estimate)[2] == 0))


@metric("RASE", "%", digits=3)
def rase(reference: ArrayLike, estimate: ArrayLike) -> float:
    """Relative average spectral error in percent: 100 / M * sqrt(mean_b(MSE_b)), M the reference's mean over all bands.

    Lower is better; NaN for a reference that is zero everywhere. Choi, IEEE GRSL 2006, over whole bands; sewar's
    function of that name averages over sliding windows instead.
    """
    return 100 * _relative_rmse(reference, estimate)


@metric("RMSE", digits=4)
def rmse(reference: ArrayLike, estimate: ArrayLike) -> float:
    """Root of the mean squared error over the cube, in the image's unit; 0 for identical images."""
    return float(np.sqrt(_band_mse(reference, estimate).mean()))


@metric("ERGAS", digits=4)
def ergas(reference: ArrayLike, estimate: ArrayLike, ratio: float) -> float:
    """Wald's dimensionless global error: 100 / r * sqrt(mean_b(MSE_b / M_b^2)), M_b the reference's mean in band b.

    Lower is better; NaN when a band of the reference is zero everywhere (leave such a band out of the data). Wald, Data
    Fusion: Definitions and Architectures, 2002. `ratio` r is that of the fused images, so ERGAS halves when it doubles.
    """
    if not ratio > 0:
        raise UserError(f"ratio must be positive, not {ratio!r}")
    mse, means = _band_mse(reference, estimate), _band_means(reference)
    return float(100 / ratio * np.sqrt(np.mean(mse / means**2))) if means.all() else math.nan


@metric("UIQI", higher_better=True, digits=4)
def uiqi(reference: ArrayLike, estimate: ArrayLike, missing: ArrayLike | None = None) -> float:
    """Universal image quality index, the mean over windows and bands; in [-1, 1], higher is better.

    Z. Wang, A. C. Bovik, "A Universal Image Quality Index", IEEE Signal Processing Letters 9(3):81-84, 2002: windows of
    8 x 8 pixels that move by one pixel, inside the image (H - 7 by W - 7 of them), without those that touch one of the
    `missing` pixels (H, W); NaN when none is left. A quotient 0/0 counts as 1: two flat windows differ by their means
    alone. It is `ssim` without its constants, so a window in which the reference hardly varies can cost much.
    """
    return _mean_of_windows(reference, estimate, len(UIQI_WINDOW), _uiqi_map, missing)


@metric("Q2n", higher_better=True, digits=4)
def q2n(reference: ArrayLike, estimate: ArrayLike, missing: ArrayLike | None = None) -> float:
    """Hypercomplex quality index, the mean over blocks: `uiqi` of all bands at once; in [0, 1], higher is better.

    A. Garzelli, F. Nencini, "Hypercomplex Quality Assessment of Multi/Hyperspectral Images", IEEE GRSL 6(4):662-665,
    2009. A spectrum is a Cayley-Dickson number with a component for each band, as many more as make a power of two. The
    choices are those of the pansharpening toolbox (G. Vivone et al., IEEE TGRS 53(5):2565-2586, 2015): blocks of 32 x
    32 pixels that do not overlap, those beyond the last row and column mirrored; in every block, each band of both
    images is shifted and scaled so that the reference's has mean 1 and deviation 1 (components without a band are 1);
    sample covariance. Unlike there, values are not rounded to whole numbers, and a band that is flat in the reference's
    block is only shifted. Blocks that touch one of the `missing` pixels (H, W) are left out; NaN when none is left.
    """
    truth, result = _checked(reference, estimate)
    absent = np.zeros(truth.shape[1:], bool) if missing is None else np.asarray(missing, bool)
    rows, columns = (np.pad(np.arange(side), (0, -side % Q2N_BLOCK), "symmetric") for side in truth.shape[1:])
    blocks = [
        (rows[top : top + Q2N_BLOCK, None], columns[left : left + Q2N_BLOCK])
        for top in range(0, len(rows), Q2N_BLOCK)
        for left in range(0, len(columns), Q2N_BLOCK)
    ]
    values = [_q2n_of_block(truth[:, *at], result[:, *at]) for at in blocks if not absent[at].any()]
    return float(np.mean(values)) if values else math.nan


@metric("CC", higher_better=True, digits=4)
def cc(reference: ArrayLike, estimate: ArrayLike) -> float:
    """Cross-correlation: Pearson's coefficient of each band over all its pixels, the mean over bands; 1 is best.

    A band that is flat in the estimate alone has 0. NaN when a band of the reference is flat (leave such a band out of
    the data). Blind to a gain above 0 and an offset of any band.
    """
    return float(np.mean([_correlation(x, y, x, y) for x, y in _bands(reference, estimate)]))


@metric("SCC", higher_better=True, digits=4)
def scc(reference: ArrayLike, estimate: ArrayLike, missing: ArrayLike | None = None) -> float:
    """Spatial correlation coefficient: `cc` of what a Laplacian filter leaves of each band; 1 is best.

    J. Zhou, D. L. Civco, J. A. Silander, "A wavelet transform method to merge Landsat TM and SPOT panchromatic data",
    International Journal of Remote Sensing 19(4):743-757, 1998: 8 at the pixel and -1 at its eight neighbours, for
    pixels whose neighbours lie inside the image and are not `missing` (H, W); NaN when there are none. sewar's function
    of that name averages over sliding windows instead.
    """
    images = _checked(reference, estimate)
    if min(images[0].shape[1:]) < 3:
        return math.nan
    counts = None if missing is None else _whole_windows(np.asarray(missing, bool), 3)
    return float(np.mean([_correlation(*_details(x, y, counts), x, y) for x, y in _bands(*images)]))


@metric("Spectral cons.", "dB", higher_better=True, digits=2)
def spectral_consistency(estimate: ArrayLike, lr_hsi: Observed) -> float:
    """Agreement with the LR-HSI: `psnr` of the estimate, blurred and decimated like the scene, against it.

    In dB, peak 1, higher is better. Wald's first property. The scene itself has inf without noise, and with noise the
    PSNR of that. LR pixels whose blur saw a missing pixel do not count.
    """
    return _agreement(estimate, lr_hsi)


@metric("Spatial cons.", "dB", higher_better=True, digits=2)
def spatial_consistency(estimate: ArrayLike, hr_msi: Observed) -> float:
    """Agreement with the HR-MSI: `psnr` of the estimate's MSI, by the sensor's response, against it.

    In dB, peak 1, higher is better; see `spectral_consistency`.
    """
    return _agreement(estimate, hr_msi)


@metric("PSNR", "dB", higher_better=True, digits=2)
def paper_psnr(reference: ArrayLike, estimate: ArrayLike) -> float:
    """PSNR in dB whose peak is the reference's maximum: 10 log10(max(x)^2 / MSE).

    Higher is better; inf for identical images, NaN for a zero reference otherwise.
    """
    mse = _band_mse(reference, estimate).mean()
    return _decibels(float(np.max(reference)), mse)


@metric("SSIM", higher_better=True, digits=4)
def paper_ssim(reference: ArrayLike, estimate: ArrayLike) -> float:
    """SSIM of the cube laid out as one 2-D image of C rows and H*W columns; at most 1, higher is better.

    7 x 7 uniform window (so it spans 7 bands and 7 pixels of a row), sample covariance, range 2, without a border of 3:
    what scikit-image did with a float array when no range was given. NaN with fewer than 7 bands or pixels.
    """
    x, y = (image.reshape(1, len(image), -1) for image in _checked(reference, estimate))
    unbiased = len(UNIFORM) ** 2 / (len(UNIFORM) ** 2 - 1)
    return _mean_of_windows(x, y, len(UNIFORM), partial(_ssim_map, window=UNIFORM, data_range=2.0, scale=unbiased))


@metric("SAM", "°", digits=3)
def paper_sam(reference: ArrayLike, estimate: ArrayLike) -> float:
    """Angle in degrees between the two cubes, each taken as one vector of C*H*W values; lower is better.

    Not a spectral angle: for an error e orthogonal to the reference x its tangent is `|e| / |x|`. NaN for a zero cube.
    """
    inner = power = estimate_power = 0.0
    for x, y in _bands(reference, estimate):
        inner, power, estimate_power = inner + np.vdot(x, y), power + np.vdot(x, x), estimate_power + np.vdot(y, y)
    norms = np.sqrt(power * estimate_power)
    return float(np.degrees(np.arccos(np.clip(inner / norms, -1, 1)))) if norms > 0 else math.nan


@metric("RASE", "%", digits=3)
def paper_rase(reference: ArrayLike, estimate: ArrayLike) -> float:
    """RASE in percent, the same as `rase`: 100 * RMSE / mean; lower is better."""
    return 100 * _relative_rmse(reference, estimate)


@metric("RMSE", digits=4)
def paper_rmse(reference: ArrayLike, estimate: ArrayLike) -> float:
    """Root of the mean squared error over the cube, the same as `rmse`."""
    return rmse(reference, estimate)


@metric("ERGAS", digits=4)
def paper_ergas(reference: ArrayLike, estimate: ArrayLike) -> float:
    """ERGAS of the cube taken as one band, with ratio 4 whatever the ratio: 25 * RMSE / mean, a quarter of `rase`."""
    return 25 * _relative_rmse(reference, estimate)


def _checked(reference: ArrayLike, estimate: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return both images as arrays, or refuse a pair that cannot be scored."""
    images = {"reference": np.asarray(reference), "estimate": np.asarray(estimate)}
    for name, image in images.items():
        if image.ndim != 3 or image.size == 0:
            raise UserError(f"the {name} has shape {image.shape}; pass one image (bands, height, width)")
        if _looks_bands_last(image.shape):
            raise UserError(
                f"the {name} has shape {image.shape}, which looks like (height, width, bands); bands come first: pass "
                "np.moveaxis(image, -1, 0)"
            )
        if not np.isfinite(image).all():
            raise UserError(f"the {name} holds NaN or infinite values; mend the data, or train anew if it diverged")
    shape, other = images["reference"].shape, images["estimate"].shape
    if shape != other:
        bands_last = other == (*shape[1:], shape[0])
        remedy = "np.moveaxis(estimate, -1, 0)" if bands_last else "two images of the same bands and pixels"
        raise UserError(f"the estimate has shape {other} and the reference {shape}; pass {remedy}")
    return images["reference"], images["estimate"]


def _looks_bands_last(shape: tuple[int, ...]) -> bool:
    """Whether a shape must be (H, W, C), because no sensor has a cube (C, H, W) of such sides; False where in doubt."""
    first, second, last = shape
    return 2 * last < min(first, second) and (first > MOST_BANDS or first == second >= 64)


def _bands(reference: ArrayLike, estimate: ArrayLike) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield each band (H, W) of both images in float64."""
    reference, estimate = _checked(reference, estimate)
    for x, y in zip(reference, estimate, strict=True):
        yield x.astype(np.float64), y.astype(np.float64)


def _band_mse(reference: ArrayLike, estimate: ArrayLike) -> np.ndarray:
    """Mean squared error of each band (C,)."""
    return np.array([np.mean((y - x) ** 2) for x, y in _bands(reference, estimate)])


def _band_means(image: ArrayLike) -> np.ndarray:
    """Mean of each band (C,)."""
    return np.asarray(np.mean(np.asarray(image), axis=(1, 2), dtype=np.float64))


def _relative_rmse(reference: ArrayLike, estimate: ArrayLike) -> float:
    """RMSE over the reference's mean; NaN where that is zero."""
    error, mean = rmse(reference, estimate), float(_band_means(reference).mean())
    return error / mean if mean else math.nan


def _decibels(peak: float, mse: float) -> float:
    """PSNR in dB; inf without error, NaN without a peak."""
    if mse == 0:
        return math.inf
    return 20 * math.log10(peak) - 10 * math.log10(mse) if peak > 0 else math.nan


def _spectral_products(reference: ArrayLike, estimate: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inner product of the two spectra, product of their norms, and the reference's power, at each pixel (H, W)."""
    inner, power, estimate_power = (np.zeros(np.shape(reference)[1:]) for _ in range(3))
    for x, y in _bands(reference, estimate):
        inner += x * y
        power += x * x
        estimate_power += y * y
    return inner, np.sqrt(power * estimate_power), power


def _agreement(estimate: ArrayLike, observed: Observed) -> float:
    """PSNR in dB of what the model makes of an estimate, against what was observed."""
    modelled = observed.model(np.asarray(estimate))
    return psnr(valid_pixels(observed.image, observed.missing), valid_pixels(modelled, observed.missing))


def _correlation(x: np.ndarray, y: np.ndarray, whole_x: np.ndarray, whole_y: np.ndarray) -> float:
    """Pearson's coefficient of values that were computed from the bands `whole_x` and `whole_y`, which tell what is 0.

    NaN where there are none or the first are flat, 0 where the second alone are.
    """
    if not x.size:
        return math.nan
    x, y = x - x.mean(), y - y.mean()
    flat_x, flat_y = (
        math.sqrt(np.mean(values**2)) <= FLAT * np.abs(whole).max() for values, whole in ((x, whole_x), (y, whole_y))
    )
    if flat_x or flat_y:
        return math.nan if flat_x else 0.0
    return float(np.vdot(x, y) / np.sqrt(np.vdot(x, x) * np.vdot(y, y)))


def _details(x: np.ndarray, y: np.ndarray, counts: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """What a Laplacian filter leaves of two bands (H, W), of its windows those that count."""
    first, second = (9 * image[1:-1, 1:-1] - _smooth(image, np.ones(3)) for image in (x, y))
    return (first, second) if counts is None else (first[counts], second[counts])


def _q2n_of_block(x: np.ndarray, y: np.ndarray) -> float:
    """Q2n of one block of reference and estimate, (C, H, W) each."""
    x, y = (block.reshape(len(block), -1).astype(np.float64) for block in (x, y))
    bands, pixels = x.shape
    size = 1 << (bands - 1).bit_length()
    flat_x, flat_y = _flat(x), _flat(y)
    mean_x, mean_y = x.mean(1, keepdims=True), y.mean(1, keepdims=True)
    scales = np.where(flat_x, 1, x.std(1, ddof=1, keepdims=True))
    x, y = np.where(flat_x, 0, (x - mean_x) / scales), np.where(flat_y, 0, (y - mean_y) / scales)
    y_power = size - bands + np.square((mean_y - mean_x) / scales + 1).sum()
    bias = 2 * math.sqrt(size * y_power) / (size + y_power)
    spread = (np.square(x).sum() + np.square(y).sum()) / (pixels - 1)
    if spread == 0:
        return bias
    signs, components = _hypercomplex(size)
    products = signs[:bands, :bands] * (x @ y.T) / (pixels - 1)
    covariance = np.bincount(components[:bands, :bands].ravel(), products.ravel(), size)
    return float(bias * 2 * np.linalg.norm(covariance) / spread)


@cache
def _hypercomplex(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Product of each Cayley-Dickson unit i with the conjugate of each unit j: its sign, and the number of its unit.

    Both are (size, size), `size` a power of two. Halves (a, b) and (c, d) multiply to (ac - d'b, a'd' + cb'), where '
    conjugates, as in the toolbox.
    """
    signs = np.ones((1, 1))
    while len(signs) < size:
        conjugate = _conjugate(len(signs))
        signs = np.block(
            [
                [signs, np.outer(conjugate, conjugate) * signs],
                [conjugate[:, None] * signs.T, -conjugate * signs.T],
            ]
        )
    return signs * _conjugate(size), np.bitwise_xor.outer(np.arange(size), np.arange(size))


def _conjugate(size: int) -> np.ndarray:
    """Signs of the components of a conjugate."""
    return np.where(np.arange(size) == 0, 1, -1)


def _flat(values: np.ndarray) -> np.ndarray:
    """Which rows of (C, n) have equal values, but for rounding; (C, 1)."""
    return values.std(1, keepdims=True) <= FLAT * np.abs(values).max(1, keepdims=True)


def _whole_windows(missing: np.ndarray, side: int) -> np.ndarray:
    """Which of the windows of `side` x `side` inside an image hold no missing pixel, (H - side + 1, W - side + 1)."""
    reach = side // 2
    height, width = (length - side + 1 for length in missing.shape)
    touched = ndimage.maximum_filter(missing, side)
    return ~touched[reach : reach + height, reach : reach + width]


def _mean_of_windows(
    reference: ArrayLike,
    estimate: ArrayLike,
    side: int,
    index: Callable[[np.ndarray, np.ndarray], np.ndarray],
    missing: ArrayLike | None = None,
) -> float:
    """Mean of an index over bands and windows of `side` x `side` inside the images; NaN where there is no window.

    `index` returns the value of every window inside two images (H, W). Windows that touch `missing` do not count.
    """
    x, y = _checked(reference, estimate)
    height, width = (length - side + 1 for length in x.shape[1:])
    if height < 1 or width < 1:
        return math.nan
    counts = np.ones((height, width), bool) if missing is None else _whole_windows(np.asarray(missing, bool), side)
    if not counts.any():
        return math.nan
    step = max(STRIP // x.shape[1], 1)
    means = []
    for bands in zip(x, y, strict=True):
        total = 0.0
        for start in range(0, width, step):
            strips = (band[:, start : start + step + side - 1].astype(np.float64) for band in bands)
            values = index(*strips)
            total += values.sum() if missing is None else values[counts[:, start : start + step]].sum()
        means.append(total / np.count_nonzero(counts))
    return float(np.mean(means))


def _uiqi_map(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """UIQI of every window inside two images (H, W)."""
    mean_x, mean_y = _smooth(x, UIQI_WINDOW), _smooth(y, UIQI_WINDOW)
    product, power = mean_x * mean_y, mean_x**2 + mean_y**2
    covariance = _smooth(x * y, UIQI_WINDOW) - product
    variances = _smooth(x * x + y * y, UIQI_WINDOW) - power
    variances[variances <= ROUNDING * power] = 0
    return _quotient(2 * product, power) * _quotient(2 * covariance, variances)


def _quotient(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """A quotient of which 0/0 is 1."""
    return np.divide(numerator, denominator, out=np.ones_like(denominator), where=denominator > 0)


def _ssim_map(x: np.ndarray, y: np.ndarray, window: np.ndarray, data_range: float, scale: float = 1.0) -> np.ndarray:
    """SSIM of every window inside two images (H, W); `scale` multiplies population variances and covariances."""
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mean_x, mean_y = _smooth(x, window), _smooth(y, window)
    product, power = mean_x * mean_y, mean_x**2 + mean_y**2
    covariance = scale * (_smooth(x * y, window) - product)
    variances = scale * (_smooth(x * x + y * y, window) - power)
    return (2 * product + c1) * (2 * covariance + c2) / ((power + c1) * (variances + c2))


def _smooth(image: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Separable weighted mean over every window inside the image."""
    reach = len(window) // 2
    height, width = (side - len(window) + 1 for side in image.shape)
    # A banded matrix runs down the columns several times faster than a filter of scipy.ndimage does.
    offsets = list(range(len(window)))
    down = sparse.diags_array(list(window), offsets=offsets, shape=(height, len(image))).tocsr()
    return ndimage.correlate1d(down @ image, window, axis=1)[:, reach : reach + width]


WALD, PAPER = (
    {name: each for name, each in METRICS.items() if each.convention == convention} for convention in CONVENTIONS
)
"""The metrics of each convention."""
