"""Writes a cube in the formats that `smifbench.data.cubes.reading` reads, with everything that its file said of it.

GDAL writes the rasters. Gains are undone, so that the numbers mean what they meant in the file that was read; what is
missing becomes the no-data value, which the file declares.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from smifbench.data.cubes.content import is_nodata
from smifbench.data.cubes.header import DATA_SUFFIXES, FOUND_SUFFIXES, TYPES, header_of, is_header, read_words
from smifbench.data.cubes.raster import gdal
from smifbench.data.cubes.reading import Cube
from smifbench.errors import UserError
from smifbench.system.files import replacing, write_text

ENVI_SUFFIXES = (".hdr", *DATA_SUFFIXES)
TIFF_SUFFIXES = (".tif", ".tiff")
SUFFIXES = (".npy", ".npz", ".mat", *ENVI_SUFFIXES, *TIFF_SUFFIXES)
"""Suffixes that can be written; `.hdr` and the suffixes of ENVI data files write an ENVI image."""

LARGEST_MAT = 2**31
"""Bytes that an array in a MATLAB v5 file may have."""

TIFF_TYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")

OF_GDAL = ("description", "map info", "projection info", "coordinate system string")
"""Lines that stay as GDAL writes them in an ENVI header."""


def check_suffix(path: Path) -> None:
    """Raise UserError for a file name whose suffix is none of `SUFFIXES`."""
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"{path} is of no known format; give it one of the suffixes {' '.join(SUFFIXES)}")


def check_output(path: str | Path, read: Iterable[Path] = ()) -> None:
    """Raise UserError where writing a cube to `path` would harm: before any work is done.

    That is where it would replace one of the files that were read, or where files that lie there already would be taken
    for its data, its header or its mask when it is read again.
    """
    path = Path(path).expanduser()
    check_suffix(path)
    written = _written(path)
    for target in written:
        if _same(target, read):
            raise UserError(f"{target} is an input and would be replaced; write to another name than {path}")
    if path.suffix.lower() in ENVI_SUFFIXES:
        header, data = written
        in_the_way = [header.with_suffix(""), data.with_name(f"{data.name}.hdr"), data.with_name(f"{data.name}.HDR")]
        in_the_way += [header.with_suffix(".HDR")]
        if path.parent.is_dir():
            in_the_way += [
                other
                for other in sorted(path.parent.iterdir())
                if other.stem == path.stem and other.suffix.lower() in FOUND_SUFFIXES
            ]
        in_the_way = [other for other in in_the_way if other.is_file() and not _same(other, written)]
    else:
        in_the_way = [path.with_name(path.name + suffix) for suffix in (".aux.xml", ".msk", ".ovr")]
        in_the_way = [other for other in in_the_way if other.is_file()] if path.suffix.lower() in TIFF_SUFFIXES else []
        beside = header_of(path) if path.suffix.lower() in TIFF_SUFFIXES else None
        if beside and is_header(beside):
            in_the_way.append(beside)
    if in_the_way:
        raise UserError(
            f"{in_the_way[0]} lies there already and would be taken for a part of {path}, or it would lose its header; "
            "write to another name"
        )


def write_cube(path: Path, cube: Cube) -> list[str]:
    """Write a cube in the format of the file's suffix; an existing file is replaced at once.

    Parameters
    ----------
    path
        File to write. For ENVI, the header or the data file; the other gets the same name.
    cube
        What to write, often `dataclasses.replace(read, array=..., grid=..., mask=...)`: values with the gains applied
        that it states. Pixels are missing where its mask is True or a value is not finite or is the no-data value.
        Half precision and truth values have no place in rasters.

    Returns
    -------
    list of str
        Sentences on what the format could not keep.

    Raises
    ------
    UserError
        For an unknown suffix, or an array that the format cannot hold.
    """
    check_suffix(path)
    suffix, notes = path.suffix.lower(), []
    of_gdal = suffix in (*ENVI_SUFFIXES, *TIFF_SUFFIXES)
    array, nodata = _encoded(cube, of_gdal)
    if suffix in TIFF_SUFFIXES:
        _write_tiff(path, array, nodata, cube)
    elif of_gdal:
        _write_envi(path, array, nodata, cube)
    elif suffix == ".npy":
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, array)
    else:
        nm = cube.wavelengths_nm
        _write_variables(path, {"cube": array} | ({} if nm is None else {"wavelengths_nm": np.asarray(nm, np.float64)}))
    if cube.wavelengths_nm is not None and suffix == ".npy":
        notes.append(f"{path.name} has no room for wavelengths")
    if not of_gdal:
        if cube.grid:
            notes.append(f"{path.name} does not keep the geo-reference; write ENVI or TIFF")
        if cube.gain is not None:
            notes.append(f"{path.name} holds the values with the file's gains and offsets applied")
        if nodata is not None and array.dtype.kind != "f":
            notes.append(f"{path.name} cannot declare that {nodata:g} stands for missing")
    return notes


def _encoded(cube: Cube, with_gains: bool) -> tuple[np.ndarray, float | None]:
    """Numbers to store (C, H, W), and the one that stands for missing, if any does."""
    values = cube.array
    missing = np.zeros(values.shape, bool) if cube.mask is None else np.broadcast_to(cube.mask, values.shape).copy()
    if values.dtype.kind == "f":
        missing |= ~np.isfinite(values)
    if cube.nodata is not None and cube.gain is None:
        missing |= is_nodata(values, cube.nodata)
    dtype = values.dtype.newbyteorder("=")
    undo = with_gains and cube.gain is not None
    if with_gains and cube.gain is not None and cube.offset is not None:
        dtype = cube.stored or dtype
        values = (np.asarray(values, np.float64) - cube.offset[:, None, None]) / cube.gain[:, None, None]
        if dtype.kind in "iu":
            bounds = np.iinfo(dtype)
            values = np.rint(np.where(missing, 0, values)).clip(bounds.min, bounds.max)
    nodata = _nodata(dtype, cube.nodata if undo or cube.gain is None else None, bool(missing.any()))
    stored = values.astype(dtype, copy=nodata is not None)
    if nodata is not None:
        taken = (stored == nodata) & ~missing  # a value that happens to be the mark is moved by the least step
        stored[taken] = _beside(dtype, nodata)
        stored[missing] = nodata
    return stored, nodata


def _nodata(dtype: np.dtype, stated: float | None, needed: bool) -> float | None:
    """The stated no-data value if the type has it, else one for what is missing."""
    if dtype.kind == "f":
        return stated if stated is not None else (np.nan if needed else None)
    if dtype.kind not in "iu":
        return None
    bounds = np.iinfo(dtype)
    if stated is not None and float(stated).is_integer() and bounds.min <= stated <= bounds.max:
        return int(stated)
    return int(bounds.min if dtype.kind == "i" else bounds.max) if needed else None


def _beside(dtype: np.dtype, nodata: float) -> Any:
    if dtype.kind == "f":
        return np.nextafter(dtype.type(nodata), dtype.type(np.inf if nodata < 1 else 0))
    return nodata + 1 if nodata < np.iinfo(dtype).max else nodata - 1


def _written(path: Path) -> list[Path]:
    """Files that writing to `path` makes: itself, or ENVI's header and data file."""
    if path.suffix.lower() not in ENVI_SUFFIXES:
        return [path]
    return [path.with_suffix(".hdr"), path.with_suffix(".img") if path.suffix.lower() == ".hdr" else path]


