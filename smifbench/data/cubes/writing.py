"""Writes a cube in the formats that `smifbench.cubes` reads, with its wavelengths and its place on the ground."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from smifbench.data.cubes.envi import DATA_SUFFIXES, TYPES
from smifbench.data.cubes.tiff import GDAL_METADATA
from smifbench.errors import UserError
from smifbench.system.files import replacing, write_text

SUFFIXES = (".npy", ".npz", ".mat", ".hdr", *DATA_SUFFIXES, ".tif", ".tiff")
"""Suffixes that can be written; `.hdr` and the suffixes of ENVI data files write an ENVI image."""

LARGEST_MAT = 2**31
"""Bytes that an array in a MATLAB v5 file may have."""


def check_suffix(path: Path) -> None:
    """Raise UserError for a file name whose suffix is none of `SUFFIXES`."""
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"{path} is of no known format; give it one of the suffixes {' '.join(SUFFIXES)}")


def write_cube(
    path: Path,
    array: np.ndarray,
    wavelengths_nm: np.ndarray | None = None,
    bandwidths_nm: np.ndarray | None = None,
    georeference: Mapping | None = None,
) -> list[str]:
    """Write (C, H, W) in the format of the file's suffix; an existing file is replaced at once.

    Parameters
    ----------
    path
        File to write. For ENVI, the header or the data file; the other gets the same name.
    array
        Values of a real type. Half precision and truth values have no place in ENVI.
    wavelengths_nm, bandwidths_nm
        Band centres and full widths (C,). `.npy` has no room for either; TIFF and MATLAB keep the centres alone.
    georeference
        `Cube.georeference` of an image on the same grid; ENVI's goes into ENVI and GeoTIFF's into TIFF.

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
    if suffix == ".npy":
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, array)
    elif suffix in (".npz", ".mat"):
        known = {} if wavelengths_nm is None else {"wavelengths_nm": np.asarray(wavelengths_nm, np.float64)}
        _write_variables(path, {"cube": array, **known})
    elif suffix in (".tif", ".tiff"):
        _write_tiff(path, array, wavelengths_nm, georeference)
    else:
        _write_envi(path, array, wavelengths_nm, bandwidths_nm, georeference)
    if wavelengths_nm is not None and suffix == ".npy":
        notes.append(f"{path.name} has no room for wavelengths")
    if georeference and not _kept(suffix, georeference):
        notes.append(
            f"{path.name} does not keep the geo-reference; write {'ENVI' if _in_words(georeference) else 'TIFF'}"
        )
    return notes


def _kept(suffix: str, georeference: Mapping) -> bool:
    """Whether a format takes this geo-reference."""
    return suffix in ((".hdr", *DATA_SUFFIXES) if _in_words(georeference) else (".tif", ".tiff"))


def _in_words(georeference: Mapping) -> bool:
    """ENVI's geo-reference has words for keys, GeoTIFF's has numbers."""
    return all(isinstance(key, str) for key in georeference)


def _write_variables(path: Path, variables: dict[str, np.ndarray]) -> None:
    from scipy.io import savemat

    matlab = path.suffix.lower() == ".mat"
    if matlab and variables["cube"].nbytes >= LARGEST_MAT:
        raise UserError(f"{path}: a MATLAB v5 file holds no array of 2 GiB or more; write .npy, ENVI or TIFF")
    with replacing(path) as temporary, temporary.open("wb") as file:
        if matlab:
            savemat(file, variables)
        else:
            np.savez(file, **variables)


def _write_tiff(path: Path, array: np.ndarray, wavelengths_nm: np.ndarray | None, georeference: Mapping | None) -> None:
    import tifffile

    tags = []
    if georeference and _kept(path.suffix.lower(), georeference):
        tags = [(code, kind, count, value, True) for code, (kind, count, value) in georeference.items()]
    if wavelengths_nm is not None:
        items = "".join(
            f'<Item name="wavelength" sample="{band}">{nm:.10g}</Item>' for band, nm in _counted(wavelengths_nm)
        )
        unit = '<Item name="wavelength_units">Nanometers</Item>'
        tags.append((GDAL_METADATA, "s", 0, f"<GDALMetadata>{items}{unit}</GDALMetadata>", True))
    with replacing(path) as temporary:
        tifffile.imwrite(
            temporary, array, photometric="minisblack", planarconfig="separate", metadata=None, extratags=tags
        )


def _write_envi(
    path: Path,
    array: np.ndarray,
    wavelengths_nm: np.ndarray | None,
    bandwidths_nm: np.ndarray | None,
    georeference: Mapping | None,
) -> None:
    codes = {np.dtype(name): code for code, name in TYPES.items()}
    if array.dtype not in codes:
        raise UserError(f"{path}: ENVI has no code for values of type {array.dtype}; write .npy or TIFF")
    bands, lines, samples = array.shape
    fields = {
        "samples": samples,
        "lines": lines,
        "bands": bands,
        "header offset": 0,
        "file type": "ENVI Standard",
        "data type": codes[array.dtype],
        "interleave": "bsq",
        "byte order": 0,
    }
    if wavelengths_nm is not None:
        fields |= {"wavelength units": "Nanometers", "wavelength": _braces(wavelengths_nm)}
    if bandwidths_nm is not None:
        fields["fwhm"] = _braces(bandwidths_nm)
    if georeference and _kept(".hdr", georeference):
        fields |= {key: f"{{{text}}}" for key, text in georeference.items()}
    data = path.with_suffix(".img") if path.suffix.lower() == ".hdr" else path
    with replacing(data) as temporary:
        array.astype(array.dtype.newbyteorder("<")).tofile(temporary)
    write_text(
        path.with_suffix(".hdr"), "\n".join(["ENVI", *(f"{key} = {value}" for key, value in fields.items()), ""])
    )


def _counted(values: np.ndarray) -> list[tuple[int, float]]:
    return list(enumerate(map(float, values)))


def _braces(values: np.ndarray) -> str:
    return "{" + ", ".join(f"{float(value):.10g}" for value in values) + "}"
