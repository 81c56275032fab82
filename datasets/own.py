"""A user's own cube, described by the config alone.

    datasets:
      own:
        path: data/field.hdr

The cube is cut into regions, and each region is degraded on its own, so no training pixel reaches a test pixel through
any protocol's blur. The guard between regions is there for what the recording itself mixes: neighbouring pixels share
the light of the sensor's own point spread.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from smifbench.data.cubes.products import product_files, read_product
from smifbench.data.cubes.reading import Cube, full_scale, nanometres
from smifbench.data.responses import gaussian_response, load_response, spectral_response
from smifbench.data.selection import BandChoice, band_maxima, choose_bands, parse_bands
from smifbench.dataset import SPLITS, DataSet, extent
from smifbench.errors import UserError, unknown

logger = logging.getLogger(__name__)

SPLIT = {"val": 0.15, "test": 0.25, "guard": 8, "multiple": 32}
"""The automatic split, see `Own`. The guard covers the reach of every named protocol up to ratio 16."""

Region = tuple[slice, slice]


class Own(DataSet):
    """Three regions of a scene that lies in one file.

    Parameters
    ----------
    path
        File or product of the cube in any format of `smifbench.data.cubes.products.read_product`, relative to where
        snakemake runs.
    variable, band_axis
        As in `read_product`: which variable, and which axis of the stored array holds the bands.
    wavelengths_nm
        Band centres in the file's order: a list, or {start: 400, step: 10}; None takes the file's. Micrometres are
        recognised by their magnitude.
    bandwidths_nm
        Full widths of the bands, a list or one number; None takes the file's. Where neither is known, they follow from
        the distances of the centres.
    scale
        Value that becomes 1. None takes the largest value of the bands kept rounded up to one digit (24639 becomes
        30000), for whole numbers at most the type's largest: the test region then decides the order of magnitude and
        its first digit. State the scale in anything published, 10000 for the usual reflectances.
    clip
        Whether values below 0 and above 1 after scaling are clipped; otherwise they are an error.
    drop_bands
        Bands to leave out, counted from 0 in the file's order: numbers and [first, last] pairs, as `inspect` writes.
    bands
        Bands to keep, in the words of `fuse --hsi-bands`: `"0-99,110"`, `"420-900nm"`, `"not 3,7-9"` or `"all"`.
        Otherwise the file's own list of bad bands is left out, and bands without any value.
    missing
        Value that means "no value here", or a list of such values, as the file stores them (before gains), besides what
        the file declares and NaN. Missing pixels take no part in the scale, in training patches and in metrics.
    response
        Spectral response of the multispectral sensor: a name or the path of a CSV (`smifbench.data.responses`), or
        {gaussian: {centres_nm: [...], widths_nm: [...]}}.
    split
        Changes of the automatic split {val: 0.15, test: 0.25, guard: 8, multiple: 32}. The scene is cut across its
        longer side into stripes: train first, test last, val between them (none if 0). All sides are multiples of
        `multiple`, which every ratio in use must divide; val and test get about their fraction of the length, at least
        one multiple; stripes are at least `guard` pixels apart. Odd pixels go into the gaps and off the shorter side's
        end.
    regions
        Regions in place of the automatic split: {train: [top, bottom, left, right], val: ..., test: ...}, counted from
        0, bottom and right excluded. They must not overlap; val may be missing.
    title
        What tables and figures call the scene.

    Raises
    ------
    UserError
        For an option of another form. The file itself is first looked at when a scene is read.
    """

    citation = ""
    licence = "its owner's"
    homepage = ""
    prefix = "own"
    """How the names of its scenes begin."""

    def __init__(
        self,
        path: str = "",
        variable: str | None = None,
        band_axis: int | None = None,
        wavelengths_nm: Sequence[float] | Mapping[str, float] | None = None,
        bandwidths_nm: Sequence[float] | float | None = None,
        scale: float | None = None,
        clip: bool = False,
        drop_bands: Sequence[int | Sequence[int]] = (),
        bands: str | int | None = None,
        missing: float | Sequence[float] = (),
        response: str | Mapping[str, Mapping] = "sentinel2a_10m",
        split: Mapping[str, float] | None = None,
        regions: Mapping[str, Sequence[int]] | None = None,
        title: str = "Own scene",
    ) -> None:
        _check("scale", scale, scale is None or scale > 0, "a positive number")
        self.path, self.variable, self.band_axis, self.title = path, variable, band_axis, title
        self.scale, self.clip, self.stated_widths = scale, clip, bandwidths_nm
        self.stated_wavelengths = _stated_wavelengths(wavelengths_nm)
        self.drop_bands = _spans(drop_bands)
        self.choice = BandChoice(tuple(self.drop_bands), dropping=True) if bands is None else parse_bands(str(bands))
        if bands is not None and self.drop_bands:
            raise UserError("data set own: bands and drop_bands are both stated; state one of them")
        fills = [missing] if isinstance(missing, int | float) else missing
        self.fills = [float(fill) for fill in fills]
        self.response: str | Mapping | None = _checked_response(response)
        self.split = _checked_split(split or {})
        self.regions = _checked_regions(regions)

    def scenes(self) -> dict[str, str]:
        """One scene for each region, named after its split."""
        splits = self.regions or [split for split in SPLITS if self.split.get(split, 1)]
        return {f"{self.prefix}_{split}": split for split in splits}

    def sources(self) -> list[Path]:
        """Local files that determine the scenes, as far as they exist."""
        try:
            files = product_files(self.path)
        except UserError:  # reading it will tell what is wrong
            files = []
        return [*files, *super().sources()]

    def full_scale(self, folder: Path, scene: str) -> float:
        """The stated scale, or the one found."""
        return self._full_scale

    def size(self, scene: str) -> tuple[int, int]:
        """Height and width of the scene's region, as the file has it."""
        return extent(self._regions()[self.scenes()[scene]])

    def wavelengths_nm(self, folder: Path) -> np.ndarray:
        """Centres (C,) of the bands kept, increasing."""
        return self._centres[self._bands]

    def bandwidths_nm(self, folder: Path) -> np.ndarray | None:
        """Full widths (C,) of the bands kept, as stated here or in the file; None where neither states them."""
        stated = self._cube.bandwidths_nm if self.stated_widths is None else self.stated_widths
        if stated is None:
            return None
        if isinstance(stated, int | float):
            return np.full(len(self._bands), float(stated))
        if len(stated) != len(self._centres):
            raise UserError(f"{self.path} has {len(self._centres)} bands; list one of the bandwidths_nm for each")
        return np.asarray(stated)[self._bands]

    def srf(self, folder: Path) -> np.ndarray | None:
        """Response (c, C) over the bands kept."""
        if self.response is None:
            return None
        centres, widths = self._centres[self._bands], self.bandwidths_nm(folder)
        if isinstance(self.response, Mapping):
            about = self.response["gaussian"]
            return gaussian_response(about["centres_nm"], about["widths_nm"], centres, widths)
        return spectral_response(self.response, centres, widths)

    def missing(self, folder: Path, scene: str) -> np.ndarray | None:
        """Cut the scene's region out of the missing pixels of the bands kept."""
        if self._missing is None:
            return None
        return self._missing[self._regions()[self.scenes()[scene]]]

    def read(self, folder: Path, scene: str) -> np.ndarray:
        """Cut the scene's region, order its bands by wavelength and scale it."""
        split = self.scenes()[scene]
        rows, columns = self._regions()[split]
        counts = self._cube.array[:, rows, columns][self._bands]
        return self._scaled(counts, self._full_scale, self.missing(folder, scene), split)

    def _scaled(
        self, counts: np.ndarray, scale: float, missing: np.ndarray | None, split: str, option: str = "scale"
    ) -> np.ndarray:
        """Divide a region's counts (bands, H, W) by what becomes 1; raises UserError where they then leave [0,1]."""
        region = np.empty(counts.shape, np.float32)
        np.divide(counts, np.float64(scale), out=region, casting="same_kind")
        if self.clip:
            np.clip(region, 0, 1, out=region)
        values = region if missing is None else region[:, ~missing]
        if not values.size:
            raise UserError(f"{self.path}: no pixel of the {split} region has a value; choose other regions or bands")
        lowest, highest = float(values.min()), float(values.max())
        if lowest < 0 or highest > 1:
            raise UserError(
                f"{self.path}: with {option} {scale:g} the {split} region ranges over {lowest:.4g}.."
                f"{highest:.4g}; set {option} so that it lies in 0..1, or clip: true"
            )
        return region

    @cached_property
    def _cube(self) -> Cube:
        if not self.path:
            raise UserError("data set own: the option path is missing; name the file of the cube")
        bands = len(self.stated_wavelengths) if isinstance(self.stated_wavelengths, np.ndarray) else None
        cube = read_product([self.path], self.variable, self.band_axis, bands, fills=self.fills)
        for note in cube.notes:
            logger.warning("%s: %s", self.path, note)
        return cube

    @cached_property
    def _centres(self) -> np.ndarray:
        """Wavelengths of all bands in the file's order."""
        bands, stated = len(self._cube.array), self.stated_wavelengths
        if isinstance(stated, Mapping):
            centres: np.ndarray | None = nanometres(stated["start"] + stated["step"] * np.arange(bands))
        else:
            centres = self._cube.wavelengths_nm if stated is None else stated
        if centres is None:
            why = "".join(f" ({note})" for note in self._cube.notes if "wavelengths are not used" in note)
            raise UserError(
                f"{self.path} states no usable wavelengths{why}; set wavelengths_nm to a list or to "
                "{start: ..., step: ...}"
            )
        if len(centres) != bands:
            raise UserError(
                f"{self.path} has {bands} bands, but wavelengths_nm lists {len(centres)}; list one for each"
            )
        return centres

    @cached_property
    def _bands(self) -> np.ndarray:
        """Numbers of the bands kept, ordered by wavelength."""
        kept, notes = choose_bands(self._cube, self.choice, str(self.path), self._centres)
        for note in notes:
            logger.warning("%s (bands: all keeps them)", note)
        return np.array(kept)[np.argsort(self._centres[kept], kind="stable")]

    @cached_property
    def _missing(self) -> np.ndarray | None:
        """Pixels of the whole image that are missing in one of the bands kept."""
        missing = self._cube.missing_in(self._bands.tolist())
        tell_missing(self.path, self._cube.missing_mark, missing)
        return missing

    @cached_property
    def _full_scale(self) -> float:
        if self.scale is not None:
            return self.scale
        return full_scale(band_maxima(self._cube, self._bands.tolist(), self._missing), self.path)

    def _regions(self) -> dict[str, Region]:
        height, width = self._cube.array.shape[1:]
        if self.regions is None:
            return _stripes(height, width, **self.split)
        for split, (rows, columns) in self.regions.items():
            if rows.stop > height or columns.stop > width:
                raise UserError(
                    f"region {split} ends at row {rows.stop}, column {columns.stop}, but {self.path} has {height} x "
                    f"{width} pixels; move it inside"
                )
        return self.regions


