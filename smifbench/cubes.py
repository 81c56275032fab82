"""Reads a hyperspectral cube from a file, bands first: NumPy, MATLAB, ENVI or TIFF.

A header is only a claim: it is held against the file's length before anything is allocated, pickled objects are never
loaded, and whatever is wrong with a file ends as a UserError.
"""

import logging
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple
from xml.etree import ElementTree

import numpy as np

from smifbench.errors import UserError, unknown

if TYPE_CHECKING:
    from tifffile import TiffPage, TiffPageSeries

Axis = int | None

ENVI_TYPES = {"1": "u1", "2": "i2", "3": "i4", "4": "f4", "5": "f8", "12": "u2", "13": "u4", "14": "i8", "15": "u8"}
"""NumPy types of ENVI's codes for real numbers."""

ENVI_ORDERS = {
    "bsq": ("bands", "lines", "samples"),
    "bil": ("lines", "bands", "samples"),
    "bip": ("lines", "samples", "bands"),
}
"""Axes of the data file by ENVI's interleave."""

ENVI_DATA_SUFFIXES = (".img", ".dat", ".raw", ".bin", ".data", ".bsq", ".bil", ".bip")
ENVI_HEADER_BYTES = 2**22

NM_PER_UNIT = {
    **dict.fromkeys(("nm", "nanometers", "nanometer", "nanometres", "nanometre"), 1.0),
    **dict.fromkeys(("um", "micrometers", "micrometer", "micrometres", "micrometre", "microns", "micron"), 1e3),
    **dict.fromkeys(("\u00b5m", "\u03bcm", "\ufffdm"), 1e3),  # both letters mu, and one in an unknown encoding
    **dict.fromkeys(("angstroms", "angstrom"), 0.1),
}
"""Spellings of the units of length."""

WAVELENGTH_NAMES = ("wavelengths_nm", "wavelength_nm", "wavelengths_um", "wavelengths", "wavelength", "lambda", "wl")
"""What the variable with the band centres is called in .npz and .mat files, whatever its capitals."""

MAT5_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""NumPy types of the values stored in MATLAB's level 5 format; whole numbers may be stored shorter than their class."""

MAT5_NUMERIC = range(6, 16)
MAT5_COMPLEX = 0x800
MAT5_MATRIX, MAT5_COMPRESSED = 14, 15
MAT5_HEAD = 4096

LARGEST_EXPANSION = 1100
"""Deflate, the densest of the compressions met here, makes at most 1032 bytes out of one."""

BLOCK_VALUES = 2**22
GDAL_METADATA = 42112


@dataclass(frozen=True)
class Cube:
    """A cube as its file holds it.

    Parameters
    ----------
    array
        Values (C, H, W) in the file's own real type and scale; memory-mapped and read-only where the format allows it.
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
    """

    array: np.ndarray
    wavelengths_nm: np.ndarray | None
    bandwidths_nm: np.ndarray | None
    variable: str | None
    band_axis: int
    format: str
    notes: tuple[str, ...]


class _Content(NamedTuple):
    """What a format's reader finds: the array in the stored order of axes, and the file's own words about its bands."""

    format: str
    array: np.ndarray
    variable: str | None = None
    band_axis: Axis = None
    wavelengths: Sequence[float | str] = ()
    unit: str | None = None
    bandwidths: Sequence[float | str] = ()
    notes: tuple[str, ...] = ()


def read_cube(path: str | Path, variable: str | None = None, band_axis: Axis = None, bands: int | None = None) -> Cube:
    """Read or map the cube of a file.

    Parameters
    ----------
    path
        A `.npy`, `.npz`, `.mat` (v5 to v7.3), `.tif` or `.tiff` file, or the header or the data file of an ENVI image.
    variable
        Which variable of a `.npz` or `.mat`, or which series (counted from "0") of a TIFF; None takes the only one with
        three axes.
    band_axis
        Which axis of the stored array holds the bands. None takes what the format states (ENVI, TIFF with samples or
        plain pages); else the only side as long as the list of wavelengths; without wavelengths the side that differs
        from two equal ones, or the shortest if at most half as long as the next. For v7.3 the axes are MATLAB's.
    bands
        Number of wavelengths known from elsewhere, in place of those in the file.

    Raises
    ------
    UserError
        For a file that is missing, broken, of another format, without a cube or with several; a band axis that cannot
        be told; a header that claims more than the file or the memory can hold.
    """
    path = Path(path).expanduser()
    name, read = _reader(path)
    try:
        content = read(path, None if variable is None else str(variable))
    except UserError:
        raise
    except Exception as error:  # on a broken file the libraries raise anything
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(
            f"{path} cannot be read as {name} ({why}); check that it is complete, or export it anew"
        ) from error
    axis, reason = _band_axis(path, content, band_axis, bands or len(content.wavelengths))
    array = np.moveaxis(content.array, axis, 0)
    centres, widths, complaint = _wavelengths(content, len(array))
    notes = (reason, *content.notes, complaint)
    return Cube(array, centres, widths, content.variable, axis, content.format, tuple(filter(None, notes)))


