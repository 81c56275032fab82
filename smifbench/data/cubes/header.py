"""The words of an ENVI header in every form that they come in, and the files that belong together.

GDAL is then given the header in its own spelling; what it does not read (bad bands, widths of bands, wavelengths in
their names) is read here.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from smifbench.errors import UserError

TYPES = {"1": "u1", "2": "i2", "3": "i4", "4": "f4", "5": "f8", "12": "u2", "13": "u4", "14": "i8", "15": "u8"}
"""NumPy types of ENVI's codes for real numbers."""

AXES = {
    "bsq": ("bands", "lines", "samples"),
    "bil": ("lines", "bands", "samples"),
    "bip": ("lines", "samples", "bands"),
}
"""Axes of the data file by ENVI's interleave."""

DATA_SUFFIXES = (".img", ".dat", ".raw", ".bin", ".data", ".bsq", ".bil", ".bip")
"""Suffixes of data files that are written, too."""

FOUND_SUFFIXES = (*DATA_SUFFIXES, ".rfl", ".rdn", ".ref", ".rad", ".pix", ".tif", ".tiff")
"""Suffixes of the data files that are looked for beside a header."""

PLAIN = ("", "envi", "envi standard", "envi classification", "standard", "unknown", "undefined", "0")
"""What `file type` is where the data file holds nothing but numbers."""

LISTS = ("wavelength", "fwhm", "bbl", "data gain values", "data offset values", "map info")
NUMBERS = ("samples", "lines", "bands", "interleave", "data type", "byte order", "header offset", "file compression")
"""Lines that decide what is read: within a list, one of them says that its brace was never closed."""

KEPT = ("reflectance scale factor", "data units", "sensor type", "acquisition time")
"""Words about the values that are told and written back."""

HEADER_BYTES = 2**22

OPENING = {"{": "}", "[": "]"}
SPELLINGS = {"wavelengths": "wavelength", "wavelength unit": "wavelength units", "wavelength unts": "wavelength units"}

NAMED_WAVELENGTH = re.compile(
    r"\(\s*(\d+(?:\.\d+)?)\s*\)|(\d+(?:\.\d+)?)\s*(nm|nanomet\w+|um|\u00b5m|\u03bcm|micromet\w+|microns?)\b", re.I
)


def read_words(header: Path) -> dict[str, str]:
    """Read a header: keys in small letters with single spaces, values without their braces.

    Raises UserError for what is no ENVI header, and for a list whose brace is never closed.
    """
    with header.open("rb") as file:
        raw = file.read(HEADER_BYTES + 1).removeprefix(b"\xef\xbb\xbf")
    if not raw.startswith(b"ENVI") or len(raw) > HEADER_BYTES:
        raise UserError(f"{header} is no ENVI header: it must begin with the word ENVI and be shorter than 4 MiB")
    lines = raw.decode("utf-8", errors="replace").splitlines()[1:]
    words = {}
    at = 0
    while at < len(lines):
        key, value = _key(lines[at]), lines[at].partition("=")[2].strip()
        at += 1
        if not value and at < len(lines) and lines[at].lstrip()[:1] in OPENING:
            value, at = lines[at].strip(), at + 1
        if key and value[:1] in OPENING:
            closing = OPENING[value[0]]
            while closing not in value:
                if at == len(lines) or (key in LISTS and _key(lines[at]) in (*NUMBERS, *LISTS)):
                    raise UserError(f"{header}: the brace of '{key[:40]}' is never closed; close it")
                value, at = f"{value} {lines[at]}", at + 1
            value = value[1:].partition(closing)[0].strip()
        if key:
            words[SPELLINGS.get(key, key)] = value
    return words


def not_plain(words: Mapping[str, str]) -> str | None:
    """Return why the data file is no plain raw file, or None where it is one."""
    kind = " ".join(words.get("file type", "").lower().split())
    if kind not in PLAIN:
        return f"'file type' is '{words['file type'][:40]}'"
    if "read procedures" in words:
        return f"'read procedures' are {words['read procedures'][:60]}"
    for key in ("major frame offsets", "minor frame offsets"):
        if any(number(entry) for entry in entries(words.get(key, ""))):
            return f"'{key}' are {words[key][:40]}"
    return None


def bad_bands(words: Mapping[str, str]) -> tuple[int, ...] | None:
    """Return the bands, counted from 0, that the header's list calls bad; None where it has no list."""
    listed = entries(words.get("bbl", ""))
    if not listed:
        return None
    return tuple(band for band, text in enumerate(listed) if text.lower() == "false" or number(text) == 0)


def named_wavelengths(names: Sequence[str | None]) -> tuple[list[str], str | None]:
    """Return the wavelengths, and their unit, in names of bands such as `Band 1 (423.5)` or `450 Nanometers`.

    A number must stand in parentheses or before a unit, in every name; whole numbers below 100 without a unit count.
    """
    found = [NAMED_WAVELENGTH.search(name or "") for name in names]
    matches = [match for match in found if match]
    if len(matches) < len(names) or not matches:
        return [], None
    values, units = [match[1] or match[2] for match in matches], {(match[3] or "").lower() for match in matches}
    if len(units) > 1 or (units == {""} and all(float(value) < 100 and float(value).is_integer() for value in values)):
        return [], None
    return values, units.pop() or None


def entries(text: str) -> list[str]:
    """Cut a list at its commas, or at its spaces where it has none."""
    parts = text.split(",") if "," in text else text.split()
    return [entry for entry in map(str.strip, parts) if entry]


def number(text: str) -> float | None:
    """Return a number, or None for another text."""
    try:
        return float(text)
    except ValueError:
        return None


def files_beside(path: Path) -> tuple[Path, Path]:
    """Return header and data file, given either."""
    if path.suffix.lower() != ".hdr":
        header = header_of(path)
        if header is None:
            raise UserError(f"{path} has no ENVI header beside it; add {path.stem}.hdr")
        return header, path
    whole = path.with_suffix("")
    if whole.is_file():
        return path, whole
    found = [
        other
        for other in sorted(path.parent.iterdir())
        if other.stem.lower() == path.stem.lower() and other.suffix.lower() in FOUND_SUFFIXES and other.is_file()
    ]
    if len(found) > 1:  # a raster beside an ENVI image has only the name in common
        found = [other for other in found if other.suffix.lower() not in (".tif", ".tiff")] or found
    if len(found) != 1:
        names = ", ".join(other.name for other in found) or "none"
        raise UserError(
            f"{path} needs exactly one data file beside it, {whole.name} with or without one of "
            f"{' '.join(FOUND_SUFFIXES)}; found: {names}. Name the data file instead of the header, or add it"
        )
    return path, found[0]


def header_of(data: Path) -> Path | None:
    """Return the header beside a data file: `scene.img.hdr` or `scene.hdr` for `scene.img`."""
    names = (data.name, data.stem)
    found = (data.with_name(name + suffix) for name in names for suffix in (".hdr", ".HDR"))
    return next((path for path in found if path.is_file()), None)


def is_header(path: Path) -> bool:
    """Tell whether a file begins as an ENVI header does."""
    with path.open("rb") as file:
        return file.read(7).removeprefix(b"\xef\xbb\xbf").startswith(b"ENVI")


def _key(line: str) -> str:
    key, equals, _ = line.partition("=")
    return " ".join(key.lower().replace("_", " ").split()) if equals and not key.lstrip().startswith(";") else ""
