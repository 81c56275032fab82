"""Quality of a fused image against its reference, in two conventions.

The convention "wald" holds the usual definitions: `psnr`, `mpsnr`, `ssim`, `sam`, `rase`, `rmse`, `ergas`. The
convention "paper" (the functions `paper_*`) holds the formulas behind Tables 1-3 of the SMIF-NET paper, as far as their
numbers show them: there, RASE is four times ERGAS at both ratios, and the tangent of SAM is proportional to RMSE. The
public code of MSST-Net has these formulas. Values of the two conventions must not be compared.

All images are (C, H, W), bands first, nominally in [0,1]. All arithmetic is in float64 and goes band by band, so that
it needs the memory of a few bands. Every function raises UserError when the two shapes differ, when the axes look like
(H, W, C), or when a value is NaN or infinite. A value that an image leaves undefined is NaN. Only `score` clamps the
estimate; a single function takes the values as they are.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage, sparse

from smifbench.errors import UserError

GAUSSIAN = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
GAUSSIAN /= GAUSSIAN.sum()
UNIFORM = np.full(7, 1 / 7)
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
    """Takes reference and estimate, and the ratio if `takes_ratio`."""
    symbol: str
    """Its name in print, such as "PSNR"; the same in both conventions."""
    unit: str
    """Unit in print, or ""."""
    higher_better: bool
    digits: int
    """Decimals in print, those of the published tables."""
    convention: str
    """A key of `CONVENTIONS`."""
    takes_ratio: bool

    @property
    def label(self) -> str:
        """Its name in print where both conventions may stand, such as "PSNR (paper)"."""
        return f"{self.symbol} (paper)" if self.convention == "paper" else self.symbol


METRICS: dict[str, Metric] = {}
"""Every metric by its name, in the order of the columns. The decorator `metric` fills it."""


def metric(
    symbol: str, unit: str = "", *, higher_better: bool = False, digits: int, takes_ratio: bool = False
) -> Callable[[Function], Function]:
    """Enter the decorated function in `METRICS`; the parameters are fields of `Metric`."""

    def enter(function: Function) -> Function:
        name = function.__name__
        convention = "paper" if name.startswith(CONVENTIONS["paper"]) else "wald"
        METRICS[name] = Metric(name, function, symbol, unit, higher_better, digits, convention, takes_ratio)
        return function

    return enter


def score(
    reference: ArrayLike, estimate: ArrayLike, ratio: float, missing: ArrayLike | None = None
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
        (H, W), true where the reference has no value: those pixels count in no metric, and `ssim` leaves out every
        window that touches one. None where every pixel has a value.

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
    similarity = ssim(truth, result, missing)  # of windows; all others are of single pixels
    truth, result = valid_pixels(truth, missing), valid_pixels(result, missing)
    values = {
        name: each.function(truth, result, ratio) if each.takes_ratio else each.function(truth, result)
        for name, each in METRICS.items()
        if name != "ssim"
    }
    values = {name: values.get(name, similarity) for name in METRICS}
    return values | {"sam_excluded": float(sam_excluded(truth, result))}


def valid_pixels(image: ArrayLike, missing: ArrayLike | None) -> np.ndarray:
    """Return an image (C, H, W) as it is, or its pixels that are not `missing` (H, W) as an image of one row (C, 1, n).

    Every metric but `ssim` looks at pixels one by one, and so has the same value on both forms. Raises UserError where
    the mask has other sides or leaves no pixel.
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
    counts = None if missing is None else _whole_windows(np.asarray(missing, bool), len(GAUSSIAN))
    return float(np.mean([_mean_ssim(x, y, GAUSSIAN, 1.0, counts=counts) for x, y in _bands(reference, estimate)]))


@metric("SAM", "°", digits=3)
def sam(reference: ArrayLike, estimate: ArrayLike) -> float:
    """Spectral angle in degrees, the mean over pixels of `arccos(<x, y> / (|x| |y|))`; 0 to 180, lower is better.

    A pixel whose spectrum is zero in either image has no angle and is left out (`sam_excluded` counts them); NaN when
    none remains. A positive gain on a pixel does not change it.
    """
    inner, norms = _spectral_products(reference, estimate)
    valid = norms > 0
    if not valid.any():
        return math.nan
    return float(np.degrees(np.arccos(np.clip(inner[valid] / norms[valid], -1, 1))).mean())


