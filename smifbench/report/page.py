"""The HTML report: one file that opens offline and holds the leaderboard, the audit, images, figures and provenance."""

import base64
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from smifbench.evaluation import significance
from smifbench.evaluation.columns import CELL
from smifbench.evaluation.likeness import SETTING, refuse_unlike
from smifbench.evaluation.reading import load_costs, read_table
from smifbench.evaluation.results import RETRY, load_results, log_of, run_of, seed_means
from smifbench.metrics import METRICS, PAPER
from smifbench.paper import layout
from smifbench.paper.audit import audit
from smifbench.report.comparison import load_comparisons
from smifbench.report.figures import CAPTIONS
from smifbench.report.losses import SPREAD_DTYPES
from smifbench.report.pieces import PLACE, PROTOCOL, Column, heading, marks, render, table
from smifbench.report.style import styles
from smifbench.report.tables import metrics_of
from smifbench.report.titles import dataset_titles, method_titles, named, title_of
from smifbench.report.viewer import error_colours, view
from smifbench.system.files import read_json, write_text
from smifbench.system.identity import code_id

CONTROL = "gsa"
"""A linear method; the page names the networks that lie below it."""


AUDIT = PLACE | {
    "table": Column("Table", 0, "place"),
    "metric_label": Column("Metric"),
    "published": Column("Published", 4),
    "ours": Column("Measured", 4),
    "interval": Column("Next seed, 95 %"),
    "status": Column("Status"),
    "reason": Column("Reason", css="long"),
}

INTERVALS = (
    PLACE
    | PROTOCOL
    | {
        "mean": Column("PSNR (dB)", 2),
        "interval": Column("95 % interval"),
        "scenes": Column("Scenes", 0),
        "seeds": Column("Seeds", 0),
    }
)

TESTS = {
    "median_difference": Column("Difference (dB)", 2),
    "pairs": Column("Pairs", 0),
    "p_holm": Column("p (Holm)", 4),
    "verdict": Column("Verdict", css="long"),
}
"""Columns of the statistics where there are rows of the reference."""

COST = PLACE | {
    "size": Column("Size", css="place"),
    "params_millions": Column("Parameters (10⁶)", 3),
    "gmacs": Column("MACs (10⁹)", 3),
    "gmacs_thop": Column("thop (10⁹)", 3),
    "published_tflops": Column("Published (10¹²)", 3),
    "latency_ms": Column("Latency (ms)", 1),
    "peak_memory_mb": Column("Peak memory (MB)", 1),
    "device": Column("Device", css="long"),
}

DATA = {
    "dataset_title": Column("Data set"),
    "protocol": Column("Protocol"),
    "ratio": Column("Ratio", 0),
    "scene": Column("Test scene"),
    "data": Column("Hash of its images"),
}


def write_report(results: Path, pairs: Path, target: Path) -> None:
    """Write the report of the experiment in the folder `results` to the file `target`.

    `pairs` is the folder of all simulated pairs, of which the page shows the references.
    """
    experiment, metrics = read_json(results / "experiment.json"), load_results(results)
    refuse_unlike(metrics)
    metrics, cost = named(metrics, experiment), named(load_costs(results), experiment)
    audited = _audited(metrics, cost, experiment)
    tested = significance.has_rows(metrics, significance.reference_of(experiment))
    page = render(
        "report.html.j2",
        experiment=experiment,
        paper=layout.NAME,
        below_control=_below_control(metrics, experiment),
        failures=_failures(metrics, results),
        retry=RETRY,
        board=_board(metrics, metrics_of(experiment)),
        audit=table(audited, AUDIT, ["table", "dataset_title", "ratio", "metric_label", "status"]),
        audit_counts=audited.status.value_counts().to_dict(),
        views=_views(results, pairs, experiment, metrics),
        error_colours=error_colours(),
        figures=_figures(results / "figures"),
        cost=table(_printed_cost(cost), COST, ["dataset_title", "ratio"]),
        reference=title_of(experiment, significance.reference_of(experiment)),
        tested=tested,
        claims=_claims(metrics, experiment) if tested else [],
        statistics=table(
            _statistics(metrics, experiment),
            INTERVALS | (TESTS if tested else {}),
            ["dataset_title", "ratio", "protocol"],
        ),
        robustness=_robustness(results / "robustness.csv"),
        provenance=_provenance(experiment, metrics),
        data=table(metrics.drop_duplicates([*SETTING, "scene"]), DATA, []),
        citations=_citations(experiment),
        config=json.dumps({key: experiment[key] for key in ("datasets", "protocols", "ratios", "seeds")}, indent=2),
    )
    write_text(target, page)


