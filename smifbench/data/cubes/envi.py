"""Cubes in ENVI's form: a header in words beside a file of bare numbers."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from smifbench.data.cubes.content import Content, band_list, map_values
from smifbench.errors import UserError

TYPES = {"1": "u1", "2": "i2", "3": "i4", "4": "f4", "5": "f8", "12": "u2", "13": "u4", "14": "i8", "15": "u8"}
"""NumPy types of ENVI's codes for real numbers."""

ORDERS = {
    "bsq": ("bands", "lines", "samples"),
    "bil": ("lines", "bands", "samples"),
    "bip": ("lines", "samples", "bands"),
}
"""Axes of the data file by ENVI's interleave."""

GEOREFERENCE = ("map info", "coordinate system string", "projection info")
"""Header lines that say where the image lies; `Content.georeference` holds their texts without the braces."""

DATA_SUFFIXES = (".img", ".dat", ".raw", ".bin", ".data", ".bsq", ".bil", ".bip")
HEADER_BYTES = 2**22
READ = {
    *("samples", "lines", "bands", "interleave", "data type", "byte order", "header offset", "file compression"),
    *("wavelength", "wavelength units", "fwhm", "bbl", "data ignore value", "reflectance scale factor"),
}
"""Keys that decide what is read: a line that begins with one ends a brace that was never closed."""


def read_envi(path: Path, variable: str | None) -> Content:
    """Map the image of a header or a data file."""
    header, data = envi_files(path)
    fields = _fields(header)

    def integer(key: str, least: int, default: str | None = None) -> int:
        text = fields.get(key, default)
        if text is None:
            raise UserError(f"{header}: the header does not state '{key}'; add the line")
        if not (text.isascii() and text.isdigit() and len(text) < 19 and int(text) >= least):
            raise UserError(f"{header}: '{key}' is '{text[:40]}'; correct it to a whole number of at least {least}")
        return int(text)

    sides = {key: integer(key, 1) for key in ("bands", "lines", "samples")}
    interleave = fields.get("interleave", "").lower()
    if interleave not in ORDERS:
        raise UserError(f"{header}: 'interleave' is '{interleave[:40]}'; correct it to bsq, bil or bip")
    code = fields.get("data type", "")
    if code not in TYPES:
        raise UserError(
            f"{header}: 'data type' is '{code[:40]}', which is no type of real numbers; known: {', '.join(TYPES)}"
        )
    if fields.get("file compression", "0") != "0":
        raise UserError(f"{header}: the data file is compressed; save it uncompressed")
    order = integer("byte order", 0, "0")
    if order > 1:
        raise UserError(f"{header}: 'byte order' is '{order}'; correct it to 0 (little endian) or 1 (big endian)")
    dtype = np.dtype(TYPES[code]).newbyteorder("<>"[order])
    axes = ORDERS[interleave]
    array = map_values(data, tuple(sides[axis] for axis in axes), dtype, integer("header offset", 0, "0"), "C", header)
    return Content(
        f"ENVI {interleave}",
        array,
        band_axis=axes.index("bands"),
        wavelengths=_entries(fields.get("wavelength", "")),
        unit=fields.get("wavelength units"),
        bandwidths=_entries(fields.get("fwhm", "")),
        notes=_notes(fields),
        georeference={key: fields[key] for key in GEOREFERENCE if key in fields} or None,
    )


def envi_files(path: Path) -> tuple[Path, Path]:
    """Header and data file, given either."""
    if path.suffix.lower() != ".hdr":
        return envi_header_of(path), path
    whole = path.with_suffix("")
    if whole.is_file():
        return path, whole
    found = [
        other
        for other in sorted(path.parent.iterdir())
        if other.stem == path.stem and other.suffix.lower() in DATA_SUFFIXES and other.is_file()
    ]
    if len(found) != 1:
        names = ", ".join(other.name for other in found) or "none"
        raise UserError(
            f"{path} needs exactly one data file beside it, {whole.name} with or without one of "
            f"{' '.join(DATA_SUFFIXES)}; found: {names}. Name the data file instead of the header, or add it"
        )
    return path, found[0]


def envi_header_of(data: Path) -> Path | None:
    """Header beside a data file: `scene.img.hdr` or `scene.hdr` for `scene.img`."""
    names = (data.name, data.stem)
    found = (data.with_name(name + suffix) for name in names for suffix in (".hdr", ".HDR"))
    return next((path for path in found if path.is_file()), None)


def _fields(header: Path) -> dict[str, str]:
    """Parse a header in one pass: keys in small letters, braces removed."""
    with header.open("rb") as file:
        raw = file.read(HEADER_BYTES + 1)
    if not raw.startswith(b"ENVI") or len(raw) > HEADER_BYTES:
        raise UserError(f"{header} is no ENVI header: it must begin with the word ENVI and be shorter than 4 MiB")
    lines = iter(raw.decode("utf-8", errors="replace").splitlines()[1:])
    fields = {}
    for line in lines:
        key, equals, value = line.partition("=")
        if not equals or key.lstrip().startswith(";"):
            continue
        value = value.strip()
        if value.startswith("{"):
            parts = [value]
            while "}" not in parts[-1]:
                following = next(lines, None)
                if following is None or _key(following) in READ:
                    raise UserError(f"{header}: the brace of '{key.strip()[:40]}' is never closed; close it")
                parts.append(following)
            value = " ".join(parts)[1:].partition("}")[0]
        fields[_key(line)] = value.strip()
    return fields


def _key(line: str) -> str:
    return " ".join(line.partition("=")[0].lower().split()) if "=" in line else ""


def _notes(fields: Mapping[str, str]) -> tuple[str, ...]:
    notes = []
    bad = [band for band, text in enumerate(_entries(fields.get("bbl", ""))) if text in ("0", "0.0")]
    if bad:
        notes.append(f"the header marks bad bands: drop_bands: {band_list(bad)}")
    for key in ("data ignore value", "reflectance scale factor"):
        if key in fields:
            notes.append(f"the header states {key} {fields[key][:40]}")
    return tuple(notes)


def _entries(text: str) -> list[str]:
    return [entry for entry in map(str.strip, text.split(",")) if entry]
