"""The worked example of docs/pandas.md: every block runs, in order, on a small results folder."""

import re

import pandas as pd
import pytest

from smifbench import plugins
from smifbench.evaluation.columns import COST_COLUMNS, METRICS_COLUMNS
from smifbench.metrics import METRICS

EXAMPLE = (plugins.ROOT / "docs" / "pandas.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", EXAMPLE, re.DOTALL)


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A folder in which `results/demo` has four methods on one scene."""
    methods = {"gsa": 44.0, "tsfn": 43.0, "psrt": 42.0, "smif_net": 45.0}
    rows = [
        {**dict.fromkeys(METRICS, psnr), "sam": 1 / psnr, "ergas": 1 / psnr, "experiment": "demo", "method": method}
        | {"dataset": "indian_pines", "protocol": "block-gauss-s2/1", "ratio": 4, "variant": "default", "seed": 0}
        | {"scene": "indian_pines_test", "status": "ok", "message": ""}
        | {"train_seconds": None if method == "gsa" else 60.0}
        for method, psnr in methods.items()
    ]
    folder = tmp_path / "results" / "demo"
    folder.mkdir(parents=True)
    pd.DataFrame(rows).reindex(columns=METRICS_COLUMNS).to_csv(folder / "metrics.csv", index=False)
    pd.DataFrame(columns=COST_COLUMNS).to_csv(folder / "cost.csv", index=False)
    monkeypatch.chdir(tmp_path)


def test_the_example_runs_and_its_frames_are_what_it_says(results, capsys):
    names: dict = {}
    for block in BLOCKS:
        exec(compile(block, "docs/pandas.md", "exec"), names)
    assert len(BLOCKS) > 8
    assert names["board"].index[0] == ("smif_net", "default")
    assert names["gain"].round(2).tolist() == [0.0, -1.0, -2.0, 1.0]
    assert len(names["audited"]) == 412
    assert set(names["tests"].verdict) == {"too few pairs: with 1 pair the smallest possible p is 1"}
    assert (names["difference"].found_in == "both").all()
    assert r"\bfseries 45.00" in capsys.readouterr().out


def test_the_remark_that_it_prints_is_the_audits(results):
    names: dict = {}
    for block in BLOCKS:
        exec(compile(block, "docs/pandas.md", "exec"), names)
        if "drop_duplicates" in block:
            expression = block.strip().splitlines()[-1]
            assert repr(eval(expression, names)) in EXAMPLE
            return
    pytest.fail("the example prints no remark")
