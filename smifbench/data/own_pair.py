"""Reading a user's own pair: a low-resolution hyperspectral and a high-resolution multispectral file of one ground."""

import csv
import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from smifbench.data import alignment
from smifbench.data.cubes.content import Grid
from smifbench.data.cubes.reading import Cube, full_scale, nanometres
from smifbench.data.missing import blocks_with_missing, fill_nearest
from smifbench.data.own_image import ImageFiles, OwnImage, read_images
from smifbench.errors import UserError


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
    def wavelengths_nm(self) -> np.ndarray | None:
        """Centres (C,) of the bands kept in the file's order, or None."""
        return self.hsi.wavelengths_nm

    @property
    def bandwidths_nm(self) -> np.ndarray | None:
        """Full widths (C,) of the bands kept in the file's order, or None."""
        return self.hsi.bandwidths_nm

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
    stated = None if wavelengths is None else _stated_wavelengths(wavelengths)
    hsi, msi = read_images(hsi_files, msi_files, stated, least_ratio)
    ground = (_warped_ground if align else _common_ground)(hsi, msi, least_ratio)
    lr_missing, missing = _cut(hsi.missing, ground.hsi), _cut(ground.missing, ground.msi)
    counts, hr_msi = hsi.cube.array[:, *ground.hsi], np.array(ground.image[:, *ground.msi], np.float32)
    if scale is None:
        scale = full_scale(counts if lr_missing is None else counts[:, None, ~lr_missing], hsi.name)
    if not 0 < scale < math.inf:
        raise UserError(f"scale is {scale:g}; give the HSI value that becomes 1")
    centres = hsi.cube.wavelengths_nm
    order = np.arange(len(counts)) if centres is None else np.argsort(centres, kind="stable")
    lr_hsi = (counts[order] / np.float64(scale)).astype(np.float32)
    return OwnPair(
        lr_hsi=lr_hsi if lr_missing is None else fill_nearest(lr_hsi, lr_missing),
        hr_msi=hr_msi if missing is None else fill_nearest(hr_msi, missing),
        ratio=ground.ratio,
        scale=float(scale),
        order=order,
        hsi=_declaring(hsi.cube),
        msi=msi.cube,
        hsi_path=hsi.name,
        msi_path=msi.name,
        files=[*hsi_files.all_files, *msi_files.all_files],
        hsi_bands=hsi.bands,
        msi_bands=msi.bands,
        hsi_missing=lr_missing,
        msi_missing=missing,
        grid=alignment.moved(ground.grid, ground.msi),
        notes=(*hsi.notes, *msi.notes, *ground.notes),
    )


def _declaring(cube: Cube) -> Cube:
    """The cube, whose result shall declare a value that the user calls missing where the file declares none."""
    return replace(cube, nodata=cube.fills[0]) if cube.nodata is None and cube.fills else cube


@dataclass(frozen=True)
class _Ground:
    """The ground that both images show, by windows of the two, and the MSI on a grid that fits the HSI's.

    `image` (c, H, W) and `missing` (H, W) are the whole MSI, warped where that was asked for, and `grid` is its place.
    """

    common: alignment.Common
    image: np.ndarray
    missing: np.ndarray | None
    grid: Grid | None
    notes: tuple[str, ...] = ()

    @property
    def ratio(self) -> int:
        return self.common.ratio

    @property
    def hsi(self) -> alignment.Window:
        return self.common.hsi

    @property
    def msi(self) -> alignment.Window:
        return self.common.msi


def _warped_ground(hsi: OwnImage, msi: OwnImage, least_ratio: int) -> _Ground:
    """Warp the MSI onto the grid that divides the HSI's pixels."""
    why = alignment.comparable(hsi.cube.grid, msi.cube.grid)
    if why or hsi.cube.grid is None or msi.cube.grid is None:
        raise UserError(f"--align needs the geo-references of both files, but {why}")
    ratio = alignment.ratio_between(hsi.cube.grid, hsi.shape, msi.cube.grid, least_ratio)
    image, missing, grid = alignment.warp(msi.cube.array, msi.missing, msi.cube.grid, hsi.cube.grid, hsi.shape, ratio)
    window = _covered(missing, hsi.shape, ratio)
    rows, columns = (slice(side.start * ratio, side.stop * ratio) for side in window)
    notes = [f"the MSI was resampled onto the HSI's grid, {ratio} x {ratio} pixels in each of its pixels"]
    if window != _all(hsi.shape):
        notes.append(_tell_cut(window, (rows, columns)))
    return _Ground(alignment.Common(ratio, window, (rows, columns)), image, missing, grid, tuple(notes))


def _common_ground(hsi: OwnImage, msi: OwnImage, least_ratio: int) -> _Ground:
    """Find what both show by their geo-references; without those, their sizes decide and both show the same."""
    notes = []
    grids = hsi.cube.grid, msi.cube.grid
    why = alignment.comparable(*grids)
    if why or grids[0] is None or grids[1] is None:
        if grids != (None, None):
            notes.append(f"the places of the two images were not compared, because {why}")
        common = alignment.Common(_ratio(hsi, msi, least_ratio), _all(hsi.shape), _all(msi.shape))
    else:
        common = alignment.common_ground(grids[0], hsi.shape, grids[1], msi.shape, least_ratio)
    if (common.hsi, common.msi) != (_all(hsi.shape), _all(msi.shape)):
        notes.append(_tell_cut(common.hsi, common.msi))
    return _Ground(common, msi.cube.array, msi.missing, grids[1], tuple(notes))


def _all(shape: tuple[int, int]) -> alignment.Window:
    return slice(0, shape[0]), slice(0, shape[1])


def _tell_cut(hsi: alignment.Window, msi: alignment.Window) -> str:
    (rows, columns), (msi_rows, msi_columns) = (map(_span, window) for window in (hsi, msi))
    return (
        f"cut to the common ground: HSI rows {rows}, columns {columns}; MSI rows {msi_rows}, columns {msi_columns} "
        "(counted from 0)"
    )


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


def _ratio(hsi: OwnImage, msi: OwnImage, least_ratio: int) -> int:
    """Ratio of the sizes."""
    (height, width), (msi_height, msi_width) = hsi.shape, msi.shape
    sizes = f"{hsi.name} has {height} x {width} pixels and {msi.name} {msi_height} x {msi_width}"
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