def tell_missing(path: str, mark: str, missing: np.ndarray | None) -> None:
    """Say in the log what stands for missing, at how many pixels (H, W), what that does, and the remedy."""
    if missing is not None:
        logger.warning(
            "%s: %s stands for missing at %d of %d pixels; no metric, patch or scale counts them, but methods see "
            "values filled in from their neighbours; state regions without them where that must not be",
            *(path, mark, missing.sum(), missing.size),
        )


def _stripes(height: int, width: int, val: float, test: float, guard: int, multiple: int) -> dict[str, Region]:
    """Cut a scene into stripes across its longer side."""
    length, breadth = max(height, width), min(height, width) // multiple * multiple
    blocks = (length - guard * (2 if val else 1)) // multiple
    sizes = {split: max(1, round(share * blocks)) if share else 0 for split, share in (("val", val), ("test", test))}
    sizes["train"] = blocks - sum(sizes.values())
    if breadth < 1 or sizes["train"] < 1:
        raise UserError(
            f"a scene of {height} x {width} pixels is too small for regions of multiples of {multiple} pixels, {guard} "
            "apart; lower split.multiple (the ratios must divide it) or split.guard, or state regions"
        )
    train, middle, last = (sizes[split] * multiple for split in ("train", "val", "test"))
    start = train + (length - train - middle - last) // 2
    along = {"train": (0, train), "val": (start, start + middle), "test": (length - last, length)}
    across = slice(0, breadth)
    cuts = {split: slice(*ends) for split, ends in along.items() if sizes[split]}
    return {split: (cut, across) if height >= width else (across, cut) for split, cut in cuts.items()}


