"""Which bands of a file's cube take part, and which of its pixels are missing in them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from smifbench.data.cubes.content import band_list
from smifbench.data.cubes.reading import Cube
from smifbench.errors import UserError

FORM = "'all', or band numbers counted from 0 and wavelengths, such as 0-99,110 or 420-900nm; 'not 3,7-9' drops those"
"""How a choice of bands is written."""

ITEM = re.compile(r"(\d+(?:\.\d+)?)(?:\s*-\s*(\d+(?:\.\d+)?))?\s*(nm|um|µm|)")


@dataclass(frozen=True)
class BandChoice:
    """A choice of bands: those that it names, or with `dropping` all others.

    Bands that the file calls bad stay out unless a number names them. Without spans and ranges it takes all others.

    Parameters
    ----------
    spans
        First and last number, counted from 0.
    ranges_nm
        Shortest and longest wavelength in nanometres.
    dropping
        Whether the bands are those to leave out.
    everything
        Whether all bands come in, bad ones too.
    """

    spans: tuple[tuple[int, int], ...] = ()
    ranges_nm: tuple[tuple[float, float], ...] = ()
    dropping: bool = False
    everything: bool = False


def parse_bands(text: str) -> BandChoice:
    """Read a choice of bands in the form of `FORM`; raises UserError for another."""
    text = text.strip()
    if text == "all":
        return BandChoice(everything=True)
    dropping = text.startswith("not ")
    spans, ranges = [], []
    for item in text.removeprefix("not ").split(","):
        found = ITEM.fullmatch(item.strip())
        if found is None:
            raise UserError(f"'{text[:60]}' is no choice of bands; write {FORM}")
        first, last, unit = found[1], found[2] or found[1], found[3]
        if float(first) > float(last) or (not unit and "." in first + last):
            raise UserError(f"'{item.strip()}' is no choice of bands; write {FORM}")
        if unit:
            factor = 1 if unit == "nm" else 1000
            ranges.append((factor * float(first), factor * float(last)))
        else:
            spans.append((int(first), int(last)))
    return BandChoice(tuple(spans), tuple(ranges), dropping)


def choose_bands(
    cube: Cube,
    choice: BandChoice,
    name: str,
    wavelengths_nm: np.ndarray | None = None,
) -> tuple[list[int], list[str]]:
    """Decide which bands of a cube are kept.

    Parameters
    ----------
    cube
        As read.
    choice
        What the user named.
    name
        What messages call the file.
    wavelengths_nm
        Centres (C,) in the file's order, or None where they are not known.

    Returns
    -------
    bands, notes
        Numbers in the file's order, and sentences on what was left out without being named.

    Raises
    ------
    UserError
        For numbers that the file lacks, wavelengths of a file without any, and a choice that leaves no band.
    """
    count = len(cube.array)
    highest = max((last for _, last in choice.spans), default=0)
    if highest >= count:
        raise UserError(f"band {highest} is named, but {name} has bands 0..{count - 1}")
    if wavelengths_nm is None:
        if choice.ranges_nm:
            raise UserError(f"{name} states no wavelengths; name its bands by number")
        wavelengths_nm = np.full(count, np.nan)
    numbered = {band for first, last in choice.spans for band in range(first, last + 1)}
    within = {
        int(band)
        for low, high in choice.ranges_nm
        for band in np.flatnonzero((wavelengths_nm >= low) & (wavelengths_nm <= high))
    }
    bad = set() if choice.everything else set(cube.bad_bands or ())
    if choice.dropping or not (choice.spans or choice.ranges_nm):
        named, wanted = set(), set(range(count)) - numbered - within
    else:
        named, wanted = numbered, numbered | within
    kept = sorted(named | (wanted - bad))
    notes = []
    if left_out := sorted(wanted & bad - named):
        notes.append(f"{name}: bands {in_words(left_out)}, which the file calls bad, are left out")
    if not (choice.everything or named):
        empty = [band for band in kept if _all_missing(cube, band)]
        if empty and len(empty) < len(kept):
            kept = [band for band in kept if band not in empty]
            notes.append(f"{name}: bands {in_words(empty)} hold no value at all and are left out")
    if not kept:
        raise UserError(f"the choice leaves none of the {count} bands of {name}; drop fewer")
    return kept, notes


def in_words(bands: Sequence[int]) -> str:
    """Write band numbers in the form of a choice: `0,3-7,12`."""
    return re.sub(r"\[(\d+), (\d+)\]", r"\1-\2", band_list(bands)).strip("[]").replace(" ", "")


def band_maxima(cube: Cube, bands: Sequence[int], missing: np.ndarray | None) -> np.ndarray:
    """Largest value of each of these bands (C, 1, 1) at pixels that are not missing, in the cube's own type."""
    valid = (cube.array[band] if missing is None else cube.array[band][~missing] for band in bands)
    return np.stack([np.fmax.reduce(values, axis=None) for values in valid])[:, None, None]


def _all_missing(cube: Cube, band: int) -> bool:
    if not cube.marks and cube.array.dtype.kind != "f":
        return False
    missing = cube.missing_in([band])
    return missing is not None and bool(missing.all())
