"""What the readers of all cube formats share: the form of their answer, and loading without trust.

A header is only a claim: it is held against the file's length before anything is allocated.
"""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from smifbench.errors import UserError, unknown

if TYPE_CHECKING:
    from affine import Affine
    from rasterio.crs import CRS

WAVELENGTH_NAMES = ("wavelengths_nm", "wavelength_nm", "wavelengths_um", "wavelengths", "wavelength", "lambda", "wl")
"""What the variable with the band centres is called in .npz and .mat files, whatever its capitals."""

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
    """What a format's reader finds: the array in the stored order of axes, and the file's own words about its bands."""

    format: str
    array: np.ndarray
    variable: str | None = None
    band_axis: int | None = None
    wavelengths: Sequence[float | str] = ()
    unit: str | None = None
    bandwidths: Sequence[float | str] = ()
    notes: tuple[str, ...] = ()
    georeference: Mapping | None = None


def from_variables(
    kind: str, path: Path, about: dict[str, tuple], variable: str | None, load: Callable[[str], np.ndarray]
) -> Content:
    """Load the cube of a file of named arrays, and the wavelengths beside it; `about` gives shapes and type kinds."""
    name = pick(path, about, variable)
    array = load(name)
    if array.dtype.kind not in REAL:
        raise UserError(f"{path}: {name} is of type {array.dtype}; store real numbers")
    vectors = {other.lower(): other for other, (shape, kind) in about.items() if _is_vector(shape) and kind in "iuf"}
    called = next((word for word in WAVELENGTH_NAMES if word in vectors), None)
    if called is None:
        return Content(kind, array, name)
    unit = called.rpartition("_")[2] if "_" in called else None
    return Content(kind, array, name, wavelengths=load(vectors[called]).ravel().tolist(), unit=unit)


def pick(path: Path, about: Mapping[str, tuple], variable: str | None) -> str:
    """Name of the variable to read: the one asked for, or the only cube."""
    cubes = [name for name, (shape, kind) in about.items() if len(shape) == 3 and kind in REAL and min(shape) > 0]
    if variable is None and len(cubes) == 1:
        return cubes[0]
    if variable in cubes:
        return variable
    if variable is not None and variable not in about:
        raise unknown(f"variable in {path}", variable, about)
    shown = ", ".join(f"{name} {tuple(shape)}" for name, (shape, _) in list(about.items())[:8]) or "nothing"
    if variable is not None:
        raise UserError(f"{path}: {variable} is no array of real numbers with three axes; the file holds {shown}")
    remedy = "choose one by the option variable" if cubes else "store a cube with three axes"
    raise UserError(f"{path} holds {len(cubes)} arrays of real numbers with three axes ({shown}); {remedy}")


def map_values(
    path: Path, shape: tuple[int, ...], dtype: np.dtype, offset: int, order: str = "C", header: Path | None = None
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


def band_list(bands: Sequence[int]) -> str:
    """Write increasing band numbers as a YAML list in which a run becomes [first, last]: `[0, [3, 7], 12]`."""
    runs: list[list[int]] = []
    for band in map(int, bands):
        if runs and band == runs[-1][1] + 1:
            runs[-1][1] = band
        else:
            runs.append([band, band])
    return str([first if first == last else [first, last] for first, last in runs])
