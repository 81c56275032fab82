"""Cubes in TIFF and GeoTIFF: bands as samples of a pixel, as planes or as pages."""

import logging
import math
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from smifbench.data.cubes.content import Content, check_claim, map_values, pick

if TYPE_CHECKING:
    from tifffile import TiffPage, TiffPageSeries

GDAL_METADATA = 42112

GEOREFERENCE = (33550, 33922, 34264, 34735, 34736, 34737)
"""GeoTIFF's tags: pixel scale, tie points, transformation, keys. `Content.georeference` holds (type, count, value)."""


def read_tiff(path: Path, variable: str | None) -> Content:
    """Load a series of a TIFF, or map it where it lies in one piece."""
    import tifffile

    _follow_pages(path)
    with _tifffile_complaints() as complaints, tifffile.TiffFile(path) as tiff:
        every = {str(number): series for number, series in enumerate(tiff.series)}
        kinds = {"b": "O"}  # bilevel images are no cubes
        about = {key: (series.shape, kinds.get(series.dtype.kind, series.dtype.kind)) for key, series in every.items()}
        name = pick(path, about, variable)
        series = every[name]
        _check_parts(path, series)
        if series.dataoffset is None:
            array = series.asarray()
        else:
            array = map_values(path, series.shape, series.dtype.newbyteorder(tiff.byteorder), series.dataoffset)
        # tifffile's own files keep the shape of any array, so that their pages need not be bands.
        band_axis = series.axes.find("S")
        if band_axis < 0 and series.kind != "shaped" and series.axes.endswith("YX"):
            band_axis = 0
        wavelengths, unit = _gdal_wavelengths(tiff.pages[0])
        tags = {code: tiff.pages[0].tags.get(code) for code in GEOREFERENCE}
        georeference = {code: (int(tag.dtype), tag.count, tag.value) for code, tag in tags.items() if tag} or None
    if complaints:
        raise ValueError(complaints[0])
    return Content(
        "TIFF", array, name, None if band_axis < 0 else band_axis, wavelengths, unit, georeference=georeference
    )


def _follow_pages(path: Path) -> None:
    """Follow the chain of pages to its end; where it bites its tail, tifffile would go round for ever."""
    with path.open("rb") as file:
        head = file.read(16)
        endian = ">" if head.startswith(b"MM") else "<"
        big = 43 in head[2:4]
        count, tag, link, first = ("Q", 20, "Q", 8) if big else ("H", 12, "I", 4)
        seen = set()
        offset = struct.unpack_from(endian + link, head, first)[0]
        while offset:
            if offset in seen:
                raise ValueError(f"its page at byte {offset} follows itself")
            seen.add(offset)
            file.seek(offset)
            tags = struct.unpack(endian + count, file.read(struct.calcsize(endian + count)))[0]
            file.seek(tags * tag, os.SEEK_CUR)
            offset = struct.unpack(endian + link, file.read(struct.calcsize(endian + link)))[0]


def _check_parts(path: Path, series: "TiffPageSeries") -> None:
    """Refuse a series with strips or tiles missing, too short or beyond the file's end; tifffile would read zeros."""
    parts = [part for page in series.pages for part in zip(page.dataoffsets, page.databytecounts, strict=True)]
    stored, values = sum(count for _, count in parts), math.prod(series.shape)
    check_claim(path, values, series.dtype.itemsize, stored)
    compressions = {page.compression for page in series.pages}
    short = compressions == {1} and stored < values * series.dtype.itemsize
    if short or len(compressions) > 1 or any(not 0 < count <= path.stat().st_size - start for start, count in parts):
        raise ValueError("pixels are missing")


@contextmanager
def _tifffile_complaints() -> Iterator[list[str]]:
    """Collect what tifffile only logs, such as pages that it leaves out because they are damaged."""
    complaints: list[str] = []

    def collect(record: logging.LogRecord) -> bool:
        if record.levelno >= logging.ERROR:
            complaints.append(record.getMessage())
        return False

    log = logging.getLogger("tifffile")
    log.addFilter(collect)
    try:
        yield complaints
    finally:
        log.removeFilter(collect)


def _gdal_wavelengths(page: "TiffPage") -> tuple[list[str], str | None]:
    """Centres that GDAL wrote for each band, in the order of the bands."""
    tag = page.tags.get(GDAL_METADATA)
    if tag is None:
        return [], None
    centres, unit = {}, None
    for item in ElementTree.fromstring(str(tag.value)).iter("Item"):
        name, text = item.get("name", "").lower(), (item.text or "").strip()
        if name in ("wavelength", "central_wavelength_um") and item.get("sample", "").isdigit():
            centres[int(item.get("sample"))] = text
            unit = "um" if name.endswith("um") else unit
        elif name in ("wavelength_units", "wavelength_unit"):
            unit = text
    return [centres[band] for band in sorted(centres)], unit