def files_of(path: str | Path) -> list[Path]:
    """Return the files that hold the cube `path`: itself, or an ENVI image's header and data file."""
    path = Path(path).expanduser()
    return list(_envi_files(path)) if _reader(path)[1] is _read_envi else [path]


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


def band_list(bands: Sequence[int]) -> str:
    """Write increasing band numbers as a YAML list in which a run becomes [first, last]: `[0, [3, 7], 12]`."""
    runs: list[list[int]] = []
    for band in map(int, bands):
        if runs and band == runs[-1][1] + 1:
            runs[-1][1] = band
        else:
            runs.append([band, band])
    return str([first if first == last else [first, last] for first, last in runs])


def _reader(path: Path) -> tuple[str, Callable[[Path, str | None], _Content]]:
    if not path.is_file():
        raise UserError(f"there is no file {path}" + ("; it is a folder, name a file in it" * path.is_dir()))
    suffix = path.suffix.lower()
    if suffix in READERS:
        return READERS[suffix]
    if _envi_header_of(path):
        return READERS[".hdr"]
    raise UserError(
        f"{path} is of no known format: give a {', '.join(READERS)} file, or lay the ENVI header beside the data file"
    )


def _read_npy(path: Path, variable: str | None) -> _Content:
    with path.open("rb") as file:
        shape, order, dtype = _npy_header(file)
        if len(shape) != 3 or min(shape) < 1 or dtype.kind not in "biuf":
            raise UserError(f"{path} holds {dtype} of shape {shape}; store a cube of real numbers with three axes")
        return _Content("NumPy .npy", _map(path, shape, dtype, file.tell(), order))


def _read_npz(path: Path, variable: str | None) -> _Content:
    with zipfile.ZipFile(path) as archive:
        headers = {}
        for member in archive.namelist():
            with archive.open(member) as file:
                headers[member.removesuffix(".npy")] = _npy_header(file)

        def load(name: str) -> np.ndarray:
            member = next(member for member in archive.infolist() if member.filename.removesuffix(".npy") == name)
            shape, _, dtype = headers[name]
            _check_claim(path, math.prod(shape), dtype.itemsize, member.compress_size)
            with archive.open(member) as file:
                return np.lib.format.read_array(file, allow_pickle=False)

        about = {name: (shape, dtype.kind) for name, (shape, _, dtype) in headers.items()}
        return _from_variables("NumPy .npz", path, about, variable, load)


def _npy_header(file: BinaryIO) -> tuple[tuple[int, ...], str, np.dtype]:
    """Shape, order and type of an array, read without its values."""
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"version {version} is for structured arrays")
    shape, fortran, dtype = read(file)
    return shape, "F" if fortran else "C", dtype


def _read_mat(path: Path, variable: str | None) -> _Content:
    import h5py

    return (_read_mat73 if h5py.is_hdf5(path) else _read_mat5)(path, variable)


class _Mat5Array(NamedTuple):
    """Where a MATLAB v5 file keeps an array: its element in the file, and its values within that."""

    shape: tuple[int, ...]
    dtype: np.dtype
    position: int
    length: int
    compressed: bool
    start: int


