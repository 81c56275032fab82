"""What `python -m smifbench inspect FILE` says about a cube: enough to write the options of the data set `own`."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

import numpy as np

from smifbench.data.cubes.content import Grid, as_key, band_list
from smifbench.data.cubes.products import read_product
from smifbench.data.cubes.reading import Cube, row_blocks
from smifbench.system.files import replacing

PSEUDO_COLOUR_NM = (640, 550, 460)
"""Centres of red, green and blue."""

FARTHEST_NM = 60
"""How far a band may lie from these and still stand for them."""

LARGEST_SIDE = 1500
MAP_SIDES = (8, 32)
STRETCH = (2, 98)
"""Percentiles of a quick look's band that become black and white."""

MISSING_COLOUR = (255, 0, 255)
MADE_HERE = ("Software", "smifbench inspect")
"""Words in every PNG drawn here, by which it may be replaced."""

SATURATED_SHARE = 0.01
DARK_SHARE = 0.01
LEAST_CORRELATION = 0.5


@dataclass
class _Bands:
    """Statistics of each band's values (C,) that are there, and counts of the others over the whole cube."""

    lowest: np.ndarray
    highest: np.ndarray
    at_highest: np.ndarray
    values: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    half_step: np.ndarray
    nan: int
    infinite: int
    nodata: int


def inspect(
    path: str | Path,
    variable: str | None = None,
    band_axis: int | None = None,
    png: str | Path | None = None,
    *,
    shape: tuple[int, int] | None = None,
    ask: Callable[[str], str] = as_key,
) -> str:
    """Describe the cube of a file, and draw it.

    A band is called saturated where more than 1 % of its pixels have the cube's highest value, dark where its mean is
    below 1 % of the median over the bands, and noisy where horizontal neighbours correlate by less than 0.5 (white
    noise: 0; images of land: above 0.9).

    Parameters
    ----------
    path, variable, band_axis, shape, ask
        As in `smifbench.data.cubes.products.read_product`.
    png
        Where to write a quick look: red, green and blue from the bands nearest 640, 550 and 460 nm, or from three
        spread bands; each stretched between its 2nd and 98th percentile, missing pixels in magenta, pixels skipped
        beyond 1500 a side. A file of that name that was not drawn here is left alone, and another name taken.

    Returns
    -------
    str
        Lines with format, shape, values, missing pixels, gains, wavelengths, grid, suspicious bands (counted from 0)
        and notes.

    Raises
    ------
    UserError
        When the file holds no cube that can be read, or the PNG cannot be written.
    """
    cube = read_product([path], variable, band_axis, shape=shape, ask=ask)
    bands, height, width = cube.array.shape
    found = _measure(cube)
    seen = [band for band in cube.good_bands if found.values[band]]
    missing = cube.missing_in(seen)
    suspicious = _suspicious(found)
    where = f"variable {cube.variable}, " if cube.variable else ""
    lines = [
        ("file", f"{path} ({cube.format})"),
        ("shape", f"{bands} bands x {height} rows x {width} columns ({where}band axis {cube.band_axis})"),
        ("values", _values(cube, found)),
        ("missing", _missing(cube, missing)),
        *([("gain", _gain(cube))] if cube.gain is not None else []),
        ("wavelengths", _wavelengths(cube)),
        *([("bad bands", f"{band_list(cube.bad_bands)}, by the file's own list")] if cube.bad_bands else []),
        *([("grid", _grid(cube.grid))] if cube.grid else []),
        *((kind, band_list(numbers)) for kind, numbers in suspicious.items() if len(numbers)),
    ]
    every = sorted(set().union(*map(np.ndarray.tolist, suspicious.values())))
    if every:
        lines.append(("suspicious", f"{len(every)} bands; to leave them out: drop_bands: {band_list(every)}"))
    else:
        lines.append(("suspicious", "no band is zero, constant, saturated, dark or noisy"))
    lines += [("note", note) for note in cube.notes]
    if png is not None:
        lines.append(("quick look", _draw(cube, Path(png), missing)))
    return "\n".join(f"{label:12} {text}" for label, text in lines)


