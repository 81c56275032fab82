"""Reading a user's own pair: a low-resolution hyperspectral and a high-resolution multispectral file of one ground."""

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smifbench.data.cubes.reading import Cube, full_scale, nanometres, read_cube
from smifbench.errors import UserError


@dataclass(frozen=True)
class OwnPair:
    """A pair as its files hold it, checked.

    Parameters
    ----------
    lr_hsi
        (C, h, w), float32, divided by `scale`, bands in order of wavelength.
    hr_msi
        (c, H, W), float32, in its file's units.
    ratio
        H / h = W / w, at least 2.
    scale
        HSI value that became 1.
    order
        Number in the file of each band of `lr_hsi`, (C,).
    wavelengths_nm, bandwidths_nm
        Centres and full widths (C,) of the bands in the file's order, or None.
    hsi, msi, hsi_path, msi_path
        The cubes that were read, and where from.
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

    @property
    def increasing_wavelengths_nm(self) -> np.ndarray | None:
        """Centres (C,) of the bands of `lr_hsi`."""
        return None if self.wavelengths_nm is None else self.wavelengths_nm[self.order]

    def in_file_units(self, fused: np.ndarray) -> np.ndarray:
        """Turn an image (C, H, W) like `lr_hsi` into the units, the order of bands and the type of the HSI's file."""
        values = np.empty_like(fused)
        values[self.order] = fused * np.float32(self.scale)
        dtype = self.hsi.array.dtype
        if dtype.kind not in "iu":
            return values
        bounds = np.iinfo(dtype)
        return np.rint(values, dtype=np.float64).clip(bounds.min, bounds.max).astype(dtype.newbyteorder("="))


def read_pair(
    hsi_path: str | Path,
    msi_path: str | Path,
    hsi_variable: str | None = None,
    hsi_band_axis: int | None = None,
    msi_variable: str | None = None,
    msi_band_axis: int | None = None,
    wavelengths: str | None = None,
    scale: float | None = None,
) -> OwnPair:
    """Read and check both files of a pair.

    Parameters
    ----------
    hsi_path, msi_path
        LR-HSI and HR-MSI of one ground, co-registered, in any format of `smifbench.cubes`.
    hsi_variable, hsi_band_axis, msi_variable, msi_band_axis
        As in `smifbench.data.cubes.reading.read_cube`.
    wavelengths
        Centres of the HSI's bands where its file states none or others: numbers with commas between them, or a CSV file
        with a column `wavelength_nm`, or with one number to a line.
    scale
        HSI value that becomes 1 for the method; None takes `smifbench.data.cubes.reading.full_scale`.

    Raises
    ------
    UserError
        For files that cannot be read, whose sizes or geo-references do not make one ratio of at least 2, with values
        that are no numbers or mark missing pixels, or a list of wavelengths of another length.
    """
    stated = None if wavelengths is None else _stated_wavelengths(wavelengths)
    hsi = read_cube(hsi_path, hsi_variable, hsi_band_axis, None if stated is None else len(stated))
    msi = read_cube(msi_path, msi_variable, msi_band_axis)
    ratio = _ratio(hsi, msi, hsi_path, msi_path)
    _check_grids(hsi, msi, ratio)
    for path, cube in ((hsi_path, hsi), (msi_path, msi)):
        _check_values(path, cube.array)
    centres, widths = (hsi.wavelengths_nm, hsi.bandwidths_nm) if stated is None else (stated, None)
    if centres is not None and len(centres) != len(hsi.array):
        raise UserError(
            f"{hsi_path} has {len(hsi.array)} bands, but {len(centres)} wavelengths are stated; give one each"
        )
    order = np.arange(len(hsi.array)) if centres is None else np.argsort(centres, kind="stable")
    scale = full_scale(hsi.array, hsi_path) if scale is None else scale
    if not 0 < scale < math.inf:
        raise UserError(f"scale is {scale:g}; give the HSI value that becomes 1")
    lr_hsi = (hsi.array[order] / np.float64(scale)).astype(np.float32)
    if lr_hsi.min() < -0.5:
        raise UserError(
            f"{hsi_path} holds values down to {lr_hsi.min() * scale:g}, which look like marks of missing pixels; "
            "crop them away or fill them in"
        )
    hr_msi = np.array(msi.array, np.float32)
    return OwnPair(
        lr_hsi, hr_msi, ratio, float(scale), order, centres, widths, hsi, msi, hsi_path=hsi_path, msi_path=msi_path
    )


