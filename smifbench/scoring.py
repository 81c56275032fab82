"""Scoring a run: from its estimates to its rows of `metrics.csv`."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from smifbench import metrics
from smifbench.files import read_json, replacing
from smifbench.results import METRICS_COLUMNS
from smifbench.run import Run
from smifbench.scenes import Pair, load_pairs, scene_names


def score_run(experiment: str, run: Run, pairs: Path, fused: Path, target: Path) -> None:
    """Score the run's estimates and write its rows of `metrics.csv` to the file `target`."""
    facts = read_json(fused / "facts.json")
    about = {"experiment": experiment, **asdict(run)}
    about |= {key: facts.get(key) for key in ("status", "message", "train_steps", "train_seconds", "device", "code")}
    if facts["status"] == "not run":
        rows = [{**about, "scene": scene} for scene in scene_names(pairs, "test")]
    else:
        rows = [{**about, **_score(pair, facts, fused, run.ratio)} for pair in load_pairs(pairs, "test")]
    with replacing(target) as temporary:
        pd.DataFrame(rows).reindex(columns=METRICS_COLUMNS).to_csv(temporary, index=False)


def _score(pair: Pair, facts: dict, fused: Path, ratio: int) -> dict:
    row = {"scene": pair.scene, "data": pair.data}
    if facts["status"] == "ok":
        row |= metrics.score(np.asarray(pair.hr_hsi), np.load(fused / f"{pair.scene}.npy"), ratio)
        row["fuse_seconds"] = facts["fuse_seconds"][pair.scene]
    return row
