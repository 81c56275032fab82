"""The notebook runs, and prints what it shows: on the numbers of the README's table and the demo's own pair."""

import re

import demo
import first_hour
import nbformat
import pandas as pd
import pytest

from smifbench import plugins
from smifbench.data.scenes import prepare
from smifbench.degradation.degrade import degrade
from smifbench.evaluation.columns import METRICS_COLUMNS
from smifbench.experiment.config import load_experiment

SHOWN = nbformat.read(first_hour.NOTEBOOK, as_version=4)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A folder with the demo's pairs, and results whose metrics are those of the README."""
    folder = tmp_path_factory.mktemp("checkout")
    for part in ("docs", "results/demo"):
        (folder / part).mkdir(parents=True)
    names = {plugins.method_class(name).title: name for name in plugins.names("methods")}
    rows = []
    for line in re.findall(r"^\| (.*) \|$", demo.README.read_text(encoding="utf-8"), re.MULTILINE):
        title, *cells = line.split(" | ")
        if title in names and len(cells) == len(demo.SHOWN) + 2:
            metrics = dict(zip(demo.SHOWN, map(float, cells[: len(demo.SHOWN)]), strict=True))
            rows.append({"method": names[title], **metrics})
    cells = {"experiment": "demo", "dataset": "indian_pines", "protocol": "block-gauss-s2/1", "ratio": 4, "seed": 0}
    cells |= {"variant": "default", "scene": "indian_pines_test", "status": "ok"}
    table = pd.DataFrame(rows).assign(**cells).reindex(columns=METRICS_COLUMNS)
    table.to_csv(folder / "results" / "demo" / "metrics.csv", index=False)
    dataset = load_experiment(plugins.ROOT / "config" / "demo.yaml").build_dataset("indian_pines")
    scenes = [folder / "scenes" / f"{scene}.npy" for scene in dataset.scenes()]
    for path in scenes:
        prepare(dataset, "indian_pines", path.stem, folder, path)
    degrade(scenes, "block-gauss-s2/1", 4, folder / "data" / "pairs" / "indian_pines" / "block-gauss-s2" / "1" / "x4")
    return folder


def test_the_notebook_prints_what_it_shows(checkout):
    printed = first_hour.executed(checkout)
    for now, kept in zip(printed.cells, SHOWN.cells, strict=True):
        assert now.get("outputs") == kept.get("outputs"), "run `python maintenance/first_hour.py` after `make demo`"
    text = nbformat.writes(printed)
    assert "mean_detail" in text
    assert r"\\bfseries" in text