def quick_look(cube: Cube, missing: np.ndarray | None = None) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Return a pseudo-colour image (h, w, 3) uint8 and the numbers of the bands shown as red, green and blue.

    Pixels where `missing` (H, W) is True are magenta.
    """
    chosen = _colour_bands(cube)
    step = math.ceil(max(cube.array.shape[1:]) / LARGEST_SIDE)
    looks = [
        _stretched(np.where(cube.unusable(band), np.nan, band))
        for band in (cube.array[band, ::step, ::step] for band in chosen)
    ]
    image = np.stack(looks, axis=-1)
    if missing is not None:
        image[missing[::step, ::step]] = MISSING_COLOUR
    return image, chosen


def _colour_bands(cube: Cube) -> tuple[int, int, int]:
    if cube.wavelengths_nm is not None:
        distance = np.abs(cube.wavelengths_nm - np.array(PSEUDO_COLOUR_NM)[:, None])
        if distance.min(axis=1).max() <= FARTHEST_NM:
            red, green, blue = distance.argmin(axis=1).tolist()
            return red, green, blue
    bands = len(cube.array)
    return bands * 5 // 6, bands * 3 // 6, bands // 6


@np.errstate(over="ignore", invalid="ignore")
def _stretched(band: np.ndarray) -> np.ndarray:
    values = np.asarray(band, np.float64)
    finite = np.isfinite(values)
    if not finite.any():
        return np.zeros(values.shape, np.uint8)
    low, high = np.percentile(values[finite], STRETCH)
    shown = np.where(finite, values, low).clip(low, high) - low
    return (255 * shown / (high - low if high > low else 1)).round().astype(np.uint8)


def _draw(cube: Cube, png: Path, missing: np.ndarray | None) -> str:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    image, chosen = quick_look(cube, missing)
    free, words = _free(png), PngInfo()
    words.add_text(*MADE_HERE)
    with replacing(free) as temporary:
        Image.fromarray(image).save(temporary, format="PNG", pnginfo=words)
    nm = "" if cube.wavelengths_nm is None else f" ({', '.join(f'{cube.wavelengths_nm[b]:.0f}' for b in chosen)} nm)"
    why = "" if free == png else f" ({png} is there already and was not drawn here)"
    shown = "" if missing is None else "; missing pixels in magenta"
    return f"{free}{why}: red, green, blue from bands {', '.join(map(str, chosen))}{nm}{shown}"


def _free(png: Path) -> Path:
    """The name asked for, or the next like it that no other file has."""
    names = chain([png], (png.with_name(f"{png.stem}_look{number}{png.suffix}") for number in count(1)))
    return next(name for name in names if not name.exists() or _drawn_here(name))


def _drawn_here(png: Path) -> bool:
    from PIL import Image

    try:
        with Image.open(png) as image:
            return image.info.get(MADE_HERE[0]) == MADE_HERE[1]
    except (OSError, SyntaxError, ValueError):  # no picture at all
        return False


@np.errstate(over="ignore", invalid="ignore")
def _measure(cube: Cube) -> _Bands:
    """Go through (C, H, W) once, in slabs of rows."""
    array, bands, top = cube.array, len(cube.array), 0
    lowest, highest = np.full(bands, np.inf), np.full(bands, -np.inf)
    at_highest, values, steps = (np.zeros(bands, np.int64) for _ in range(3))
    total, squares, step_squares = (np.zeros(bands) for _ in range(3))
    origin: np.ndarray | None = None
    nan = infinite = nodata = 0
    for block in row_blocks(array):
        slab = np.array(block, np.float64)
        finite = np.isfinite(slab)
        missing = int(np.isnan(slab).sum())
        nan, infinite = nan + missing, infinite + int(finite.size - finite.sum()) - missing
        there = finite & ~cube.unusable(block)
        if cube.mask is not None:
            there &= ~cube.mask[top : top + block.shape[1]]
        top += block.shape[1]
        nodata, finite = nodata + int(finite.sum() - there.sum()), there
        slab_highest = slab.max(axis=(1, 2), where=finite, initial=-np.inf)
        times = (slab == slab_highest[:, None, None]).sum(axis=(1, 2), where=finite)
        at_highest = np.where(slab_highest > highest, times, at_highest + times * (slab_highest == highest))
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
    return _Bands(
        lowest,
        highest,
        at_highest,
        values,
        mean + (0 if origin is None else origin),
        variance,
        half_step,
        nan,
        infinite,
        nodata,
    )


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
        return f"{name}, none of them finite" + (f" or there ({found.nodata} missing)" if found.nodata else "")
    mean = float(np.average(found.mean, weights=found.values))
    text = f"{name}, {found.lowest.min():.6g} .. {found.highest.max():.6g}, mean {mean:.6g}"
    if found.nan or found.infinite:
        return f"{text}; {found.nan} NaN, {found.infinite} infinite"
    return f"{text}; no NaN, no infinite"


def _missing(cube: Cube, missing: np.ndarray | None) -> str:
    """How many pixels miss in the bands that are good and not empty, by which value, and where."""
    stated = "no value is declared" if cube.nodata is None else f"the value {cube.nodata:g} is declared"
    if cube.gain is not None and cube.nodata is not None:
        stated += " (before gains)"
    if missing is None:
        return f"no pixel; {stated}"
    rows, columns = (np.flatnonzero(missing.any(axis=axis)) for axis in (1, 0))
    return (
        f"{missing.sum()} of {missing.size} pixels ({missing.mean():.2%}), in rows {rows[0]}..{rows[-1]} and columns "
        f"{columns[0]}..{columns[-1]}; {stated}{_map(missing)}"
    )


def _map(missing: np.ndarray) -> str:
    """A map of at most 8 x 32 characters: `#` all, `+` some and `.` none of the pixels missing."""
    height, width = missing.shape
    rows, columns = min(height, MAP_SIDES[0]), min(width, MAP_SIDES[1])
    tops, lefts = np.arange(rows) * height // rows, np.arange(columns) * width // columns
    counts = np.add.reduceat(np.add.reduceat(missing, tops, axis=0, dtype=np.int64), lefts, axis=1)
    sizes = np.outer(np.diff([*tops, height]), np.diff([*lefts, width]))
    marks = np.where(counts == 0, ".", np.where(counts == sizes, "#", "+"))
    return "".join(f"\n{'':12} {''.join(line)}" for line in marks)


def _gain(cube: Cube) -> str:
    words = []
    for name, values in (("times", cube.gain), ("plus", cube.offset)):
        if values is not None:
            lowest, highest = values.min(), values.max()
            words.append(f"{name} {lowest:g}" if lowest == highest else f"{name} {lowest:g} .. {highest:g} by band")
    return f"stored {cube.stored} {', '.join(words)}, applied to the values above"


def _grid(grid: Grid) -> str:
    a, b, _, d, e, _ = tuple(grid.transform)[:6]
    code = None if grid.crs is None else grid.crs.to_epsg()
    crs = "no coordinate reference system" if grid.crs is None else (f"EPSG:{code}" if code else "a system of its own")
    corner = f"upper left corner {grid.transform.c:.10g}, {grid.transform.f:.10g}"
    turned = "" if b == 0 == d else ", rotated"
    return f"{crs}, pixels of {math.hypot(a, d):.6g} x {math.hypot(b, e):.6g}, {corner}{turned}"


def _wavelengths(cube: Cube) -> str:
    nm = cube.wavelengths_nm
    if nm is None:
        return "none found; state wavelengths_nm as a list or as {start: ..., step: ...}"
    back = np.flatnonzero(np.diff(nm) <= 0) + 1
    order = f"not increasing at bands {band_list(back)}" if len(back) else "increasing"
    widths = cube.bandwidths_nm
    wide = "" if widths is None else f", widths {widths.min():g} .. {widths.max():g} nm"
    return f"{nm.min():.6g} .. {nm.max():.6g} nm, {order}{wide}"
