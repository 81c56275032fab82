"""Whether the grids of a pair's two images fit, what they have in common, and warping one onto the other.

Two grids fit where every HSI pixel covers r x r whole MSI pixels: the transform from HSI pixels to MSI pixels is then
a scaling by the whole number r and a shift by whole pixels.
"""

from dataclasses import dataclass, replace

import numpy as np

from smifbench.data.cubes.content import Grid
from smifbench.errors import UserError

LARGEST_SHIFT = 0.05
"""Fraction of an MSI pixel by which grids that fit may be off: what rounding of corners in headers leaves."""

LARGEST_DRIFT = 0.25
"""Fraction of an MSI pixel by which they may run apart over the whole image: rounded sizes of pixels."""

REMEDY = "give --align to resample the MSI onto the grid that divides the HSI's pixels"

Window = tuple[slice, slice]
"""Rows and columns of an image."""


@dataclass(frozen=True)
class Common:
    """The ground that both images show.

    Parameters
    ----------
    ratio
        MSI pixels along an HSI pixel.
    hsi, msi
        Window of each image.
    """

    ratio: int
    hsi: Window
    msi: Window


def comparable(hsi: Grid | None, msi: Grid | None) -> str:
    """Return why the two grids cannot be compared, or ""."""
    if hsi is None or msi is None:
        return f"the {'HSI' if hsi is None else 'MSI'} states no geo-reference"
    if (hsi.crs is None) != (msi.crs is None):
        return f"the {'HSI' if hsi.crs is None else 'MSI'} states no coordinate reference system"
    return ""


def common_ground(
    hsi: Grid, hsi_shape: tuple[int, int], msi: Grid, msi_shape: tuple[int, int], least_ratio: int = 2
) -> Common:
    """Find ratio and common extent of two images from their grids.

    Parameters
    ----------
    hsi, msi
        Grids, of which `comparable` has nothing to complain.
    hsi_shape, msi_shape
        Heights and widths.
    least_ratio
        2, or 1 where the two may be of one resolution.

    Raises
    ------
    UserError
        Where the grids do not fit, with what was found, or show no common ground.
    """
    if hsi.crs != msi.crs:
        raise UserError(f"the HSI is in {_name(hsi)} and the MSI in {_name(msi)}; {REMEDY}")
    onto = ~msi.transform @ hsi.transform  # HSI pixels to MSI pixels
    side = max(hsi_shape)
    if max(abs(onto.b), abs(onto.d)) * side > LARGEST_DRIFT:
        raise UserError(f"by their geo-references the two images are rotated against each other; {REMEDY}")
    ratio = round(onto.a)
    found = f"by their geo-references an HSI pixel is {abs(onto.a):.4g} x {abs(onto.e):.4g} MSI pixels"
    if onto.a < 0 or onto.e < 0:
        raise UserError(f"{found}, and the images run in different directions; {REMEDY}")
    if max(onto.a, onto.e) < 1 - LARGEST_DRIFT:
        raise UserError(f"{found}: the HSI is the finer one; exchange them")
    if ratio < least_ratio and max(abs(onto.a - 1), abs(onto.e - 1)) * side <= LARGEST_DRIFT:
        raise UserError(f"{found}: they are of one resolution, so there is nothing to fuse")
    if max(abs(onto.a - ratio), abs(onto.e - ratio)) * side > LARGEST_DRIFT or ratio < least_ratio:
        raise UserError(f"{found}, which is no whole ratio; {REMEDY}")
    left, top = round(onto.c), round(onto.f)
    shift = max(abs(onto.c - left), abs(onto.f - top))
    rows = _overlap(top, ratio, hsi_shape[0], msi_shape[0])
    columns = _overlap(left, ratio, hsi_shape[1], msi_shape[1])
    if rows is None or columns is None:
        raise UserError(
            f"by their geo-references the two images show no common ground: their corners are {onto.c / ratio:.6g} "
            f"columns and {onto.f / ratio:.6g} rows of the HSI apart"
        )
    if shift > LARGEST_SHIFT:
        raise UserError(
            f"by their geo-references the corners of HSI and MSI pixels are {onto.c - left:+.2f} columns and "
            f"{onto.f - top:+.2f} rows of the MSI apart; {REMEDY}"
        )
    return Common(ratio, (rows[0], columns[0]), (rows[1], columns[1]))


