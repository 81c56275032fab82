"""Reflectances of PRISMA (level 2D) and EMIT (level 2A), which come as HDF5.

Written after the products' guides; no real product was at hand. What a file says otherwise than they do is refused.
"""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from smifbench.data.cubes.content import Content, Grid, Wanted, check_claim
from smifbench.errors import UserError

if TYPE_CHECKING:
    import h5py

PRISMA_CUBES = "HDFEOS/SWATHS/PRS_L2D_HCO/Data Fields"
PRISMA_PIXEL = 30.0
"""Side of a pixel on the ground in metres."""

PRISMA_HIGHEST = 65535
"""The stored number of the highest reflectance that the file states; 0 is the lowest."""

PRISMA_INVALID = 1
"""Code of a value that was invalid before the correction for the atmosphere; others mark negative or saturated ones."""

EMIT_CUBE = "reflectance"
EMIT_BANDS = "sensor_band_parameters"


def read_prisma(path: Path, wanted: Wanted) -> Content:
    """Read both cubes of a level 2D product as reflectances, float32, NaN where they are missing.

    Bands without a wavelength, or flagged as unused, are left out; the others keep their order, VNIR before SWIR. What
    is 0 in all bands lies beyond the image.
    """
    with _opened(path) as file:
        if PRISMA_CUBES not in file:
            raise UserError(
                f"{path} is no level 2D product of PRISMA, which alone is read of its products: it has no "
                f"{PRISMA_CUBES}; prismaread and EnMAP-Box convert others to GeoTIFF"
            )
        vnir, swir = (_prisma_part(path, file, name) for name in ("Vnir", "Swir"))
        grid, why = _prisma_grid(file, vnir.outside.shape)
    if vnir.outside.shape != swir.outside.shape:
        raise UserError(f"{path}: its VNIR and SWIR cubes differ in size; fetch the product again")
    outside = vnir.outside & swir.outside
    notes = (
        "stored numbers are turned into the reflectances that the product's own scale gives them",
        f"{vnir.unused} VNIR and {swir.unused} SWIR bands are without a wavelength, left out and not counted",
        *why,
    )
    return Content(
        "PRISMA level 2D",
        np.concatenate([vnir.values, swir.values]),
        band_axis=0,
        wavelengths=[*vnir.centres, *swir.centres],
        unit="nm",
        bandwidths=[*vnir.widths, *swir.widths],
        notes=notes,
        grid=grid,
        mask=outside if outside.any() else None,
    )


def read_emit(path: Path, wanted: Wanted) -> Content:
    """Read the reflectances of a level 2A product; `good_wavelengths` tells its bad bands. It has no grid."""
    with _opened(path) as file:
        if EMIT_CUBE not in file or f"{EMIT_BANDS}/wavelengths" not in file:
            raise UserError(
                f"{path} is no level 2A product of EMIT, which alone is read of its kind: it has no {EMIT_CUBE} with "
                f"{EMIT_BANDS}/wavelengths; EnMAP-Box converts products to GeoTIFF"
            )
        item = file[EMIT_CUBE]
        check_claim(path, item.size, item.dtype.itemsize, item.id.get_storage_size())
        if item.ndim != 3:
            raise UserError(f"{path}: {EMIT_CUBE} has {item.ndim} axes and not three; fetch the product again")
        centres = file[f"{EMIT_BANDS}/wavelengths"][()]
        about = file[EMIT_BANDS]
        stated = {name: about[name][()] for name in ("fwhm", "good_wavelengths") if name in about}
        if any(np.shape(values) != item.shape[2:] for values in (centres, *stated.values())):
            raise UserError(f"{path}: {EMIT_BANDS} lists another number of bands than {EMIT_CUBE} has; fetch it again")
        good = stated.get("good_wavelengths")
        fill = item.attrs.get("_FillValue")
        return Content(
            "EMIT level 2A",
            item[()],
            band_axis=2,
            wavelengths=centres.tolist(),
            unit="nm",
            bandwidths=stated.get("fwhm", np.empty(0)).tolist(),
            notes=("it is in the sensor's own geometry and has no grid; orthorectify it to pair it by its place",),
            nodata=None if fill is None else float(np.ravel(fill)[0]),
            bad_bands=None if good is None else tuple(np.flatnonzero(good == 0).tolist()),
        )


