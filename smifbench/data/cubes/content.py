"""What the readers of all cube formats share: the form of their answer, and loading without trust.

A header is only a claim: it is held against the file's length before anything is allocated.
"""

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from smifbench.errors import UserError, unknown

if TYPE_CHECKING:
    from affine import Affine
    from rasterio.crs import CRS

WAVELENGTH_NAMES = (
    *("wavelengths_nm", "wavelength_nm", "wavelengths_um", "wavelengths", "wavelength", "wave_length", "lambda", "wl"),
    *("wvl", "wave", "waves", "centers", "centres", "band_centers", "band_centres", "center_wavelengths", "bands"),
)
"""What the variable with the band centres is called in .npz and .mat files, whatever its capitals, the surest first."""

SIDES = (("nrow", "ncol"), ("nrows", "ncols"), ("rows", "cols"), ("lines", "samples"), ("height", "width"), ("h", "w"))
"""What the numbers of rows and columns of a matrix of pixels are called beside it."""

LARGEST_EXPANSION = 1100
"""Deflate, the densest of the compressions met here, makes at most 1032 bytes out of one."""

REAL = "biuf"
"""Kinds of NumPy types that hold real numbers."""


@dataclass(frozen=True)
class Grid:
    """Where an image lies on the ground.

    Parameters
    ----------
    crs
        Coordinate reference system, or None where the file states only a transform.
    transform
        Turns (column, row) of a pixel's corner into ground coordinates; (0, 0) is the image's upper left corner.
    """

    crs: "CRS | None"
    transform: "Affine"


class Content(NamedTuple):
    """What a format's reader finds: the array in the stored order of axes, and the file's own words about its bands.

    The fields that `smifbench.data.cubes.reading.Cube` has, too, mean the same; gains are not yet applied.
    """

    format: str
    array: np.ndarray
    variable: str | None = None
    band_axis: int | None = None
    wavelengths: Sequence[float | str] = ()
    unit: str | None = None
    bandwidths: Sequence[float | str] = ()
    notes: tuple[str, ...] = ()
    grid: Grid | None = None
    nodata: float | None = None
    mask: np.ndarray | None = None
    gain: np.ndarray | None = None
    offset: np.ndarray | None = None
    bad_bands: tuple[int, ...] | None = None
    band_names: tuple[str, ...] = ()
    words: Mapping[str, str] = {}


def as_key(option: str) -> str:
    """Call an option as a configuration does."""
    return option


class Wanted(NamedTuple):
    """What the caller asked for, and how the user would call an option in answer to a message."""

    variable: str | None = None
    shape: tuple[int, int] | None = None
    ask: Callable[[str], str] = as_key


def from_variables(
    format: str,
    path: Path,
    about: dict[str, tuple],
    wanted: Wanted,
    load: Callable[[str], np.ndarray],
    order: Literal["C", "F"] = "C",
) -> Content:
    """Load the cube of a file of named arrays, and the wavelengths beside it; `about` gives shapes and type kinds.

    A matrix whose one side is rows times columns, as variables of the usual names or the caller say, is a cube of
    pixels counted in the format's `order`.
    """
    sides = wanted.shape or _stated_sides(about, load)
    matrices = {name: _as_pixels(shape, kind, sides) for name, (shape, kind) in about.items()} if sides else {}
    cubes = about | {name: (shape, about[name][1]) for name, shape in matrices.items() if shape}
    name = pick(path, cubes, wanted)
    array = load(name)
    if array.dtype.kind not in REAL:
        raise UserError(f"{path}: {name} is of type {array.dtype}; store real numbers")
    axis, notes = None, tuple[str, ...]()
    if (pixels := matrices.get(name)) and sides:
        axis = 0 if array.shape[1] == math.prod(sides) else 2
        notes = (f"{name} is a matrix of pixels of {sides[0]} rows and {sides[1]} columns",)
        array = array.reshape(pixels, order=order)
    vectors: dict[str, str] = {}
    for other, (shape, type_kind) in about.items():
        if _is_vector(shape) and type_kind in "iuf":
            vectors.setdefault(other.rpartition(".")[2].lower(), other)
    for word in WAVELENGTH_NAMES:
        if word in vectors:
            values = load(vectors[word]).ravel()
            if word == "bands" and values.min() < 100:  # mere numbers of bands
                continue
            unit = word.rpartition("_")[2] if word.endswith(("_nm", "_um")) else None
            return Content(format, array, name, axis, values.tolist(), unit, notes=notes)
    return Content(format, array, name, axis, notes=notes)


def _stated_sides(about: Mapping[str, tuple], load: Callable[[str], np.ndarray]) -> tuple[int, int] | None:
    """Rows and columns that single numbers in the file state."""
    single: dict[str, str] = {}
    for name, (shape, kind) in about.items():
        if math.prod(shape) == 1 and kind in "iuf":
            single.setdefault(name.rpartition(".")[2].lower(), name)
    for pair in SIDES:
        if all(word in single for word in pair):
            rows, columns = (float(load(single[word]).item()) for word in pair)
            if rows >= 1 and columns >= 1 and rows.is_integer() and columns.is_integer():
                return int(rows), int(columns)
    return None


