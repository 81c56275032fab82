"""Which figures an experiment has, and the estimates that they show."""

from pathlib import Path

import numpy as np
import pandas as pd

from smifbench import figures
from smifbench.files import read_json, replacing_folder
from smifbench.results import load_results
from smifbench.run import Run
from smifbench.scenes import load_pairs, load_problem

CAPTIONS = {
    "fig2_pseudo_colour": "Pseudo-colour images of reference and estimates; below each, the framed square magnified.",
    "fig3_error_maps": "Absolute error, averaged over the bands, on one scale for all methods.",
    "fig4_grey_scale": "One band of reference and estimates; below each, the framed square magnified.",
    "fig5_error_maps": "Absolute error in that band, on one scale for all methods.",
    "fig6_spectra": "Spectra of one pixel; the inset magnifies where the methods differ most.",
    "accuracy_against_cost": "Accuracy against the cost of one test image; a bubble's area follows the parameters.",
    "training_curves": "Accuracy on the validation scenes while training. The curves chose nothing.",
}
"""Figures by file name, in order, with their captions."""


def draw_figures(results: Path, pairs: Path, target: Path) -> None:
    """Draw all figures of the experiment in the folder `results` into the folder `target`.

    Images come from the highest ratio under the first protocol and from the first seed: Figures 2 and 3 show the first
    data set, Figures 4 and 5 the last, Figure 6 all. `pairs` is the folder of all simulated pairs.
    """
    experiment, metrics = read_json(results / "experiment.json"), load_results(results)
    titles = {key: about["title"] for key, about in experiment["methods"].items()}
    comparisons = [
        comparison
        for dataset, about in experiment["datasets"].items()
        if (comparison := _compare(results, pairs / about["data"], metrics[metrics.dataset == dataset], titles))
    ]
    with replacing_folder(target) as folder:
        if comparisons:
            first, last = comparisons[0], comparisons[-1]
            figures.save(figures.pseudo_colour(first), folder, "fig2_pseudo_colour")
            figures.save(figures.error_maps(first), folder, "fig3_error_maps")
            figures.save(figures.grey_scale(last), folder, "fig4_grey_scale")
            figures.save(figures.error_maps(last, figures.GREY_NM), folder, "fig5_error_maps")
            figures.save(figures.spectra(comparisons), folder, "fig6_spectra")
        cost = pd.read_csv(results / "cost.csv")
        scored = metrics[metrics.protocol == metrics.protocol.iloc[0]]
        figures.save(figures.accuracy_against_cost(scored, cost, titles), folder, "accuracy_against_cost")
        histories = _histories(results, metrics, titles)
        if histories:
            figures.save(figures.training_curves(histories), folder, "training_curves")


def _first_runs(metrics: pd.DataFrame) -> list[Run]:
    """Runs that went well, of the first protocol, highest ratio and first seed in `metrics`."""
    rows = metrics[(metrics.protocol == metrics.protocol.iloc[0]) & (metrics.ratio == metrics.ratio.max())]
    rows = rows[(rows.seed == rows.seed.iloc[0]) & (rows.status == "ok")]
    keys = ["dataset", "protocol", "ratio", "method", "variant", "seed"]
    return [Run(**row) for row in rows[keys].drop_duplicates().to_dict("records")]


def _compare(results: Path, pairs: Path, metrics: pd.DataFrame, titles: dict[str, str]) -> figures.Comparison | None:
    """Load the first test scene of a data set with all its estimates; None where no method went well."""
    runs = _first_runs(metrics)
    if not runs:
        return None
    folder = pairs / runs[0].protocol / f"x{runs[0].ratio}"
    pair = load_pairs(folder, "test")[0]
    estimates = {
        titles[f"{run.method}/{run.variant}"]: np.load(results / "runs" / run.folder / "fused" / f"{pair.scene}.npy")
        for run in runs
    }
    wavelengths = load_problem(folder).wavelengths_nm
    return figures.Comparison(runs[0].dataset, runs[0].ratio, pair.scene, wavelengths, pair.hr_hsi, estimates)


def _histories(results: Path, metrics: pd.DataFrame, titles: dict[str, str]) -> dict[str, pd.DataFrame]:
    """Training histories of the first data set's runs, by the method's title."""
    runs = _first_runs(metrics[metrics.dataset == metrics.dataset.iloc[0]])
    paths = {titles[f"{run.method}/{run.variant}"]: results / "runs" / run.folder / "trained" for run in runs}
    return {title: pd.read_csv(path / "history.csv") for title, path in paths.items() if path.exists()}