def _stated_wavelengths(stated: Any) -> np.ndarray | Mapping | None:
    if stated is None:
        return None
    if isinstance(stated, Mapping):
        valid = stated.keys() == {"start", "step"} and all(map(_is_number, stated.values()))
        _check("wavelengths_nm", dict(stated), valid, "a list of numbers or {start: number, step: number}")
        return stated
    _check("wavelengths_nm", stated, _are_numbers(stated), "a list of numbers or {start: number, step: number}")
    return nanometres(stated)


def _spans(drop: Any) -> list[tuple[int, int]]:
    """Turn numbers and [first, last] pairs into pairs."""
    form = "a list of band numbers and [first, last] pairs, counted from 0"
    _check("drop_bands", drop, isinstance(drop, list | tuple), form)
    spans = [tuple(item) if isinstance(item, list | tuple) else (item, item) for item in drop]
    for span in spans:
        _check("drop_bands", drop, len(span) == 2 and all(map(_is_count, span)) and span[0] <= span[1], form)
    return spans


def _checked_response(response: Any) -> str | Mapping:
    if isinstance(response, Mapping):
        about = response.get("gaussian")
        valid = (
            len(response) == 1
            and isinstance(about, Mapping)
            and about.keys() == {"centres_nm", "widths_nm"}
            and all(_is_number(item) or _are_numbers(item) for item in about.values())
        )
        _check("response", response, valid, "{gaussian: {centres_nm: [...], widths_nm: [...]}}")
        return response
    _check("response", response, isinstance(response, str), "a name, the path of a CSV or {gaussian: ...}")
    load_response(response)
    return response


