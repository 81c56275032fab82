"""Figures of images and spectra, of the kinds that the SMIF-NET paper shows. Each function takes comparisons.

All methods of a figure share one stretch or one colour scale, taken from the reference or from all methods together,
so that they can be compared by eye. The same data give the same files, byte for byte.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from smifbench.report.comparison import RGB_NM, Comparison
from smifbench.report.style import COLUMNS, ERROR_MAP, STYLE, WIDTH, Looks, legend_columns

GREY_NM = 860.0
"""Wavelength of the grey-scale figures, in the near infrared; they show the band nearest to it."""

GAP = 0.06
"""Inches between images."""

FRAME = "#F0E442"
"""Colour of the frame around the magnified square."""


@dataclass(frozen=True)
class Scale:
    """Colours of 2-D images: matplotlib's colour map, the values of its ends, and what a value is."""

    colours: str
    low: float
    high: float
    label: str


def pseudo_colour(comparison: Comparison) -> Figure:
    """Reference and estimates in pseudo-colour, with the most detailed square magnified below each."""
    nm = ", ".join(f"{comparison.wavelengths_nm[comparison.band(nm)]:.0f}" for nm in RGB_NM)
    pictures = {name: comparison.pseudo_colour(cube) for name, cube in comparison.images()}
    return _gallery(comparison, pictures, f"{comparison.title}: pseudo-colour from {nm} nm")


def grey_scale(comparison: Comparison) -> Figure:
    """Reference and estimates in the band nearest to `GREY_NM`, with the most detailed square magnified below each."""
    band = comparison.band(GREY_NM)
    low, high = (float(limit.squeeze()) for limit in comparison.stretch([band]))
    bands = {name: np.array(cube[band]) for name, cube in comparison.images()}
    caption = f"{comparison.title}: {comparison.wavelengths_nm[band]:.0f} nm"
    return _gallery(comparison, bands, caption, Scale("gray", low, high, "value"))


def error_maps(comparison: Comparison, nm: float | None = None) -> Figure:
    """Absolute error of every estimate on one shared scale: the mean over bands, or the band nearest to `nm`.

    The reference comes first, as a picture.
    """
    if nm is None:
        bands, what = None, "mean over bands"
        first = comparison.pseudo_colour(comparison.reference)
    else:
        band = comparison.band(nm)
        bands, what = [band], f"{comparison.wavelengths_nm[band]:.0f} nm"
        low, high = comparison.stretch(bands)
        first = np.dstack(3 * [((comparison.reference[band] - low[0]) / (high - low)[0]).clip(0, 1)])
    maps = {name: comparison.errors(name, bands) for name in comparison.estimates}
    scale = Scale(ERROR_MAP, 0, error_scale(maps.values()), "absolute error")
    caption = f"{comparison.title}: absolute error, {what}"
    return _gallery(comparison, {"reference": first, **maps}, caption, scale)


def error_scale(maps: Iterable[np.ndarray]) -> float:
    """Upper end of the scale that several error maps share: the median over methods of their 99.5th percentiles.

    The median, so that one method with large errors does not make all others look dark. Errors above the end have the
    scale's last colour.
    """
    return float(np.median([np.percentile(image, 99.5) for image in maps])) or 1.0


