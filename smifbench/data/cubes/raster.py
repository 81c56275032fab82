"""Cubes in the raster formats that GDAL reads: ENVI, GeoTIFF, JPEG 2000, Erdas and others.

GDAL tells the layout, the no-data value, masks, gains and the grid. Plain numbers on the disk are then mapped, so that
a large scene is never loaded whole; what is compressed is loaded.
"""

import logging
import math
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from smifbench.data.cubes.band_metadata import with_band_metadata
from smifbench.data.cubes.content import LARGEST_EXPANSION, Content, Grid, Wanted, check_claim, map_values, pick
from smifbench.data.cubes.header import (
    AXES,
    KEPT,
    LISTS,
    TYPES,
    bad_bands,
    entries,
    files_beside,
    header_of,
    is_header,
    named_wavelengths,
    not_plain,
    number,
    read_words,
)
from smifbench.errors import UserError

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

DRIVERS = {
    **dict.fromkeys((".tif", ".tiff"), "GTiff"),
    **dict.fromkeys((".jp2", ".j2k"), "JP2OpenJPEG"),
    ".img": "HFA",
    ".pix": "PCIDSK",
    ".lan": "LAN",
    ".ers": "ERS",
    ".ntf": "NITF",
    ".vrt": "VRT",
    **dict.fromkeys((".bil", ".bip", ".bsq", ".flt"), "EHdr"),
}
"""GDAL's drivers by suffix, in the order in which a file of another suffix is tried."""

GROUND = ("map info", "projection info", "coordinate system string")
VALUES = ("data gain values", "data offset values", "data ignore value")
"""Lines of an ENVI header that GDAL is given."""

MOST_PAGES = 4096
BELIEVED = 2**27
"""Bytes that a raster may claim whatever it stores: tiles of one value, and those never written, need next to none."""

