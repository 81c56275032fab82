"""The HTML report: one file that opens offline and holds the leaderboard, figures, cost and provenance."""

import base64
import json
import math
from collections.abc import Mapping
from pathlib import Path

import jinja2
import pandas as pd

from smifbench import plugins
from smifbench.files import read_json, write_text
from smifbench.gallery import CAPTIONS
from smifbench.provenance import code_id
from smifbench.results import CELL, METRICS, leaderboard, load_results, mark_best, published_value

TEMPLATE = plugins.ROOT / "workflow" / "report" / "report.html.j2"

CONTROL = "gsa"
"""The linear method that a trained network must beat to count as trained."""


def write_report(results: Path, target: Path) -> None:
    """Write the report of the experiment in the folder `results` to the file `target`."""
    experiment, metrics = read_json(results / "experiment.json"), load_results(results)
    cost = pd.read_csv(results / "cost.csv")
    cited = [*experiment["methods"].values(), *experiment["datasets"].values()]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        experiment=experiment,
        boards=[
            _board(rows, experiment, *setting)
            for setting, rows in metrics.groupby(["dataset", "protocol", "ratio"], sort=False)
        ],
        untrained=_untrained(metrics, experiment),
        failures=metrics[metrics.status != "ok"].drop_duplicates([*CELL, "seed"]),
        cost=_cost(cost, experiment),
        figures=[
            {"name": name, "caption": caption, "data": _data_uri(results / "figures" / f"{name}.png")}
            for name, caption in CAPTIONS.items()
            if (results / "figures" / f"{name}.png").exists()
        ],
        provenance={
            "code of this report": code_id(),
            "code of the runs": ", ".join(sorted(metrics.code.unique())),
            "devices": ", ".join(sorted(metrics.device.unique())),
            "hardware": experiment["hardware"],
            **{f"{package} version": version for package, version in experiment["versions"].items()},
            **{f"data {scene}": value for scene, value in metrics.groupby("scene", sort=False)["data"].first().items()},
        },
        citations=list(dict.fromkeys(about["bibtex"] for about in cited if about["bibtex"])),
        config=json.dumps({key: experiment[key] for key in ("datasets", "protocols", "ratios", "seeds")}, indent=2),
    )
    write_text(target, page)


def _board(rows: pd.DataFrame, experiment: Mapping, dataset: str, protocol: str, ratio: int) -> dict:
    """One leaderboard: every method's metrics in both conventions, the published values, best and second marked."""
    names = [name for name in METRICS if not name.startswith("paper_")]
    measured = leaderboard(rows, names)
    paper = leaderboard(rows, [name for name in names if f"paper_{name}" in METRICS], convention="paper")
    table = pd.concat([measured, paper], axis=1)[dataset, ratio]
    marks = {name: mark_best(table[name], METRICS[name].higher_better, METRICS[name].digits) for name in table}
    lines = []
    for index, (method, variant) in enumerate(table.index):
        cells = []
        for name in table:
            best, second = marks[name]
            value = table[name].iloc[index]
            cells.append(
                {
                    "value": None if pd.isna(value) else float(value),
                    "text": _text(value, METRICS[name].digits),
                    "mark": "best" if index in best else "second" if index in second else "",
                    "published": _published(experiment, dataset, ratio, method, variant, name),
                }
            )
        steps = rows[(rows.method == method) & (rows.variant == variant)].train_steps.mean()
        lines.append({"title": experiment["methods"][f"{method}/{variant}"]["title"], "cells": cells, "steps": steps})
    return {
        "title": f"{experiment['datasets'][dataset]['title']}, ratio {ratio}",
        "protocol": protocol,
        "metrics": {name: METRICS[name] for name in table},
        "lines": lines,
    }


def _text(value: float, digits: int) -> str:
    if pd.isna(value):
        return "–"
    return "∞" if math.isinf(value) else f"{value:.{digits}f}"


def _published(experiment: Mapping, dataset: str, ratio: int, method: str, variant: str, metric: str) -> str:
    if experiment["methods"][f"{method}/{variant}"]["options"]:
        return ""  # another network than the published one
    value = published_value(dataset, ratio, method, variant, metric)
    return "" if pd.isna(value) else f"{value:.{METRICS[metric].digits}f}"


def _untrained(metrics: pd.DataFrame, experiment: Mapping) -> list[str]:
    """Say for each setting which networks do not beat the linear control by PSNR."""
    sentences = []
    keys = ["dataset", "protocol", "ratio"]
    for (dataset, protocol, ratio), rows in metrics[metrics.status == "ok"].groupby(keys, sort=False):
        means = rows.groupby(["method", "variant"], sort=False).psnr.mean()
        control = means.get((CONTROL, "default"), -math.inf)
        below = [
            f"{about['title']} ({psnr:.2f} dB)"
            for (method, variant), psnr in means.items()
            if (about := experiment["methods"][f"{method}/{variant}"])["trainable"] and psnr <= control
        ]
        if below:
            title = experiment["datasets"][dataset]["title"]
            sentences.append(
                f"Not trained, because the linear control GSA reaches {control:.2f} dB on {title} x{ratio} under "
                f"{protocol}: {', '.join(below)}."
            )
    return sentences


def _cost(cost: pd.DataFrame, experiment: Mapping) -> list[dict]:
    rows = cost.astype(object).where(cost.notna(), None).to_dict("records")
    return [row | {"title": experiment["methods"][f"{row['method']}/{row['variant']}"]["title"]} for row in rows]


def _data_uri(image: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(image.read_bytes()).decode()
