"""Time of all tables, the audit and the statistics of the paper's grid: 11 methods x 6 settings x 3 seeds.

Metrics are made up. More seeds stand for more rows: times should grow no faster than the rows. Nothing here fails for
being slow.
"""

import json

import numpy as np
import pandas as pd
import pytest
import yaml

from smifbench import plugins
from smifbench.evaluation.columns import COST_COLUMNS, METRICS_COLUMNS
from smifbench.metrics import METRICS
from smifbench.report.document import write_document
from smifbench.report.tables import write_tables

METHODS = list(yaml.safe_load((plugins.ROOT / "config" / "paper.yaml").read_text())["methods"])
SCENES = {"cave": 5, "harvard": 8, "wdcm": 1}


@pytest.fixture
def grid(tmp_path):
    """Write results of the paper's grid with so many seeds; returns their folder and the number of rows."""

    def write(seeds):
        keys = [
            (dataset, ratio, method, seed, f"{dataset}{scene}")
            for dataset, scenes in SCENES.items()
            for ratio in (4, 8)
            for method in METHODS
            for seed in range(seeds)
            for scene in range(scenes)
        ]
        rows = pd.DataFrame(keys, columns=["dataset", "ratio", "method", "seed", "scene"])
        values = np.random.default_rng(0).normal(40, 1, (len(rows), len(METRICS)))
        rows = rows.assign(experiment="grid", protocol="block-gauss-s2/1", variant="default", status="ok", message="")
        rows[list(METRICS)] = values
        rows.reindex(columns=METRICS_COLUMNS).to_csv(tmp_path / "metrics.csv", index=False)
        pd.DataFrame(columns=COST_COLUMNS).to_csv(tmp_path / "cost.csv", index=False)
        experiment = {
            "experiment": "grid",
            "note": "",
            "datasets": {dataset: {"title": dataset} for dataset in SCENES},
            "protocols": {"block-gauss-s2/1": {}},
            "methods": {f"{method}/default": {"title": method, "options": {}} for method in METHODS},
        }
        (tmp_path / "experiment.json").write_text(json.dumps(experiment))
        return tmp_path, len(rows)

    return write


@pytest.mark.parametrize("seeds", [3, 12, 48])
def test_tables(benchmark, grid, seeds):
    folder, rows = grid(seeds)
    benchmark.extra_info["rows"] = rows
    benchmark.pedantic(write_tables, (folder, folder / "tables"), rounds=2)
    assert len(list((folder / "tables").glob("*.tex"))) == 9


def test_document(benchmark, grid):
    folder, _ = grid(3)
    write_tables(folder, folder / "tables")
    benchmark.pedantic(write_document, (folder, folder / "paper.tex"), rounds=1)
    assert (folder / "paper.tex").exists()
