"""Reading a user's own pair: a low-resolution hyperspectral and a high-resolution multispectral file of one ground."""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from smifbench.data import alignment
from smifbench.data.cubes.content import Grid
from smifbench.data.cubes.products import product_files, read_product
from smifbench.data.cubes.reading import Cube, full_scale, nanometres
from smifbench.data.missing import blocks_with_missing, fill_nearest
from smifbench.data.selection import BandChoice, choose_bands, parse_bands
from smifbench.errors import UserError

UNSTATED_AXES = (".npy", ".npz", ".mat")
"""Suffixes of files that do not say which of their axes holds the bands."""


@dataclass(frozen=True)
class OwnPair:
    """A pair as its files hold it, checked: bands chosen, cut to the common ground, without holes.

    Parameters
    ----------
    lr_hsi
        (C, h, w), float32, divided by `scale`, bands in order of wavelength.
    hr_msi
        (c, H, W), float32, in its file's units.
    ratio
        H / h = W / w.
    scale
        HSI value that became 1.
    order
        Place among the bands kept, in the file's order, of each band of `lr_hsi`, (C,).
    wavelengths_nm, bandwidths_nm
        Centres and full widths (C,) of the bands kept in the file's order, or None.
    hsi, msi, hsi_path, msi_path
        The cubes that were read, of the bands kept, and where from.
    files
        All files that were read.
    hsi_bands, msi_bands
        Numbers of the bands kept, in the files' order.
    hsi_missing, msi_missing
        (h, w) and (H, W), true where the image has no value; there it holds that of the nearest pixel that has one.
        None where nothing is missing.
    grid
        Where `hr_msi` lies, or None.
    notes
        Sentences on what was decided without being asked for.
    """

    lr_hsi: np.ndarray
    hr_msi: np.ndarray
    ratio: int
    scale: float
    order: np.ndarray
    wavelengths_nm: np.ndarray | None
    bandwidths_nm: np.ndarray | None
    hsi: Cube
    msi: Cube
    hsi_path: str | Path
    msi_path: str | Path
    files: list[Path] = field(default_factory=list)
    hsi_bands: list[int] = field(default_factory=list)
    msi_bands: list[int] = field(default_factory=list)
    hsi_missing: np.ndarray | None = None
    msi_missing: np.ndarray | None = None
    grid: Grid | None = None
    notes: tuple[str, ...] = ()

    @property
    def increasing_wavelengths_nm(self) -> np.ndarray | None:
        """Centres (C,) of the bands of `lr_hsi`."""
        return None if self.wavelengths_nm is None else self.wavelengths_nm[self.order]

    @property
    def missing(self) -> np.ndarray | None:
        """HR pixels (H, W) of which one of the images knows nothing, so that nothing can be fused; None for none."""
        if self.hsi_missing is None:
            return self.msi_missing
        ground = self.hsi_missing.repeat(self.ratio, 0).repeat(self.ratio, 1)
        return ground if self.msi_missing is None else ground | self.msi_missing

    def usable(self, reach: int) -> np.ndarray | None:
        """LR pixels (h, w) that are there, like all of the MSI within `reach` LR pixels around; None for all."""
        if self.missing is None:
            return None
        usable = np.ones(self.lr_hsi.shape[1:], bool) if self.hsi_missing is None else ~self.hsi_missing
        if self.msi_missing is not None:
            from scipy.ndimage import maximum_filter

            usable &= ~maximum_filter(blocks_with_missing(self.msi_missing, self.ratio), 2 * reach + 1)
        return usable

    def result(self, fused: np.ndarray) -> Cube:
        """Turn an image (C, H, W) like `lr_hsi` into a cube as the HSI's file has it: units, bands, type, words.

        It lies where `hr_msi` does. Missing pixels are masked; `nodata` is the HSI's, or one that its type can hold.
        """
        values = np.empty_like(fused)
        values[self.order] = fused * np.float32(self.scale)
        stored, missing, nodata = self.hsi.stored or self.hsi.array.dtype, self.missing, self.hsi.nodata
        whole = stored.kind in "iu"
        if nodata is None and missing is not None:
            nodata = math.nan if not whole else float(np.iinfo(stored).min or np.iinfo(stored).max)
        if whole and self.hsi.gain is None:
            bounds = np.iinfo(stored)
            values = np.rint(values, dtype=np.float64).clip(bounds.min, bounds.max)
            if nodata is not None:  # a value that is there must not read as missing
                values[values == nodata] += 1 if nodata < bounds.max else -1
            values = values.astype(stored.newbyteorder("="))
        return replace(self.hsi, array=values, mask=missing, nodata=nodata, grid=self.grid)


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
        Values that mean "missing" besides those that the files declare.
    """

    paths: Sequence[str | Path]
    variable: str | None = None
    band_axis: int | None = None
    bands: str | None = None
    missing: Sequence[float] = ()


def read_pair(
    hsi_files: ImageFiles,
    msi_files: ImageFiles,
    wavelengths: str | None = None,
    scale: float | None = None,
    align: bool = False,
    least_ratio: int = 2,
) -> OwnPair:
    """Read and check both images of a pair.

    Parameters
    ----------
    hsi_files, msi_files
        LR-HSI and HR-MSI of one ground.
    wavelengths
        Centres of the HSI's bands where its file states none or others: numbers with commas between them, or a CSV file
        with a column `wavelength_nm`, or with one number to a line.
    scale
        HSI value that becomes 1 for the method; None takes `smifbench.data.cubes.reading.full_scale` of the bands kept.
    align
        Warp the MSI onto the grid that divides the HSI's pixels.
    least_ratio
        2, or 1 where the two may be of one resolution, because the HSI is to be degraded.

    Raises
    ------
    UserError
        For files that cannot be read, whose sizes or geo-references do not make one such ratio, with values
        that seem to mark missing pixels and are not declared, or a list of wavelengths of another length.
    """
    hsi_path, msi_path = (", ".join(map(str, files.paths)) for files in (hsi_files, msi_files))
    stated = None if wavelengths is None else _stated_wavelengths(wavelengths)
    hsi_choice, msi_choice = (
        _choice(image, text) for image, text in (("hsi", hsi_files.bands), ("msi", msi_files.bands))
    )
    hsi, msi = _read_cubes([hsi_files, msi_files], None if stated is None else len(stated), least_ratio)
    if stated is not None:
        if len(stated) != len(hsi.array):
            raise UserError(
                f"{hsi_path} has {len(hsi.array)} bands, but {len(stated)} wavelengths are stated; give one each"
            )
        hsi = replace(hsi, wavelengths_nm=stated, bandwidths_nm=None)
    images, notes = [], []
    for name, path, cube, choice in (
        ("hsi", hsi_path, hsi, hsi_choice),
        ("msi", msi_path, msi, msi_choice),
    ):
        bands, told = choose_bands(cube, choice, str(path), cube.wavelengths_nm)
        notes += [f"{sentence} (--{name}-bands all keeps them)" for sentence in told]
        missing = cube.missing_in(bands)
        if missing is not None and missing.all():
            raise UserError(f"{path}: every pixel is missing in one of the bands; choose others by --{name}-bands")
        _refuse_undeclared(cube, bands, path, name, missing)
        notes += _suspicious_zeros(cube, bands, path, name, missing)
        images.append((cube.take(bands), bands, missing))
    (hsi, hsi_numbers, lr_missing), (msi, msi_numbers, missing) = images

    values = msi.array
    grid, why = msi.grid, alignment.comparable(hsi.grid, msi.grid)
    shapes = hsi.array.shape[1:], msi.array.shape[1:]
    if align:
        if why or hsi.grid is None or msi.grid is None:
            raise UserError(f"--align needs the geo-references of both files, but {why}")
        ratio = alignment.ratio_between(hsi.grid, shapes[0], msi.grid, least_ratio)
        values, missing, grid = alignment.warp(values, missing, msi.grid, hsi.grid, shapes[0], ratio)
        notes.append(f"the MSI was resampled onto the HSI's grid, {ratio} x {ratio} pixels in each of its pixels")
        window = _covered(missing, shapes[0], ratio)
        rows, columns = (slice(side.start * ratio, side.stop * ratio) for side in window)
        common = alignment.Common(ratio, window, (rows, columns))
    elif why or hsi.grid is None or msi.grid is None:
        if hsi.grid is not None or msi.grid is not None:
            notes.append(f"the places of the two images were not compared, because {why}")
        ratio = _ratio(hsi, msi, hsi_path, msi_path, least_ratio)
        first, second = ((slice(0, height), slice(0, width)) for height, width in shapes)
        common = alignment.Common(ratio, first, second)
    else:
        common = alignment.common_ground(hsi.grid, shapes[0], msi.grid, shapes[1], least_ratio)
    ratio = common.ratio
    kept = [tuple(side.stop - side.start for side in window) for window in (common.hsi, common.msi)]
    if kept[0] != shapes[0] or (kept[1] != shapes[1] and not align):
        notes.append(
            f"cut to the common ground: HSI rows {_span(common.hsi[0])}, columns {_span(common.hsi[1])}; MSI rows "
            f"{_span(common.msi[0])}, columns {_span(common.msi[1])} (counted from 0)"
        )
    lr_missing, missing = _cut(lr_missing, common.hsi), _cut(missing, common.msi)
    counts, hr_msi = hsi.array[:, *common.hsi], np.array(values[:, *common.msi], np.float32)

    centres, widths = hsi.wavelengths_nm, hsi.bandwidths_nm
    order = np.arange(len(counts)) if centres is None else np.argsort(centres, kind="stable")
    if scale is None:
        scale = full_scale(counts if lr_missing is None else counts[:, None, ~lr_missing], hsi_path)
    if not 0 < scale < math.inf:
        raise UserError(f"scale is {scale:g}; give the HSI value that becomes 1")
    lr_hsi = (counts[order] / np.float64(scale)).astype(np.float32)
    lr_hsi = lr_hsi if lr_missing is None else fill_nearest(lr_hsi, lr_missing)
    hr_msi = hr_msi if missing is None else fill_nearest(hr_msi, missing)
    if hsi.nodata is None and hsi_files.missing:
        hsi = replace(hsi, nodata=float(hsi_files.missing[0]))
    return OwnPair(
        lr_hsi=lr_hsi,
        hr_msi=hr_msi,
        ratio=ratio,
        scale=float(scale),
        order=order,
        wavelengths_nm=centres,
        bandwidths_nm=widths,
        hsi=hsi,
        msi=msi,
        hsi_path=hsi_path,
        msi_path=msi_path,
        files=[file for image in (hsi_files, msi_files) for path in image.paths for file in product_files(path)],
        hsi_bands=hsi_numbers,
        msi_bands=msi_numbers,
        hsi_missing=lr_missing,
        msi_missing=missing,
        grid=alignment.moved(grid, common.msi),
        notes=tuple(notes),
    )


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
    asks = [lambda option, image=image: f"--{image}-{option.replace('_', '-')}" for image in ("hsi", "msi")]
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


def _fitting(hsi: Cube, msi: Cube, least_ratio: int) -> bool:
    """Whether the sides make one whole ratio, and the HSI has at least as many bands."""
    (bands, height, width), (msi_bands, msi_height, msi_width) = hsi.array.shape, msi.array.shape
    ratio = msi_height // height
    return ratio >= least_ratio and (msi_height, msi_width) == (ratio * height, ratio * width) and msi_bands <= bands


def _refuse_undeclared(
    cube: Cube, bands: Sequence[int], path: str | Path, image: str, missing: np.ndarray | None
) -> None:
    """Refuse values so far below 0 that they must be marks of missing pixels, which nothing declares."""
    lowest, highest = math.inf, -math.inf
    for band in bands:
        values = cube.array[band] if missing is None else cube.array[band][~missing]
        lowest, highest = min(lowest, float(values.min())), max(highest, float(values.max()))
    if lowest >= 0 or lowest >= -0.5 * highest:
        return
    stored = lowest if cube.gain is None else None
    count = sum(int(np.count_nonzero(cube.array[band] == lowest)) for band in bands)
    remedy = (
        f"say --{image}-missing={stored:g}" if stored is not None else f"name the stored value by --{image}-missing"
    )
    raise UserError(
        f"{path} holds values down to {lowest:g} ({count} times), which look like marks of missing pixels that it does "
        f"not declare; if they are, {remedy}"
    )


def _suspicious_zeros(
    cube: Cube, bands: Sequence[int], path: str | Path, image: str, missing: np.ndarray | None
) -> list[str]:
    """Say where pixels are 0 in all bands, which often means missing."""
    zero = np.ones(cube.array.shape[1:], bool) if missing is None else ~missing
    for band in bands:
        zero &= cube.array[band] == 0
        if not zero.any():
            return []
    return [
        f"{path}: {np.count_nonzero(zero)} pixels are 0 in all bands and count as values; if they are missing, say "
        f"--{image}-missing 0"
    ]


def _covered(missing: np.ndarray | None, shape: tuple[int, int], ratio: int) -> alignment.Window:
    """Window of the HSI that the warped MSI covers."""
    valid = np.ones(shape, bool) if missing is None else ~_all_missing_blocks(missing, ratio)
    window = alignment.extent_of(valid)
    if window is None:
        raise UserError("by their geo-references the two images show no common ground")
    return window


def _all_missing_blocks(missing: np.ndarray, ratio: int) -> np.ndarray:
    return ~blocks_with_missing(~missing, ratio)


def _cut(mask: np.ndarray | None, window: alignment.Window) -> np.ndarray | None:
    if mask is None or not mask[window].any():
        return None
    return mask[window]


def _span(side: slice) -> str:
    return f"{side.start}-{side.stop - 1}"


def _ratio(hsi: Cube, msi: Cube, hsi_path: str | Path, msi_path: str | Path, least_ratio: int) -> int:
    (_, height, width), (_, msi_height, msi_width) = hsi.array.shape, msi.array.shape
    sizes = f"{hsi_path} has {height} x {width} pixels and {msi_path} {msi_height} x {msi_width}"
    axes = "or state the band axis by --hsi-band-axis or --msi-band-axis"
    if height > msi_height or width > msi_width:
        raise UserError(f"{sizes}: the HSI is the finer one; exchange them, {axes}")
    ratio = msi_height // height
    if (msi_height, msi_width) != (ratio * height, ratio * width):
        raise UserError(f"{sizes}, which is no whole ratio; crop or resample one to the other's ground, {axes}")
    if ratio < least_ratio:
        raise UserError(f"{sizes}: they are of one resolution, so there is nothing to fuse")
    return ratio


def _stated_wavelengths(stated: str) -> np.ndarray:
    """Centres in nanometres from numbers with commas between them, or from a CSV file."""
    path = Path(stated).expanduser()
    if not path.is_file():
        return nanometres(stated.split(","))
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = [row for row in csv.reader(file) if any(map(str.strip, row))]
    column, rows = (rows[0].index("wavelength_nm"), rows[1:]) if rows and "wavelength_nm" in rows[0] else (0, rows)
    return nanometres([row[column] if column < len(row) else "" for row in rows])