def _as_pixels(shape: tuple[int, ...], kind: str, sides: tuple[int, int]) -> tuple[int, ...] | None:
    """Shape of a matrix of pixels as a cube, or None for another array."""
    if len(shape) != 2 or kind not in REAL or min(shape) < 2:
        return None
    if shape[1] == math.prod(sides):
        return (shape[0], *sides)
    return (*sides, shape[1]) if shape[0] == math.prod(sides) else None


def pick(path: Path, about: Mapping[str, tuple], wanted: Wanted) -> str:
    """Name of the variable to read: the one asked for, or the only cube."""
    variable, option = wanted.variable, wanted.ask("variable")
    cubes = [name for name, (shape, kind) in about.items() if len(shape) == 3 and kind in REAL and min(shape) > 0]
    if variable in cubes:
        return str(variable)
    cubes = [name for name in cubes if "." not in name] or cubes  # fields of structures come second
    if variable is None and len(cubes) == 1:
        return cubes[0]
    if variable is not None and variable not in about:
        raise unknown(f"variable in {path}", variable, about)
    shown = ", ".join(f"{name} {tuple(shape)}" for name, (shape, _) in list(about.items())[:8]) or "nothing"
    if variable is not None:
        raise UserError(f"{path}: {variable} is no array of real numbers with three axes; the file holds {shown}")
    remedy = f"choose one by the option {option}" if cubes else "store a cube with three axes"
    if not cubes and any(len(shape) == 2 and min(shape) > 1 and kind in REAL for shape, kind in about.values()):
        remedy += f", or for a matrix of pixels give its rows and columns by the option {wanted.ask('shape')}"
    raise UserError(f"{path} holds {len(cubes)} arrays of real numbers with three axes ({shown}); {remedy}")


def refuse_disguised(path: Path) -> None:
    """Raise UserError for a web page, or a pointer of Git LFS, that was saved under the name of a cube."""
    with path.open("rb") as file:
        start = file.read(512).removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")) or (start.startswith(b"<?xml") and b"<html" in start):
        raise UserError(f"{path} is a web page, perhaps one that asks for a login; fetch the file itself")
    if start.startswith(b"version https://git-lfs"):
        raise UserError(f"{path} is a pointer of Git LFS, not the file; run git lfs pull")


def map_values(
    path: Path,
    shape: tuple[int, ...],
    dtype: np.dtype,
    offset: int,
    order: Literal["C", "F"] = "C",
    header: Path | None = None,
) -> np.ndarray:
    """Map the values of a file read-only, after a look at its length."""
    claimed, length = offset + math.prod(shape) * dtype.itemsize, path.stat().st_size
    if claimed > length:
        raise UserError(
            f"{header or path}: the header claims {' x '.join(map(str, shape))} {dtype.name}, {claimed} bytes, but "
            f"{path.name} has {length}; correct the header or complete the file"
        )
    return np.memmap(path, dtype, "r", offset, shape, order)


def check_claim(path: Path, values: int, size: int, stored: int) -> None:
    """Refuse to load what `stored` bytes cannot unpack to, or what the memory cannot hold."""
    claimed = values * size
    if claimed > LARGEST_EXPANSION * stored:
        raise UserError(f"{path} claims {claimed} bytes of values but stores {stored}; fetch or write it again")
    if claimed > os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"):
        raise UserError(
            f"{path} needs {claimed / 2**30:.0f} GiB, more than this machine's memory; save it as .npy or ENVI, which "
            "are read in parts"
        )


def is_nodata(values: np.ndarray, nodata: float) -> np.ndarray:
    """Return where values equal a no-data value that a file wrote in some digits.

    A fraction is compared as the values' own type rounds it; the largest numbers of a type are often cut to six digits.
    """
    if values.dtype.kind != "f":
        return values == nodata
    close = 1e-5 * abs(nodata) if abs(nodata) > 1e30 else 0
    with np.errstate(over="ignore", invalid="ignore"):
        return np.abs(values - values.dtype.type(nodata)) <= close


def _is_vector(shape: tuple[int, ...]) -> bool:
    return len(shape) in (1, 2) and 1 <= math.prod(shape) == max(shape) <= 10**5


def band_list(bands: Iterable[int]) -> str:
    """Write increasing band numbers as a YAML list in which a run becomes [first, last]: `[0, [3, 7], 12]`."""
    runs: list[list[int]] = []
    for band in map(int, bands):
        if runs and band == runs[-1][1] + 1:
            runs[-1][1] = band
        else:
            runs.append([band, band])
    return str([first if first == last else [first, last] for first, last in runs])
