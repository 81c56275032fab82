"""Make an entry of the zoo from a finished results folder: `python maintenance/zoo.py results/cave_cpu lla_net 4`.

Weights and card are written to `zoo/`, see `smifbench/fusion/zoo.py`; an entry of that name is replaced.
"""

import argparse
import json
import re
import shutil
import sys
from pathlib import Path

import pandas as pd

from smifbench.degradation.protocol import get_protocol
from smifbench.errors import UserError
from smifbench.evaluation.results import load_results, run_of
from smifbench.fusion import zoo
from smifbench.fusion.trained import Trained, find_trained
from smifbench.run import Run
from smifbench.system.files import read_json, replacing, write_text
from smifbench.system.identity import file_hash
from smifbench.tools.rerun import STATED, cpu_threads


def main(arguments: list[str] | None = None) -> int:
    """Make the entry; returns 2 where it is refused."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="results of an experiment, with its runs")
    parser.add_argument("method")
    parser.add_argument("ratio", type=int)
    parser.add_argument("--variant", default="default")
    for key, kind in (("dataset", str), ("protocol", str), ("seed", int)):
        parser.add_argument(f"--{key}", type=kind, help="needed where several were trained")
    args = vars(parser.parse_args(arguments))
    try:
        entry = make(args.pop("results"), **args)
    except UserError as error:
        print(f"zoo: {error}", file=sys.stderr)
        return 2
    print(f"wrote {entry.path} ({entry.path.stat().st_size / 1e6:.2f} MB) and its card")
    return 0


def make(results: Path, method: str, ratio: int, variant: str = "default", **wanted: str | int | None) -> zoo.Entry:
    """Write the entry of the one training that is asked for, and return it; raises UserError where it cannot ship."""
    trained = find_trained(results, method, variant, ratio=ratio, **wanted)
    rows = _rows(results, trained.run)
    card = _card(trained, rows, read_json(results / "experiment.json"))
    for code in card["code"].values():
        if re.search(r"dirty|unknown|\+|^$", code):
            raise UserError(f"{trained.folder} was made by code '{code}', which is no commit; commit and run it again")
    weights = trained.folder / "weights.safetensors"
    if file_hash(weights) != card["weights"]:
        raise UserError(f"{weights} is not what its facts.json describes; train again")
    if get_protocol(trained.run.protocol).scaling != "none":
        raise UserError(f"{trained.run.protocol} stretches by all scenes, and `verify --zoo` reads those of test alone")
    if not card["fusing"]["threads"]:
        raise UserError(f"{trained.run.folder} was fused on a GPU, and `verify --zoo` computes on a CPU; fuse it there")
    name = _name(trained.run)
    with replacing(zoo.ZOO / f"{name}.safetensors") as temporary:
        shutil.copyfile(weights, temporary)
    write_text(zoo.ZOO / f"{name}.json", _as_text(card))
    return zoo.find(name)


def _name(run: Run) -> str:
    method = run.method if run.variant == "default" else f"{run.method}-{run.variant}"
    return f"{method}-{run.dataset}-x{run.ratio}"


def _rows(results: Path, run: Run) -> pd.DataFrame:
    """The run's rows of `metrics.csv`, all with a result."""
    df = load_results(results)
    rows = df[[run_of(row) == run for row in df.itertuples()]]
    if rows.empty or set(rows.status) != {"ok"} or rows.code.nunique() > 1:
        raise UserError(f"{results}/metrics.csv has no complete result of {run.folder} by one code; run its experiment")
    return rows


def _card(trained: Trained, rows: pd.DataFrame, experiment: dict) -> dict:
    run, facts = trained.run, read_json(trained.folder / "facts.json")
    data = experiment["datasets"][run.dataset]
    return {
        "title": experiment["methods"][f"{run.method}/{run.variant}"]["title"],
        "experiment": experiment["experiment"],
        "run": vars(run),
        "options": trained.options,
        "data": {
            "title": data["title"],
            "reader": data["reader"],
            "options": {key: value for key, value in data["options"].items() if key != "folder"},
        },
        "problem": trained.problem.as_json(),
        "training": {
            "recipe": facts["recipe"],
            "steps": facts["train_steps"],
            "seconds": facts["train_seconds"],
            "device": facts["device"],
            "torch": facts["torch"],
        },
        "fusing": {"device": rows.device.iloc[0], "threads": cpu_threads(rows.device.iloc[0])},
        "code": {"train": facts["code"], "fuse": rows.code.iloc[0]},
        "weights": facts["weights"],
        "rows": [row.dropna().to_dict() for _, row in rows[STATED].iterrows()],
    }


def _as_text(card: dict) -> str:
    """Return indented JSON with each list of numbers on one line."""
    text = json.dumps(card, indent=2, ensure_ascii=False, allow_nan=False)
    return re.sub(r"\[[\s\d.,e+-]+\]", lambda found: "[" + " ".join(found[0][1:-1].split()) + "]", text) + "\n"


if __name__ == "__main__":
    sys.exit(main())
