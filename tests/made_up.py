"""A made-up experiment's results: two of the paper's data sets at both ratios, with small cubes of noise."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from prepared import write_scene

from smifbench.degradation import degrade
from smifbench.evaluation.columns import COST_COLUMNS, METRICS_COLUMNS
from smifbench.experiment.config import check_experiment
from smifbench.metrics import METRICS
from smifbench.steps import describe

CONFIG = {
    "experiment": "made_up",
    "note": "Made up: <b>noise</b> & nothing else.",
    "datasets": {"cave": {}, "wdcm": {}},
    "ratios": [4, 8],
    "seeds": [0, 1],
    "methods": {"bicubic": {}, "gsa": {}, "ssr_net": {}, "smif_net": {}},
}

NOISE = {"bicubic": 0.1, "gsa": 0.03, "ssr_net": 0.02, "smif_net": 0.01}
SHAPES = {"cave": (12, 40, 48), "wdcm": (9, 32, 32)}
TEST_SCENES = 3


def write_grid(folder: Path) -> tuple[Path, Path]:
    """Write results and pairs below `folder`; returns both folders. Training of `ssr_net` on WDCM at ratio 8 failed."""
    results, pairs = folder / "results", folder / "pairs"
    results.mkdir()
    experiment = check_experiment(CONFIG)
    about = describe.describe(experiment)
    (results / "experiment.json").write_text(json.dumps(about))
    rng = np.random.default_rng(0)
    for dataset in CONFIG["datasets"]:
        prepared = [
            _prepare(folder / "scenes" / f"{dataset}_{number}.npy", dataset, rng) for number in range(TEST_SCENES)
        ]
        for ratio in CONFIG["ratios"]:
            target = pairs / about["datasets"][dataset]["data"] / "block-gauss-s2" / "1" / f"x{ratio}"
            degrade.degrade(prepared, "block-gauss-s2/1", ratio, target)
    rows = [row for run in experiment.runs() for row in _run(run, results, folder, rng)]
    pd.DataFrame(rows).reindex(columns=METRICS_COLUMNS).to_csv(results / "metrics.csv", index=False)
    _costs(results / "cost.csv")
    return results, pairs


def reference(folder: Path, dataset: str) -> np.ndarray:
    """The first test scene of a data set."""
    return np.load(folder / "scenes" / f"{dataset}_0.npy")


def _prepare(path: Path, dataset: str, rng: np.random.Generator) -> Path:
    bands = SHAPES[dataset][0]
    decreasing = np.linspace(900, 400, bands)  # as some sensors store them
    cube = rng.random(SHAPES[dataset], np.float32)
    return write_scene(path, cube, srf=np.full((3, bands), 1 / bands), wavelengths_nm=decreasing)


def _run(run, results: Path, folder: Path, rng: np.random.Generator) -> list[dict]:
    """Write a run's estimates and history; returns its rows."""
    failed = (run.dataset, run.ratio, run.method) == ("wdcm", 8, "ssr_net")
    fused = results / "runs" / run.folder / "fused"
    fused.mkdir(parents=True)
    cells = {"experiment": "made_up", **vars(run), "status": "failed" if failed else "ok", "code": "abc1234"}
    cells |= {"message": "out of memory" if failed else "", "device": "a GPU", "data": "0123456789ab"}
    rows = []
    for number in range(TEST_SCENES):
        scene = f"{run.dataset}_{number}"
        rows.append({**cells, "scene": scene})
        if failed:
            continue
        truth = np.load(folder / "scenes" / f"{scene}.npy")
        np.save(fused / f"{scene}.npy", truth + NOISE[run.method] * rng.standard_normal(truth.shape).astype(np.float32))
        quality = -20 * np.log10(NOISE[run.method]) + rng.random()
        rows[-1] |= {name: quality if metric.higher_better else 1 / quality for name, metric in METRICS.items()}
    if run.method in ("ssr_net", "smif_net") and not failed:
        trained = results / "runs" / run.folder / "trained"
        trained.mkdir()
        history = pd.DataFrame({"step": [10, 20, 30], "val_psnr": [20.0, 25.0, 26.0 + run.seed]})
        history.to_csv(trained / "history.csv", index=False)
    return rows


def _costs(target: Path) -> None:
    networks = {"ssr_net": (26_000, 0.5), "smif_net": (5_000_000, 60.0)}
    rows = [
        {"dataset": dataset, "ratio": ratio, "method": method, "variant": "default", "height": 40, "width": 48}
        | dict(zip(("params", "gmacs"), networks.get(method, (0, None)), strict=True))
        for dataset in CONFIG["datasets"]
        for ratio in CONFIG["ratios"]
        for method in CONFIG["methods"]
    ]
    pd.DataFrame(rows).reindex(columns=COST_COLUMNS).to_csv(target, index=False)