NO_GRID = (0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def read_envi(path: Path, wanted: Wanted) -> Content:
    """Read the image of an ENVI header or of its data file."""
    header, data = files_beside(path)
    words = read_words(header)
    reason = not_plain(words) or ("it is a TIFF" if _is_tiff(data) else None)
    content = _read_any(header, data, reason, wanted) if reason else _read_plain(header, data, words)
    return _with_words(content, words)


def read_raster(path: Path, wanted: Wanted) -> Content:
    """Read a raster that is no ENVI image; words of an ENVI header beside it that fits are used."""
    content = with_band_metadata(path, _read(path, DRIVERS[path.suffix.lower()], wanted))
    header = sidecar_of(path)
    if header is None:
        return content
    words = read_words(header)
    height, width = _sides(content)
    if [words.get(key) for key in ("bands", "lines", "samples")] != [str(n) for n in (_bands(content), height, width)]:
        return content._replace(notes=(*content.notes, f"{header.name} beside it is of another size and not used"))
    return _with_words(content, words)


def sidecar_of(path: Path) -> Path | None:
    """Return the ENVI header beside a raster, unless it belongs to a data file of its own."""
    header = header_of(path)
    if header is None or not is_header(header):
        return None
    if header.name.lower() == f"{path.name}.hdr".lower():
        return header
    try:
        return header if files_beside(header)[1] == path else None
    except UserError:
        return None


@contextmanager
def gdal() -> Iterator[list[str]]:
    """Let GDAL work without a word on the terminal or a file beside the user's; yields the errors that it only logs."""
    import rasterio

    complaints: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            message = record.getMessage()
            if record.levelno >= logging.ERROR or "signalled an error" in message:
                complaints.append(message.partition("msg=")[2].strip("'\"") or message)

    log, inner, handler = logging.getLogger("rasterio"), logging.getLogger("rasterio._env"), Collect()
    before = log.propagate, inner.level
    log.propagate = False
    inner.setLevel(logging.INFO)  # where rasterio tells the errors of GDAL's that end nothing
    log.addHandler(handler)
    try:
        with warnings.catch_warnings(), rasterio.Env(GDAL_PAM_ENABLED="YES", GDAL_NUM_THREADS="1", CPL_DEBUG="OFF"):
            warnings.simplefilter("ignore")
            yield complaints
    finally:
        log.removeHandler(handler)
        log.propagate = before[0]
        inner.setLevel(before[1])


def _read_plain(header: Path, data: Path, words: Mapping[str, str]) -> Content:
    """Read a file of bare numbers, through a header in GDAL's own spelling."""

    def integer(key: str, least: int, default: str | None = None) -> int:
        text = words.get(key, default)
        if text is None:
            raise UserError(f"{header}: the header does not state '{key}'; add the line")
        digits, _, fraction = text.partition(".")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 19) or fraction.strip("0"):
            digits = ""
        if not digits or int(digits) < least:
            raise UserError(f"{header}: '{key}' is '{text[:40]}'; correct it to a whole number of at least {least}")
        return int(digits)

    sides = {key: integer(key, 1) for key in ("bands", "lines", "samples")}
    interleave = words.get("interleave", "").lower()
    if interleave not in AXES:
        raise UserError(f"{header}: 'interleave' is '{interleave[:40]}'; correct it to bsq, bil or bip")
    code = words.get("data type", "")
    if code not in TYPES:
        raise UserError(
            f"{header}: 'data type' is '{code[:40]}', which is no type of real numbers; known: {', '.join(TYPES)}"
        )
    order, start = integer("byte order", 0, "0"), integer("header offset", 0, "0")
    if order > 1:
        raise UserError(f"{header}: 'byte order' is '{order}'; correct it to 0 (little endian) or 1 (big endian)")
    for key in ("data gain values", "data offset values"):
        listed = entries(words.get(key, ""))
        if listed and (len(listed) != sides["bands"] or any(not _finite(number(text)) for text in listed)):
            raise UserError(f"{header}: '{key}' are not {sides['bands']} numbers, one for each band; correct the line")
    dtype = np.dtype(TYPES[code]).newbyteorder(">" if order else "<")
    packed = words.get("file compression", "0") != "0"
    axes = AXES[interleave]
    shape = tuple(sides[axis] for axis in axes)
    if packed:
        _check_packed(header, data)
        check_claim(data, math.prod(shape), dtype.itemsize, data.stat().st_size)
        array = None
    else:
        array = map_values(data, shape, dtype, start, "C", header)
    stated = {
        **sides,
        **{"header offset": start, "data type": code, "interleave": interleave, "byte order": order},
        **{"file type": "ENVI Standard", "file compression": int(packed)},
    }
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "image"
        linked = _linked(image, data, packed)
        given = {key: words[key] for key in (*GROUND, *VALUES) if key in words}
        text = [
            f"{key} = {{{value}}}" if key in (*LISTS, *GROUND) else f"{key} = {value}" for key, value in given.items()
        ]
        image.with_suffix(".hdr").write_text("\n".join(["ENVI", *(f"{k} = {v}" for k, v in stated.items()), *text, ""]))
        pam = data.with_name(f"{data.name}.aux.xml")
        if pam.is_file():
            shutil.copy(pam, image.with_name("image.aux.xml"))
        with gdal(), _open(image, "ENVI") as dataset:
            content = _described(dataset, f"ENVI {interleave}")
            if array is None:
                content = content._replace(array=dataset.read(), band_axis=0)
            else:
                if linked and start < 2**31:  # beyond, GDAL's own count of the header's bytes overflows
                    _compare(dataset, array.transpose([axes.index(axis) for axis in AXES["bsq"]]), data)
                content = content._replace(array=array, band_axis=axes.index("bands"))
    return content


def _read_any(header: Path, data: Path, reason: str, wanted: Wanted) -> Content:
    """Read a data file whose header says that it is no plain raw file, in whatever format it is."""
    first = DRIVERS.get(data.suffix.lower())
    drivers = dict.fromkeys([*([first] if first else []), *DRIVERS.values()])
    for driver in drivers:
        if driver == "EHdr":
            continue
        with gdal():
            try:
                _open(data, driver).close()
            except Exception:
                continue
        content = _read(data, driver, wanted)
        return content._replace(notes=(*content.notes, f"read as {content.format}, for by {header.name} {reason}"))
    raise UserError(
        f"{header}: the header says that {data.name} is no plain raw file ({reason}), and GDAL knows no format for it; "
        "export it as ENVI Standard or GeoTIFF"
    )


