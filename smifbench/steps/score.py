"""Scoring a run: from its estimates to its rows of `metrics.csv`."""

from dataclasses import asdict
from pathlib import Path

import pandas as pd

from smifbench.degradation.pairs import load_pairs, scene_names
from smifbench.evaluation.columns import METRICS_COLUMNS
from smifbench.evaluation.scoring import score_pair
from smifbench.run import Run
from smifbench.system.files import read_json, replacing


def score_run(experiment: str, run: Run, pairs: Path, fused: Path, target: Path) -> None:
    """Score the run's estimates and write its rows of `metrics.csv` to the file `target`."""
    facts = read_json(fused / "facts.json", fused)
    about = {"experiment": experiment, **asdict(run)}
    about |= {key: facts.get(key) for key in ("status", "message", "train_steps", "train_seconds", "device", "code")}
    if facts["status"] == "not run":
        rows = [{**about, "scene": scene} for scene in scene_names(pairs, "test")]
    else:
        rows = [{**about, **score_pair(pair, facts, fused, run.ratio)} for pair in load_pairs(pairs, "test")]
    with replacing(target) as temporary:
        pd.DataFrame(rows).reindex(columns=METRICS_COLUMNS).to_csv(temporary, index=False)
