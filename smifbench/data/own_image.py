"""Reading the images of a user's own pair: which axis holds the bands, which bands are kept, and what is missing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from smifbench.data.cubes.products import product_files, read_product
from smifbench.data.cubes.reading import Cube
from smifbench.data.selection import BandChoice, choose_bands, parse_bands
from smifbench.errors import UserError

UNSTATED_AXES = (".npy", ".npz", ".mat")
"""Suffixes of files that do not say which of their axes holds the bands."""

DEEPEST = -0.5
"""Lowest share of the highest value that a value may be: noise in reflectances goes below 0, but never so far."""


@dataclass(frozen=True)
class ImageFiles:
    """Files of one image of a pair, and what is to be read of them.

    Parameters
    ----------
    paths
        One file, or several whose bands follow each other, in any format of
        `smifbench.data.cubes.products.read_product`.
    variable, band_axis
        As in `smifbench.data.cubes.reading.read_cube`. Where the files do not say which axis holds the bands, the one
        at which the sizes of the pair make a whole ratio is taken.
    bands
        Bands to keep, see `smifbench.data.selection`; None leaves out what the file calls bad, and empty bands.
    missing
        Stored values that mean "missing" besides those that the files declare.
    """

    paths: Sequence[str | Path]
    variable: str | None = None
    band_axis: int | None = None
    bands: str | None = None
    missing: Sequence[float] = ()

    @property
    def name(self) -> str:
        """What messages call the image."""
        return ", ".join(map(str, self.paths))

    @property
    def all_files(self) -> list[Path]:
        """All files that are read."""
        return [file for path in self.paths for file in product_files(path)]


@dataclass(frozen=True)
class OwnImage:
    """One image of a pair, checked.

    Parameters
    ----------
    name
        What messages call it.
    cube
        Of the bands kept, in the file's order.
    bands
        Their numbers in the file.
    missing
        (H, W), true where one of them has no value, or None.
    notes
        Sentences on what the file says and on what was decided without being asked for.
    """

    name: str
    cube: Cube
    bands: list[int]
    missing: np.ndarray | None
    notes: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        _, height, width = self.cube.array.shape
        return height, width


def read_images(
    hsi_files: ImageFiles, msi_files: ImageFiles, wavelengths_nm: np.ndarray | None = None, least_ratio: int = 2
) -> tuple[OwnImage, OwnImage]:
    """Read the LR-HSI and the HR-MSI of a pair; `wavelengths_nm` go before those of the HSI's file.

    Axes of bands that the files do not state are those at which the ratio of the sides is at least `least_ratio`.

    Raises
    ------
    UserError
        For files that cannot be read, choices of bands that they do not have, values that seem to mark missing pixels
        and are not declared, or a list of wavelengths of another length.
    """
    files = (hsi_files, msi_files)
    choices = [_choice(image, about.bands) for image, about in zip(("hsi", "msi"), files, strict=True)]
    hsi, msi = _read_cubes(files, None if wavelengths_nm is None else len(wavelengths_nm), least_ratio)
    if wavelengths_nm is not None:
        if len(wavelengths_nm) != len(hsi.array):
            raise UserError(
                f"{hsi_files.name} has {len(hsi.array)} bands, but {len(wavelengths_nm)} wavelengths are stated; give "
                "one each"
            )
        hsi = replace(hsi, wavelengths_nm=wavelengths_nm, bandwidths_nm=None)
    return _checked("hsi", hsi_files.name, hsi, choices[0]), _checked("msi", msi_files.name, msi, choices[1])


def _checked(image: str, name: str, cube: Cube, choice: BandChoice) -> OwnImage:
    """Choose the bands of a cube, and find what is missing in them; `image` is `hsi` or `msi`, as in the flags."""
    bands, told = choose_bands(cube, choice, name, cube.wavelengths_nm)
    notes = [f"{name}: {note}" for note in cube.notes]
    notes += [f"{sentence} (--{image}-bands all keeps them)" for sentence in told]
    missing = cube.missing_in(bands)
    if missing is not None and missing.all():
        raise UserError(f"{name}: every pixel is missing in one of the bands; choose others by --{image}-bands")
    _refuse_undeclared(cube, bands, name, image, missing)
    notes += _suspicious_zeros(cube, bands, name, image, missing)
    return OwnImage(name, cube.take(bands), bands, missing, tuple(notes))


@contextmanager
def speaking_of(words: Mapping[str, str]) -> Iterator[None]:
    """Put what a user can type in the place of option names in the messages of errors."""
    try:
        yield
    except UserError as error:
        message = str(error)
        for word, flag in words.items():
            message = message.replace(word, flag)
        raise type(error)(message) from error


def _choice(image: str, text: str | None) -> BandChoice:
    with speaking_of({"is no choice of bands": f"of --{image}-bands is no choice of bands"}):
        return BandChoice() if text is None else parse_bands(text)


def _read_cubes(files: Sequence[ImageFiles], wavelengths: int | None, least_ratio: int) -> tuple[Cube, Cube]:
    """Read both cubes; where the axis of the bands is not stated, the sizes of the two decide it if they can."""
    counts = (wavelengths, None)
    asks = (_flags("hsi"), _flags("msi"))
    cubes, failure = [], None
    for image, count, ask in zip(files, counts, asks, strict=True):
        try:
            cubes.append(
                [read_product(image.paths, image.variable, image.band_axis, count, fills=image.missing, ask=ask)]
            )
        except UserError as error:
            if "holds the bands cannot be told" not in str(error):
                raise
            failure = failure or error
            cubes.append([])
    candidates = [list(found) for found in cubes]
    if failure is not None or not _fitting(cubes[0][0], cubes[1][0], least_ratio):
        for index, (image, count) in enumerate(zip(files, counts, strict=True)):
            if image.band_axis is None and Path(image.paths[0]).suffix.lower() in UNSTATED_AXES:
                candidates[index] = [
                    read_product(image.paths, image.variable, other, count, fills=image.missing) for other in range(3)
                ]
    fitting = [(hsi, msi) for hsi in candidates[0] for msi in candidates[1] if _fitting(hsi, msi, least_ratio)]
    if len(fitting) == 1:
        return fitting[0]
    if failure is not None:
        raise failure
    return cubes[0][0], cubes[1][0]


def _flags(image: str) -> Callable[[str], str]:
    """Call the options of reading as `fuse` does; bad bands, which it leaves out by itself, need none."""
    return lambda option: "" if option == "drop_bands" else f"--{image}-{option.replace('_', '-')}"


def _fitting(hsi: Cube, msi: Cube, least_ratio: int) -> bool:
    """Whether the sides make one whole ratio, and the HSI has at least as many bands."""
    (bands, height, width), (msi_bands, msi_height, msi_width) = hsi.array.shape, msi.array.shape
    ratio = msi_height // height
    return ratio >= least_ratio and (msi_height, msi_width) == (ratio * height, ratio * width) and msi_bands <= bands


def _refuse_undeclared(cube: Cube, bands: Sequence[int], name: str, image: str, missing: np.ndarray | None) -> None:
    """Refuse values so far below 0 that they must be marks of missing pixels, which nothing declares."""
    lowest, highest = [], []
    for band in bands:
        values = cube.array[band] if missing is None else cube.array[band][~missing]
        lowest.append(float(values.min()))
        highest.append(float(values.max()))
    deepest = min(lowest)
    if deepest >= min(0, DEEPEST * max(highest)):
        return
    count = sum(int(np.count_nonzero(cube.array[band] == deepest)) for band in bands)
    mark = _as_stored(cube, bands[lowest.index(deepest)], deepest)
    raise UserError(
        f"{name} holds values down to {deepest:g} ({count} times), which look like marks of missing pixels that it "
        f"does not declare; if they are, say --{image}-missing={mark:g}"
    )


def _as_stored(cube: Cube, band: int, value: float) -> float:
    """The number that the file stores for a value of a band."""
    if cube.gain is None or cube.offset is None or cube.stored is None:
        return value
    number = (value - cube.offset[band]) / cube.gain[band]
    return float(round(number)) if cube.stored.kind in "iu" else number


def _suspicious_zeros(cube: Cube, bands: Sequence[int], name: str, image: str, missing: np.ndarray | None) -> list[str]:
    """Say where pixels are 0 in all bands, which often means missing."""
    zero = np.ones(cube.array.shape[1:], bool) if missing is None else ~missing
    for band in bands:
        zero &= cube.array[band] == 0
        if not zero.any():
            return []
    return [
        f"{name}: {np.count_nonzero(zero)} pixels are 0 in all bands and count as values; if they are missing, say "
        f"--{image}-missing 0"
    ]
