"""Sets tables in LaTeX: rules of booktabs, numbers aligned at the decimal point by siunitx, best values marked."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

PACKAGES = ("amssymb", "booktabs", "siunitx", "xcolor")
"""LaTeX packages that a document with these tables must load; siunitx in version 3."""

SETUP = r"\sisetup{mode=match,propagate-math-font,reset-text-series=false,retain-explicit-plus}"
"""Settings of siunitx that print numbers in the font of the text, bold in a bold cell."""

SPECIAL = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
    | {"°": r"\textdegree{}", "±": r"$\pm$", "×": r"$\times$", "∞": r"$\infty$"}
    | {"–": r"\textendash{}", "—": r"\textemdash{}"}
)

LIGATURE = re.compile("(?<=[-<>,'`!?])(?=[-<>,'`])")
"""Where two characters would be drawn as one: "--" is no dash."""

OPTION = re.compile(r"^\s*([\[*])")
"""How text begins that LaTeX would take for an option of the end of the row before it."""

DIGITS = re.compile(r"(?P<sign>[-+<]?)(?P<whole>\d+)(?:\.(?P<decimals>\d+))?")


@dataclass(frozen=True)
class Cell:
    """A number as it is printed, or words in its place (LaTeX).

    `mark` is "best", "second", "published", "doubtful" (published, but does not compare) or ""; `after`, as LaTeX,
    hangs over the cell's right edge.
    """

    text: str
    deviation: str = ""
    mark: str = ""
    after: str = ""


class Row(NamedTuple):
    """A row: labels to the left and words to the right, as LaTeX, and the cells between them."""

    labels: Sequence[str]
    cells: Sequence[Cell]
    words: Sequence[str] = ()


MISSING = Cell("--")


def escape(text: str) -> str:
    """Return `text` with LaTeX's special characters escaped, and "?" for characters that its Latin fonts lack."""
    printable = re.sub(r"[^\x20-\x7e\u00a0-\u017f‘’“”…]", "?", text.translate(SPECIAL))
    return OPTION.sub(r"{\1}", LIGATURE.sub("{}", printable))


def p_value(p: float) -> Cell:
    """Print a p-value with three decimals; smaller ones as "<0.001"."""
    return Cell("<0.001") if p < 0.001 else number(p, 3)


def number(value: float, digits: int, deviation: float = math.nan, mark: str = "") -> Cell:
    """Print a number with `digits` decimals; NaN is a dash.

    Examples
    --------
    >>> number(48.321, 2, 0.049, "best")
    Cell(text='48.32', deviation='0.05', mark='best')
    """
    if pd.isna(value):
        return MISSING
    if math.isinf(value):
        return Cell(r"$\infty$" if value > 0 else r"$-\infty$", mark=mark)
    return Cell(f"{value:.{digits}f}", "" if pd.isna(deviation) else f"{deviation:.{digits}f}", mark)


def tabular(heads: Sequence[str], rows: Sequence[Row | str], words: str = "", above: str = "") -> list[str]:
    """Set a table, its numbers aligned at their decimal points.

    Parameters
    ----------
    heads
        Of all columns, as LaTeX.
    rows
        Rows, and lines of LaTeX that go between them.
    words
        LaTeX's letters of the columns of words.
    above
        A line of heads over several columns, as LaTeX.

    Returns
    -------
    list of str
        Lines in a group of their own.
    """
    full = [row for row in rows if isinstance(row, Row)]
    labels = len(full[0].labels) if full else len(heads)
    columns = [_column(cells) for cells in zip(*(row.cells for row in full), strict=True)]
    spec = "@{}" + "l" * labels + "".join(spec for spec, _ in columns) + words + "@{}"
    printed = zip(*(cells for _, cells in columns), strict=True)
    lines = [
        row if isinstance(row, str) else " & ".join([*row.labels, *next(printed), *row.words]) + r" \\" for row in rows
    ]
    numbers = range(labels, labels + len(columns))
    head = " & ".join(f"{{{head}}}" if index in numbers else head for index, head in enumerate(heads)) + r" \\"
    return [
        r"\begingroup",
        SETUP,
        rf"\begin{{tabular}}{{{spec}}}",
        r"\toprule",
        *([above] if above else []),
        head,
        r"\midrule",
        *lines,
        r"\bottomrule",
        r"\end{tabular}",
        r"\endgroup",
    ]


