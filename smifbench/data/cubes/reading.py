"""Reads a hyperspectral cube from a file, bands first: NumPy, MATLAB, HDF5 products, or a raster that GDAL knows.

The readers of the formats are the modules beside this one; here is what follows from the array and the words that they
find: which axis holds the bands, where these lie in nanometres, which pixels are missing, and gains applied.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from smifbench.data.cubes.band_metadata import metadata_of
from smifbench.data.cubes.content import (
    Content,
    Grid,
    Wanted,
    as_key,
    band_list,
    check_claim,
    is_nodata,
    refuse_disguised,
)
from smifbench.data.cubes.hdf5_products import read_emit, read_prisma
from smifbench.data.cubes.header import files_beside, header_of, is_header, number
from smifbench.data.cubes.matlab import read_mat
from smifbench.data.cubes.npy import read_npy, read_npz
from smifbench.data.cubes.raster import DRIVERS, read_envi, read_raster, sidecar_of
from smifbench.errors import UserError

CONVERTERS = {
    ".h5": "hytools converts products of NEON to ENVI",
    ".hdf": "gdal_translate converts its images to GeoTIFF",
    ".zip": "unpack it",
}
"""What makes files that can be read out of products that cannot."""

Reader = Callable[[Path, Wanted], Content]

READERS: dict[str, tuple[str, Reader]] = {
    ".npy": ("a NumPy array", read_npy),
    ".npz": ("a NumPy archive", read_npz),
    ".mat": ("a MATLAB file", read_mat),
    ".hdr": ("an ENVI image", read_envi),
    ".tif": ("a TIFF", read_raster),
    ".tiff": ("a TIFF", read_raster),
    ".he5": ("a product of PRISMA", read_prisma),
    ".nc": ("a product of EMIT", read_emit),
}
"""Formats by suffix: what messages call them, and their reader."""

READERS |= {
    suffix: (f"a raster of GDAL's format {name}", read_raster)
    for suffix, name in DRIVERS.items()
    if suffix not in READERS
}

NM_PER_UNIT = {
    **dict.fromkeys(("nm", "nanometers", "nanometer", "nanometres", "nanometre"), 1.0),
    **dict.fromkeys(("um", "micrometers", "micrometer", "micrometres", "micrometre", "microns", "micron"), 1e3),
    **dict.fromkeys(("\u00b5m", "\u03bcm", "\ufffdm"), 1e3),  # both letters mu, and one in an unknown encoding
    **dict.fromkeys(("angstroms", "angstrom"), 0.1),
}
"""Spellings of the units of length."""

BLOCK_VALUES = 2**22

SCALE_FACTOR = "reflectance scale factor"
"""The word of an ENVI header, and of a TIFF's tags made of one, for what stored numbers are divided by."""