def _opened(path: Path) -> "h5py.File":
    import h5py

    if not h5py.is_hdf5(path):
        raise UserError(f"{path} is no HDF5 file; fetch it again, or convert it by gdal_translate to GeoTIFF")
    return h5py.File(path)


class _Part(NamedTuple):
    """VNIR or SWIR of a PRISMA product.

    Reflectances (C, H, W), where all bands are stored as 0 (H, W), centres and widths (C,), and how many bands were
    left out.
    """

    values: np.ndarray
    outside: np.ndarray
    centres: np.ndarray
    widths: np.ndarray
    unused: int


def _prisma_part(path: Path, file: "h5py.File", name: str) -> _Part:
    capitals, cubes = name.upper(), file[PRISMA_CUBES]
    item = cubes[f"{capitals}_Cube"]  # rows, bands, columns
    check_claim(path, item.size, 4, item.id.get_storage_size())
    centres, widths = (np.ravel(file.attrs[f"List_{word}_{name}"]).astype(float) for word in ("Cw", "Fwhm"))
    flags = np.ravel(file.attrs.get(f"List_Cw_{name}_Flags", np.ones(len(centres))))
    lowest, highest = (float(np.ravel(file.attrs[f"L2Scale{name}{word}"])[0]) for word in ("Min", "Max"))
    if item.ndim != 3 or item.dtype.kind != "u" or {len(centres), len(widths), len(flags)} != {item.shape[1]}:
        raise UserError(
            f"{path}: {capitals}_Cube is no cube of unsigned numbers with a centre, a width and a flag for each band; "
            "fetch the product again"
        )
    if not np.isfinite([lowest, highest]).all() or highest <= lowest:
        raise UserError(f"{path}: L2Scale{name}Min and L2Scale{name}Max are {lowest:g} and {highest:g}; fetch it again")
    used = np.flatnonzero((centres > 0) & (flags != 0))
    stored = item[()].transpose(1, 0, 2)[used]
    values = (stored * np.float32((highest - lowest) / PRISMA_HIGHEST) + np.float32(lowest)).astype(np.float32)
    outside = ~stored.any(0)
    errors = cubes.get(f"{capitals}_PIXEL_L2_ERR_MATRIX")
    if errors is not None:
        if errors.shape != item.shape:
            raise UserError(f"{path}: {capitals}_PIXEL_L2_ERR_MATRIX is of another shape than the cube; fetch it again")
        values[errors[()].transpose(1, 0, 2)[used] == PRISMA_INVALID] = np.nan
    return _Part(values, outside, centres[used], widths[used], len(centres) - len(used))


def _prisma_grid(file: "h5py.File", shape: tuple[int, int]) -> tuple[Grid | None, tuple[str, ...]]:
    """Place of the image, where the stated corners fit its size: as centres of pixels or as their outer corners."""
    from rasterio.crs import CRS
    from rasterio.transform import from_origin

    names = [f"Product_{corner}corner_{way}" for way in ("easting", "northing") for corner in ("UL", "LR")]
    if "Epsg_Code" not in file.attrs or any(name not in file.attrs for name in names):
        return None, ("it does not state Epsg_Code and its corners, so it has no grid",)
    left, right, top, bottom = (float(np.ravel(file.attrs[name])[0]) for name in names)
    across, down = (right - left) / PRISMA_PIXEL, (top - bottom) / PRISMA_PIXEL
    height, width = shape
    for beyond in (0.5, 0.0):  # of a pixel, from a stated corner to the image's
        if abs(across + 2 * beyond - width) < 0.1 and abs(down + 2 * beyond - height) < 0.1:
            left, top = left - beyond * PRISMA_PIXEL, top + beyond * PRISMA_PIXEL
            code = int(np.ravel(file.attrs["Epsg_Code"])[0])
            return Grid(CRS.from_epsg(code), from_origin(left, top, PRISMA_PIXEL, PRISMA_PIXEL)), ()
    return None, (
        f"its corners lie {across:g} x {down:g} pixels of {PRISMA_PIXEL:g} m apart, but it has {width} x {height}, "
        "so it has no grid",
    )