def _read_mat5(path: Path, variable: str | None) -> _Content:
    """Read plain numeric arrays; scipy's reader crashes the interpreter on some damaged files."""
    arrays = {}
    with path.open("rb") as file:
        endian = {b"IM": "<", b"MI": ">"}.get(file.read(128)[126:])
        if endian is None:
            raise ValueError("it is of another version than 5 to 7.3")
        while tag := file.read(8):
            kind, length = struct.unpack(f"{endian}2I", tag)
            position = file.tell()
            if kind not in (MAT5_MATRIX, MAT5_COMPRESSED) or position + length > path.stat().st_size:
                raise ValueError(f"its element at byte {position} is of no known type or incomplete")
            head = file.read(min(length, MAT5_HEAD))
            if kind == MAT5_COMPRESSED:
                head = zlib.decompressobj().decompress(head, MAT5_HEAD)
            name, shape, dtype, start = _mat5_header(head, 8 if kind == MAT5_COMPRESSED else 0, endian)
            arrays[name] = _Mat5Array(shape, dtype, position, length, kind == MAT5_COMPRESSED, start)
            file.seek(position + length)

    def load(name: str) -> np.ndarray:
        shape, dtype, position, length, compressed, start = arrays[name]
        if not compressed:
            return _map(path, shape, dtype, position + start, "F")
        _check_claim(path, math.prod(shape), dtype.itemsize, length)
        end = start + math.prod(shape) * dtype.itemsize
        stream = zlib.decompressobj()
        with path.open("rb") as file:
            file.seek(position)
            inflated = stream.decompress(file.read(length), end + 8)  # values are padded to 8 bytes
        if len(inflated) < end or not stream.eof:
            raise ValueError(f"variable {name} is damaged")
        return np.frombuffer(inflated[start:end], dtype).reshape(shape, order="F")

    about = {name: (array.shape, array.dtype.kind) for name, array in arrays.items()}
    return _from_variables("MATLAB v5", path, about, variable, load)


def _mat5_header(head: bytes, at: int, endian: str) -> tuple[str, tuple[int, ...], np.dtype, int]:
    """Name, shape, type and the first byte of the values of an array; type object for cells and the like."""

    def element(at: int) -> tuple[int, int, int, int]:
        """Type, first byte, length and end of an element; up to four bytes are packed into its tag."""
        kind, length = struct.unpack_from(f"{endian}2I", head, at)
        if kind >> 16:
            return kind & 0xFFFF, at + 4, kind >> 16, at + 8
        return kind, at + 8, length, at + 8 + length + -length % 8

    _, start, _, at = element(at)
    flags = struct.unpack_from(f"{endian}I", head, start)[0]
    _, start, length, at = element(at)
    shape = struct.unpack_from(f"{endian}{length // 4}I", head, start)
    _, start, length, at = element(at)
    name = head[start : start + length].decode("utf-8", errors="replace")
    if flags & 0xFF not in MAT5_NUMERIC or flags & MAT5_COMPLEX:
        return name, shape, np.dtype(object), 0
    kind, start, length, _ = element(at)
    dtype = np.dtype(MAT5_TYPES[kind]).newbyteorder(endian)
    if length != math.prod(shape) * dtype.itemsize:
        raise ValueError(
            f"its header claims {shape} values of {dtype.name} for {name[:40]!r}, but {length} bytes of them"
        )
    return name, shape, dtype, start


def _read_mat73(path: Path, variable: str | None) -> _Content:
    import h5py

    with h5py.File(path) as file:
        stored = {name: file[name] for name in file if not name.startswith("#")}
        arrays = {name: item for name, item in stored.items() if isinstance(item, h5py.Dataset) and item.shape}
        # MATLAB counts its axes the other way round than HDF5.
        about = {name: (item.shape[::-1], item.dtype.kind) for name, item in arrays.items()}

        def load(name: str) -> np.ndarray:
            item = arrays[name]
            _check_claim(path, item.size, item.dtype.itemsize, item.id.get_storage_size())
            if item.chunks and item.id.get_num_chunks() < math.prod(map(math.ceil, np.divide(item.shape, item.chunks))):
                raise ValueError(f"parts of {name} are missing")
            return item[()].T

        return _from_variables("MATLAB v7.3", path, about, variable, load)


