"""What `python -m smifbench inspect FILE` says about a cube: enough to write the options of the data set `own`."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smifbench.data.cubes.content import band_list
from smifbench.data.cubes.reading import Cube, read_cube, row_blocks
from smifbench.system.files import replacing

PSEUDO_COLOUR_NM = (640, 550, 460)
"""Centres of red, green and blue."""

FARTHEST_NM = 60
"""How far a band may lie from these and still stand for them."""

LARGEST_SIDE = 1500
STRETCH = (2, 98)
"""Percentiles of a quick look's band that become black and white."""

SATURATED_SHARE = 0.01
DARK_SHARE = 0.01
LEAST_CORRELATION = 0.5


@dataclass
class _Bands:
    """Statistics of the finite values of each band (C,), and counts over the whole cube."""

    lowest: np.ndarray
    highest: np.ndarray
    at_highest: np.ndarray
    values: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    half_step: np.ndarray
    nan: int
    infinite: int


def inspect(
    path: str | Path, variable: str | None = None, band_axis: int | None = None, png: str | Path | None = None
) -> str:
    """Describe the cube of a file, and draw it.

    A band is called saturated where more than 1 % of its pixels have the cube's highest value, dark where its mean is
    below 1 % of the median over the bands, and noisy where horizontal neighbours correlate by less than 0.5 (white
    noise: 0; images of land: above 0.9).

    Parameters
    ----------
    path, variable, band_axis
        As in `smifbench.data.cubes.reading.read_cube`.
    png
        Where to write a quick look: red, green and blue from the bands nearest 640, 550 and 460 nm, or from three
        spread bands; each stretched between its 2nd and 98th percentile, pixels skipped beyond 1500 a side.

    Returns
    -------
    str
        Lines with format, shape, values, wavelengths, suspicious bands (counted from 0) and notes.

    Raises
    ------
    UserError
        When the file holds no cube that can be read, or the PNG cannot be written.
    """
    cube = read_cube(path, variable, band_axis)
    bands, height, width = cube.array.shape
    found = _measure(cube.array)
    suspicious = _suspicious(found)
    where = f"variable {cube.variable}, " if cube.variable else ""
    lines = [
        ("file", f"{path} ({cube.format})"),
        ("shape", f"{bands} bands x {height} rows x {width} columns ({where}band axis {cube.band_axis})"),
        ("values", _values(cube, found)),
        ("wavelengths", _wavelengths(cube)),
        *((kind, band_list(numbers)) for kind, numbers in suspicious.items() if len(numbers)),
    ]
    every = sorted(set().union(*map(np.ndarray.tolist, suspicious.values())))
    if every:
        lines.append(("suspicious", f"{len(every)} bands; to leave them out: drop_bands: {band_list(every)}"))
    else:
        lines.append(("suspicious", "no band is zero, constant, saturated, dark or noisy"))
    lines += [("note", note) for note in cube.notes]
    if png is not None:
        lines.append(("quick look", _draw(cube, Path(png))))
    return "\n".join(f"{label:12} {text}" for label, text in lines)


