"""Spectral responses: matrices (c, C) that mix hyperspectral into multispectral bands, made from a sensor's curves.

The named curves lie in `datasets/srf/*.csv`, a row for each wavelength.

- `nikon_d700`: 31 samples, 400-700 nm; the integer table that LTTR, MoG-DCN, TSFN and others share, rows divided by
  their sums. `nikon_d700_akhtar` are the three-decimal values of Akhtar, Shafait and Mian (ECCV 2014) and
  `nikon_d700_smooth` those of HIFtool (MIT licence), scaled alike. All three go by the camera's name in the literature.
- `sentinel2a`: 13 bands, 1 nm; ESA's response functions COPE-GSEG-EOPG-TN-15-0007 v3.0 (2017), as the package pyrsr
  0.8.0 (Apache-2.0) tabulates them. `sentinel2a_10m` keeps the four 10 m bands, `sentinel2a_20m` the ten of 10 m
  and 20 m.
- `sentinel2b`, `sentinel2b_10m`, `sentinel2b_20m`: the same bands of Sentinel-2B, and `landsat8_oli`: the seven 30 m
  bands of Landsat 8's OLI; as published by ESA and USGS and tabulated every 2.5 nm in the package Py6S 1.9.2,
  interpolated linearly to 1 nm, noise below zero set to zero.
- `eo1_ali`: the nine multispectral bands of EO-1's ALI, 1 nm, from the file ALI_Spectral_Responses.mat of
  Danaroth83/Band-Assignment on GitHub; its negative noise is set to zero.
  `eo1_ali_vnir` keeps the five bands from 450 to 890 nm, those that Hyperion's bands of the data set `eo1` meet.
"""

import csv
import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import erf

from smifbench.data.bands import shares_of_bands
from smifbench.errors import UserError, unknown
from smifbench.places import RESPONSES

logger = logging.getLogger(__name__)

SENTINEL2_10M = ("B02", "B03", "B04", "B08")
SENTINEL2_20M = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")

NAMED: dict[str, tuple[str, tuple[str, ...] | None]] = {
    "nikon_d700": ("nikon_d700", None),
    "nikon_d700_akhtar": ("nikon_d700_akhtar", None),
    "nikon_d700_smooth": ("nikon_d700_smooth", None),
    "eo1_ali": ("eo1_ali", None),
    "eo1_ali_vnir": ("eo1_ali", ("MS1", "MS2", "MS3", "MS4", "MS4p")),
    "sentinel2a": ("sentinel2a", None),
    "sentinel2a_10m": ("sentinel2a", SENTINEL2_10M),
    "sentinel2a_20m": ("sentinel2a", SENTINEL2_20M),
    "sentinel2b": ("sentinel2b", None),
    "sentinel2b_10m": ("sentinel2b", SENTINEL2_10M),
    "sentinel2b_20m": ("sentinel2b", SENTINEL2_20M),
    "landsat8_oli": ("landsat8_oli", None),
}
"""Named responses: file stem and the bands kept (None keeps all)."""


LEAST_COVERAGE = 0.25
"""Part of a response band that must lie within hyperspectral bands; a band of which less does is refused."""

TOLD_COVERAGE = 0.99
"""Part of a response band below which a warning says how much of it the hyperspectral bands meet."""

WEIGHTS = "curve x width/2"
"""Name and version of how weights follow from curves and bands, kept beside every prepared scene. Version 1 took the
curve for the weight, whatever the distances between bands."""

LARGEST = 1e100
"""Limit of the numbers in a response, so that no sum of them overflows."""


class Response(NamedTuple):
    """Curves of a multispectral sensor.

    Parameters
    ----------
    wavelengths_nm
        Grid (n,) in nanometres, increasing; the curves are linear between its points and zero beyond its ends.
    band_names
        Names of the c bands.
    curves
        Responses (c, n), at least 0, in any unit.
    """

    wavelengths_nm: np.ndarray
    band_names: tuple[str, ...]
    curves: np.ndarray


