"""Cubes in NumPy's .npy and .npz; pickled objects are never loaded."""

import math
import zipfile
from pathlib import Path
from typing import IO, Literal

import numpy as np

from smifbench.data.cubes.content import REAL, Content, Wanted, check_claim, from_variables, map_values
from smifbench.errors import UserError


def read_npy(path: Path, wanted: Wanted) -> Content:
    """Map the array of a .npy file."""
    with path.open("rb") as file:
        shape, order, dtype = _npy_header(file)
        if len(shape) != 3 or min(shape) < 1 or dtype.kind not in REAL:
            raise UserError(f"{path} holds {dtype} of shape {shape}; store a cube of real numbers with three axes")
        return Content("NumPy .npy", map_values(path, shape, dtype, file.tell(), order))


def read_npz(path: Path, wanted: Wanted) -> Content:
    """Load an array of a .npz file."""
    with zipfile.ZipFile(path) as archive:
        headers = {}
        for member in archive.namelist():
            with archive.open(member) as file:
                headers[member.removesuffix(".npy")] = _npy_header(file)

        def load(name: str) -> np.ndarray:
            member = next(member for member in archive.infolist() if member.filename.removesuffix(".npy") == name)
            shape, _, dtype = headers[name]
            check_claim(path, math.prod(shape), dtype.itemsize, member.compress_size)
            with archive.open(member) as file:
                return np.lib.format.read_array(file, allow_pickle=False)

        about = {name: (shape, dtype.kind) for name, (shape, _, dtype) in headers.items()}
        return from_variables("NumPy .npz", path, about, wanted, load)


def _npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], Literal["C", "F"], np.dtype]:
    """Shape, order and type of an array, read without its values."""
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"version {version} is for structured arrays")
    shape, fortran, dtype = read(file)
    return shape, "F" if fortran else "C", dtype
