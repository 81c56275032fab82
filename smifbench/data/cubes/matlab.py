"""Cubes in MATLAB's .mat files, versions 5 to 7.3."""

import math
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from smifbench.data.cubes.content import Content, check_claim, from_variables, map_values

MAT5_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""NumPy types of the values stored in MATLAB's level 5 format; whole numbers may be stored shorter than their class."""

MAT5_NUMERIC = range(6, 16)
MAT5_COMPLEX = 0x800
MAT5_MATRIX, MAT5_COMPRESSED = 14, 15
MAT5_HEAD = 4096


def read_mat(path: Path, variable: str | None) -> Content:
    """Load an array of a .mat file, or map it where version 5 holds it uncompressed."""
    import h5py

    return (_read_mat73 if h5py.is_hdf5(path) else _read_mat5)(path, variable)


def _read_mat73(path: Path, variable: str | None) -> Content:
    import h5py

    with h5py.File(path) as file:
        stored = {name: file[name] for name in file if not name.startswith("#")}
        arrays = {name: item for name, item in stored.items() if isinstance(item, h5py.Dataset) and item.shape}
        # MATLAB counts its axes the other way round than HDF5.
        about = {name: (item.shape[::-1], item.dtype.kind) for name, item in arrays.items()}

        def load(name: str) -> np.ndarray:
            item = arrays[name]
            check_claim(path, item.size, item.dtype.itemsize, item.id.get_storage_size())
            if item.chunks and item.id.get_num_chunks() < math.prod(map(math.ceil, np.divide(item.shape, item.chunks))):
                raise ValueError(f"parts of {name} are missing")
            return item[()].T

        return from_variables("MATLAB v7.3", path, about, variable, load)


class _Mat5Array(NamedTuple):
    """Where a MATLAB v5 file keeps an array: its element in the file, and its values within that."""

    shape: tuple[int, ...]
    dtype: np.dtype
    position: int
    length: int
    compressed: bool
    start: int


def _read_mat5(path: Path, variable: str | None) -> Content:
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
            return map_values(path, shape, dtype, position + start, "F")
        check_claim(path, math.prod(shape), dtype.itemsize, length)
        end = start + math.prod(shape) * dtype.itemsize
        stream = zlib.decompressobj()
        with path.open("rb") as file:
            file.seek(position)
            inflated = stream.decompress(file.read(length), end + 8)  # values are padded to 8 bytes
        if len(inflated) < end or not stream.eof:
            raise ValueError(f"variable {name} is damaged")
        return np.frombuffer(inflated[start:end], dtype).reshape(shape, order="F")

    about = {name: (array.shape, array.dtype.kind) for name, array in arrays.items()}
    return from_variables("MATLAB v5", path, about, variable, load)


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
        raise ValueError(f"{name[:40]!r} claims the shape {shape} but has {length} bytes of {dtype.name}")
    return name, shape, dtype, start