def load_response(name_or_path: str | Path) -> Response:
    """Read a sensor's curves.

    Parameters
    ----------
    name_or_path
        A name of `NAMED`, or the path of a CSV file whose header names a column `wavelength_nm` and one column a band.

    Raises
    ------
    UserError
        For an unknown name, or a file without that column, with entries that are negative or no finite numbers, with
        wavelengths that do not increase or with a band that is zero throughout.
    """
    if name_or_path in NAMED:
        stem, keep = NAMED[name_or_path]
        response = _read(RESPONSES / f"{stem}.csv")
        return response if keep is None else _select(response, keep)
    path = Path(name_or_path)
    try:
        if path.is_file():
            return _read(path)
    except OSError as error:
        raise UserError(f"the response {path!s:.60} cannot be read: {error.strerror}; name another file") from error
    if path.suffix == ".csv":
        raise UserError(f"there is no file {path}; give the path of a CSV or one of: {', '.join(NAMED)}")
    raise unknown("spectral response", str(name_or_path), NAMED)


def spectral_response(
    response: Response | str | Path, wavelengths_nm: np.ndarray, bandwidths_nm: np.ndarray | float | None = None
) -> np.ndarray:
    """Compute the weights by which hyperspectral bands add up to multispectral ones.

    A weight is the response times the wavelengths that its band stands for (`smifbench.data.bands`), so that the sum is
    an integral over wavelength on grids that are uneven, overlap or lack bands. Where widths are stated, it is the
    curve's integral over the band, where bands overlap over its part of it; without widths it is the curve at the
    centre times half the distance between the neighbours. On an even grid that is the curve at the centres alone.

    Parameters
    ----------
    response
        Curves, or what `load_response` takes.
    wavelengths_nm
        Centres (C,) of the hyperspectral bands in nanometres, in any order.
    bandwidths_nm
        Full widths of those bands, (C,) or one for all.

    Returns
    -------
    np.ndarray
        srf (c, C), float64, at least 0, every row sums to 1. A warning is logged for a response band of which more than
        1 % lies beyond the hyperspectral bands or in a gap between them.

    Raises
    ------
    UserError
        For a response band of which less than a quarter (`LEAST_COVERAGE`) meets hyperspectral bands, or that lies
        between centres whose widths are not stated; or widths that are not positive.
    """
    if not isinstance(response, Response):
        response = load_response(response)
    grid, names, curves = response
    steps = (curves[:, 1:] + curves[:, :-1]) / 2 * np.diff(grid)
    sums = np.pad(steps.cumsum(axis=1), ((0, 0), (1, 0)))

    def sample(wavelengths: np.ndarray) -> np.ndarray:
        return np.stack([np.interp(wavelengths, grid, curve, 0, 0) for curve in curves])

    def integral(wavelengths: np.ndarray) -> np.ndarray:
        """Exact for curves that are linear between their samples."""
        inside = np.clip(wavelengths, grid[0], grid[-1])
        cell = np.clip(np.searchsorted(grid, inside, "right") - 1, 0, len(grid) - 2)
        return sums[:, cell] + (curves[:, cell] + sample(inside)) / 2 * (inside - grid[cell])

    extents = [tuple(grid[curve > 0][[0, -1]]) for curve in curves]
    return _weights(_Curves(names, extents, sample, integral), wavelengths_nm, bandwidths_nm)


def gaussian_response(
    centres_nm: np.ndarray,
    widths_nm: np.ndarray | float,
    wavelengths_nm: np.ndarray,
    bandwidths_nm: np.ndarray | float | None = None,
) -> np.ndarray:
    """Response of a made-up sensor with Gaussian bands, weighed like `spectral_response`.

    Parameters
    ----------
    centres_nm, widths_nm
        Centres (c,) and full widths at half maximum, (c,) or one for all, in nanometres.
    wavelengths_nm, bandwidths_nm
        Those of the hyperspectral bands, see `spectral_response`.

    Returns
    -------
    np.ndarray
        srf (c, C), float64, every row sums to 1.

    Raises
    ------
    UserError
        As `spectral_response` does.
    """
    centres = _finite_vector(centres_nm, "centres_nm")
    widths = _positive_widths(widths_nm, len(centres), "widths_nm")

    def distance(wavelengths: np.ndarray) -> np.ndarray:
        return (wavelengths - centres[:, None]) / widths[:, None]

    def sample(wavelengths: np.ndarray) -> np.ndarray:
        return np.exp2(-4 * distance(wavelengths) ** 2)

    def integral(wavelengths: np.ndarray) -> np.ndarray:
        root = math.sqrt(math.log(2))
        return widths[:, None] * math.sqrt(math.pi) / (4 * root) * erf(2 * root * distance(wavelengths))

    names = [f"centred on {centre:g} nm" for centre in centres]
    extents = list(zip(centres - widths, centres + widths, strict=True))
    return _weights(_Curves(names, extents, sample, integral), wavelengths_nm, bandwidths_nm)