def _checked_split(changes: Any) -> dict[str, Any]:
    _check("split", changes, isinstance(changes, Mapping), f"a mapping such as {SPLIT}")
    for key in changes:
        if key not in SPLIT:
            raise unknown("key in split of data set own", key, SPLIT)
    split = {**SPLIT, **changes}
    for key in ("guard", "multiple"):
        least = 1 if key == "multiple" else 0
        _check(f"split.{key}", split[key], _is_count(split[key]) and split[key] >= least, "a whole number of pixels")
    shares = split["val"], split["test"]
    valid = all(map(_is_number, shares)) and shares[0] >= 0 and shares[1] > 0 and sum(shares) < 1
    _check("split", split, valid, "fractions val (0 for none) and test (not 0) that leave some for training")
    return split


def _checked_regions(regions: Any) -> dict[str, Region] | None:
    if regions is None:
        return None
    form = "a mapping of train, test and perhaps val to [top, bottom, left, right]"
    valid = isinstance(regions, Mapping) and {"train", "test"} <= regions.keys() <= set(SPLITS)
    _check("regions", regions, valid, form)
    cut = {}
    for split, sides in regions.items():
        valid = isinstance(sides, list | tuple) and len(sides) == 4 and all(map(_is_count, sides))
        _check(f"regions.{split}", sides, valid and sides[0] < sides[1] and sides[2] < sides[3], form)
        cut[split] = (slice(*sides[:2]), slice(*sides[2:]))
    for (one, first), (other, second) in combinations(cut.items(), 2):
        if all(a.start < b.stop and b.start < a.stop for a, b in zip(first, second, strict=True)):
            raise UserError(f"data set own: regions {one} and {other} share pixels; move them apart")
    return cut


def _check(option: str, value: object, valid: bool, form: str) -> None:
    if not valid:
        raise UserError(f"data set own: {option} must be {form}, not {value!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _are_numbers(value: object) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_number, value))


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
