"""Charts of accuracy, cost, training, bands, scenes and ranks. Each function takes a frame and returns a figure.

Frames hold methods by `name` with a `title` for print, and panels by `dataset` and `ratio` with a `setting` for print
(`smifbench.report.titles.named`). `looks` maps names to colour, dash and marker (`smifbench.report.style`).
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from smifbench.report.style import COLOURS, STYLE, WIDTH, Looks, drawn, legend_columns

CLIQUE = COLOURS[0]
"""Colour of the bars that join methods."""


def accuracy_against_cost(points: pd.DataFrame, x: str, size: str, looks: Looks) -> Figure:
    """Mean PSNR of every network against `x` on a log axis, the marker's area by `size`; a panel for each setting.

    Parameters
    ----------
    points
        A row for each network and panel: `psnr` in dB, `params`, `gmacs`.
    x, size
        "params" or "gmacs".
    looks
        Colours and markers by name.
    """
    labels = {"params": "parameters (10⁶)", "gmacs": "multiply-adds of one test image (10⁹)"}
    units = {"params": 1e6, "gmacs": 1.0}

    def draw(axis: Axes, rows: pd.DataFrame) -> None:
        for row in rows.itertuples():
            area = 30 + 370 * getattr(row, size) / rows[size].max()
            look = looks[row.name]
            axis.scatter(
                getattr(row, x) / units[x],
                row.psnr,
                s=area,
                c=look.colour,
                marker=look.marker,
                alpha=0.75,
                edgecolors="k",
                linewidths=0.5,
            )
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_locator(LogLocator(subs=(2, 5)))
        axis.xaxis.set_minor_formatter("{x:g}")
        axis.margins(0.15)

    area = labels[size].split(" (")[0]
    note = f"A marker's area grows with its {area}."
    return _panels(points, draw, looks, labels[x], "PSNR (dB)", note, marks=True)


def training_curves(histories: pd.DataFrame, looks: Looks) -> Figure:
    """PSNR on the validation scenes over the training budget: `step`, `val_psnr`."""

    def draw(axis: Axes, rows: pd.DataFrame) -> None:
        for name, history in rows.groupby("name", sort=False):
            axis.plot(history.step / history.step.max(), history.val_psnr, linewidth=1, **looks[name].line)
        # Over the whole range, the low values of the first steps would flatten the rest of the curves.
        axis.set_ylim(bottom=np.nanquantile(rows.val_psnr, 0.1))

    return _panels(histories, draw, looks, "fraction of the training budget", "validation PSNR (dB)")


def band_psnr(bands: pd.DataFrame, looks: Looks) -> Figure:
    """PSNR of every band of one test scene: `nm`, `psnr`."""

    def draw(axis: Axes, rows: pd.DataFrame) -> None:
        for name, curve in rows.sort_values("nm", kind="stable").groupby("name", sort=False):
            axis.plot(curve.nm, curve.psnr, linewidth=1, **looks[name].line)

    return _panels(bands, draw, looks, "wavelength (nm)", "PSNR (dB)")


def scene_spread(scores: pd.DataFrame, looks: Looks) -> Figure:
    """PSNR of every test scene and seed: a row of points for each method, with a bar at the median.

    `scores` holds `psnr`, NaN where a run failed; the median of a method is left out where one did.
    """
    titles = _titles(scores)

    def draw(axis: Axes, rows: pd.DataFrame) -> None:
        for place, name in enumerate(titles):
            values = rows.psnr[rows.name == name]
            look = looks[name]
            axis.scatter(values, np.full(len(values), place), s=14, c=look.colour, marker=look.marker, alpha=0.6)
            middle = values.median(skipna=False)
            axis.plot([middle] * 2, [place - 0.35, place + 0.35], color="k", linewidth=1.2)
        axis.set(yticks=range(len(titles)), yticklabels=map(drawn, titles.values()), ylim=(len(titles) - 0.4, -0.6))
        axis.tick_params(axis="y", length=0)

    return _panels(scores, draw, {}, "PSNR (dB)", "", height=0.5 + 0.17 * len(titles))


def critical_difference(ranks: Sequence[tuple[str, float]], difference: float) -> Figure:
    """Mean ranks of the methods (1 is the best) on a line; a bar joins methods that do not differ significantly.

    Demsar, Journal of Machine Learning Research 7, 2006. `ranks` are titles with their mean ranks, `difference` is the
    smallest significant difference of mean ranks.
    """
    ordered = sorted(ranks, key=lambda item: item[1])
    groups = _cliques([rank for _, rank in ordered], difference)
    half = -(-len(ordered) // 2)
    with plt.rc_context(STYLE):
        bars = 0.16 * len(groups)
        height = 0.65 + bars + 0.17 * half
        figure = plt.figure(figsize=(WIDTH, height))
        axis = figure.add_axes((0.2, 0, 0.6, 1))
        lowest, highest = 1, len(ordered)
        axis.set(xlim=(lowest, highest), ylim=(height, 0))
        axis.axis("off")
        top = 0.5
        axis.plot([lowest, highest], [top, top], "k", linewidth=0.8, clip_on=False)
        for tick in range(lowest, highest + 1):
            axis.plot([tick, tick], [top - 0.05, top], "k", linewidth=0.8, clip_on=False)
            axis.text(tick, top - 0.08, str(tick), ha="center", va="bottom", fontsize=7)
        shown = min(difference, highest - lowest)
        axis.plot([lowest, lowest + shown], [0.2, 0.2], "k", linewidth=1.5, clip_on=False)
        axis.text(lowest, 0.15, f"critical difference {difference:.2f}", ha="left", va="bottom", fontsize=7)
        for index, (start, stop) in enumerate(groups):
            y = top + 0.12 + 0.16 * index
            ends = [ordered[start][1] - 0.04, ordered[stop][1] + 0.04]
            axis.plot(ends, [y, y], color=CLIQUE, linewidth=3, solid_capstyle="round", clip_on=False)
        span = highest - lowest
        for index, (title, rank) in enumerate(ordered):
            left = index < half
            y = top + 0.15 + bars + 0.17 * (index if left else len(ordered) - 1 - index)
            edge = lowest - 0.02 * span if left else highest + 0.02 * span
            axis.plot([rank, rank, edge], [top, y, y], "k", linewidth=0.6, clip_on=False)
            name = f"{title}  {rank:.2f}" if left else f"{rank:.2f}  {title}"
            axis.text(edge, y, f" {name} ", ha="right" if left else "left", va="center", clip_on=False)
    return figure


def _cliques(ranks: list[float], difference: float) -> list[tuple[int, int]]:
    """First and last index of the methods that a bar joins: the longest runs of sorted `ranks` within `difference`."""
    found: list[tuple[int, int]] = []
    for start in range(len(ranks)):
        stop = max(place for place in range(start, len(ranks)) if ranks[place] - ranks[start] <= difference)
        if stop > start and (not found or stop > found[-1][1]):
            found.append((start, stop))
    return found


def _titles(rows: pd.DataFrame) -> dict[str, str]:
    """Titles of the methods by their names, in the order of the rows."""
    return dict(zip(rows.name, rows.title, strict=True))


def _panels(
    rows: pd.DataFrame,
    draw: Callable[[Axes, pd.DataFrame], None],
    looks: Looks,
    xlabel: str,
    ylabel: str,
    note: str = "",
    marks: bool = False,
    height: float = 2.3,
) -> Figure:
    """Draw a panel for each setting, two side by side, above one legend of the methods, of markers or else of lines."""
    groups = [group for _, group in rows.groupby(["dataset", "ratio"], sort=False)]
    columns = min(2, len(groups))
    lines = -(-len(groups) // columns)
    legend = _titles(rows) if looks else {}
    abreast = legend_columns(legend.values())
    foot = 0.2 * bool(note) + 0.17 * -(-len(legend) // abreast)
    with plt.rc_context(STYLE | {"figure.constrained_layout.use": True}):
        figure, axes = plt.subplots(lines, columns, figsize=(WIDTH, 0.3 + lines * height + foot), squeeze=False)
        for axis in axes.flat[len(groups) :]:
            axis.axis("off")
        for axis, group in zip(axes.flat, groups, strict=False):
            draw(axis, group)
            axis.set(title=group.setting.iloc[0], xlabel=xlabel, ylabel=ylabel)
            axis.grid()
        shown = {name: {**looks[name].mark, "linestyle": ""} if marks else looks[name].line for name in legend}
        handles = [Line2D([], [], label=legend[name], **look) for name, look in shown.items()]
        if handles:
            figure.legend(handles=handles, loc="outside lower center", ncols=abreast, title=note, title_fontsize=7)
    return figure