def shift_response(
    srf: np.ndarray, shift_nm: float, wavelengths_nm: np.ndarray, bandwidths_nm: np.ndarray | None = None
) -> np.ndarray:
    """Move a response whose curves are not known by `shift_nm` towards longer wavelengths.

    Weights are divided by the wavelengths that their bands stand for, interpolated linearly, and multiplied again.

    Parameters
    ----------
    srf
        Response (c, C), rows sum to 1.
    shift_nm
        Distance in nanometres, negative towards shorter wavelengths.
    wavelengths_nm, bandwidths_nm
        Those of the hyperspectral bands, see `spectral_response`.

    Returns
    -------
    np.ndarray
        srf (c, C), rows sum to 1.

    Raises
    ------
    UserError
        Where the shift leaves less than a quarter (`LEAST_COVERAGE`) of a row within the hyperspectral bands.
    """
    centres = _finite_vector(wavelengths_nm, "wavelengths_nm")
    widths = None if bandwidths_nm is None else _positive_widths(bandwidths_nm, len(centres), "bandwidths_nm")
    edges, parts = shares_of_bands(centres, widths)
    lengths = parts @ np.diff(edges)
    lengths = lengths / np.median(lengths)
    order = np.argsort(centres, kind="stable")
    bands = centres[order]
    heights = np.divide(srf, lengths, out=np.zeros_like(srf), where=lengths > 0)[:, order]
    shifted = np.empty_like(srf)
    shifted[:, order] = [np.interp(bands - shift_nm, bands, row, 0, 0) for row in heights]
    shifted *= lengths
    sums = shifted.sum(axis=1, keepdims=True)
    inside = (centres + shift_nm >= bands[0]) & (centres + shift_nm <= bands[-1])
    for number, (part, total) in enumerate(zip(srf @ inside, sums[:, 0], strict=True)):
        if min(part, total) < LEAST_COVERAGE:
            raise UserError(
                f"a shift by {shift_nm:g} nm leaves {100 * min(part, total):.1f} % of MSI band {number} (counted from "
                f"0) within the {len(bands)} hyperspectral bands ({bands[0]:g}-{bands[-1]:g} nm), less than "
                f"{100 * LEAST_COVERAGE:g} %; shift by less"
            )
        if part < TOLD_COVERAGE:
            logger.warning("a shift by %g nm leaves %.1f %% of MSI band %d in reach", shift_nm, 100 * part, number)
    return shifted / sums


class _Curves(NamedTuple):
    """Responses (c, n) at any n wavelengths, and their integrals up to there; `extents` are where they mostly lie."""

    names: Sequence[str]
    extents: Sequence[tuple[float, float]]
    sample: Callable[[np.ndarray], np.ndarray]
    integral: Callable[[np.ndarray], np.ndarray]


def _weights(curves: _Curves, wavelengths_nm: np.ndarray, bandwidths_nm: np.ndarray | float | None) -> np.ndarray:
    centres = _finite_vector(wavelengths_nm, "wavelengths_nm")
    if bandwidths_nm is None and len(centres) == 1:
        raise UserError("the width of a single hyperspectral band cannot be told from its neighbours; state bandwidths")
    widths = None if bandwidths_nm is None else _positive_widths(bandwidths_nm, len(centres), "bandwidths_nm")
    edges, parts = shares_of_bands(centres, widths)
    whole = np.diff(curves.integral(np.array([-np.inf, np.inf])))
    areas = np.diff(curves.integral(edges)) @ parts.T
    covered = areas.sum(axis=1) / whole[:, 0]
    _check_coverage(curves, covered, centres)
    if widths is not None:
        weights = areas
    else:
        lengths = parts @ np.diff(edges)
        weights = curves.sample(centres) * (lengths / np.median(lengths))  # equal lengths change no bit
        met = weights.sum(axis=1) * np.median(lengths) / areas.sum(axis=1)
        for name, (low, high), part in zip(curves.names, curves.extents, met, strict=True):
            if part < LEAST_COVERAGE:
                raise UserError(
                    f"response band {name} ({low:g}-{high:g} nm) lies between the centres of the hyperspectral bands; "
                    "give the bands' widths"
                )
    return weights / weights.sum(axis=1, keepdims=True)


