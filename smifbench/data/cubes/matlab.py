"""Cubes in MATLAB's .mat files, versions 5 to 7.3, and in HDF5 files of that name that others wrote."""

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from smifbench.data.cubes.content import Content, Wanted, check_claim, from_variables, map_values

if TYPE_CHECKING:
    import h5py

MAT5_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""NumPy types of the values stored in MATLAB's level 5 format; whole numbers may be stored shorter than their class."""

MAT5_NUMERIC = range(6, 16)
MAT5_STRUCT = 2
MAT5_COMPLEX = 0x800
MAT5_MATRIX, MAT5_COMPRESSED = 14, 15
MAT5_FLOATS = (6, 7)

DEEPEST = 4
"""Structures within structures that are looked into."""

MOST_ARRAYS = 1000
STEP = 2**20


def read_mat(path: Path, wanted: Wanted) -> Content:
    """Load an array of a .mat file, or map it where version 5 holds it uncompressed."""
    import h5py

    return (_read_hdf5 if h5py.is_hdf5(path) else _read_mat5)(path, wanted)


def _read_hdf5(path: Path, wanted: Wanted) -> Content:
    import h5py

    with path.open("rb") as file:
        by_matlab = file.read(6) == b"MATLAB"
    with h5py.File(path) as file:
        arrays = dict(_datasets(file, "", DEEPEST))
        by_matlab = by_matlab or any("MATLAB_class" in item.attrs for item in arrays.values())
        # MATLAB counts its axes the other way round than HDF5; other programs keep their own order.
        about = {
            name: (item.shape[::-1] if by_matlab else item.shape, item.dtype.kind) for name, item in arrays.items()
        }

        def load(name: str) -> np.ndarray:
            item = arrays[name]
            check_claim(path, item.size, item.dtype.itemsize, item.id.get_storage_size())
            if item.chunks and item.id.get_num_chunks() < math.prod(map(math.ceil, np.divide(item.shape, item.chunks))):
                raise ValueError(f"parts of {name} are missing")
            return item[()].T if by_matlab else item[()]

        if by_matlab:
            return from_variables("MATLAB v7.3", path, about, wanted, load, "F")
        return from_variables("HDF5, not written by MATLAB", path, about, wanted, load, "C")


def _datasets(group: "h5py.Group", prefix: str, depth: int) -> "Iterator[tuple[str, h5py.Dataset]]":
    """Every array with axes by its name, those in groups as `group.name`."""
    import h5py

    for name in group:
        if name.startswith("#"):
            continue
        item = group[name]
        if isinstance(item, h5py.Dataset) and item.shape:
            yield f"{prefix}{name}", item
        elif isinstance(item, h5py.Group) and depth:
            yield from _datasets(item, f"{prefix}{name}.", depth - 1)


class _Mat5Array(NamedTuple):
    """Where a MATLAB v5 file keeps the values of an array: in a stream of bytes, from `start`.

    `shortened` ones are floating point whose values, whole numbers, are stored as such.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    start: int
    shortened: bool


class _Stream:
    """An element of the file, or what a compressed one unpacks to, read from its beginning to its end."""

    def __init__(self, path: Path, position: int, length: int, compressed: bool, endian: str) -> None:
        self.path, self.position, self.length, self.compressed, self.endian = path, position, length, compressed, endian
        self.at = 0
        self._file = path.open("rb")
        self._file.seek(position)
        self._unpack = zlib.decompressobj()
        self._left = length
        self._ready = b""

    def __enter__(self) -> "_Stream":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, count: int) -> bytes:
        """Return so many bytes; raises ValueError at the end."""
        parts, wanted = [], count
        while wanted:
            part = self._some(wanted)
            if not part:
                raise ValueError("an array in it is cut off")
            parts.append(part)
            wanted -= len(part)
        self.at += count
        return b"".join(parts)

    def skip_to(self, place: int) -> None:
        """Go on to a later place."""
        if place < self.at:
            raise ValueError("its elements overlap")
        if self.compressed:
            while self.at < place:
                self.read(min(place - self.at, STEP))
        elif place > self.length:
            raise ValueError("an array in it is cut off")
        else:
            self._file.seek(self.position + place)
            self.at, self._left = place, self.length - place

    def finish(self) -> None:
        """Unpack to the end, where the checksum stands; raises ValueError where there is none."""
        while self.compressed and not self._unpack.eof:
            if not self._some(STEP) and not self._unpack.eof:
                raise ValueError("an array in it is damaged")

    def _some(self, wanted: int) -> bytes:
        if not self.compressed:
            part = self._file.read(min(wanted, self._left))
            self._left -= len(part)
            return part
        while not self._unpack.eof:
            if not self._ready:
                self._ready = self._file.read(min(STEP, self._left))
                self._left -= len(self._ready)
            part = self._unpack.decompress(self._ready, min(wanted, STEP))
            stuck = not self._ready and not part
            self._ready = self._unpack.unconsumed_tail
            if part or stuck:
                return part
        return b""


def _read_mat5(path: Path, wanted: Wanted) -> Content:
    """Read numeric arrays, fields of structures too; scipy's reader crashes the interpreter on some damaged files."""
    arrays: dict[str, tuple[_Mat5Array, tuple[int, int, bool, str]]] = {}
    with path.open("rb") as file:
        endian = {b"IM": "<", b"MI": ">"}.get(file.read(128)[126:])
        if endian is None:
            raise ValueError("it is of another version than 5 to 7.3")
        while tag := file.read(8):
            kind, length = struct.unpack(f"{endian}2I", tag)
            position = file.tell()
            if kind not in (MAT5_MATRIX, MAT5_COMPRESSED) or position + length > path.stat().st_size:
                raise ValueError(f"its element at byte {position} is of no known type or incomplete")
            where = (position, length, kind == MAT5_COMPRESSED, endian)
            with _Stream(path, *where) as stream:
                if kind == MAT5_COMPRESSED:
                    stream.read(8)
                for name, array in _mat5_arrays(stream, "", length if kind == MAT5_MATRIX else None, DEEPEST):
                    if len(arrays) < MOST_ARRAYS:
                        arrays[name] = (array, where)
            file.seek(position + length)

    def load(name: str) -> np.ndarray:
        (shape, dtype, start, shortened), where = arrays[name]
        position, length, compressed, _ = where
        if not compressed:
            values = map_values(path, shape, dtype, position + start, "F")
            return values.astype(_float_of(dtype)) if shortened else values
        check_claim(path, math.prod(shape), dtype.itemsize, length)
        with _Stream(path, *where) as stream:
            stream.skip_to(start)
            unpacked = stream.read(math.prod(shape) * dtype.itemsize)
            stream.finish()
        values = np.frombuffer(unpacked, dtype).reshape(shape, order="F")
        return values.astype(_float_of(dtype)) if shortened else values

    about = {name: (array.shape, array.dtype.kind) for name, (array, _) in arrays.items()}
    return from_variables("MATLAB v5", path, about, wanted, load, "F")


