"""Draws the figures of an experiment: their names and captions, and the rows and images that each shows."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from smifbench.evaluation.likeness import refuse_unlike
from smifbench.evaluation.reading import load_costs, read_table
from smifbench.evaluation.results import load_results, seed_means
from smifbench.evaluation.significance import ranks
from smifbench.paper.layout import COLOUR_DATASET, FIGURE_RATIO, GREY_DATASET
from smifbench.report import charts, pictures, style
from smifbench.report.comparison import Comparison, load_comparisons
from smifbench.report.titles import named
from smifbench.run import Run
from smifbench.system.files import read_json, replacing_folder

CAPTIONS = {
    "fig2_pseudo_colour": "Pseudo-colour images of reference and estimates, one stretch from the reference; below "
    "each, the framed square magnified.",
    "fig3_error_maps": "Absolute error, averaged over the bands, on one scale for all methods; below each, the framed "
    "square magnified.",
    "fig4_grey_scale": "One band of reference and estimates on one scale; below each, the framed square magnified.",
    "fig5_error_maps": "Absolute error in that band, on one scale for all methods; below each, the framed square "
    "magnified.",
    "fig6_spectra": "Spectra of three pixels, drawn at random from the brighter half of the scene; each inset "
    "magnifies the stretch where the median method errs most.",
    "accuracy_against_macs": "Accuracy against the multiply-adds of one test image; a marker's area grows with the "
    "network's parameters.",
    "accuracy_against_parameters": "Accuracy against the number of parameters; a marker's area grows with the "
    "multiply-adds of one test image.",
    "training_curves": "Accuracy on the validation scenes while training. The curves chose nothing.",
    "band_psnr": "Accuracy of every band of the scene in the images above.",
    "scene_spread": "Accuracy of every test scene and seed; the bar is the median, where no run failed.",
    "critical_difference": "Mean ranks by PSNR over scenes, each by its mean rank over ratios, 1 being the best. "
    "Methods under one bar do not differ significantly by Nemenyi's test.",
}
"""Figures by file name, in order, with their captions."""

PLACE = ["dataset", "ratio", "setting", "name", "title"]
"""What charts know a row's panel and method by."""


def draw_figures(results: Path, pairs: Path, target: Path) -> None:
    """Draw all figures of the experiment in the folder `results` into the folder `target`.

    Images show the first test scene under the first protocol and from the first seed, as the paper does on CAVE (in
    colour) and WDCM (in grey) at ratio 8; without them on the first and the last data set, at the highest ratio.
    `pairs` is the folder of all simulated pairs. A figure without data is left out.
    """
    experiment, metrics = read_json(results / "experiment.json"), load_results(results)
    refuse_unlike(metrics)
    looks = style.styles(experiment["methods"])
    comparisons = at_one_ratio(load_comparisons(results, pairs, experiment, metrics, style.drawn))
    metrics = named(metrics[metrics.protocol == next(iter(experiment["protocols"]))], experiment, style.drawn)
    cost = named(load_costs(results), experiment, style.drawn)
    histories = _histories(results, metrics, experiment["seeds"][0])
    with replacing_folder(target) as folder:
        for name, figure in chain(_images(comparisons, looks), _charts(metrics, cost, histories, looks)):
            style.save(figure, folder, name)


def at_one_ratio(comparisons: list[Comparison]) -> list[Comparison]:
    """Choose one comparison for each data set: that at the paper's ratio, or else at the highest."""
    by_ratio = sorted(comparisons, key=lambda comparison: (comparison.ratio == FIGURE_RATIO, comparison.ratio))
    chosen = {comparison.dataset: comparison for comparison in by_ratio}
    return [chosen[dataset] for dataset in dict.fromkeys(comparison.dataset for comparison in comparisons)]


def colour_and_grey(comparisons: list[Comparison]) -> tuple[Comparison, Comparison]:
    """Choose the comparisons to show in colour and in grey: the paper's data sets, or else the first and the last."""
    by_dataset = {comparison.dataset: comparison for comparison in comparisons}
    return by_dataset.get(COLOUR_DATASET, comparisons[0]), by_dataset.get(GREY_DATASET, comparisons[-1])


def _images(comparisons: list[Comparison], looks: style.Looks) -> Iterator[tuple[str, Figure]]:
    """Yield the names and figures of images."""
    if not comparisons:
        return
    colour, grey = colour_and_grey(comparisons)
    yield "fig2_pseudo_colour", pictures.pseudo_colour(colour)
    yield "fig3_error_maps", pictures.error_maps(colour)
    yield "fig4_grey_scale", pictures.grey_scale(grey)
    yield "fig5_error_maps", pictures.error_maps(grey, pictures.GREY_NM)
    yield "fig6_spectra", pictures.spectra(comparisons, looks)
    yield "band_psnr", charts.band_psnr(_bands(comparisons), looks)


def _charts(
    metrics: pd.DataFrame, cost: pd.DataFrame, histories: pd.DataFrame, looks: style.Looks
) -> Iterator[tuple[str, Figure]]:
    """Yield the names and figures of charts; a chart without data is left out."""
    scored, ranked = metrics[metrics.status == "ok"], ranks(metrics).dropna()
    points = _points(metrics, cost)
    if len(points):
        yield "accuracy_against_macs", charts.accuracy_against_cost(points, "gmacs", "params", looks)
        yield "accuracy_against_parameters", charts.accuracy_against_cost(points, "params", "gmacs", looks)
    if len(histories):
        yield "training_curves", charts.training_curves(histories, looks)
    if len(scored):
        shown = metrics.setting.isin(scored.setting) & metrics.name.isin(scored.name)
        yield "scene_spread", charts.scene_spread(metrics[shown], looks)
    if len(ranked):
        titles = metrics.groupby(["method", "variant"]).title.first()
        mean_ranks = list(zip(titles[ranked.index], ranked["rank"], strict=True))
        difference = ranked.critical_difference.iloc[0]
        yield "critical_difference", charts.critical_difference(mean_ranks, difference)


def _points(metrics: pd.DataFrame, cost: pd.DataFrame) -> pd.DataFrame:
    """Mean PSNR, parameters and multiply-adds of every network that was counted."""
    keys = ["dataset", "ratio", "method", "variant"]
    means = seed_means(metrics, keys).psnr.groupby(level=keys, sort=False).mean().reset_index()
    return means.merge(cost, on=keys).dropna(subset=["psnr", "gmacs"])


def _histories(results: Path, metrics: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Training histories of the runs of one seed, of those that have validation scenes."""
    keys = ["dataset", "protocol", "ratio", "method", "variant", "seed"]
    runs = metrics[(metrics.status == "ok") & (metrics.seed == seed)].drop_duplicates(keys)
    histories = [
        read_table(path, {}, rest="float64").assign(**{name: row[name] for name in PLACE})
        for row in runs.to_dict("records")
        if (path := results / "runs" / Run(**{key: row[key] for key in keys}).folder / "trained/history.csv").exists()
    ]
    return pd.concat(histories).dropna(subset=["val_psnr"]) if histories else pd.DataFrame()


def _bands(comparisons: list[Comparison]) -> pd.DataFrame:
    """PSNR of every band, method and comparison."""
    return pd.concat(
        pd.DataFrame(
            {
                "dataset": comparison.dataset,
                "ratio": comparison.ratio,
                "setting": comparison.title,
                "name": name,
                "title": comparison.title_of(name),
                "nm": comparison.wavelengths_nm,
                "psnr": np.where(np.isfinite(values := comparison.band_psnr(name)), values, np.nan),
            }
        )
        for comparison in comparisons
        for name in comparison.estimates
    )
