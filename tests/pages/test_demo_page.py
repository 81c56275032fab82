"""The README's table of the demo is what maintenance/demo.py makes of results."""

import re

import demo
import pandas as pd

from smifbench.evaluation.columns import COST_COLUMNS, METRICS_COLUMNS
from smifbench.system.files import write_json


def test_the_readmes_numbers_give_the_readmes_table(tmp_path):
    shown = (
        re.search(r"\| training steps \|\n\| --- .*?\n(.*?)\n\n", demo.README.read_text(), re.DOTALL).group(1) + "\n"
    )
    rows, costs, titles = [], [], {}
    for number, line in enumerate(shown.splitlines()):
        title, *metrics, parameters, steps = line[2:-2].split(" | ")
        method = {"method": f"method_{number}", "variant": "default", "dataset": "indian_pines", "ratio": 4}
        rows.append(method | dict(zip(demo.SHOWN, map(float, metrics), strict=True)) | {"train_steps": steps})
        rows[-1] |= {"experiment": "demo", "protocol": "p/1", "seed": 0, "scene": "test", "status": "ok"}
        costs.append(method | {"params": float(parameters.removesuffix(" M") or 0) * 1e6})
        titles[f"method_{number}/default"] = {"title": title}
    pd.DataFrame(rows).reindex(columns=METRICS_COLUMNS).to_csv(tmp_path / "metrics.csv", index=False)
    pd.DataFrame(costs).reindex(columns=COST_COLUMNS).to_csv(tmp_path / "cost.csv", index=False)
    write_json(tmp_path / "experiment.json", {"methods": titles})
    assert demo.table(tmp_path) == shown


def test_a_new_table_takes_the_place_of_the_old_one_alone(tmp_path, monkeypatch):
    page = tmp_path / "README.md"
    page.write_text(demo.README.read_text())
    monkeypatch.setattr(demo, "README", page)
    monkeypatch.setattr(demo, "table", lambda results: "| Bicubic | anew |\n")
    monkeypatch.setattr(demo.subprocess, "run", lambda *args, **kwargs: None)
    before = page.read_text().splitlines()
    demo.main()
    after = page.read_text().splitlines()
    place = after.index("| Bicubic | anew |")
    left = len(after) - place - 1
    assert after == [*before[:place], "| Bicubic | anew |", *before[-left:]]
    assert before[place].startswith("| Bicubic | ")
    assert before[-left] == ""