def _read_envi(path: Path, variable: str | None) -> _Content:
    header, data = _envi_files(path)
    fields = _envi_fields(header)

    def integer(key: str, least: int, default: str | None = None) -> int:
        text = fields.get(key, default)
        if text is None:
            raise UserError(f"{header}: the header does not state '{key}'; add the line")
        if not (text.isascii() and text.isdigit() and len(text) < 19 and int(text) >= least):
            raise UserError(f"{header}: '{key}' is '{text[:40]}'; correct it to a whole number of at least {least}")
        return int(text)

    sides = {key: integer(key, 1) for key in ("bands", "lines", "samples")}
    interleave = fields.get("interleave", "").lower()
    if interleave not in ENVI_ORDERS:
        raise UserError(f"{header}: 'interleave' is '{interleave[:40]}'; correct it to bsq, bil or bip")
    code = fields.get("data type", "")
    if code not in ENVI_TYPES:
        raise UserError(
            f"{header}: 'data type' is '{code[:40]}', which is no type of real numbers; known: {', '.join(ENVI_TYPES)}"
        )
    if fields.get("file compression", "0") != "0":
        raise UserError(f"{header}: the data file is compressed; save it uncompressed")
    order = integer("byte order", 0, "0")
    if order > 1:
        raise UserError(f"{header}: 'byte order' is '{order}'; correct it to 0 (little endian) or 1 (big endian)")
    dtype = np.dtype(ENVI_TYPES[code]).newbyteorder("<>"[order])
    axes = ENVI_ORDERS[interleave]
    array = _map(data, tuple(sides[axis] for axis in axes), dtype, integer("header offset", 0, "0"), "C", header)
    return _Content(
        f"ENVI {interleave}",
        array,
        band_axis=axes.index("bands"),
        wavelengths=_entries(fields.get("wavelength", "")),
        unit=fields.get("wavelength units"),
        bandwidths=_entries(fields.get("fwhm", "")),
        notes=_envi_notes(fields),
    )


def _envi_fields(header: Path) -> dict[str, str]:
    """Parse a header in one pass: keys in small letters, braces removed."""
    with header.open("rb") as file:
        raw = file.read(ENVI_HEADER_BYTES + 1)
    if not raw.startswith(b"ENVI") or len(raw) > ENVI_HEADER_BYTES:
        raise UserError(f"{header} is no ENVI header: it must begin with the word ENVI and be shorter than 4 MiB")
    lines = iter(raw.decode("utf-8", errors="replace").splitlines()[1:])
    fields = {}
    for line in lines:
        key, equals, value = line.partition("=")
        if not equals or key.lstrip().startswith(";"):
            continue
        value = value.strip()
        if value.startswith("{"):
            parts = [value]
            while "}" not in parts[-1]:
                following = next(lines, None)
                if following is None:
                    raise UserError(f"{header}: the brace of '{key.strip()[:40]}' is never closed; close it")
                parts.append(following)
            value = " ".join(parts)[1:].partition("}")[0]
        fields[" ".join(key.lower().split())] = value.strip()
    return fields


def _envi_notes(fields: Mapping[str, str]) -> tuple[str, ...]:
    notes = []
    bad = [band for band, text in enumerate(_entries(fields.get("bbl", ""))) if text in ("0", "0.0")]
    if bad:
        notes.append(f"the header marks bad bands: drop_bands: {band_list(bad)}")
    for key in ("data ignore value", "reflectance scale factor"):
        if key in fields:
            notes.append(f"the header states {key} {fields[key][:40]}")
    return tuple(notes)


def _envi_files(path: Path) -> tuple[Path, Path]:
    """Header and data file, given either."""
    if path.suffix.lower() != ".hdr":
        return _envi_header_of(path), path
    whole = path.with_suffix("")
    if whole.is_file():
        return path, whole
    found = [
        other
        for other in sorted(path.parent.iterdir())
        if other.stem == path.stem and other.suffix.lower() in ENVI_DATA_SUFFIXES and other.is_file()
    ]
    if len(found) != 1:
        names = ", ".join(other.name for other in found) or "none"
        raise UserError(
            f"{path} needs exactly one data file beside it, {whole.name} with or without one of "
            f"{' '.join(ENVI_DATA_SUFFIXES)}; found: {names}. Name the data file instead of the header, or add it"
        )
    return path, found[0]


def _envi_header_of(data: Path) -> Path | None:
    names = (data.name, data.stem)
    found = (data.with_name(name + suffix) for name in names for suffix in (".hdr", ".HDR"))
    return next((path for path in found if path.is_file()), None)


