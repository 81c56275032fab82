"""How all figures look: colours, dashes and markers of the methods, fonts and sizes; and how they are saved."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import cycle, product
from pathlib import Path
from typing import Any, TypeVar

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.text import Text

from smifbench.system.files import replacing

STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.axisbelow": True,
    "text.parse_math": False,
    "grid.linewidth": 0.4,
    "grid.alpha": 0.4,
    "legend.frameon": False,
    "legend.fontsize": 7,
}
"""Settings of matplotlib for every figure. Dollars in a title are dollars and open no formula."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's palette, which people of all colour visions can tell apart."""

DASHES = {"-": "", "--": "5 3", ":": "1 3", "-.": "6 2 1 2"}
"""Dashes as matplotlib names them, and as SVG does."""

MARKERS = ("o", "s", "^", "D")
"""Markers, one for each kind of dashes."""

WIDTH = 7.2
"""Inches of a two-column figure."""

DPI = 150

COLUMNS = 6
"""Images side by side, and at most so many entries of a legend."""

ERROR_MAP = "inferno"
"""Colours of error maps."""

Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True)
class Look:
    """How a method is drawn, in matplotlib's words."""

    colour: str
    dashes: str
    marker: str

    @property
    def line(self) -> dict[str, Any]:
        """Colour and dashes as keyword arguments of matplotlib."""
        return {"color": self.colour, "linestyle": self.dashes}

    @property
    def mark(self) -> dict[str, Any]:
        """Colour and marker as keyword arguments of matplotlib."""
        return {"color": self.colour, "marker": self.marker}


Looks = Mapping[str, Look]
"""Looks of methods by their names, "method/variant"."""


def styles(names: Iterable[Name]) -> dict[Name, Look]:
    """Give each name its look, by its place alone, so that a method looks the same in all figures of an experiment.

    There are 24 looks; the 25th name has the first one again.
    """
    kinds = zip(DASHES, MARKERS, strict=True)
    looks = [Look(colour, dashes, marker) for (dashes, marker), colour in product(kinds, COLOURS)]
    return dict(zip(names, cycle(looks), strict=False))


def legend_columns(titles: Iterable[str]) -> int:
    """How many entries of a legend fit side by side, about 0.06 inches a letter and 0.4 for a line and its gaps."""
    widest = 0.4 + 0.06 * max(map(len, titles), default=0)
    return max(1, min(COLUMNS, int(WIDTH / widest)))


def drawn(text: str) -> str:
    """Return what a figure can draw of a text: "?" for letters that its font lacks."""
    return "".join(letter if ord(letter) in _letters() or letter == "\n" else "?" for letter in text)


@cache
def _letters() -> frozenset[int]:
    return frozenset(get_font(findfont(FontProperties())).get_charmap())


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write `figure` as `<name>.pdf` and `<name>.png` into `folder`, without dates, and close it."""
    text: dict[Any, Any] = {"pdf.fonttype": 42}  # TrueType: text stays text
    for words in figure.findobj(Text):
        words.set_text(drawn(words.get_text()))
    for suffix, metadata in ((".pdf", {"CreationDate": None}), (".png", {"Software": None})):
        with replacing(folder / f"{name}{suffix}") as temporary, plt.rc_context(text):
            figure.savefig(temporary, format=suffix[1:], metadata=metadata, dpi=DPI)
    plt.close(figure)
