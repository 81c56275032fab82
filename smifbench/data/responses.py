"""Spectral responses: matrices (c, C) that mix hyperspectral into multispectral bands, made from a sensor's curves.

The named curves lie in `datasets/srf/*.csv`, a row for each wavelength.

- `nikon_d700`: 31 samples, 400-700 nm; the integer table that LTTR, MoG-DCN, TSFN and others share, rows divided by
  their sums. `nikon_d700_akhtar` are the three-decimal values of Akhtar, Shafait and Mian (ECCV 2014) and
  `nikon_d700_smooth` those of HIFtool (MIT licence), scaled alike. All three go by the camera's name in the literature.
- `sentinel2a`: 13 bands, 1 nm; ESA's response functions COPE-GSEG-EOPG-TN-15-0007 v3.0 (2017), as the package pyrsr
  0.8.0 (Apache-2.0) tabulates them. `sentinel2a_10m` keeps the four 10 m bands, `sentinel2a_20m` the ten of 10 m
  and 20 m.- `eo1_ali`: nine bands, 1 nm; the measured responses of EO-1's Advanced Land Imager, as GitHub
  `Danaroth83/Band-Assignment` tabulates them, negative noise of the measurement set to 0. `eo1_ali_vnir` keeps the six
  bands up to 890 nm.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from smifbench.errors import UserError, unknown
from smifbench.places import RESPONSES

NAMED: dict[str, tuple[str, tuple[str, ...] | None]] = {
    "nikon_d700": ("nikon_d700", None),
    "nikon_d700_akhtar": ("nikon_d700_akhtar", None),
    "nikon_d700_smooth": ("nikon_d700_smooth", None),
    "eo1_ali": ("eo1_ali", None),
    "eo1_ali_vnir": ("eo1_ali", ("MS1p", "MS1", "MS2", "MS3", "MS4", "MS4p")),
    "sentinel2a": ("sentinel2a", None),
    "sentinel2a_10m": ("sentinel2a", ("B02", "B03", "B04", "B08")),
    "sentinel2a_20m": ("sentinel2a", ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")),
}
"""Named responses: file stem and the bands kept (None keeps all)."""


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
    if path.is_file():
        return _read(path)
    if path.suffix == ".csv":
        raise UserError(f"there is no file {path}; give the path of a CSV or one of: {', '.join(NAMED)}")
    raise unknown("spectral response", str(name_or_path), NAMED)


def spectral_response(
    response: Response | str | Path, wavelengths_nm: np.ndarray, bandwidths_nm: np.ndarray | float | None = None
) -> np.ndarray:
    """Compute the weights by which hyperspectral bands add up to multispectral ones.

    Parameters
    ----------
    response
        Curves, or what `load_response` takes.
    wavelengths_nm
        Centres (C,) of the hyperspectral bands in nanometres, in any order.
    bandwidths_nm
        Full widths of those bands, (C,) or one for all. A weight is then the curve's mean over centre +- width/2;
        without widths it is the curve at the centre.

    Returns
    -------
    np.ndarray
        srf (c, C), float64, at least 0, every row sums to 1.

    Raises
    ------
    UserError
        For a response band that meets none of the hyperspectral bands, or widths that are not positive.
    """
    if not isinstance(response, Response):
        response = load_response(response)
    grid, names, curves = response
    centres = _finite_vector(wavelengths_nm, "wavelengths_nm")
    if bandwidths_nm is None:
        weights = _sample(response, centres)
    else:
        weights = _mean_between(response, centres, _positive_widths(bandwidths_nm, len(centres), "bandwidths_nm"))
    extents = np.stack([grid[curve > 0][[0, -1]] for curve in curves])
    return _rows_to_one(weights, (weights != 0).any(axis=1), names, extents, centres)


def gaussian_response(centres_nm: np.ndarray, widths_nm: np.ndarray | float, wavelengths_nm: np.ndarray) -> np.ndarray:
    """Response of a made-up sensor with Gaussian bands.

    Parameters
    ----------
    centres_nm, widths_nm
        Centres (c,) and full widths at half maximum, (c,) or one for all, in nanometres.
    wavelengths_nm
        Centres (C,) of the hyperspectral bands.

    Returns
    -------
    np.ndarray
        srf (c, C), float64, every row sums to 1.

    Raises
    ------
    UserError
        For a Gaussian with no hyperspectral band within one full width of its centre, or widths that are not positive.
    """
    centres = _finite_vector(centres_nm, "centres_nm")
    widths = _positive_widths(widths_nm, len(centres), "widths_nm")
    bands = _finite_vector(wavelengths_nm, "wavelengths_nm")
    distance = np.abs(bands - centres[:, None]) / widths[:, None]
    names = [f"centred on {centre:g} nm" for centre in centres]
    extents = np.stack([centres - widths, centres + widths], axis=1)
    return _rows_to_one(np.exp2(-4 * distance**2), (distance <= 1).any(axis=1), names, extents, bands)


def _sample(response: Response, wavelengths_nm: np.ndarray) -> np.ndarray:
    """Curves (c, ...) at given wavelengths."""
    return np.stack([np.interp(wavelengths_nm, response.wavelengths_nm, y, 0, 0) for y in response.curves])


def _mean_between(response: Response, centres: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Mean (c, C) of each curve over each band: exact for curves that are linear between their samples."""
    grid = response.wavelengths_nm
    edges = np.clip([centres - widths / 2, centres + widths / 2], grid[0], grid[-1])
    knots = np.union1d(grid, edges)
    heights = _sample(response, knots)
    areas = (heights[:, 1:] + heights[:, :-1]) / 2 * np.diff(knots)
    integral = np.pad(areas.cumsum(axis=1), ((0, 0), (1, 0)))[:, np.searchsorted(knots, edges)]
    return (integral[:, 1] - integral[:, 0]) / widths


def _rows_to_one(
    weights: np.ndarray, met: np.ndarray, names: Sequence[str], extents: np.ndarray, bands: np.ndarray
) -> np.ndarray:
    """Divide each row (C,) by its sum; raises UserError where a response band has `met` no hyperspectral band.

    `extents` (c, 2) are the lowest and the highest wavelength of each response band.
    """
    for name, (low, high), meets in zip(names, extents, met, strict=True):
        if not meets:
            raise UserError(
                f"response band {name} ({low:g}-{high:g} nm) meets none of the {len(bands)} hyperspectral bands "
                f"({bands.min():g}-{bands.max():g} nm); leave it out, check that the wavelengths are in nanometres, or "
                "give the bands' widths"
            )
    return weights / weights.sum(axis=1, keepdims=True)


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