def _read(path: Path, driver: str, wanted: Wanted) -> Content:
    """Read a raster by one of GDAL's drivers; a TIFF's pages of one size are bands."""
    with gdal() as complaints, ExitStack() as stack:
        first = stack.enter_context(_open(path, driver))
        pages = [first]
        if driver == "GTiff" and first.subdatasets:
            if len(first.subdatasets) > MOST_PAGES:
                raise ValueError(f"it has {len(first.subdatasets)} pages")
            names = sorted(first.subdatasets, key=lambda name: int(name.split(":")[1]))
            pages = [stack.enter_context(_open(name, driver)) for name in names]
        damage = [complaint for complaint in complaints if "irectory" in complaint]
        if damage:
            raise ValueError(damage[0])
        series = _series(pages)
        about = {
            str(number): ((sum(page.count for page in group), *group[0].shape), _kind(group[0]))
            for number, group in enumerate(series)
        }
        deep = {name: entry for name, entry in about.items() if entry[0][0] > 1}
        name = pick(path, about if wanted.variable is not None or not deep else deep, wanted)
        group = series[int(name)]
        shown = "TIFF" if driver == "GTiff" else first.driver
        content = _described(group[0], shown)._replace(variable=name if len(series) > 1 else None)
        if len(group) > 1:
            content = content._replace(gain=None, offset=None, band_names=())
            if any(page.scales[0] != 1 or page.offsets[0] != 0 for page in group):
                content = content._replace(
                    gain=np.array([page.scales[0] for page in group]),
                    offset=np.array([page.offsets[0] for page in group]),
                )
        mapped = _mapped(path, group) if driver == "GTiff" else None
        if mapped is None:
            count, dtype = about[name][0][0], np.dtype(group[0].dtypes[0])
            stored = max(path.stat().st_size, BELIEVED // LARGEST_EXPANSION)
            check_claim(path, count * math.prod(group[0].shape), dtype.itemsize, stored)
            mapped = np.concatenate([page.read() for page in group]) if len(group) > 1 else group[0].read(), 0
        array, axis = mapped
        # tifffile's own files keep the shape of any array, so that their pages need not be bands.
        of_any_array = len(group) > 1 and group[0].tags().get("TIFFTAG_IMAGEDESCRIPTION", "").startswith('{"shape"')
        content = content._replace(array=array, band_axis=None if of_any_array else axis)
        if len(group) == 1:
            content = _without_alpha(first if len(pages) == 1 else group[0], content)
        if driver == "GTiff":
            content = _sparse(group, content)
        return content


def _series(pages: Sequence["DatasetReader"]) -> list[list["DatasetReader"]]:
    """Group pages of one band and one size; a page of several bands stands alone."""
    groups: dict[object, list[DatasetReader]] = {}
    for at, page in enumerate(pages):
        key = (page.shape, page.dtypes[0]) if page.count == 1 else at
        groups.setdefault(key, []).append(page)
    return list(groups.values())


def _described(dataset: "DatasetReader", name: str) -> Content:
    """Everything that GDAL tells of a raster but its values."""
    from rasterio.enums import MaskFlags

    tags = [{key.lower(): text for key, text in dataset.tags(band).items()} for band in dataset.indexes]
    imagery = [dataset.tags(band, ns="IMAGERY") for band in dataset.indexes]
    whole = {key.lower(): text for key, text in dataset.tags().items()}
    unit = next(
        (about[key] for about in (*tags, whole) for key in ("wavelength_units", "wavelength_unit") if key in about),
        None,
    )
    centres = [about["wavelength"] for about in tags if "wavelength" in about]
    if not centres:
        found = [
            about.get("central_wavelength_um") or other.get("CENTRAL_WAVELENGTH_UM")
            for about, other in zip(tags, imagery, strict=True)
        ]
        centres = [text for text in found if text]
        unit = "um" if centres else unit
    widths = [about["fwhm"] for about in tags if "fwhm" in about]
    names = tuple(text or "" for text in dataset.descriptions)
    gain, offset = np.array(dataset.scales), np.array(dataset.offsets)
    plain = (gain == 1).all() and (offset == 0).all()
    if not (np.isfinite(gain).all() and np.isfinite(offset).all() and (gain != 0).all()):
        raise UserError(
            f"{dataset.name}: its scale factors or offsets are no finite numbers other than 0; correct them"
        )
    flags = dataset.mask_flag_enums[0]
    mask = None
    nodata = set(dataset.nodatavals)
    if MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags:
        mask = dataset.read_masks(1) == 0
    elif len(nodata) > 1:  # a value for each band
        mask = np.any([dataset.read_masks(band) == 0 for band in dataset.indexes], axis=0)
    transform = dataset.transform
    placed = dataset.crs is not None or transform.to_gdal() != NO_GRID
    words = {"data units": dataset.units[0]} if dataset.units[0] else {}
    words |= {key: whole[tag] for key in KEPT if (tag := key.replace(" ", "_")) in whole}
    return Content(
        name,
        np.empty(0),
        wavelengths=centres,
        unit=unit,
        bandwidths=widths,
        grid=Grid(dataset.crs, transform) if placed else None,
        nodata=nodata.pop() if len(nodata) == 1 else None,
        mask=mask if mask is not None and mask.any() else None,
        gain=None if plain else gain,
        offset=None if plain else offset,
        band_names=names if any(names) else (),
        words=words,
    )


def _with_words(content: Content, words: Mapping[str, str]) -> Content:
    """Add what an ENVI header says beside GDAL."""
    names = [name.strip() for name in words.get("band names", "").split(",")] if words.get("band names") else []
    if len(names) != _bands(content):
        names = list(content.band_names)
    notes = list(content.notes)
    centres, unit = (
        entries(words.get("wavelength", "")) or content.wavelengths,
        words.get("wavelength units") or content.unit,
    )
    if not len(centres):
        centres, unit = named_wavelengths(names)
        if centres:
            notes.append("the wavelengths are those in the names of the bands")
    kept = {key: words[key] for key in KEPT if words.get(key)}
    ignored = words.get("data ignore value")
    if ignored and content.nodata is None:
        notes.append(f"the header's data ignore value {ignored[:40]} is none that its type can hold")
    return content._replace(
        wavelengths=centres,
        unit=unit,
        bandwidths=entries(words.get("fwhm", "")) or content.bandwidths,
        bad_bands=bad_bands(words),
        band_names=tuple(names),
        words={**content.words, **kept},
        notes=tuple(notes),
    )


def _without_alpha(dataset: "DatasetReader", content: Content) -> Content:
    """Leave out a band that is marked as alpha and holds nothing but 0 and its highest value: it is a mask."""
    from rasterio.enums import ColorInterp

    if dataset.count < 2 or dataset.colorinterp[-1] != ColorInterp.alpha or content.band_axis is None:
        return content
    alpha = dataset.read(dataset.count)
    highest = np.iinfo(alpha.dtype).max if alpha.dtype.kind in "iu" else 1
    if not np.isin(alpha, (0, highest, 255)).all():
        return content
    last = dataset.count - 1
    array = content.array[tuple(slice(last) if axis == content.band_axis else slice(None) for axis in range(3))]
    hidden = np.asarray(alpha == 0)
    mask = hidden if content.mask is None else hidden | content.mask
    return content._replace(
        array=array,
        mask=mask if mask.any() else None,
        band_names=content.band_names[:last],
        notes=(*content.notes, f"band {last} is marked as alpha, so it is taken for a mask and left out"),
        gain=None if content.gain is None else content.gain[:last],
        offset=None if content.offset is None else content.offset[:last],
    )


def _sparse(group: Sequence["DatasetReader"], content: Content) -> Content:
    """Call the pixels missing whose tile or strip was never written; GDAL gives 0 there, or the no-data value."""
    holes = np.zeros(group[0].shape, bool)
    for page in group:
        height, width = page.block_shapes[0]
        together = page.interleaving is not None and page.interleaving.name == "pixel"
        for band in page.indexes[:1] if together else page.indexes:
            for row, top in enumerate(range(0, page.height, height)):
                for column, left in enumerate(range(0, page.width, width)):
                    if _block_offset(page, band, row, column) is None:
                        holes[top : top + height, left : left + width] = True
    if not holes.any():
        return content
    mask = holes if content.mask is None else holes | content.mask
    return content._replace(
        mask=mask, notes=(*content.notes, "parts of the file were never written: pixels are missing")
    )


def _mapped(path: Path, group: Sequence["DatasetReader"]) -> tuple[np.ndarray, int] | None:
    """Map a TIFF whose numbers lie in one piece, and tell its band axis; None where they do not."""
    first = group[0]
    item, (height, width) = np.dtype(first.dtypes[0]).itemsize, first.shape
    odd = [page for page in group if page.compression is not None or page.tags(1, ns="IMAGE_STRUCTURE").get("NBITS")]
    if odd or any(page.block_shapes[0][1] != width for page in group) or _kind(first) == "O":
        return None
    together = first.count > 1 and first.interleaving.name == "pixel"
    start, expected = _block_offset(first, 1, 0, 0), None
    for page in group:
        rows = page.block_shapes[0][0]
        for band in (1,) if together else page.indexes:
            for row, top in enumerate(range(0, height, rows)):
                offset = _block_offset(page, band, row, 0)
                if offset is None or (expected is not None and offset != expected):
                    return None
                expected = offset + min(rows, height - top) * width * item * (first.count if together else 1)
    with path.open("rb") as file:
        order = ">" if file.read(2) == b"MM" else "<"
    if start is None:
        return None
    shape = (height, width, first.count) if together else (sum(page.count for page in group), height, width)
    array = map_values(path, shape, np.dtype(first.dtypes[0]).newbyteorder(order), start)
    _compare(first, np.moveaxis(array, 2 if together else 0, 0), path)
    return array, 2 if together else 0


def _compare(dataset: "DatasetReader", mapped: np.ndarray, path: Path) -> None:
    """Hold the first row of the first band and the last of the last against GDAL's reading."""
    for band, row in ((1, 0), (dataset.count, dataset.height - 1)):
        seen = dataset.read(band, window=((row, row + 1), (0, dataset.width)))[0]
        if not np.array_equal(seen, mapped[band - 1, row], equal_nan=seen.dtype.kind == "f"):
            raise ValueError(f"GDAL reads other values than {path.name} seems to hold")


def _open(path: Path | str, driver: str) -> "DatasetReader":
    import rasterio

    return rasterio.open(str(path.absolute()) if isinstance(path, Path) else path, driver=driver)


def _block_offset(page: "DatasetReader", band: int, row: int, column: int) -> int | None:
    text = page.get_tag_item(f"BLOCK_OFFSET_{column}_{row}", "TIFF", bidx=band)
    return int(text) if text else None


def _kind(page: "DatasetReader") -> str:
    """The kind of NumPy's type; bilevel images and unlike bands are no cubes."""
    if len(set(page.dtypes)) > 1 or page.tags(1, ns="IMAGE_STRUCTURE").get("NBITS") == "1":
        return "O"
    return "c" if page.dtypes[0].startswith("complex") else np.dtype(page.dtypes[0]).kind


def _bands(content: Content) -> int:
    return content.array.shape[content.band_axis or 0]


def _sides(content: Content) -> tuple[int, int]:
    axes = [axis for axis in range(3) if axis != (content.band_axis or 0)]
    return content.array.shape[axes[0]], content.array.shape[axes[1]]


def _is_tiff(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _linked(image: Path, data: Path, packed: bool) -> bool:
    """Put the data file where GDAL shall read it; where the system allows no links, a file of its length unless packed.

    Returns False for the latter, which holds other values.
    """
    try:
        image.symlink_to(data.resolve())
    except OSError:  # Windows, without the right to make links
        if packed:
            shutil.copy(data, image)
        else:
            image.touch()
            os.truncate(image, data.stat().st_size)
            return False
    return True


def _check_packed(header: Path, data: Path) -> None:
    with data.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            raise UserError(f"{header}: the data file is said to be compressed but is no gzip; save it uncompressed")


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