def _mat5_arrays(stream: _Stream, prefix: str, length: int | None, depth: int) -> Iterator[tuple[str, _Mat5Array]]:
    """Every array of an element by its name, fields of a structure as `name.field`; type object for cells and the like.

    The stream stands behind the element's tag and is left somewhere within the element.
    """
    endian = stream.endian

    def element(longest: int) -> tuple[int, bytes]:
        """Type and content of a small element."""
        kind, _, size, end = _tag(stream)
        if size > longest:
            raise ValueError("the head of an array is too long")
        content = stream.read(size)
        stream.skip_to(end)
        return kind, content

    flags = struct.unpack(f"{endian}I", element(64)[1][:4])[0]
    sides = element(4096)[1]
    shape = struct.unpack(f"{endian}{len(sides) // 4}I", sides)
    name = prefix or element(4096)[1].decode("utf-8", errors="replace")
    if prefix:
        element(4096)  # fields have no names of their own
    if flags & 0xFF == MAT5_STRUCT and math.prod(shape) == 1 and depth:
        yield name, _Mat5Array(shape, np.dtype(object), 0, False)
        width = struct.unpack(f"{endian}i", element(4)[1])[0]
        names = element(2**16)[1]
        if width < 1:
            raise ValueError("the names of a structure's fields are damaged")
        for start in range(0, len(names), width):
            field = names[start : start + width].partition(b"\0")[0].decode("utf-8", errors="replace")
            kind, _, size, end = _tag(stream)
            if kind != MAT5_MATRIX:
                raise ValueError(f"field {field[:40]!r} is no array")
            if size:
                yield from _mat5_arrays(stream, f"{name}.{field}", size, depth - 1)
            stream.skip_to(end)
        return
    if flags & 0xFF not in MAT5_NUMERIC or flags & MAT5_COMPLEX:
        yield name, _Mat5Array(shape, np.dtype(object), 0, False)
        return
    kind, start, size, _ = _tag(stream)
    dtype = np.dtype(MAT5_TYPES[kind]).newbyteorder(">" if endian == ">" else "<")
    if size != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{name[:40]!r} claims the shape {shape} but has {size} bytes of {dtype.name}")
    yield name, _Mat5Array(shape, dtype, start, flags & 0xFF in MAT5_FLOATS and dtype.kind != "f")


def _float_of(dtype: np.dtype) -> type:
    """The floating type that holds every value of a whole one."""
    return np.float32 if dtype.itemsize <= 2 else np.float64


def _tag(stream: _Stream) -> tuple[int, int, int, int]:
    """Type, first byte, length and end of an element; up to four bytes are packed into its tag."""
    kind = struct.unpack(f"{stream.endian}I", stream.read(4))[0]
    if kind >> 16:
        return kind & 0xFFFF, stream.at, kind >> 16, stream.at + 4
    length = struct.unpack(f"{stream.endian}I", stream.read(4))[0]
    return kind, stream.at, length, stream.at + length + -length % 8
