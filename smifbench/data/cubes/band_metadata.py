"""What the metadata file beside an image of EnMAP or DESIS says of its bands.

Both lay an XML file `NAME-METADATA.XML` beside `NAME-SPECTRAL_IMAGE.TIF`, with one element for each band of the image
that holds centre, width, gain and offset. Written after the products' guides; no real product was at hand.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from smifbench.data.cubes.content import Content
from smifbench.errors import UserError

NODATA = -32768
"""What both sensors' reflectances have where there is no value, also where the TIFF does not declare it."""


class Layout(NamedTuple):
    """Path of a band's element below the root, and names of the numbers in it."""

    band: str
    centre: str
    width: str
    gain: str
    offset: str


LAYOUTS = {
    "ENMAP": Layout(
        ".//bandCharacterisation/bandID", "wavelengthCenterOfBand", "FWHMOfBand", "GainOfBand", "OffsetOfBand"
    ),
    "DESIS": Layout(
        ".//bandCharacterisation/band",
        *("wavelengthCenterOfBand", "wavelengthWidthOfBand", "gainOfBand", "offsetOfBand"),
    ),
}
"""Layouts by the word with which a product's file names begin."""

IMAGE = re.compile(rf"(({'|'.join(LAYOUTS)}).*)-SPECTRAL_IMAGE.*\.tiff?", re.IGNORECASE)


def metadata_of(path: Path) -> Path | None:
    """Return the metadata file beside an image of EnMAP or DESIS, or None for another image and for one without it."""
    found = IMAGE.fullmatch(path.name)
    names = [f"{found[1]}-METADATA{suffix}" for suffix in (".XML", ".xml")] if found else []
    return next((path.with_name(name) for name in names if path.with_name(name).is_file()), None)


def with_band_metadata(path: Path, content: Content) -> Content:
    """Add wavelengths, widths, gains and offsets from the metadata beside an image; what the image states goes before.

    Raises UserError for metadata that cannot be read or describe other bands.
    """
    metadata = metadata_of(path)
    if metadata is None:
        return content
    try:
        bands = list(ElementTree.parse(metadata).iterfind(_layout(path).band))
        centres, widths, gains, offsets = (
            np.array([float(band.findtext(name) or "nan") for band in bands]) for name in _layout(path)[1:]
        )
    except (ElementTree.ParseError, ValueError) as error:
        raise UserError(f"{metadata} cannot be read ({error}); fetch the product again") from error
    count = content.array.shape[content.band_axis or 0]
    if len(bands) != count or not np.isfinite([centres, widths]).all():
        raise UserError(
            f"{metadata} describes {np.isfinite(centres).sum()} bands, but {path} has {count}; fetch the product again"
        )
    if not len(content.wavelengths):
        content = content._replace(wavelengths=centres.tolist(), unit="nm", bandwidths=widths.tolist())
    if content.nodata is None and content.array.dtype.kind == "i":
        content = content._replace(nodata=float(NODATA))
    return content if content.gain is not None else _with_gains(metadata, content, [gains, offsets])


def _layout(path: Path) -> Layout:
    found = IMAGE.fullmatch(path.name)
    return LAYOUTS[found[2].upper() if found else "ENMAP"]


def _with_gains(metadata: Path, content: Content, stated: Sequence[np.ndarray]) -> Content:
    gains, offsets = stated
    if np.isnan(stated).all():
        return content._replace(notes=(*content.notes, f"{metadata.name} states no gains; the values are as stored"))
    if not np.isfinite(stated).all() or not gains.all():
        raise UserError(
            f"{metadata}: a band has no finite gain other than 0, or no finite offset; fetch the product again"
        )
    if (gains == 1).all() and not offsets.any():
        return content
    return content._replace(gain=gains, offset=offsets)
