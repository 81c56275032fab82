"""The paper's figures in kind, and those that it lacks; every function draws from arrays and returns a figure.

All methods of a figure share one stretch or one colour scale, taken from the reference or from all methods together,
so that what looks different is different. Files are the same byte for byte whenever their data are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from smifbench.files import replacing

RGB_NM = (640.0, 550.0, 460.0)
"""Wavelengths of the pseudo-colour's red, green and blue."""

GREY_NM = 860.0
"""Wavelength of the grey-scale figures: the near infrared, or the band nearest to it."""

STYLE = {
    "font.size": 8,
    "axes.titlesize": 8,
    "figure.constrained_layout.use": True,
    "pdf.fonttype": 42,
    "savefig.dpi": 150,
    "axes.prop_cycle": matplotlib.cycler(
        # Okabe and Ito's palette, which people of all colour visions can tell apart, twice with other dashes.
        color=["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"] * 2,
        linestyle=["-"] * 6 + ["--"] * 6,
    ),
}

WIDTH = 7.2
"""Inches of a two-column figure."""


@dataclass(frozen=True)
class Comparison:
    """One test scene and what the methods made of it.

    `reference` and the values of `estimates` (by the method's title) are (C, H, W) in [0,1]; `wavelengths_nm` is (C,).
    """

    dataset: str
    ratio: int
    scene: str
    wavelengths_nm: np.ndarray
    reference: np.ndarray
    estimates: Mapping[str, np.ndarray]

    @property
    def title(self) -> str:
        """What the figure is of, with the paper's way of writing ratios."""
        return f"{self.scene} (x{self.ratio})"

    def band(self, nm: float) -> int:
        """Index of the band that lies nearest to `nm`."""
        return int(np.abs(self.wavelengths_nm - nm).argmin())

    def detail_box(self) -> tuple[int, int, int]:
        """Top, left and side of the square where the reference's mean image varies most; no method has a say."""
        image = self.reference.mean(0)
        side = max(8, min(image.shape) // 4)
        corners = [
            (top, left)
            for top in range(0, image.shape[0] - side + 1, side // 2)
            for left in range(0, image.shape[1] - side + 1, side // 2)
        ]
        top, left = max(corners, key=lambda corner: _crop(image, *corner, side).std())
        return top, left, side


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write `figure` as `<name>.pdf` and `<name>.png` into `folder`, without dates, and close it."""
    for suffix, metadata in ((".pdf", {"CreationDate": None}), (".png", {"Software": None})):
        with replacing(folder / f"{name}{suffix}") as temporary:
            figure.savefig(temporary, format=suffix[1:], metadata=metadata)
    plt.close(figure)


def pseudo_colour(comparison: Comparison) -> Figure:
    """Reference and estimates in pseudo-colour, with the most detailed square magnified below each."""
    bands = [comparison.band(nm) for nm in RGB_NM]
    low, high = _stretch(comparison.reference[bands])
    wavelengths = ", ".join(f"{comparison.wavelengths_nm[band]:.0f}" for band in bands)

    def picture(cube: np.ndarray) -> np.ndarray:
        return np.moveaxis(((cube[bands] - low) / (high - low)).clip(0, 1), 0, -1)

    return _gallery(
        comparison,
        {name: picture(cube) for name, cube in _with_reference(comparison).items()},
        f"{comparison.title}: pseudo-colour from {wavelengths} nm, one stretch from the reference",
    )


def grey_scale(comparison: Comparison) -> Figure:
    """Reference and estimates in the band nearest to `GREY_NM`, with the most detailed square magnified below each."""
    band = comparison.band(GREY_NM)
    low, high = _stretch(comparison.reference[band])
    images = {
        name: ((cube[band] - low) / (high - low)).clip(0, 1) for name, cube in _with_reference(comparison).items()
    }
    caption = f"{comparison.title}: {comparison.wavelengths_nm[band]:.0f} nm, one stretch from the reference"
    return _gallery(comparison, images, caption)


def error_maps(comparison: Comparison, nm: float | None = None) -> Figure:
    """Absolute error of every estimate on one shared scale: the mean over bands, or the band nearest to `nm`."""
    chosen = slice(None) if nm is None else slice(comparison.band(nm), comparison.band(nm) + 1)
    reference = comparison.reference[chosen]
    maps = {name: np.abs(cube[chosen] - reference).mean(0) for name, cube in comparison.estimates.items()}
    top = float(np.percentile(np.stack(list(maps.values())), 99.5)) or 1.0
    what = "mean over bands" if nm is None else f"{comparison.wavelengths_nm[chosen][0]:.0f} nm"
    return _gallery(comparison, maps, f"{comparison.title}: absolute error, {what}", top_error=top)


def spectra(comparisons: list[Comparison]) -> Figure:
    """Spectra of one pixel for each comparison, with the stretch where the methods differ most magnified."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(comparisons), figsize=(WIDTH, 3.2), squeeze=False)
        names = list(dict.fromkeys(name for comparison in comparisons for name in comparison.estimates))
        styles = dict(zip(names, cycle(plt.rcParams["axes.prop_cycle"]), strict=False))
        for axis, comparison in zip(axes[0], comparisons, strict=True):
            _draw_spectra(axis, comparison, styles)
        lines = {line.get_label(): line for axis in axes[0] for line in axis.get_lines()}
        figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=6, frameon=False)
    return figure


def accuracy_against_cost(metrics: pd.DataFrame, cost: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """Mean PSNR of every network against its multiply-adds, the bubble's area by its parameters.

    Rows are those of `metrics.csv` and `cost.csv`; `titles` maps "method/variant" to what the figure calls it.
    """
    keys = ["dataset", "ratio", "method", "variant"]
    scored = metrics[metrics.status == "ok"].groupby(keys, sort=False).psnr.mean().reset_index()
    points = scored.merge(cost, on=keys).dropna(subset=["gmacs"])
    settings = list(points.groupby(["dataset", "ratio"], sort=False))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, max(1, len(settings)), figsize=(WIDTH, 3.4), squeeze=False)
        for axis, ((dataset, ratio), rows) in zip(axes[0], settings, strict=False):
            area = 20 + 400 * rows.params / points.params.max()
            axis.scatter(rows.gmacs, rows.psnr, s=area, c="#0072B2", alpha=0.5, edgecolors="k", linewidths=0.5)
            for row in rows.itertuples():
                label = titles[f"{row.method}/{row.variant}"]
                axis.annotate(label, (row.gmacs, row.psnr), xytext=(4, 4), textcoords="offset points", fontsize=7)
            axis.set(xscale="log", xlabel="multiply-adds of one test image (10$^9$)", title=f"{dataset} (x{ratio})")
            axis.margins(0.2)
            axis.grid(alpha=0.3)
        axes[0, 0].set_ylabel("PSNR (dB)")
    return figure


def training_curves(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """PSNR on the validation scenes over training time, one line for each network; it selected nothing."""
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(WIDTH, 3.2))
        for name, history in histories.items():
            axis.plot(history.step / history.step.max(), history.val_psnr, label=name)
        axis.set(xlabel="fraction of the training budget", ylabel="validation PSNR (dB)")
        axis.grid(alpha=0.3)
        figure.legend(loc="outside right center", frameon=False)
    return figure


def _with_reference(comparison: Comparison) -> dict[str, np.ndarray]:
    return {"reference": comparison.reference, **comparison.estimates}


def _crop(image: np.ndarray, top: int, left: int, side: int) -> np.ndarray:
    return image[top : top + side, left : left + side]


def _stretch(bands: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest displayed value, the 1st and 99th percentile over the last two axes."""
    low, high = np.percentile(bands, (1, 99), axis=(-2, -1), keepdims=True)
    return low, np.maximum(high, low + 1e-6)


def _gallery(
    comparison: Comparison, images: Mapping[str, np.ndarray], caption: str, top_error: float | None = None
) -> Figure:
    """Images in a grid, each with the detail box magnified below it; error maps share one scale up to `top_error`."""
    top, left, side = comparison.detail_box()
    columns = min(6, len(images))
    rows = -(-len(images) // columns)
    with plt.rc_context(STYLE):
        height = 0.3 + rows * (0.2 + 2 * WIDTH * (0.86 if top_error else 1) / columns)
        figure = plt.figure(figsize=(WIDTH, height))
        grid = figure.subplots(2 * rows, columns, squeeze=False)
        for axis in grid.flat:
            axis.axis("off")
        scale = {"cmap": "inferno", "vmax": top_error} if top_error else {"cmap": "gray", "vmax": 1}
        for index, (name, image) in enumerate(images.items()):
            whole, detail = grid[2 * (index // columns) : 2 * (index // columns) + 2, index % columns]
            mappable = whole.imshow(image, **scale, vmin=0, interpolation="nearest")
            whole.add_patch(Rectangle((left - 0.5, top - 0.5), side, side, fill=False, edgecolor="w", linewidth=0.8))
            whole.set_title(name)
            detail.imshow(_crop(image, top, left, side), **scale, vmin=0, interpolation="nearest")
        if top_error:
            figure.colorbar(mappable, ax=grid, location="right", shrink=0.6, label="absolute error", extend="max")
        figure.suptitle(caption, fontsize=8)
    return figure


def _draw_spectra(axis: Axes, comparison: Comparison, styles: Mapping[str, dict]) -> None:
    top, left, side = comparison.detail_box()
    row, column = top + side // 2, left + side // 2
    curves = {name: cube[:, row, column] for name, cube in comparison.estimates.items()}
    reference = comparison.reference[:, row, column]
    order = np.argsort(comparison.wavelengths_nm)
    spread = np.std(list(curves.values()), axis=0)[order]
    window = max(4, len(reference) // 6)
    start = int(np.convolve(spread, np.ones(window), "valid").argmax())
    zoom = slice(start, start + window)
    inset = axis.inset_axes((0.52, 0.52, 0.46, 0.46))
    for target, chosen in ((axis, order), (inset, order[zoom])):
        target.plot(comparison.wavelengths_nm[chosen], reference[chosen], "k", linewidth=1.6, label="reference")
        for name, curve in curves.items():
            target.plot(comparison.wavelengths_nm[chosen], curve[chosen], linewidth=0.9, label=name, **styles[name])
    inset.tick_params(labelsize=6)
    axis.indicate_inset_zoom(inset, edgecolor="0.3")
    axis.set(xlabel="wavelength (nm)", ylabel="value", title=f"{comparison.title}, pixel ({row}, {column})")