def spectra(comparisons: list[Comparison], looks: Looks) -> Figure:
    """Spectra of three pixels of each comparison; an inset magnifies the bands where the methods err most."""
    titles = {name: each.title_of(name) for each in comparisons for name in each.estimates}
    abreast = legend_columns(titles.values())
    with plt.rc_context(STYLE | {"figure.constrained_layout.use": True}):
        size = (WIDTH, 2.4 * len(comparisons) + 0.3 + 0.16 * (len(titles) // abreast + 1))
        figure, axes = plt.subplots(len(comparisons), 3, figsize=size, squeeze=False)
        for row, comparison in zip(axes, comparisons, strict=True):
            for axis, pixel in zip(row, comparison.random_pixels(3), strict=True):
                _draw_spectra(axis, comparison, pixel, looks)
            row[0].set_ylabel("value")
        for axis in axes[-1]:
            axis.set_xlabel("wavelength (nm)")
        lines = {line.get_label(): line for axis in axes.flat for line in axis.get_lines()}
        figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=abreast)
    return figure


def _gallery(
    comparison: Comparison, images: Mapping[str, np.ndarray], caption: str, scale: Scale | None = None
) -> Figure:
    """Images in a grid, each with the detail box magnified below it; 2-D images share `scale` and its colour bar.

    Places are in inches from the figure's top left corner, so that all images have one size and all gaps are even.
    """
    top, left, side = comparison.detail_box()
    columns = min(COLUMNS, len(images))
    width = (WIDTH - (COLUMNS + 1) * GAP) / COLUMNS
    height = width * comparison.reference.shape[1] / comparison.reference.shape[2]
    title, row = 0.2, 0.2 + height + GAP + width + 0.05
    bottom = title + -(-len(images) // columns) * row
    total_width, total_height = columns * (width + GAP) + GAP, bottom + (0.5 if scale else 0)
    with plt.rc_context(STYLE | {"axes.spines.top": True, "axes.spines.right": True}):
        figure = plt.figure(figsize=(total_width, total_height))

        def place(x: float, y: float, wide: float, high: float) -> Axes:
            corner = (x / total_width, 1 - (y + high) / total_height)
            return figure.add_axes((*corner, wide / total_width, high / total_height), xticks=[], yticks=[])

        for index, (name, image) in enumerate(images.items()):
            x, y = GAP + index % columns * (width + GAP), title + index // columns * row + title
            colours: dict[str, Any] = {"interpolation": "nearest"}
            if scale and image.ndim == 2:
                colours |= {"cmap": scale.colours, "vmin": scale.low, "vmax": scale.high}
            whole, detail = place(x, y, width, height), place(x, y + height + GAP, width, width)
            whole.set_title(comparison.title_of(name), pad=3)
            drawn = whole.imshow(image, **colours, aspect="auto")
            detail.imshow(image[top : top + side, left : left + side], **colours)
            _frame(whole, detail, top, left, side)
        if scale:
            bar = place(0.25 * total_width, bottom + 0.05, 0.5 * total_width, 0.1)
            ends = "both" if scale.low else "max"
            figure.colorbar(drawn, cax=bar, orientation="horizontal", label=scale.label, extend=ends)
        figure.suptitle(caption, fontsize=8, y=1 - 0.03 / total_height, va="top")
    return figure


def _frame(whole: Axes, detail: Axes, top: int, left: int, side: int) -> None:
    """Frame the magnified square in one colour on both images, with a dark rim to be seen on bright ground."""
    rim = [withStroke(linewidth=2.2, foreground="k")]
    whole.add_patch(
        Rectangle((left - 0.5, top - 0.5), side, side, fill=False, edgecolor=FRAME, linewidth=1, path_effects=rim)
    )
    whole.spines[:].set_visible(False)
    detail.spines[:].set_edgecolor(FRAME)
    detail.spines[:].set_linewidth(1)


def _draw_spectra(axis: Axes, comparison: Comparison, pixel: tuple[int, int], looks: Looks) -> None:
    order = np.argsort(comparison.wavelengths_nm)
    nm = comparison.wavelengths_nm[order]
    reference = np.asarray(comparison.reference[:, *pixel])[order]
    curves = {name: np.array(cube[:, *pixel])[order] for name, cube in comparison.estimates.items()}
    errors = np.abs(np.stack(list(curves.values())) - reference)
    window = max(4, len(reference) // 8)
    # The median over methods, so that one method with large errors does not choose the bands alone.
    start = int(np.convolve(np.median(errors, axis=0), np.ones(window), "valid").argmax())
    zoom = slice(start, start + window)
    inset = axis.inset_axes((0.5, 0.6, 0.5, 0.4))
    for target, chosen in ((axis, slice(None)), (inset, zoom)):
        target.plot(nm[chosen], reference[chosen], "k", linewidth=1.6, label="reference")
        for name, curve in curves.items():
            label = comparison.title_of(name)
            target.plot(nm[chosen], curve[chosen], linewidth=0.9, label=label, **looks[name].line)
    margin = 2 * np.median(errors[:, zoom].max(axis=1)) + 1e-3
    inset.set_ylim(reference[zoom].min() - margin, reference[zoom].max() + margin)
    inset.tick_params(labelsize=5, length=2, pad=1)
    inset.spines[:].set_visible(True)
    low, high = axis.get_ylim()
    axis.set_ylim(low, low + 1.7 * (high - low))  # room for the inset above the curves
    axis.indicate_inset_zoom(inset, edgecolor="0.3")
    axis.set_title(f"{comparison.title}\npixel ({pixel[0]}, {pixel[1]})", fontsize=7)
