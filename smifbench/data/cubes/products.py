"""Reads the cube of a file, of several files of bands, or of a Sentinel-2 folder: everything that a user can name."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from smifbench.data.cubes.content import as_key
from smifbench.data.cubes.reading import Cube, files_of, read_cube, with_gains
from smifbench.errors import UserError

SENTINEL2_BANDS = {"B02": (492.4, 66), "B03": (559.8, 36), "B04": (664.6, 31), "B08": (832.8, 106)}
"""The 10 m bands with centre and width in nanometres: Sentinel-2A's, of which 2B's and 2C's differ by about 1 nm."""

SENTINEL2_NUMBERS = {"B02": "1", "B03": "2", "B04": "3", "B08": "7"}
"""What the metadata call them."""

QUANTIFICATION, OFFSET = ("QUANTIFICATION_VALUE", "BOA_QUANTIFICATION_VALUE"), ("RADIO_ADD_OFFSET", "BOA_ADD_OFFSET")
"""Names in the metadata of levels 1C and 2A: a reflectance is (stored number + offset) / quantification."""


def read_product(
    paths: Sequence[str | Path],
    variable: str | None = None,
    band_axis: int | None = None,
    bands: int | None = None,
    *,
    shape: tuple[int, int] | None = None,
    fills: Sequence[float] = (),
    ask: Callable[[str], str] = as_key,
) -> Cube:
    """Read the cube of a file, of several files of bands, or of a product; the other options are those of `read_cube`.

    Raises
    ------
    UserError
        As `read_cube`, for files of bands that make no image, and for products that are not read here.
    """
    if len(paths) > 1:
        return read_bands(paths, fills)
    if is_sentinel2(paths[0]):
        return read_sentinel2(paths[0], fills)
    return read_cube(paths[0], variable, band_axis, bands, shape=shape, fills=fills, ask=ask)


def product_files(path: str | Path) -> list[Path]:
    """Return all files that a cube is read from: those of a Sentinel-2 folder, or as `files_of`."""
    if not is_sentinel2(path):
        return files_of(path)
    return [*sentinel2_images(path), *sentinel2_metadata(path)]


def read_bands(paths: Sequence[str | Path], fills: Sequence[float] = ()) -> Cube:
    """Read several images of one grid as one cube, their bands in the order of the files.

    Raises
    ------
    UserError
        Where sizes or places differ, or the files state different values for missing pixels.
    """
    cubes = [read_cube(path, fills=fills) for path in paths]
    first = cubes[0]
    for path, cube in zip(paths, cubes, strict=True):
        if cube.array.shape[1:] != first.array.shape[1:] or cube.grid != first.grid:
            raise UserError(
                f"{paths[0]} and {path} are to be bands of one image, but differ in size or place; give bands of one "
                "grid"
            )
        if cube.nodata != first.nodata:
            raise UserError(
                f"{paths[0]} and {path} declare different values for missing pixels; give bands of one kind"
            )
    masks = [cube.mask for cube in cubes if cube.mask is not None]
    calibrated = any(cube.gain is not None for cube in cubes)
    return replace(
        first,
        array=np.concatenate([cube.array for cube in cubes]),
        wavelengths_nm=_joined([cube.wavelengths_nm for cube in cubes]),
        bandwidths_nm=_joined([cube.bandwidths_nm for cube in cubes]),
        mask=np.logical_or.reduce(masks) if masks else None,
        gain=_joined([np.ones(len(cube.array)) if cube.gain is None else cube.gain for cube in cubes])
        if calibrated
        else None,
        offset=_joined([np.zeros(len(cube.array)) if cube.offset is None else cube.offset for cube in cubes])
        if calibrated
        else None,
        by_factor=False,
        bad_bands=None,
        band_names=(),
    )


def _joined(parts: Sequence[np.ndarray | None]) -> np.ndarray | None:
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if len(known) == len(parts) else None


def is_sentinel2(path: str | Path) -> bool:
    """Tell whether a path is the folder of a Sentinel-2 product."""
    path = Path(path).expanduser()
    return path.suffix.lower() == ".safe" and path.is_dir()


def sentinel2_images(path: str | Path) -> list[Path]:
    """Return the images of the 10 m bands in the folder of a Sentinel-2 product (.SAFE).

    Level 1C has `GRANULE/*/IMG_DATA/*_B02.jp2`, level 2A `GRANULE/*/IMG_DATA/R10m/*_B02_10m.jp2`.
    """
    path = Path(path).expanduser()
    files = []
    for band in SENTINEL2_BANDS:
        found = sorted(
            {*path.glob(f"GRANULE/*/IMG_DATA/*_{band}.jp2"), *path.glob(f"GRANULE/*/IMG_DATA/R10m/*_{band}_10m.jp2")}
        )
        if len(found) != 1:
            raise UserError(
                f"{path} holds {len(found)} images of band {band} at 10 m under GRANULE/*/IMG_DATA; give a product of "
                "one granule, or name its four files of bands"
            )
        files += found
    return files


def sentinel2_metadata(path: str | Path) -> list[Path]:
    """Return the metadata of a Sentinel-2 product, `MTD_MSIL2A.xml` or of another level, or nothing."""
    return sorted(Path(path).expanduser().glob("MTD_MSI*.xml"))[:1]


def read_sentinel2(path: str | Path, fills: Sequence[float] = ()) -> Cube:
    """Read the 10 m bands of a Sentinel-2 folder as one cube; 0 stands for missing, as in every such product."""
    centres, widths = np.array(list(SENTINEL2_BANDS.values())).T
    cube = replace(
        read_bands(sentinel2_images(path), fills),
        wavelengths_nm=centres,
        bandwidths_nm=widths,
        nodata=0.0,
        band_names=tuple(SENTINEL2_BANDS),
    )
    found = sentinel2_metadata(path)
    if not found:
        return replace(cube, notes=(*cube.notes, "there is no MTD_MSI*.xml; the values are as stored"))
    gain, offset = _sentinel2_gains(found[0])
    return with_gains(found[0], cube, gain, offset)


def _sentinel2_gains(metadata: Path) -> tuple[np.ndarray, np.ndarray]:
    """Gains and offsets of the 10 m bands; older products state no offsets."""
    try:
        tree = ElementTree.parse(metadata)
        factors = [float(found.text or "nan") for name in QUANTIFICATION for found in tree.iter(name)]
        offsets = {found.get("band_id"): float(found.text or "nan") for name in OFFSET for found in tree.iter(name)}
    except (ElementTree.ParseError, ValueError) as error:
        raise UserError(f"{metadata} cannot be read ({error}); fetch the product again") from error
    added = np.array([offsets.get(SENTINEL2_NUMBERS[band], 0.0 if not offsets else np.nan) for band in SENTINEL2_BANDS])
    if len(factors) != 1 or not 0 < factors[0] < np.inf or not np.isfinite(added).all():
        raise UserError(
            f"{metadata} does not state one {QUANTIFICATION[0]} above 0, and offsets of all 10 m bands or of none; "
            "fetch the product again"
        )
    return np.full(len(added), 1 / factors[0]), added / factors[0]