def _ratio(hsi: Cube, msi: Cube, hsi_path: str | Path, msi_path: str | Path) -> int:
    (_, height, width), (_, msi_height, msi_width) = hsi.array.shape, msi.array.shape
    sizes = f"{hsi_path} has {height} x {width} pixels and {msi_path} {msi_height} x {msi_width}"
    axes = "or state the band axis by --hsi-band-axis or --msi-band-axis"
    if height > msi_height or width > msi_width:
        raise UserError(f"{sizes}: the HSI is the finer one; exchange them, {axes}")
    ratio = msi_height // height
    if (msi_height, msi_width) != (ratio * height, ratio * width):
        raise UserError(f"{sizes}, which is no whole ratio; crop or resample one to the other's ground, {axes}")
    if ratio == 1:
        raise UserError(f"{sizes}: they are of one resolution, so there is nothing to fuse")
    return ratio


def _check_grids(hsi: Cube, msi: Cube, ratio: int) -> None:
    """Refuse a pair whose files say that their corners or pixels do not fit."""
    grids = [_grid(cube.georeference or {}) for cube in (hsi, msi)]
    if None in grids or grids[0][0] != grids[1][0]:
        return
    (_, *corner, hsi_pixel), (_, *msi_corner, msi_pixel) = grids
    distance = max(abs(one - other) for one, other in zip(corner, msi_corner, strict=True)) / hsi_pixel
    if distance > 1 or abs(hsi_pixel / (ratio * msi_pixel) - 1) > 0.01:
        raise UserError(
            f"by their geo-references the HSI's pixels are {hsi_pixel:g} and the MSI's {msi_pixel:g} wide and their "
            f"corners {distance:.1f} HSI pixels apart, but the sizes make ratio {ratio}; crop both to the same ground"
        )


def _grid(georeference: Mapping) -> tuple[str, float, float, float] | None:
    """Projection in words, corner (x, y) and width of a pixel; None where they are not plain."""
    try:
        if "map info" in georeference:
            projection, column, row, x, y, width, height = georeference["map info"].split(",")[:7]
            column, row = float(column) - 1, float(row) - 1
        else:
            projection = str(georeference[34735][2])
            width, height = georeference[33550][2][:2]
            column, row, _, x, y = georeference[33922][2][:5]
        return projection, float(x) - column * float(width), float(y) + row * float(height), float(width)
    except (KeyError, ValueError):
        return None


def _check_values(path: str | Path, array: np.ndarray) -> None:
    for band, image in enumerate(array):
        finite = np.isfinite(image)
        if not finite.all():
            row, column = np.argwhere(~finite)[0].tolist()
            raise UserError(
                f"{path} holds values that are NaN or infinite, the first in band {band}, row {row}, column {column} "
                "(counted from 0); crop them away or fill them in"
            )


def _stated_wavelengths(stated: str) -> np.ndarray:
    """Centres in nanometres from numbers with commas between them, or from a CSV file."""
    path = Path(stated).expanduser()
    if not path.is_file():
        return nanometres(stated.split(","))
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = [row for row in csv.reader(file) if any(map(str.strip, row))]
    column, rows = (rows[0].index("wavelength_nm"), rows[1:]) if rows and "wavelength_nm" in rows[0] else (0, rows)
    return nanometres([row[column] if column < len(row) else "" for row in rows])