def _check_coverage(curves: _Curves, covered: np.ndarray, bands: np.ndarray) -> None:
    """Refuse response bands that lie off the hyperspectral `bands` for the most part, and tell of parts that do.

    `covered` (c,) are the parts that do not, from 0 to 1.
    """
    sensor = f"the {len(bands)} hyperspectral bands ({bands.min():g}-{bands.max():g} nm)"
    for index in np.argsort(covered, kind="stable"):
        part, (low, high) = covered[index], curves.extents[index]
        band = f"response band {curves.names[index]} ({low:g}-{high:g} nm)"
        if part <= 0:
            raise UserError(
                f"{band} meets none of {sensor}; leave it out, check that the wavelengths are in nanometres, or give "
                "the bands' widths"
            )
        if part < LEAST_COVERAGE:
            raise UserError(
                f"only {100 * part:.1f} % of {band} meets one of {sensor}, less than {100 * LEAST_COVERAGE:g} %; leave "
                "it out or take another response"
            )
        if part < TOLD_COVERAGE:
            logger.warning("%.1f %% of %s meets one of %s; the rest counts as zero", 100 * part, band, sensor)


def _read(path: Path) -> Response:
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = [(number, row) for number, row in enumerate(csv.reader(lines), 1) if any(map(str.strip, row))]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is no CSV file of plain text ({error}); export it anew") from error
    header = [name.strip() for name in rows[0][1]] if rows else []
    bands = [name for name in header if name != "wavelength_nm"]
    if header.count("wavelength_nm") != 1 or not bands or len(set(bands)) < len(bands):
        raise UserError(
            f"{path}: the first line must name a column wavelength_nm and one column for each band, all different; "
            f"it reads: {', '.join(header)[:200] or 'nothing'}"
        )
    if len(rows) < 3:
        raise UserError(f"{path}: a curve needs at least two rows of numbers below the header")
    table = np.array([_numbers(path, line, row, header) for line, row in rows[1:]])
    grid = table[:, header.index("wavelength_nm")]
    for (line, _), step in zip(rows[2:], np.diff(grid), strict=True):
        if step <= 0:
            raise UserError(f"{path}, line {line}: wavelength_nm must increase from row to row; sort the rows")
    curves = table[:, [header.index(name) for name in bands]].T
    for name, curve in zip(bands, curves, strict=True):
        if not curve.any():
            raise UserError(f"{path}: band {name} is zero throughout; remove its column")
    return Response(grid, tuple(bands), curves)


def _numbers(path: Path, line: int, row: list[str], header: list[str]) -> list[float]:
    """Convert one row of text, naming the place of what is no response."""
    if len(row) != len(header):
        raise UserError(f"{path}, line {line}: {len(row)} entries under {len(header)} column names; fill in the row")
    values = []
    for name, text in zip(header, row, strict=True):
        try:
            value = float(text)
        except ValueError:
            value = np.nan
        if not 0 <= value < LARGEST:
            raise UserError(f"{path}, line {line}: {name} is '{text:.40}'; replace it by a finite number of at least 0")
        values.append(value)
    return values


def _select(response: Response, keep: tuple[str, ...]) -> Response:
    grid, names, curves = response
    return Response(grid, keep, curves[[names.index(name) for name in keep]])


def _finite_vector(values: np.ndarray, name: str) -> np.ndarray:
    vector = np.asarray(values, dtype=np.float64)
    if vector.ndim != 1 or not vector.size or not np.isfinite(vector).all():
        raise UserError(f"{name} must be a list of finite numbers in nanometres, not {values!r}")
    return vector


def _positive_widths(values: np.ndarray | float, count: int, name: str) -> np.ndarray:
    widths = np.asarray(values, dtype=np.float64)
    if widths.shape not in ((), (count,)) or not (np.isfinite(widths) & (widths > 0)).all():
        raise UserError(f"{name} must be one positive number of nanometres or {count} of them, not {values!r}")
    return np.broadcast_to(widths, (count,))
