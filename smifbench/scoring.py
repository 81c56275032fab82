"""Scoring a run: from its estimates to its rows of `metrics.csv`."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from smifbench import metrics
from smifbench.files import read_json, replacing, whole
from smifbench.results import METRICS_COLUMNS
from smifbench.run import Run
from smifbench.scenes import Pair, check_pair, load_pairs, scene_names


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


def score_pair(pair: Pair, facts: dict, fused: Path, ratio: int) -> dict:
    """Return what a row of `metrics.csv` says of one scene: its data id, the metrics of its estimate, the time taken.

    Raises DamagedFile when the pair or the estimate is not whole any more.
    """
    check_pair(pair)
    row = {"scene": pair.scene, "data": pair.data}
    if facts["status"] == "ok":
        path = fused / f"{pair.scene}.npy"
        with whole(path, fused):
            estimate = np.load(path)
        row |= metrics.score(np.asarray(pair.hr_hsi), estimate, ratio)
        row["fuse_seconds"] = facts["fuse_seconds"][pair.scene]
    return row
