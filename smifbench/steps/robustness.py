"""Robustness: what a trained network or a solver makes of images that arose otherwise than it was trained on or told.

Nothing is trained. The network keeps its weights, the solver keeps the PSF and the response of the training protocol,
and the test scenes are simulated anew under each other protocol, in memory.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from smifbench import metrics, plugins
from smifbench.data.missing import blocks_with_missing
from smifbench.data.scenes import missing_of
from smifbench.degradation.degrade import simulate_prepared
from smifbench.degradation.pairs import data_id, load_problem, scene_names, unavailable
from smifbench.degradation.protocol import get_protocol
from smifbench.errors import MachineError, UserError
from smifbench.evaluation.columns import METRICS_COLUMNS
from smifbench.fusion import build
from smifbench.fusion.scaled import ScaledNetwork
from smifbench.fusion.tiles import fuse
from smifbench.fusion.weights import load_weights
from smifbench.method import FusionMethod
from smifbench.problem import FusionProblem
from smifbench.run import Run
from smifbench.system.devices import device_name, pick_device
from smifbench.system.files import read_json, replacing, whole
from smifbench.system.identity import code_id, file_hash

logger = logging.getLogger(__name__)

COLUMNS = [*METRICS_COLUMNS, "trained_on", "rmse_blocks", "rmse_detail"]
"""Columns of a robustness experiment's `metrics.csv`: `protocol` and `ratio` are those of the test, `trained_on` says
protocol and ratio of the training, or of what a solver is told. `rmse_blocks` is the error of the means over LR pixels,
`rmse_detail` that of what lies within them; their squares add up to that of `rmse`."""

Told = Callable[[int], tuple[FusionProblem, FusionMethod | ScaledNetwork]]
"""The problem at a ratio as a method knows it, and the method; raises UserError where it cannot be built."""


def run_tests(
    experiment: str,
    run: Run,
    tests: Sequence[tuple[str, int]],
    prepared: Path,
    pairs: Path,
    options: dict,
    device: str,
    trained: Path | None,
    target: Path,
    memory_gb: float | None = None,
) -> None:
    """Fuse and score the test scenes of a run under other protocols and ratios; write the rows to the file `target`.

    Parameters
    ----------
    experiment, run
        Names in the rows; the run's protocol and ratio are those of the training.
    tests
        Protocol id and ratio of each test.
    prepared, pairs
        Folders of the prepared scenes, and of the pairs of the training.
    options, device
        Of the method.
    trained
        Folder that `smifbench.experiment.execution.train_run` wrote, or None for a method that solves.
    memory_gb
        Bound that fusing keeps, see `smifbench.fusion.tiles.fuse`.
    """
    where = pick_device(device)
    facts = read_json(trained / "facts.json", trained) if trained else {}
    about = {"experiment": experiment, **asdict(run), "trained_on": f"{run.protocol}/x{run.ratio}"}
    about |= {key: facts[key] for key in ("train_steps", "train_seconds") if key in facts}
    about |= {"device": device_name(where), "code": code_id()}
    absent = unavailable(pairs)
    status = {"status": "not run", "message": absent} if absent else facts

    @cache
    def told(ratio: int) -> tuple[FusionProblem, FusionMethod | ScaledNetwork]:
        problem = _problem_at(load_problem(pairs), run, ratio)
        return problem, _build(run, problem, options, trained)

    rows = []
    for protocol, ratio in tests:
        for scene in scene_names(pairs, "test"):
            row = {**about, "protocol": protocol, "ratio": ratio, "scene": scene}
            if status.get("status", "ok") == "ok":
                row |= _test(protocol, ratio, prepared / f"{scene}.npy", told, where, memory_gb)
            else:
                row |= {key: status[key] for key in ("status", "message")}
            rows.append(row)
    with replacing(target) as temporary:
        pd.DataFrame(rows).reindex(columns=COLUMNS).to_csv(temporary, index=False)


def _test(protocol: str, ratio: int, scene: Path, told: Told, device: torch.device, memory_gb: float | None) -> dict:
    """Status, message and metrics of one scene under one protocol."""
    try:
        problem, model = told(ratio)
        hr_hsi, lr_hsi, hr_msi = images = simulate_prepared(scene, get_protocol(protocol), ratio)
        if len(hr_msi) != problem.msi_bands:
            raise UserError(f"the MSI has {len(hr_msi)} bands under {protocol}, and {problem.msi_bands} in training")
    except MachineError:  # a damaged file is nothing of the method's
        raise
    except UserError as error:  # the test does not apply to this method or scene
        return {"status": "skipped", "message": str(error)}
    try:
        started = time.perf_counter()
        estimate = fuse(model, lr_hsi, hr_msi, device, memory_gb)
        seconds = round(time.perf_counter() - started, 4)
    except (OSError, MemoryError, torch.OutOfMemoryError, MachineError):
        raise  # the machine failed, not the method
    except Exception as error:  # a plug-in may raise anything; its failure is a result, told in its row
        logger.exception("%s", protocol)
        kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
        return {"status": "failed", "message": f"{kind}{error}".splitlines()[0]}
    missing = missing_of(read_json(scene.with_suffix(".json")))
    scores = metrics.score(hr_hsi, estimate, ratio, missing) | _parts(hr_hsi, estimate.clip(0, 1), ratio, missing)
    about = {"data": data_id(images), "fuse_seconds": seconds, "pixels_missing": 0}
    if missing is not None:
        about |= {"data": data_id([*images, missing]), "pixels_missing": int(missing.sum())}
    return {"status": "ok", "message": "", **about, **scores}


def _parts(hr_hsi: np.ndarray, estimate: np.ndarray, ratio: int, missing: np.ndarray | None) -> dict[str, float]:
    """Error of the means over LR pixels and of the detail within them, which say where an error came from.

    LR pixels on whose ground a pixel is missing count in neither.
    """
    bands, height, width = hr_hsi.shape
    error = (estimate.astype(np.float64) - hr_hsi).reshape(bands, height // ratio, ratio, width // ratio, ratio)
    if missing is not None:
        error = error.transpose(0, 1, 3, 2, 4)[:, ~blocks_with_missing(missing, ratio), None].transpose(0, 1, 3, 2, 4)
    means = error.mean((2, 4), keepdims=True)
    parts = {"rmse_blocks": means, "rmse_detail": error - means}
    return {name: float(np.sqrt(np.square(part).mean())) for name, part in parts.items()}


def _problem_at(problem: FusionProblem, run: Run, ratio: int) -> FusionProblem:
    """The training's problem, with the PSF that its protocol has at another ratio."""
    return problem if ratio == run.ratio else replace(problem, ratio=ratio, psf=get_protocol(run.protocol).psf(ratio))


def _build(run: Run, problem: FusionProblem, options: dict, trained: Path | None) -> FusionMethod | ScaledNetwork:
    """The method as the run has it; raises UserError where it does not take the problem, or its weights do not."""
    cls = plugins.method_class(run.method)
    if reason := cls.skip(problem):
        raise UserError(reason)
    if "seed" in plugins.method_options(cls):
        options = {"seed": run.seed, **options}
    method = build.build_method(run.method, problem, **options)
    if trained is None:
        return method
    network, path = ScaledNetwork(method), trained / "weights.safetensors"
    with whole(path, trained):
        if file_hash(path) != read_json(trained / "facts.json", trained)["weights"]:
            raise ValueError("its hash is not the one that was written down")
    load_weights(network, path)
    return network