def block(title: str, columns: int, first: bool = False) -> list[str]:
    """Lines that open a block of rows under a title (LaTeX)."""
    return [
        *([r"\addlinespace"] if not first else []),
        rf"\multicolumn{{{columns}}}{{@{{}}l}}{{\textit{{{title}}}}} \\",
    ]


def across(label: str, words: str, columns: int) -> str:
    """Line of a row whose `columns` cells share the same words."""
    return rf"{label} & \multicolumn{{{columns}}}{{c}}{{{words}}} \\"


def table(caption: str, body: Sequence[str], notes: Sequence[str] = (), separation: str = "4.5pt") -> str:
    """Put a tabular into a float, caption above, notes (LaTeX) below; `separation` is half the gap of two columns."""
    below = [rf"\par\smallskip\begin{{minipage}}{{0.95\linewidth}}\footnotesize {' '.join(notes)}\end{{minipage}}"]
    lines = [
        r"\begin{table}",
        rf"\centering\small\setlength{{\tabcolsep}}{{{separation}}}",
        rf"\caption{{{caption}}}",
        *body,
        *(below if notes else []),
        r"\end{table}",
    ]
    return "\n".join([*lines, ""])


def _column(cells: Sequence[Cell]) -> tuple[str, list[str]]:
    """Return the column's LaTeX specification, wide enough for all cells, and the cells as LaTeX."""
    numbers = [(cell, found) for cell in cells if (found := DIGITS.fullmatch(cell.text))]
    if not numbers:
        return "c", [cell.text + _hung(cell) for cell in cells]
    whole = max(len(found["whole"]) for _, found in numbers)
    decimals = max(len(found["decimals"] or "") for _, found in numbers)
    sign = max(found["sign"] for _, found in numbers)
    spread = max((cell.deviation for cell, _ in numbers), key=len)
    # siunitx would leave out a deviation that prints as zero, so it is text after the number, its space reserved.
    reserved = f"{{{_spread(spread)}}}" if spread else ""
    widest = Cell("0" * whole + "." + "0" * decimals, spread)
    return f"S[table-format={sign}{whole}.{decimals}{reserved}]", [_print(cell, widest) for cell in cells]


def _print(cell: Cell, widest: Cell) -> str:
    """Print a cell of an S column; `widest` tells the column's width."""
    found = DIGITS.fullmatch(cell.text)
    hung = _hung(cell)
    if not found:
        return f"{{{cell.text}{hung}}}"
    spread = _spread(cell.deviation)
    if cell.mark not in ("second", "doubtful"):
        start = {"best": r"\bfseries ", "published": r"\color{gray} "}.get(cell.mark, "")
        return start + cell.text + (f" {{{spread}{hung}}}" if spread or hung else "")
    # siunitx centres a cell that is no plain number; phantoms as wide as the missing digits align its decimal point.
    whole, decimals = widest.text.split(".")
    left = "0" * (len(whole) - len(found["whole"]))
    right = "0" * (len(decimals) - len(found["decimals"] or ""))
    right += "." if right and not found["decimals"] else ""
    right += widest.deviation[len(cell.deviation) :] if spread else _spread(widest.deviation)
    before, after = (rf"\hphantom{{{padding}}}" if padding else "" for padding in (left, right))
    if cell.mark == "second":
        return rf"{{{before}\underline{{\num{{{cell.text}}}}}{spread}{hung}{after}}}"
    return rf"{{\color{{gray}}{before}\llap{{(}}\num{{{cell.text}}}\rlap{{){cell.after}}}{after}}}"


def _hung(cell: Cell) -> str:
    return rf"\rlap{{{cell.after}}}" if cell.after else ""


def _spread(deviation: str) -> str:
    return rf"\,$\pm$\,{deviation}" if deviation else ""


def mark_best(values: Iterable[float], higher_better: bool, digits: int) -> tuple[list[int], list[int]]:
    """Find the best and the second-best values as they look in print.

    Parameters
    ----------
    values
        A column of a table; NaN never wins.
    higher_better
        Direction.
    digits
        Decimals in print: values that print alike are tied.

    Returns
    -------
    tuple of list of int
        Positions of the best value and of the next different one, each with its ties, either may be empty.

    Examples
    --------
    >>> mark_best([48.321, 50.63, 48.318, float("nan"), 47.1], higher_better=True, digits=2)
    ([1], [0, 2])
    """
    printed = [float(f"{value:.{digits}f}") for value in values]
    ranks = sorted({value for value in printed if value == value}, reverse=higher_better)
    best, second = ([i for i, value in enumerate(printed) if value in ranks[k : k + 1]] for k in (0, 1))
    return best, second