def _board(metrics: pd.DataFrame, first: Sequence[str]) -> dict:
    """Means of every setting and method in both conventions, deviations over seeds, best and second marked.

    The metrics `first` are shown as the page opens, others by definition when they are asked for.
    """
    seeds = seed_means(metrics).groupby(level=CELL, sort=False)
    facts = metrics.groupby(CELL, sort=False).agg({"title": "first", "dataset_title": "first", "train_steps": "mean"})
    board, deviations = facts.join(seeds.mean()), seeds.std()
    for name, metric in METRICS.items():
        notes = [f"± {value:.{metric.digits}f}" if value == value else "" for value in deviations[name]]
        marked = board.groupby(level=SETTING, sort=False)[name].transform(marks, metric.higher_better, metric.digits)
        board = board.assign(**{f"{name}_note": notes, f"{name}_mark": marked})
    groups = {name: "paper" if name in PAPER else "wald" if name in first else "further" for name in METRICS}
    columns = {name: Column(heading(metric), metric.digits, groups[name]) for name, metric in METRICS.items()}
    columns = PLACE | PROTOCOL | columns | {"train_steps": Column("Training steps", 0)}
    return table(board.reset_index(), columns, ["dataset_title", "ratio", "protocol"])


def _audited(metrics: pd.DataFrame, cost: pd.DataFrame, experiment: Mapping) -> pd.DataFrame:
    """Rows of the audit with the names, decimals and units of the paper's cells."""
    rows = audit(metrics, cost, experiment)
    known = {
        "datasets": {name: {"title": data.title} for name, data in layout.DATASETS.items()} | experiment["datasets"],
        "methods": {f"{name}/default": {"title": title} for name, title in layout.METHODS.items()}
        | experiment["methods"],
    }
    labels = {name: metric.symbol for name, metric in METRICS.items()} | {layout.FLOPS: "FLOPs (10¹²)"}
    return named(rows, known).assign(
        metric_label=rows.metric.map(labels),
        published_text=_rounded(rows.published, rows.decimals),
        ours_text=_rounded(rows.ours, rows.decimals + (rows.metric == layout.FLOPS)),  # as the paper cuts digits off
        interval=_interval(rows.low, rows.high, rows.decimals),
        status_mark=rows.status.str.replace(" ", "-"),
    )


def _rounded(values: pd.Series, digits: Sequence[int]) -> list[str | None]:
    return [None if pd.isna(value) else f"{value:.{places}f}" for value, places in zip(values, digits, strict=True)]


def _interval(low: pd.Series, high: pd.Series, digits: Sequence[int]) -> list[str | None]:
    ends = zip(_rounded(low, digits), _rounded(high, digits), strict=True)
    return [f"{first} to {last}" if first else None for first, last in ends]


def _views(results: Path, pairs: Path, experiment: Mapping, metrics: pd.DataFrame) -> list[dict]:
    """Images and cubes of every data set and ratio."""
    comparisons = load_comparisons(results, pairs, experiment, metrics)
    looks = styles(experiment["methods"])
    return [
        {"title": f"{dataset_titles(experiment)[comparison.dataset]}, {comparison.scene}, ratio {comparison.ratio}"}
        | view(comparison, len(comparisons), looks)
        for comparison in comparisons
    ]


def _figures(folder: Path) -> list[dict]:
    """The experiment's figures as images within the page."""
    return [
        {"name": name, "caption": caption, "image": f"data:image/png;base64,{base64.b64encode(data).decode()}"}
        for name, caption in CAPTIONS.items()
        if (folder / f"{name}.png").exists() and (data := (folder / f"{name}.png").read_bytes())
    ]


