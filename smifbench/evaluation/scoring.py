"""Scores the estimate of one scene, after a check that the files of the scene are undamaged."""

from pathlib import Path

import numpy as np

from smifbench import metrics
from smifbench.degradation.pairs import Pair, data_id, load_problem, unavailable
from smifbench.degradation.sensors import Sensors
from smifbench.errors import DamagedFile
from smifbench.system.files import whole


def sensors_of(pairs: Path, protocol: str, ratio: int) -> Sensors | None:
    """Return the sensors behind a folder of pairs; None where it holds none, or they do not make its images."""
    from smifbench.degradation.protocol import get_protocol

    return None if unavailable(pairs) else Sensors.of(get_protocol(protocol), ratio, load_problem(pairs).srf)


def score_pair(pair: Pair, facts: dict, fused: Path, ratio: int, sensors: Sensors | None = None) -> dict:
    """Return what a row of `metrics.csv` says of one scene: its data id, the metrics of its estimate, the time taken.

    A scene that failed by itself has its status and reason. Without `sensors` nothing is said of the consistency with
    the pair. Raises DamagedFile when the pair or the estimate is not whole any more.
    """
    check_pair(pair)
    row: dict[str, object] = {"scene": pair.scene, "data": pair.data}
    if reason := facts.get("failed_scenes", {}).get(pair.scene):
        row |= {"status": "failed", "message": reason}
    elif facts["status"] == "ok":
        path = fused / f"{pair.scene}.npy"
        with whole(path, fused):
            estimate = np.load(path)
        observed = sensors.observed(pair.lr_hsi, pair.hr_msi, pair.missing) if sensors else {}
        row |= metrics.score(np.asarray(pair.hr_hsi), estimate, ratio, pair.missing, **observed)
        row["pixels_missing"] = pair.pixels_missing
        row["fuse_seconds"] = facts.get("fuse_seconds", {}).get(pair.scene)  # none where it was fused elsewhere
    return row


def check_pair(pair: Pair) -> None:
    """Hash a pair's values; raises DamagedFile where they are not those that were simulated."""
    found = data_id(pair.images)
    if found != pair.data:
        raise DamagedFile(
            f"the images of scene {pair.scene} have the hash {found} and not {pair.data}, with which they were "
            "simulated; delete their folder under data/pairs and their file under data/scenes, and run snakemake"
        )