def quick_look(cube: Cube) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Return a pseudo-colour image (h, w, 3) uint8 and the numbers of the bands shown as red, green and blue."""
    chosen = _colour_bands(cube)
    step = math.ceil(max(cube.array.shape[1:]) / LARGEST_SIDE)
    return np.stack([_stretched(cube.array[band, ::step, ::step]) for band in chosen], axis=-1), chosen


def _colour_bands(cube: Cube) -> tuple[int, int, int]:
    if cube.wavelengths_nm is not None:
        distance = np.abs(cube.wavelengths_nm - np.array(PSEUDO_COLOUR_NM)[:, None])
        if distance.min(axis=1).max() <= FARTHEST_NM:
            return tuple(distance.argmin(axis=1).tolist())
    bands = len(cube.array)
    return tuple(bands * sixth // 6 for sixth in (5, 3, 1))


@np.errstate(over="ignore", invalid="ignore")
def _stretched(band: np.ndarray) -> np.ndarray:
    values = np.asarray(band, np.float64)
    finite = np.isfinite(values)
    if not finite.any():
        return np.zeros(values.shape, np.uint8)
    low, high = np.percentile(values[finite], STRETCH)
    shown = np.where(finite, values, low).clip(low, high) - low
    return (255 * shown / (high - low if high > low else 1)).round().astype(np.uint8)


def _draw(cube: Cube, png: Path) -> str:
    from PIL import Image

    image, chosen = quick_look(cube)
    with replacing(png) as temporary:
        Image.fromarray(image).save(temporary, format="PNG")
    nm = "" if cube.wavelengths_nm is None else f" ({', '.join(f'{cube.wavelengths_nm[b]:.0f}' for b in chosen)} nm)"
    return f"{png}: red, green, blue from bands {', '.join(map(str, chosen))}{nm}"


@np.errstate(over="ignore", invalid="ignore")
def _measure(array: np.ndarray) -> _Bands:
    """Go through (C, H, W) once, in slabs of rows."""
    bands = len(array)
    lowest, highest = np.full(bands, np.inf), np.full(bands, -np.inf)
    at_highest, values, steps = (np.zeros(bands, np.int64) for _ in range(3))
    total, squares, step_squares = (np.zeros(bands) for _ in range(3))
    origin = None
    nan = infinite = 0
    for block in row_blocks(array):
        slab = np.array(block, np.float64)
        finite = np.isfinite(slab)
        missing = int(np.isnan(slab).sum())
        nan, infinite = nan + missing, infinite + int(finite.size - finite.sum()) - missing
        slab_highest = slab.max(axis=(1, 2), where=finite, initial=-np.inf)
        count = (slab == slab_highest[:, None, None]).sum(axis=(1, 2), where=finite)
        at_highest = np.where(slab_highest > highest, count, at_highest + count * (slab_highest == highest))
        highest = np.maximum(highest, slab_highest)
        lowest = np.minimum(lowest, slab.min(axis=(1, 2), where=finite, initial=np.inf))
        slab[~finite] = 0
        if origin is None:  # sums of squares about some value of the band's own size keep their digits
            origin = np.where(np.isfinite(highest), highest, 0)
        slab -= origin[:, None, None]
        values += finite.sum(axis=(1, 2))
        total += slab.sum(axis=(1, 2), where=finite)
        squares += np.square(slab).sum(axis=(1, 2), where=finite)
        both = finite[:, :, 1:] & finite[:, :, :-1]
        steps += both.sum(axis=(1, 2))
        step_squares += np.square(np.diff(slab, axis=2)).sum(axis=(1, 2), where=both)
    mean = total / np.maximum(values, 1)
    variance = squares / np.maximum(values, 1) - mean**2
    half_step = np.where(steps > 0, step_squares / np.maximum(2 * steps, 1), 0)
    return _Bands(lowest, highest, at_highest, values, mean + origin, variance, half_step, nan, infinite)


def _suspicious(found: _Bands) -> dict[str, np.ndarray]:
    """Band numbers by what is wrong with them; a band is named once."""
    seen = found.values > 0
    flat = seen & (found.lowest == found.highest)
    lively = seen & ~flat
    top = found.highest.max()
    saturated = lively & (found.highest == top) & (found.at_highest > SATURATED_SHARE * found.values)
    level = np.median(found.mean[lively]) if lively.any() else 0
    dark = lively & ~saturated & (found.mean < DARK_SHARE * level)
    noisy = lively & ~saturated & ~dark & (found.half_step > (1 - LEAST_CORRELATION) * found.variance)
    kinds = {
        "empty": ~seen,
        "zero": flat & (found.highest == 0),
        "constant": flat & (found.highest != 0),
        "saturated": saturated,
        "dark": dark,
        "noisy": noisy,
    }
    return {kind: np.flatnonzero(mask) for kind, mask in kinds.items()}


def _values(cube: Cube, found: _Bands) -> str:
    name = cube.array.dtype.name
    if not found.values.any():
        return f"{name}, none of them finite"
    mean = float(np.average(found.mean, weights=found.values))
    text = f"{name}, {found.lowest.min():.6g} .. {found.highest.max():.6g}, mean {mean:.6g}"
    if found.nan or found.infinite:
        return f"{text}; {found.nan} NaN, {found.infinite} infinite"
    return f"{text}; no NaN, no infinite"


def _wavelengths(cube: Cube) -> str:
    nm = cube.wavelengths_nm
    if nm is None:
        return "none found; state wavelengths_nm as a list or as {start: ..., step: ...}"
    back = np.flatnonzero(np.diff(nm) <= 0) + 1
    order = f"not increasing at bands {band_list(back)}" if len(back) else "increasing"
    widths = cube.bandwidths_nm
    wide = "" if widths is None else f", widths {widths.min():g} .. {widths.max():g} nm"
    return f"{nm.min():.6g} .. {nm.max():.6g} nm, {order}{wide}"
