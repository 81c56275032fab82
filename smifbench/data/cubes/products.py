"""Products of several files: bands in files of their own, Sentinel-2 folders, EnMAP images with their metadata."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from smifbench.data.cubes.content import as_key
from smifbench.data.cubes.reading import Cube, read_cube
from smifbench.errors import UserError

SENTINEL2_BANDS = {"B02": (492.4, 66), "B03": (559.8, 36), "B04": (664.6, 31), "B08": (832.8, 106)}
"""The 10 m bands with centre and width in nanometres: Sentinel-2A's, of which 2B's and 2C's differ by about 1 nm."""

CONVERTERS = {
    ".he5": "prismaread and EnMAP-Box convert products of PRISMA to GeoTIFF",
    ".nc": "EnMAP-Box converts products of EMIT to GeoTIFF",
    ".h5": "hytools converts products of NEON to ENVI",
    ".hdf": "gdal_translate converts its images to GeoTIFF",
    ".zip": "unpack it",
}
"""What makes files that can be read out of products that cannot."""


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
    files = product_files(paths[0])
    if len(files) > 1:
        return read_sentinel2(files, fills)
    cube = read_cube(files[0], variable, band_axis, bands, shape=shape, fills=fills, ask=ask)
    return with_enmap_metadata(cube, files[0])


def product_files(path: str | Path) -> list[Path]:
    """Return the files of a product: the 10 m bands of a Sentinel-2 folder (.SAFE), or the path itself.

    Level 1C has `GRANULE/*/IMG_DATA/*_B02.jp2`, level 2A `GRANULE/*/IMG_DATA/R10m/*_B02_10m.jp2`.
    """
    path = Path(path).expanduser()
    if path.suffix.lower() != ".safe" or not path.is_dir():
        if path.suffix.lower() in CONVERTERS and path.exists():
            raise UserError(f"{path} is a product that is not read here; {CONVERTERS[path.suffix.lower()]}")
        return [path]
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


def read_bands(paths: Sequence[str | Path], fills: Sequence[float] = ()) -> Cube:
    """Read several images of one grid as one cube, their bands in the order of the files.

    Raises
    ------
    UserError
        Where sizes or places differ, or the files state different gains.
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
    return replace(
        first,
        array=np.concatenate([cube.array for cube in cubes]),
        wavelengths_nm=_joined([cube.wavelengths_nm for cube in cubes]),
        bandwidths_nm=_joined([cube.bandwidths_nm for cube in cubes]),
        mask=np.logical_or.reduce(masks) if masks else None,
        gain=_joined([cube.gain for cube in cubes]),
        offset=_joined([cube.offset for cube in cubes]),
        bad_bands=None,
        band_names=(),
    )


def _joined(parts: Sequence[np.ndarray | None]) -> np.ndarray | None:
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if len(known) == len(parts) else None


def read_sentinel2(files: Sequence[Path], fills: Sequence[float] = ()) -> Cube:
    """Read the 10 m bands of a Sentinel-2 folder as one cube; 0 stands for missing, as in every such product."""
    centres, widths = np.array(list(SENTINEL2_BANDS.values())).T
    cube = read_bands(files, fills)
    return replace(cube, wavelengths_nm=centres, bandwidths_nm=widths, nodata=0.0, band_names=tuple(SENTINEL2_BANDS))


def with_enmap_metadata(cube: Cube, path: str | Path) -> Cube:
    """Add wavelengths and widths from `*-METADATA.XML` beside an EnMAP image `*-SPECTRAL_IMAGE.TIF`, if it has one."""
    path = Path(path).expanduser()
    found = re.fullmatch(r"(ENMAP.*)-SPECTRAL_IMAGE.*\.tiff?", path.name, re.IGNORECASE)
    metadata = path.with_name(f"{found[1]}-METADATA.XML") if found else None
    if metadata is None or not metadata.is_file() or cube.wavelengths_nm is not None:
        return cube
    try:
        bands = list(ElementTree.parse(metadata).iterfind(".//bandCharacterisation/bandID"))
        numbers = [
            [float(band.findtext(name, "nan")) for name in ("wavelengthCenterOfBand", "FWHMOfBand")] for band in bands
        ]
    except (ElementTree.ParseError, ValueError) as error:
        raise UserError(f"{metadata} cannot be read ({error}); fetch the product again") from error
    table = np.array(numbers).reshape(-1, 2)
    if len(table) != len(cube.array) or not np.isfinite(table).all():
        raise UserError(
            f"{metadata} describes {len(table)} bands, but {path} has {len(cube.array)}; fetch the product again"
        )
    return replace(cube, wavelengths_nm=table[:, 0], bandwidths_nm=table[:, 1])