def _same(file: Path, others: Iterable[Path]) -> bool:
    return file.exists() and any(other.exists() and other.samefile(file) for other in others)


def _write_variables(path: Path, variables: dict[str, Any]) -> None:
    from scipy.io import savemat

    matlab = path.suffix.lower() == ".mat"
    if matlab and variables["cube"].nbytes >= LARGEST_MAT:
        raise UserError(f"{path}: a MATLAB v5 file holds no array of 2 GiB or more; write .npy, ENVI or TIFF")
    with replacing(path) as temporary, temporary.open("wb") as file:
        if matlab:
            savemat(file, variables)
        else:
            np.savez(file, **variables)


def _profile(array: np.ndarray, nodata: float | None, cube: Cube) -> dict[str, Any]:
    placed = {} if cube.grid is None else {"crs": cube.grid.crs, "transform": cube.grid.transform}
    count, height, width = array.shape
    return {"count": count, "height": height, "width": width, "dtype": array.dtype.name, "nodata": nodata, **placed}


def _write_tiff(path: Path, array: np.ndarray, nodata: float | None, cube: Cube) -> None:
    import rasterio

    if array.dtype.str[1:] not in TIFF_TYPES:
        raise UserError(f"{path}: GDAL has no type for values of type {array.dtype}; write .npy")
    # Without these words, GDAL takes the fourth of four bands of 8 bits for a mask.
    options = {"photometric": "MINISBLACK", "ALPHA": "NO", "interleave": "band", "BIGTIFF": "IF_SAFER"}
    with replacing(path) as temporary, gdal():
        with rasterio.open(temporary, "w", driver="GTiff", **_profile(array, nodata, cube), **options) as file:
            for band, values in enumerate(array, 1):
                file.write(values, band)
                file.update_tags(band, **_band_tags(cube, band - 1))
                imagery = _imagery_tags(cube, band - 1)
                if imagery:
                    file.update_tags(band, ns="IMAGERY", **imagery)
                if cube.band_names:
                    file.set_band_description(band, cube.band_names[band - 1])
            if cube.gain is not None and cube.offset is not None:
                file.scales, file.offsets = cube.gain.tolist(), cube.offset.tolist()
            if "data units" in cube.words:
                file.units = [cube.words["data units"]] * len(array)
            words = {key.replace(" ", "_"): text for key, text in cube.words.items() if key != "data units"}
            if cube.wavelengths_nm is not None:
                words["wavelength_units"] = "Nanometers"
            file.update_tags(**words)
        temporary.with_name(f"{temporary.name}.aux.xml").unlink(missing_ok=True)