def _read_tiff(path: Path, variable: str | None) -> _Content:
    import tifffile

    _follow_pages(path)
    with _tifffile_complaints() as complaints, tifffile.TiffFile(path) as tiff:
        every = {str(number): series for number, series in enumerate(tiff.series)}
        kinds = {"b": "O"}  # bilevel images are no cubes
        about = {key: (series.shape, kinds.get(series.dtype.kind, series.dtype.kind)) for key, series in every.items()}
        name = _pick(path, about, variable)
        series = every[name]
        _check_tiff(path, series)
        if series.dataoffset is None:
            array = series.asarray()
        else:
            array = _map(path, series.shape, series.dtype.newbyteorder(tiff.byteorder), series.dataoffset)
        # tifffile's own files keep the shape of any array, so that their pages need not be bands.
        band_axis = series.axes.find("S")
        if band_axis < 0 and series.kind != "shaped" and series.axes.endswith("YX"):
            band_axis = 0
        wavelengths, unit = _gdal_wavelengths(tiff.pages[0])
    if complaints:
        raise ValueError(complaints[0])
    return _Content("TIFF", array, name, None if band_axis < 0 else band_axis, wavelengths, unit)


def _follow_pages(path: Path) -> None:
    """Follow the chain of pages to its end; where it bites its tail, tifffile would go round for ever."""
    with path.open("rb") as file:
        head = file.read(16)
        endian = ">" if head.startswith(b"MM") else "<"
        big = 43 in head[2:4]
        count, tag, link, first = ("Q", 20, "Q", 8) if big else ("H", 12, "I", 4)
        seen = set()
        offset = struct.unpack_from(endian + link, head, first)[0]
        while offset:
            if offset in seen:
                raise ValueError(f"its page at byte {offset} follows itself")
            seen.add(offset)
            file.seek(offset)
            tags = struct.unpack(endian + count, file.read(struct.calcsize(endian + count)))[0]
            file.seek(tags * tag, os.SEEK_CUR)
            offset = struct.unpack(endian + link, file.read(struct.calcsize(endian + link)))[0]


def _check_tiff(path: Path, series: "TiffPageSeries") -> None:
    """Refuse a series with strips or tiles missing, too short or beyond the file's end; tifffile would read zeros."""
    parts = [part for page in series.pages for part in zip(page.dataoffsets, page.databytecounts, strict=True)]
    stored, values = sum(count for _, count in parts), math.prod(series.shape)
    _check_claim(path, values, series.dtype.itemsize, stored)
    compressions = {page.compression for page in series.pages}
    short = compressions == {1} and stored < values * series.dtype.itemsize
    if short or len(compressions) > 1 or any(not 0 < count <= path.stat().st_size - start for start, count in parts):
        raise ValueError("pixels are missing")


@contextmanager
def _tifffile_complaints() -> Iterator[list[str]]:
    """Collect what tifffile only logs, such as pages that it leaves out because they are damaged."""
    complaints: list[str] = []

    def collect(record: logging.LogRecord) -> bool:
        if record.levelno >= logging.ERROR:
            complaints.append(record.getMessage())
        return False

    log = logging.getLogger("tifffile")
    log.addFilter(collect)
    try:
        yield complaints
    finally:
        log.removeFilter(collect)


def _gdal_wavelengths(page: "TiffPage") -> tuple[list[str], str | None]:
    """Centres that GDAL wrote for each band, in the order of the bands."""
    tag = page.tags.get(GDAL_METADATA)
    if tag is None:
        return [], None
    centres, unit = {}, None
    for item in ElementTree.fromstring(str(tag.value)).iter("Item"):
        name, text = item.get("name", "").lower(), (item.text or "").strip()
        if name in ("wavelength", "central_wavelength_um") and item.get("sample", "").isdigit():
            centres[int(item.get("sample"))] = text
            unit = "um" if name.endswith("um") else unit
        elif name in ("wavelength_units", "wavelength_unit"):
            unit = text
    return [centres[band] for band in sorted(centres)], unit


READERS: dict[str, tuple[str, Callable[[Path, str | None], _Content]]] = {
    ".npy": ("a NumPy array", _read_npy),
    ".npz": ("a NumPy archive", _read_npz),
    ".mat": ("a MATLAB file", _read_mat),
    ".hdr": ("an ENVI image", _read_envi),
    ".tif": ("a TIFF", _read_tiff),
    ".tiff": ("a TIFF", _read_tiff),
}
"""Formats by suffix: what messages call them, and their reader."""