def ratio_between(hsi: Grid, hsi_shape: tuple[int, int], msi: Grid, least: int = 2) -> int:
    """Ratio of two images in any grids: the HSI's pixel over the MSI's at the HSI's centre, rounded up to `least`."""
    from rasterio.warp import transform

    row, column = hsi_shape[0] / 2, hsi_shape[1] / 2
    points = [hsi.transform @ place for place in ((column, row), (column + 1, row), (column, row + 1))]
    xs, ys = zip(*points, strict=True)
    if hsi.crs != msi.crs:
        xs, ys = transform(hsi.crs, msi.crs, xs, ys)
    places = np.array([~msi.transform @ place for place in zip(xs, ys, strict=True)])
    area = abs(np.linalg.det(places[1:] - places[0]))
    if area < (least - 0.5) ** 2:
        raise UserError(
            f"by their geo-references an HSI pixel covers {area:.3g} MSI pixels, so there is nothing to fuse; exchange "
            "them if the HSI is the finer one"
        )
    return max(least, round(area**0.5))


def warp(
    image: np.ndarray, missing: np.ndarray | None, grid: Grid, hsi: Grid, hsi_shape: tuple[int, int], ratio: int
) -> tuple[np.ndarray, np.ndarray | None, Grid]:
    """Resample an MSI onto the grid that divides every HSI pixel into `ratio` x `ratio`, by cubic convolution.

    Parameters
    ----------
    image, missing, grid
        (c, H, W), its missing pixels (H, W) or None, and where it lies.
    hsi, hsi_shape
        Grid, height and width of the HSI.
    ratio
        Parts of an HSI pixel's side.

    Returns
    -------
    image, missing, grid
        float32 (c, h*ratio, w*ratio), NaN where it is missing: beyond the MSI's extent and beside its missing pixels.
    """
    from rasterio.enums import Resampling
    from rasterio.warp import reproject

    height, width = (side * ratio for side in hsi_shape)
    target = Grid(hsi.crs, hsi.transform @ hsi.transform.scale(1 / ratio))
    source = np.array(image, np.float32)
    if missing is not None:
        source[:, missing] = np.nan
    warped = np.full((len(image), height, width), np.nan, np.float32)
    places = {
        "src_transform": grid.transform,
        "dst_transform": target.transform,
        "src_crs": grid.crs or _NOWHERE,
        "dst_crs": target.crs or _NOWHERE,
    }
    for band, out in zip(source, warped, strict=True):
        reproject(band, out, src_nodata=np.nan, dst_nodata=np.nan, resampling=Resampling.cubic, **places)
    beyond = np.asarray(np.isnan(warped).any(0))
    return warped, beyond if beyond.any() else None, target


def moved(grid: Grid | None, window: Window) -> Grid | None:
    """Grid of a window of an image."""
    if grid is None:
        return None
    rows, columns = window
    return replace(grid, transform=grid.transform @ grid.transform.translation(columns.start, rows.start))


def extent_of(valid: np.ndarray) -> Window | None:
    """Rows and columns of the smallest window that holds all valid pixels (h, w); None where there are none."""
    rows, columns = np.flatnonzero(valid.any(1)), np.flatnonzero(valid.any(0))
    if not len(rows):
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


_NOWHERE = "EPSG:3857"
"""Stands for the plane in which two grids without a coordinate reference system lie."""


def _overlap(start: int, ratio: int, count: int, msi_count: int) -> tuple[slice, slice] | None:
    """HSI and MSI pixels along a side where HSI pixel i covers the MSI's from start + i * ratio on; None if none."""
    first = max(0, -(start // ratio))
    last = min(count, (msi_count - start) // ratio)
    if first >= last:
        return None
    return slice(first, last), slice(start + first * ratio, start + last * ratio)


def _name(grid: Grid) -> str:
    """Coordinate reference system in a word."""
    if grid.crs is None:
        return "no reference system"
    code = grid.crs.to_epsg()
    return f"EPSG:{code}" if code else grid.crs.to_wkt().partition(",")[0].replace('"', "").partition("[")[2]