@dataclass(frozen=True)
class Cube:
    """A cube as its file holds it.

    Parameters
    ----------
    array
        Values (C, H, W). In the file's own real type, memory-mapped and read-only where the format allows it; where the
        file states gains or offsets, float32 (float64 for wider types) with them applied and NaN where pixels miss.
    wavelengths_nm, bandwidths_nm
        Band centres and full widths (C,) in nanometres, in the file's order of bands, or None where it states none.
    variable
        Name of the variable read, None for formats that hold a single array.
    band_axis
        Which axis of the stored array holds the bands.
    format
        The file's format in words.
    notes
        Sentences on what was concluded, ignored or worth knowing.
    grid
        Where the image lies on the ground, or None.
    nodata
        Number that stands for a missing value in the file (before gains), or None.
    fills
        Numbers that the user says stand for one, too, as the file stores them (before gains).
    mask
        (H, W), True where the file's own mask calls a pixel missing, or None where it has no mask.
    gain, offset
        (C,), both or neither: `array` is the stored number times gain plus offset.
    by_factor
        Whether the gains are no more than the `reflectance scale factor` among the words.
    stored
        Type of the numbers in the file; None is that of `array`.
    bad_bands
        Numbers of the bands that the file's own list calls bad, counted from 0; None where it has no such list.
    band_names
        Names (C) of the bands, or empty.
    words
        What else the file says of its values, such as `reflectance scale factor`, `data units`, `sensor type`.
    """

    array: np.ndarray
    wavelengths_nm: np.ndarray | None
    bandwidths_nm: np.ndarray | None
    variable: str | None
    band_axis: int
    format: str
    notes: tuple[str, ...]
    grid: Grid | None = None
    nodata: float | None = None
    fills: tuple[float, ...] = ()
    mask: np.ndarray | None = None
    gain: np.ndarray | None = None
    offset: np.ndarray | None = None
    by_factor: bool = False
    stored: np.dtype | None = None
    bad_bands: tuple[int, ...] | None = None
    band_names: tuple[str, ...] = ()
    words: Mapping[str, str] = field(default_factory=dict)

    @property
    def good_bands(self) -> list[int]:
        """Numbers of the bands that the file does not call bad."""
        return [band for band in range(len(self.array)) if band not in (self.bad_bands or ())]

    @property
    def marks(self) -> tuple[float, ...]:
        """Stored numbers that stand for a missing value, by the file's words or the user's."""
        stated = () if self.nodata is None else (self.nodata,)
        return tuple(dict.fromkeys((*stated, *self.fills)))

    @property
    def missing_mark(self) -> str:
        """What stands for a missing pixel, in words: `the value -9999 or NaN`."""
        words = [f"the value {mark:g}" for mark in self.marks]
        words += ["the file's mask"] * (self.mask is not None)
        words += ["NaN"] * (self.array.dtype.kind == "f" and self.gain is None and not any(map(math.isnan, self.marks)))
        return " or ".join(words)

    @cached_property
    def missing(self) -> np.ndarray | None:
        """Pixels missing in one of the good bands, as of `missing_in`."""
        return self.missing_in(self.good_bands)

    def missing_in(self, bands: Sequence[int]) -> np.ndarray | None:
        """Return where a pixel is missing in one of these bands, (H, W), or None where every pixel is there.

        Missing is what the mask says, the no-data value, what the user says and what is no finite number. Goes through
        the file in slabs.
        """
        missing = np.zeros(self.array.shape[1:], bool) if self.mask is None else self.mask.copy()
        if self.marks or self.array.dtype.kind == "f":
            top = 0
            for block in row_blocks(self.array):
                rows = slice(top, top + block.shape[1])
                for band in bands:
                    missing[rows] |= self.unusable(block[band])
                top = rows.stop
        return missing if missing.any() else None

    def take(self, bands: Sequence[int]) -> "Cube":
        """Return the cube of these bands in this order."""
        numbers = list(bands)
        bad = None if self.bad_bands is None else tuple(i for i, band in enumerate(numbers) if band in self.bad_bands)

        def of(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else values[numbers]

        return replace(
            self,
            array=self.array if numbers == list(range(len(self.array))) else self.array[numbers],
            wavelengths_nm=of(self.wavelengths_nm),
            bandwidths_nm=of(self.bandwidths_nm),
            gain=of(self.gain),
            offset=of(self.offset),
            bad_bands=bad,
            band_names=tuple(self.band_names[band] for band in numbers) if self.band_names else (),
        )

    def unusable(self, values: np.ndarray) -> np.ndarray:
        """Return where values out of `array` are no finite number or the no-data value; the mask is another matter."""
        unusable = np.zeros(values.shape, bool) if values.dtype.kind != "f" else ~np.isfinite(values)
        for mark in self.marks if self.gain is None else ():  # with gains they are NaN already
            unusable |= is_nodata(values, mark)
        return unusable


def read_cube(
    path: str | Path,
    variable: str | None = None,
    band_axis: int | None = None,
    bands: int | None = None,
    *,
    shape: tuple[int, int] | None = None,
    fills: Sequence[float] = (),
    ask: Callable[[str], str] = as_key,
) -> Cube:
    """Read or map the cube of a file.

    Parameters
    ----------
    path
        A `.npy`, `.npz` or `.mat` (v5 to v7.3) file, a GeoTIFF or other raster of GDAL's, the header or the data file
        of an ENVI image, a `.he5` of PRISMA or a `.nc` of EMIT.
    variable
        Which variable of a `.npz` or `.mat`, fields of structures as `hsi.Data`, or which series (counted from "0") of
        a TIFF; None takes the only one with three axes.
    band_axis
        Which axis of the stored array holds the bands. None takes what the format states (rasters, matrices of pixels);
        else the only side as long as the list of wavelengths; without wavelengths the side that differs from two equal
        ones, or the shortest if at most half as long as the next. For v7.3 the axes are MATLAB's.
    bands
        Number of wavelengths known from elsewhere, in place of those in the file.
    shape
        Rows and columns of a matrix of pixels, where variables such as `nRow` and `nCol` do not state them.
    fills
        Numbers that stand for a missing value besides the declared one, as the file stores them.
    ask
        Turns the name of one of these options, for messages, into what the user can type.

    Raises
    ------
    UserError
        For a file that is missing, broken, of another format, without a cube or with several; a band axis that cannot
        be told; a header that claims more than the file or the memory can hold.
    """
    path = Path(path).expanduser()
    name, read = _reader(path)
    refuse_disguised(path)
    try:
        content = read(path, Wanted(None if variable is None else str(variable), shape, ask))
    except UserError:
        raise
    except Exception as error:  # on a broken file the libraries raise anything
        why = " ".join(str(error.__cause__ or error).split())[:200] or type(error).__name__
        raise UserError(f"{path} cannot be read as {name} ({why}); complete it or export it anew") from error
    axis, reason = _band_axis(path, content, band_axis, bands or len(content.wavelengths), ask)
    array = np.moveaxis(content.array, axis, 0)
    centres, widths, complaint = _wavelengths(content, len(array))
    notes = [reason, *content.notes, complaint]
    if content.bad_bands:
        option = ask("drop_bands")
        notes.append(f"the header marks bad bands{f': {option}:' if option else ''} {band_list(content.bad_bands)}")
    if content.nodata is not None:
        notes.append(f"the value {content.nodata:g} stands for missing")
    gain, offset, told = _gains(path, content, len(array))
    notes.append(told)
    cube = Cube(
        array=array,
        wavelengths_nm=centres,
        bandwidths_nm=widths,
        variable=content.variable,
        band_axis=axis,
        format=content.format,
        notes=tuple(filter(None, notes)),
        grid=content.grid,
        nodata=content.nodata,
        fills=tuple(fills),
        mask=content.mask,
        by_factor=content.gain is None and gain is not None,
        stored=array.dtype.newbyteorder("="),
        bad_bands=None if content.bad_bands is None else tuple(b for b in content.bad_bands if b < len(array)),
        band_names=content.band_names,
        words=content.words,
    )
    return cube if gain is None or offset is None else with_gains(path, cube, gain, offset)


def with_gains(path: Path, cube: Cube, gain: np.ndarray, offset: np.ndarray) -> Cube:
    """Apply gains and offsets (C,) to a cube as stored; `path` is what messages name."""
    array = _decoded(path, cube.array, gain, offset, cube.marks)
    told = f"gains {_extent(gain)} and offsets {_extent(offset)} of the file are applied"
    return replace(cube, array=array, gain=gain, offset=offset, notes=(*cube.notes, told))


def files_of(path: str | Path) -> list[Path]:
    """Return the files that hold the cube `path`: itself, and headers, data and metadata files that belong to it."""
    path = Path(path).expanduser()
    read = _reader(path)[1]
    if read is read_envi:
        return list(files_beside(path))
    beside = (sidecar_of(path), metadata_of(path)) if read is read_raster else ()
    return [*filter(None, beside), path]


def nanometres(wavelengths: Sequence[float | str], unit: str | None = None) -> np.ndarray:
    """Return wavelengths (n,) in nanometres.

    Parameters
    ----------
    wavelengths
        Numbers, or their texts.
    unit
        Unit of length in words; without one, numbers below 100 are micrometres and others nanometres.

    Raises
    ------
    UserError
        For another unit, for what is no number, and for wavelengths outside 100 nm to 100 um.
    """
    values = _numbers(wavelengths, "wavelength")
    values = values * _nm_per_unit(values, unit)
    if not values.size or values.min() < 100 or values.max() > 1e5:
        extent = f"range over {values.min():g}..{values.max():g} nm" if values.size else "are missing"
        raise UserError(f"the wavelengths {extent}; state them in nanometres or micrometres")
    return values


def row_blocks(array: np.ndarray) -> Iterator[np.ndarray]:
    """Cut (C, H, W) into slabs (C, h, W) of some 4 million values, so that a mapped file is never loaded whole."""
    rows = max(1, BLOCK_VALUES // (array.shape[0] * array.shape[2]))
    for start in range(0, array.shape[1], rows):
        yield array[:, start : start + rows]


def full_scale(array: np.ndarray, path: str | Path) -> float:
    """Return the largest value of (C, H, W) rounded up to one digit (24639: 30000), at most the type's own largest.

    Raises UserError, which names `path`, where no value is positive or one is infinite.
    """
    highest = float(np.fmax.reduce([np.fmax.reduce(block, axis=None) for block in row_blocks(array)]))
    if not 0 < highest < math.inf:
        raise UserError(f"{path}: the largest value is {highest:g}; set scale to the value that becomes 1")
    digit = 10.0 ** math.floor(math.log10(highest))
    slack = 1e-6 if array.dtype.kind == "f" else 0  # 6000 counts divided by 10000 are 0.6, not what float32 makes of it
    rounded = max(highest, math.ceil(highest / digit * (1 - slack)) * digit)
    return min(rounded, float(np.iinfo(array.dtype).max)) if array.dtype.kind in "iu" else rounded


@np.errstate(over="ignore", invalid="ignore")
def _decoded(path: Path, array: np.ndarray, gain: np.ndarray, offset: np.ndarray, marks: Sequence[float]) -> np.ndarray:
    """Apply gains and offsets to (C, H, W); stored numbers that stand for missing become NaN."""
    dtype = np.dtype(np.float32 if array.dtype.itemsize <= 2 or array.dtype.str[1:] == "f4" else np.float64)
    check_claim(path, array.size, dtype.itemsize, array.nbytes)
    values = np.empty(array.shape, dtype)
    top = 0
    for block in row_blocks(array):
        rows = slice(top, top := top + block.shape[1])
        np.add(block * gain[:, None, None], offset[:, None, None], out=values[:, rows], casting="same_kind")
        for mark in marks:
            values[:, rows][is_nodata(block, mark)] = np.nan
    return values


def _gains(path: Path, content: Content, bands: int) -> tuple[np.ndarray | None, np.ndarray | None, str | None]:
    """Gains and offsets (C,) that the file states in any way, and a sentence on them."""
    factor = scale_factor(path, content.words)
    if content.gain is None or content.offset is None:
        if factor == 1:
            return None, None, None
        return np.full(bands, 1 / factor), np.zeros(bands), f"the file's {SCALE_FACTOR} is {factor:g}"
    besides = factor != 1 and not np.allclose(content.gain * factor, 1)
    told = f"the file's {SCALE_FACTOR} {factor:g} is not applied besides its gains" if besides else None
    return content.gain, content.offset, told


def scale_factor(path: Path, words: Mapping[str, str]) -> float:
    """What stored numbers are to be divided by, as the words of a file say; 1 where they say nothing."""
    stated = words.get(SCALE_FACTOR, "1")
    factor = number(stated)
    if factor is None or not 0 < factor < math.inf:
        raise UserError(f"{path}: the {SCALE_FACTOR} is '{stated[:40]}'; correct it to a number above 0")
    return factor


def _extent(values: np.ndarray) -> str:
    lowest, highest = float(values.min()), float(values.max())
    return f"{lowest:g}" if lowest == highest else f"{lowest:g} .. {highest:g}"


def _reader(path: Path) -> tuple[str, Reader]:
    if not path.is_file():
        raise UserError(f"there is no file {path}" + ("; it is a folder, name a file in it" * path.is_dir()))
    suffix = path.suffix.lower()
    if suffix in CONVERTERS:
        raise UserError(f"{path} is a product that is not read here; {CONVERTERS[suffix]}")
    of_numbers = suffix not in (".tif", ".tiff", ".jp2", ".j2k", ".vrt")  # a header there is no more than beside it
    if suffix not in (".npy", ".npz", ".mat", ".hdr") and of_numbers and _has_envi_header(path):
        return READERS[".hdr"]
    if suffix in READERS:
        return READERS[suffix]
    raise UserError(
        f"{path} is of no known format: give a {', '.join(READERS)} file, or lay the ENVI header beside the data file"
    )


def _has_envi_header(path: Path) -> bool:
    header = header_of(path)
    return header is not None and not (path.suffix.lower() in DRIVERS and not is_header(header))


def _band_axis(
    path: Path, content: Content, stated: int | None, bands: int, ask: Callable[[str], str]
) -> tuple[int, str | None]:
    """Return the band axis, and how it was concluded where the file does not say."""
    shape = content.array.shape
    if stated is not None:
        if isinstance(stated, bool) or not isinstance(stated, int) or not -3 <= stated < 3:
            raise UserError(f"{ask('band_axis')} must be 0, 1 or 2, not {stated!r}")
        by_band = (content.gain, content.mask, content.grid)
        if content.band_axis not in (None, stated % 3) and any(word is not None for word in by_band):
            raise UserError(
                f"{path}: the file says that axis {content.band_axis} holds the bands, by which its gains, mask or "
                f"geo-reference go; leave {ask('band_axis')} out"
            )
        return stated % 3, None
    if content.band_axis is not None:
        return content.band_axis, None
    if bands and shape.count(bands) == 1:
        axis = shape.index(bands)
        return axis, f"band axis {axis} of {shape}, the only side as long as the list of wavelengths"
    short, middle, long = sorted(range(3), key=shape.__getitem__)
    if not bands or bands not in shape:
        for axis, one, other in ((short, middle, long), (long, short, middle)):
            if shape[one] == shape[other] != shape[axis]:
                return axis, f"band axis {axis} of {shape}, the side that differs from two equal ones"
        if 2 * shape[short] <= shape[middle]:
            return short, f"band axis {short} of {shape}, the side at most half as long as the others"
    raise UserError(
        f"{path}: which axis of shape {shape} holds the bands cannot be told; set {ask('band_axis')} to 0, 1 or 2"
    )


def _wavelengths(content: Content, bands: int) -> tuple[np.ndarray | None, np.ndarray | None, str | None]:
    """Centres and widths in nanometres, or why the file's own cannot be used."""
    if not len(content.wavelengths):
        return None, None, None
    try:
        centres = nanometres(content.wavelengths, content.unit)
        if len(centres) != bands:
            raise UserError(f"{len(centres)} wavelengths for {bands} bands")
        if len(content.bandwidths) != bands:
            return centres, None, None
        unit = _nm_per_unit(_numbers(content.wavelengths, "wavelength"), content.unit)
        widths = _numbers(content.bandwidths, "band width") * unit
    except UserError as error:
        return None, None, f"the file's wavelengths are not used: {error}"
    return centres, widths if widths.min() > 0 else None, None


def _numbers(values: Sequence[float | str], what: str) -> np.ndarray:
    numbers = []
    for at, value in enumerate(values, 1):
        try:
            numbers.append(float(value))
        except (TypeError, ValueError):
            numbers.append(math.nan)
        if not math.isfinite(numbers[-1]):
            raise UserError(f"{what} {at} is '{str(value)[:40]}'; make it a finite number")
    return np.array(numbers)


def _nm_per_unit(values: np.ndarray, unit: str | None) -> float:
    word = (unit or "unknown").strip().lower()
    if word in NM_PER_UNIT:
        return NM_PER_UNIT[word]
    if word != "unknown":
        raise UserError(f"'{word[:40]}' is no unit of length known here; use nanometers or micrometers")
    return 1e3 if values.size and values.max() < 100 else 1.0