def _band_tags(cube: Cube, band: int) -> dict[str, str]:
    tags: dict[str, str] = {}
    if cube.wavelengths_nm is not None:
        tags |= {"wavelength": f"{cube.wavelengths_nm[band]:.10g}", "wavelength_units": "Nanometers"}
    if cube.bandwidths_nm is not None:
        tags["fwhm"] = f"{cube.bandwidths_nm[band]:.10g}"
    return tags


def _imagery_tags(cube: Cube, band: int) -> dict[str, str]:
    """The names that GDAL itself gives to centres and widths, in micrometres."""
    pairs = (("CENTRAL_WAVELENGTH_UM", cube.wavelengths_nm), ("FWHM_UM", cube.bandwidths_nm))
    return {name: f"{values[band] / 1000:.10g}" for name, values in pairs if values is not None}


def _write_envi(path: Path, array: np.ndarray, nodata: float | None, cube: Cube) -> None:
    import rasterio

    if array.dtype.str[1:] not in TYPES.values():
        raise UserError(f"{path}: ENVI has no code for values of type {array.dtype}; write .npy or TIFF")
    header, data = _written(path)
    with replacing(data) as temporary:
        with (
            gdal(),
            rasterio.open(temporary, "w", driver="ENVI", **_profile(array, nodata, cube), INTERLEAVE="BSQ") as file,
        ):
            for band, values in enumerate(array, 1):
                file.write(values, band)
        of_gdal = temporary.with_suffix(".hdr")
        words = read_words(of_gdal)
        of_gdal.unlink()
        temporary.with_name(f"{temporary.name}.aux.xml").unlink(missing_ok=True)
    lines = [f"{key} = {text}" for key, text in _header(words, nodata, cube)]
    write_text(header, "\n".join(["ENVI", *lines, ""]))


def _header(words: Mapping[str, str], nodata: float | None, cube: Cube) -> list[tuple[str, str]]:
    """Lines of an ENVI header: GDAL's about layout and ground, and what the cube says."""
    lines = {key: f"{{{text}}}" if key in OF_GDAL else text for key, text in words.items() if key != "band names"}
    if nodata is not None:
        lines["data ignore value"] = f"{nodata:.17g}"
    if cube.wavelengths_nm is not None:
        lines |= {"wavelength units": "Nanometers", "wavelength": _braces(cube.wavelengths_nm)}
    if cube.bandwidths_nm is not None:
        lines["fwhm"] = _braces(cube.bandwidths_nm)
    if cube.gain is not None and cube.offset is not None and not cube.by_factor:
        lines |= {"data gain values": _braces(cube.gain, 17), "data offset values": _braces(cube.offset, 17)}
    if cube.bad_bands is not None:
        lines["bbl"] = _braces(np.array([band not in cube.bad_bands for band in range(len(cube.array))], float))
    if cube.band_names:
        lines["band names"] = "{" + ", ".join(name.replace(",", ";") for name in cube.band_names) + "}"
    return list((lines | dict(cube.words)).items())


def _braces(values: np.ndarray, digits: int = 10) -> str:
    return "{" + ", ".join(f"{float(value):.{digits}g}" for value in values) + "}"