def _printed_cost(cost: pd.DataFrame) -> pd.DataFrame:
    height, width = (cost[side].astype("string") for side in ("height", "width"))
    return cost.assign(
        size=height + "\u00a0×\u00a0" + width,
        params_millions=(cost.params / 1e6).where(cost.params > 0),
        device=cost.device.replace("", pd.NA),
    )


def _failures(metrics: pd.DataFrame, results: Path) -> list[dict]:
    """Rows of the runs that have no result, those that failed with their logs."""
    rows = metrics[metrics.status != "ok"].drop_duplicates([*CELL, "seed"])
    runs = [run_of(row) for row in rows.itertuples()]
    return [
        row | {"log": log_of(results, run) if row["status"] == "failed" else ""}
        for row, run in zip(rows.to_dict("records"), runs, strict=True)
    ]


def _statistics(metrics: pd.DataFrame, experiment: Mapping) -> pd.DataFrame:
    """Mean PSNR of every cell with its interval, and the test against the reference where there is one."""
    rows, reference = significance.intervals(metrics), significance.reference_of(experiment)
    if significance.has_rows(metrics, reference):
        tests = significance.significance(metrics, reference)
        rows = rows.merge(tests[[*CELL, *TESTS]], on=CELL, how="left")
    rows = rows.assign(interval=_interval(rows.low, rows.high, [2] * len(rows)))
    return named(rows, experiment)


def _claims(metrics: pd.DataFrame, experiment: Mapping) -> list[str]:
    """Sentences on the reference's differences from the others."""
    reference, titles = significance.reference_of(experiment), method_titles(experiment)
    return [
        sentence for metric in ("psnr", "sam") for sentence in significance.claims(metrics, reference, metric, titles)
    ]


def _robustness(path: Path) -> dict | None:
    """The table of a robustness experiment as it is, where one was made."""
    if not path.exists():
        return None
    rows = read_table(path, SPREAD_DTYPES, rest="float64")
    return table(rows, {name: Column(name, 3 if rows[name].dtype.kind == "f" else None) for name in rows}, [])


def _below_control(metrics: pd.DataFrame, experiment: Mapping) -> list[str]:
    """Say for each setting by how much networks lie below the linear control, by PSNR."""
    titles, sentences = method_titles(experiment), []
    for (dataset, protocol, ratio), rows in metrics.groupby(SETTING, sort=False):
        means = seed_means(rows, ["method", "variant"]).psnr.groupby(level=["method", "variant"], sort=False).mean()
        control = means.get((CONTROL, "default"), -math.inf)
        below = [
            f"{titles[key]} by {control - psnr:.2f} dB"
            for (method, variant), psnr in means.items()
            if experiment["methods"][key := f"{method}/{variant}"]["trainable"] and psnr < control
        ]
        if below:
            sentences.append(
                f"On {dataset_titles(experiment)[dataset]} x{ratio} under {protocol}, networks lie below the linear "
                f"control {title_of(experiment, CONTROL)} ({control:.2f} dB by PSNR): {', '.join(below)}."
            )
    return sentences


def _provenance(experiment: Mapping, metrics: pd.DataFrame) -> dict[str, str]:
    """Code, machines and versions behind the numbers."""
    titles = dataset_titles(experiment)
    return {
        "code of the runs": ", ".join(sorted(set(metrics.code) - {""})),
        "code of this report": code_id(),
        "devices of the runs": "; ".join(sorted(set(metrics.device) - {""})),
        "hardware": experiment["hardware"],
        **{f"{package} version": version for package, version in experiment["versions"].items()},
        **{f"licence of {title}": experiment["datasets"][name]["licence"] for name, title in titles.items()},
    }


def _citations(experiment: Mapping) -> list[dict]:
    """Every BibTeX entry once, with what it is the source of."""
    entries: dict[str, list[str]] = {}
    for about in [*experiment["methods"].values(), *experiment["datasets"].values()]:
        if about["bibtex"]:
            entries.setdefault(about["bibtex"], []).append(about["title"])
    return [{"bibtex": bibtex, "titles": ", ".join(titles)} for bibtex, titles in entries.items()]
