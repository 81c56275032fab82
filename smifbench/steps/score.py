"""Score one run's estimates."""

import argparse
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from smifbench.degradation.pairs import load_pairs, scene_names
from smifbench.evaluation.columns import METRICS_COLUMNS
from smifbench.evaluation.scoring import score_pair, sensors_of
from smifbench.run import Run
from smifbench.steps import _arguments
from smifbench.system.files import read_json, replacing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    _arguments.of_run(parser)
    parser.add_argument("--experiment", required=True)
    parser.add_argument("--fused", type=Path, required=True, help="folder of the estimates")


def run(args: argparse.Namespace) -> None:
    """Score the estimates."""
    score(args.experiment, args.run, args.pairs, args.fused, args.output)


def score(experiment: str, run: Run, pairs: Path, fused: Path, target: Path) -> None:
    """Score the run's estimates and write its rows of `metrics.csv` to the file `target`."""
    facts = read_json(fused / "facts.json", fused)
    about = {"experiment": experiment, **asdict(run)}
    about |= {key: facts.get(key) for key in ("status", "message", "train_steps", "train_seconds", "device", "code")}
    if facts["status"] == "not run":
        rows = [{**about, "scene": scene} for scene in scene_names(pairs, "test")]
    else:
        sensors = sensors_of(pairs, run.protocol, run.ratio)
        rows = [{**about, **score_pair(pair, facts, fused, run.ratio, sensors)} for pair in load_pairs(pairs, "test")]
    with replacing(target) as temporary:
        pd.DataFrame(rows).reindex(columns=METRICS_COLUMNS).to_csv(temporary, index=False)
