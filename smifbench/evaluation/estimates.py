"""Estimates that were made elsewhere, read from files and held against the scene that they are of.

A fused cube from MATLAB or from code that nobody may see is scored like any other, once it is certain that it is on the
reference's grid, has its bands in the reference's order and its values in the reference's units.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smifbench.data.cubes.content import as_key
from smifbench.data.cubes.reading import READERS, Cube, files_of, read_cube
from smifbench.errors import UserError
from smifbench.metrics import valid_pixels

MOST_SAMPLES = 1_000_000
"""Values of a cube from which its range is taken; of a larger one every second, third, ... value."""

LEAST_RANGE = 1 / 20
"""Share of the reference's range that an estimate must have, or its values are taken for another unit's."""


@dataclass(frozen=True)
class Reading:
    """How a file of an estimate is read.

    Parameters
    ----------
    variable, band_axis
        As in `smifbench.data.cubes.reading.read_cube`.
    scale
        Value that becomes 1.
    ask
        Turns the name of one of these, for messages, into what the user can type.
    """

    variable: str | None = None
    band_axis: int | None = None
    scale: float = 1.0
    ask: Callable[[str], str] = as_key


PLAIN = Reading()
"""A file that holds one cube in the reference's units."""


def files_of_scene(folder: Path, scene: str) -> dict[Path, list[Path]]:
    """Return every cube of a folder that is named after a scene, with the files that hold it; never raises."""
    if not folder.is_dir():
        return {}
    named = [path for path in sorted(folder.iterdir()) if path.stem == scene and path.suffix.lower() in READERS]
    cubes: dict[frozenset[Path], Path] = {}
    for path in named:
        try:
            held = frozenset(files_of(path))
        except (UserError, OSError):  # reading it will tell what is wrong
            held = frozenset([path])
        cubes.setdefault(held, path)
    return {path: sorted(held) for held, path in cubes.items()}


def file_of_scene(folder: Path, scene: str) -> Path:
    """Return the file of a scene's estimate; raises UserError where there is none, or more than one."""
    found = list(files_of_scene(folder, scene))
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(
            f"{folder} holds several estimates of scene {scene} ({', '.join(path.name for path in found)}); leave one"
        )
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}; make it, with a file of the estimate of {scene} in it")
    raise UserError(f"{folder} holds no estimate of scene {scene}; put {scene}.npy, .mat, .hdr, .tif or the like there")


def read_estimate(
    path: Path,
    reference: np.ndarray,
    missing: np.ndarray | None = None,
    wavelengths_nm: np.ndarray | None = None,
    reading: Reading = PLAIN,
) -> np.ndarray:
    """Read an estimate and check that it is one of this scene.

    Parameters
    ----------
    path
        File in any format of `smifbench.data.cubes.reading.read_cube`.
    reference
        The scene (C, H, W).
    missing
        (H, W), true where the scene has no value; what the estimate holds there does not matter.
    wavelengths_nm
        Centres (C,) of the scene's bands, or None.
    reading
        How the file is read.

    Returns
    -------
    np.ndarray
        Estimate (C, H, W), float32, in the reference's units, 0 where pixels are missing.

    Raises
    ------
    UserError
        One sentence, for a file that cannot be read, another shape, bands at other wavelengths, pixels without a value,
        and values on another scale.
    """
    cube = read_cube(path, reading.variable, reading.band_axis, len(reference), ask=reading.ask)
    if cube.array.shape != reference.shape:
        bands, height, width = cube.array.shape
        right = "{} of {} x {}".format(*reference.shape)
        raise UserError(
            f"{path} has {bands} bands of {height} x {width} pixels, the reference {right}; fuse that scene whole, or "
            f"say by {reading.ask('band_axis')} which axis holds the bands"
        )
    _check_wavelengths(path, cube, wavelengths_nm)
    absent = cube.missing_in(range(len(reference)))
    if absent is not None:
        lost = np.count_nonzero(absent if missing is None else absent & ~missing)
        if lost:
            raise UserError(f"{path} has no value at {lost} pixels where the reference has one; fill them in")
    estimate = (cube.array / np.float64(reading.scale)).astype(np.float32)
    if absent is not None or missing is not None:
        estimate[:, absent if missing is None else missing] = 0
    _check_range(path, estimate, reference, missing, reading)
    return estimate


def _check_wavelengths(path: Path, cube: Cube, expected: np.ndarray | None) -> None:
    """Refuse bands in another order than the reference's, as far as the file says where they lie."""
    found = cube.wavelengths_nm
    if found is None or expected is None or len(expected) < 2 or not np.any(expected):
        return
    spacing = np.median(np.abs(np.diff(np.sort(expected))))
    off = np.abs(found - expected)
    if off.max() > spacing:
        band = int(off.argmax())
        raise UserError(
            f"{path}: band {band} (counted from 0) lies at {found[band]:g} nm and the reference's at "
            f"{expected[band]:g} nm; put the bands in the reference's order"
        )


def _check_range(
    path: Path, estimate: np.ndarray, reference: np.ndarray, missing: np.ndarray | None, reading: Reading
) -> None:
    """Refuse values that are not in the reference's units: far beyond its range, or hardly spread at all."""
    (low, high), (least, largest) = (_range(image, missing) for image in (estimate, reference))
    margin = max(largest - least, abs(largest)) / 2
    if low < least - margin or high > largest + margin or high - low < LEAST_RANGE * (largest - least):
        raise UserError(
            f"{path}: 98 % of its values lie from {low:g} to {high:g}, those of the reference from {least:g} to "
            f"{largest:g}; bring them to one scale, or say by {reading.ask('scale')} which value becomes 1"
        )


def _range(image: np.ndarray, missing: np.ndarray | None) -> tuple[float, float]:
    """First and last percentile of an image's values."""
    values = valid_pixels(image, missing).reshape(-1)
    low, high = np.percentile(values[:: -(-values.size // MOST_SAMPLES)], (1, 99))
    return float(low), float(high)