def sam_excluded(reference: ArrayLike, estimate: ArrayLike) -> int:
    """Number of pixels without a spectral angle: all bands zero in the reference or in the estimate."""
    return int(np.count_nonzero(_spectral_products(reference, estimate)[1] == 0))


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


@metric("ERGAS", digits=4, takes_ratio=True)
def ergas(reference: ArrayLike, estimate: ArrayLike, ratio: float) -> float:
    """Wald's dimensionless global error: 100 / r * sqrt(mean_b(MSE_b / M_b^2)), M_b the reference's mean in band b.

    Lower is better; NaN when a band of the reference is zero everywhere (leave such a band out of the data). Wald, Data
    Fusion: Definitions and Architectures, 2002. `ratio` r is that of the fused images, so ERGAS halves when it doubles.
    """
    if not ratio > 0:
        raise UserError(f"ratio must be positive, not {ratio!r}")
    mse, means = _band_mse(reference, estimate), _band_means(reference)
    return float(100 / ratio * np.sqrt(np.mean(mse / means**2))) if means.all() else math.nan


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
    x, y = (image.reshape(len(image), -1) for image in _checked(reference, estimate))
    return _mean_ssim(x, y, UNIFORM, 2.0, unbiased=True)


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


def _spectral_products(reference: ArrayLike, estimate: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Inner product of the two spectra and product of their norms, at each pixel (H, W)."""
    inner, power, estimate_power = (np.zeros(np.shape(reference)[1:]) for _ in range(3))
    for x, y in _bands(reference, estimate):
        inner += x * y
        power += x * x
        estimate_power += y * y
    return inner, np.sqrt(power * estimate_power)


def _whole_windows(missing: np.ndarray, side: int) -> np.ndarray:
    """Which of the windows of `side` x `side` inside an image hold no missing pixel, (H - side + 1, W - side + 1)."""
    reach = side // 2
    touched = ndimage.maximum_filter(missing, side)
    return ~touched[reach : len(missing) - reach, reach : missing.shape[1] - reach]


def _mean_ssim(
    x: np.ndarray,
    y: np.ndarray,
    window: np.ndarray,
    data_range: float,
    unbiased: bool = False,
    counts: np.ndarray | None = None,
) -> float:
    """Mean SSIM over the windows inside two images (H, W), with sample covariance if `unbiased`; NaN if none fits.

    `counts` says which of the windows count; None for all.
    """
    margin = len(window) - 1
    height, width = x.shape[0] - margin, x.shape[1] - margin
    if height < 1 or width < 1 or (counts is not None and not counts.any()):
        return math.nan
    scale = len(window) ** 2 / (len(window) ** 2 - 1) if unbiased else 1.0
    step = max(STRIP // len(x), 1)
    total = 0.0
    for start in range(0, width, step):
        columns = slice(start, min(start + step, width) + margin)
        strip_x, strip_y = (image[:, columns].astype(np.float64) for image in (x, y))
        similarity = _ssim_map(strip_x, strip_y, window, data_range, scale)
        total += similarity.sum() if counts is None else similarity[counts[:, start : start + step]].sum()
    return float(total / (height * width if counts is None else np.count_nonzero(counts)))


def _ssim_map(x: np.ndarray, y: np.ndarray, window: np.ndarray, data_range: float, scale: float) -> np.ndarray:
    """SSIM of every window inside two images (H, W); `scale` multiplies population variances and covariances."""
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mean_x, mean_y = _smooth(x, window), _smooth(y, window)
    product, power = mean_x * mean_y, mean_x**2 + mean_y**2
    covariance = scale * (_smooth(x * y, window) - product)
    variances = scale * (_smooth(x * x + y * y, window) - power)
    return (2 * product + c1) * (2 * covariance + c2) / ((power + c1) * (variances + c2))


def _smooth(image: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Separable weighted mean over every window inside the image."""
    radius = len(window) // 2
    height = len(image)
    shape = (height - 2 * radius, height)
    # A banded matrix runs down the columns several times faster than a filter of scipy.ndimage does.
    down = sparse.diags_array(list(window), offsets=list(range(len(window))), shape=shape).tocsr()
    return ndimage.correlate1d(down @ image, window, axis=1)[:, radius:-radius]


WALD, PAPER = (
    {name: each for name, each in METRICS.items() if each.convention == convention} for convention in CONVENTIONS
)
"""The metrics of each convention."""