def _from_variables(
    kind: str, path: Path, about: dict[str, tuple], variable: str | None, load: Callable[[str], np.ndarray]
) -> _Content:
    """Load the cube of a file of named arrays, and the wavelengths beside it; `about` gives shapes and type kinds."""
    name = _pick(path, about, variable)
    array = load(name)
    if array.dtype.kind not in "biuf":
        raise UserError(f"{path}: {name} is of type {array.dtype}; store real numbers")
    vectors = {other.lower(): other for other, (shape, kind) in about.items() if _is_vector(shape) and kind in "iuf"}
    called = next((word for word in WAVELENGTH_NAMES if word in vectors), None)
    if called is None:
        return _Content(kind, array, name)
    unit = called.rpartition("_")[2] if "_" in called else None
    return _Content(kind, array, name, wavelengths=load(vectors[called]).ravel().tolist(), unit=unit)


def _pick(path: Path, about: Mapping[str, tuple], variable: str | None) -> str:
    """Name of the variable to read: the one asked for, or the only cube."""
    cubes = [name for name, (shape, kind) in about.items() if len(shape) == 3 and kind in "biuf" and min(shape) > 0]
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


def _map(
    path: Path, shape: tuple[int, ...], dtype: np.dtype, offset: int, order: str = "C", header: Path | None = None
) -> np.ndarray:
    """Map the values of a file read-only, after a look at its length."""
    claimed, length = offset + math.prod(shape) * dtype.itemsize, path.stat().st_size
    if claimed > length:
        raise UserError(
            f"{header or path}: the header claims {' x '.join(map(str, shape))} {dtype.name}, {claimed} bytes, but "
            f" {path.name} has {length}; correct the header or complete the file"
        )
    return np.memmap(path, dtype, "r", offset, shape, order)


def _check_claim(path: Path, values: int, size: int, stored: int) -> None:
    """Refuse to load what `stored` bytes cannot unpack to, or what the memory cannot hold."""
    claimed = values * size
    if claimed > LARGEST_EXPANSION * stored:
        raise UserError(f"{path} claims {claimed} bytes of values but stores {stored}; fetch or write it again")
    if claimed > os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"):
        raise UserError(
            f"{path} needs {claimed / 2**30:.0f} GiB, more than this machine's memory; save it as .npy or ENVI, which "
            "are read in parts"
        )


def _band_axis(path: Path, content: _Content, stated: Axis, bands: int) -> tuple[int, str | None]:
    """Return the band axis, and how it was concluded where the file does not say."""
    shape = content.array.shape
    if stated is not None:
        if isinstance(stated, bool) or not isinstance(stated, int) or not -3 <= stated < 3:
            raise UserError(f"band_axis must be 0, 1 or 2, not {stated!r}")
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
        f"{path}: which of the axes of shape {shape} holds the bands cannot be told; set band_axis to 0, 1 or 2"
    )


def _wavelengths(content: _Content, bands: int) -> tuple[np.ndarray | None, np.ndarray | None, str | None]:
    """Centres and widths in nanometres, or why the file's own cannot be used."""
    if not len(content.wavelengths):
        return None, None, None
    try:
        centres = nanometres(content.wavelengths, content.unit)
        if len(centres) != bands:
            raise UserError(f"{len(centres)} wavelengths for {bands} bands")
        widths = None
        if len(content.bandwidths) == bands:
            widths = _numbers(content.bandwidths, "band width")
            widths = widths * _nm_per_unit(_numbers(content.wavelengths, "wavelength"), content.unit)
    except UserError as error:
        return None, None, f"the file's wavelengths are not used: {error}"
    return centres, widths if widths is not None and widths.min() > 0 else None, None


def _numbers(values: Sequence[float | str], what: str) -> np.ndarray:
    numbers = []
    for number, value in enumerate(values, 1):
        try:
            numbers.append(float(value))
        except (TypeError, ValueError):
            numbers.append(math.nan)
        if not math.isfinite(numbers[-1]):
            raise UserError(f"{what} {number} is '{str(value)[:40]}'; make it a finite number")
    return np.array(numbers)


def _nm_per_unit(values: np.ndarray, unit: str | None) -> float:
    word = (unit or "unknown").strip().lower()
    if word in NM_PER_UNIT:
        return NM_PER_UNIT[word]
    if word != "unknown":
        raise UserError(f"'{word[:40]}' is no unit of length known here; use nanometers or micrometers")
    return 1e3 if values.size and values.max() < 100 else 1.0


def _entries(text: str) -> list[str]:
    return [entry for entry in map(str.strip, text.split(",")) if entry]


def _is_vector(shape: tuple[int, ...]) -> bool:
    return len(shape) in (1, 2) and 1 <= math.prod(shape) == max(shape) <= 10**5
