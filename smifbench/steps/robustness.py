"""Test a trained method, or a solver, on images from other protocols and ratios.

Nothing is trained. A network keeps its weights, a solver keeps the PSF and the response of the training's protocol, and
the test scenes are simulated anew under each other protocol, in memory.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from smifbench import metrics, plugins
from smifbench.data.missing import blocks_with_missing
from smifbench.data.scenes import missing_of
from smifbench.degradation.degrade import response_under, simulate_prepared
from smifbench.degradation.pairs import data_id, load_problem, scene_names, unavailable
from smifbench.degradation.protocol import get_protocol
from smifbench.degradation.sensors import Sensors
from smifbench.errors import MachineError, UserError
from smifbench.evaluation.columns import METRICS_COLUMNS
from smifbench.experiment.outcome import outcome
from smifbench.fusion.build import RunMethod
from smifbench.fusion.scaled import ScaledNetwork
from smifbench.fusion.tiles import fuse
from smifbench.method import FusionMethod
from smifbench.problem import FusionProblem
from smifbench.steps import _arguments
from smifbench.system.devices import device_name, pick_device
from smifbench.system.files import read_json, replacing
from smifbench.system.identity import code_id
from smifbench.system.precision import be_exact

COLUMNS = [*METRICS_COLUMNS, "trained_on", "rmse_blocks", "rmse_detail", "attempt"]
"""Columns of a robustness experiment's `metrics.csv`: `protocol` and `ratio` are those of the test, `trained_on` says
protocol and ratio of the training, or of what a solver is told. `rmse_blocks` is the error of the means over LR pixels,
`rmse_detail` that of what lies within them; their squares add up to that of `rmse`. `attempt` counts the runs."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    _arguments.of_run(parser)
    _arguments.of_network(parser)
    _arguments.of_fusing(parser)
    parser.add_argument("--experiment", required=True)
    parser.add_argument("--tests", type=json.loads, required=True, help="protocol and ratio of each test as JSON")
    parser.add_argument("--prepared", type=Path, required=True, help="folder of the prepared scenes")


def run(args: argparse.Namespace) -> None:
    """Make the tests and write their rows."""
    be_exact()
    method = RunMethod(args.run, args.options, args.trained)
    bench = Bench(method, args.pairs, args.prepared, pick_device(args.device), args.memory_gb)
    about = {"experiment": args.experiment, "attempt": args.attempt}
    rows = [{**about, **row} for row in bench.rows(args.tests)]
    with replacing(args.output) as temporary:
        pd.DataFrame(rows).reindex(columns=COLUMNS).to_csv(temporary, index=False)


@dataclass(frozen=True)
class Bench:
    """A run's method, the pairs of its training, and the prepared scenes on which it is tested.

    `memory_gb` is the bound that fusing keeps, see `smifbench.fusion.tiles.fuse`.
    """

    method: RunMethod
    pairs: Path
    prepared: Path
    device: torch.device
    memory_gb: float | None = None

    def rows(self, tests: Sequence[tuple[str, int]]) -> list[dict]:
        """Fuse and score every test scene under the protocol and ratio of each test; a row each."""
        scenes = scene_names(self.pairs, "test")
        return [{**self._about, **self._row(*test, scene)} for test in tests for scene in scenes]

    @cached_property
    def _facts(self) -> dict:
        """What became of the training; of a method that solves, that it needs none."""
        if reason := unavailable(self.pairs):
            return {"status": "not run", "message": reason}
        trained = self.method.trained
        return read_json(trained / "facts.json", trained) if trained else {"status": "ok", "message": ""}

    @cached_property
    def _about(self) -> dict:
        run = self.method.run
        training = {key: self._facts[key] for key in ("train_steps", "train_seconds") if key in self._facts}
        told = {"trained_on": f"{run.protocol}/x{run.ratio}"}
        code = code_id(*plugins.sources("methods", run.method))
        return asdict(run) | told | training | {"device": device_name(self.device), "code": code}

    @cached_property
    def _built(self) -> dict[int, tuple[FusionProblem, FusionMethod | ScaledNetwork]]:
        """The method at each ratio that was asked for, and the problem as it knows it."""
        return {}

    def _build(self, ratio: int) -> tuple[FusionProblem, FusionMethod | ScaledNetwork]:
        """Return the problem and the method at a ratio; raises UserError where the method or its weights do not fit."""
        if ratio not in self._built:
            run, problem = self.method.run, load_problem(self.pairs)
            if ratio != run.ratio:
                problem = replace(problem, ratio=ratio, psf=get_protocol(run.protocol).psf(ratio))
            if reason := self.method.reason_to_skip(problem):
                raise UserError(reason)
            self._built[ratio] = problem, self.method.build(problem)
        return self._built[ratio]

    def _row(self, protocol: str, ratio: int, scene: str) -> dict:
        names = {"protocol": protocol, "ratio": ratio, "scene": scene}
        if self._facts["status"] != "ok":
            return names | {key: self._facts[key] for key in ("status", "message")}
        try:
            problem, model = self._build(ratio)
            images = simulate_prepared(self.prepared / f"{scene}.npy", get_protocol(protocol), ratio)
            if len(images.hr_msi) != problem.msi_bands:
                raise UserError(
                    f"the MSI has {len(images.hr_msi)} bands under {protocol}, and {problem.msi_bands} in training"
                )
        except MachineError:  # a damaged file is nothing of the method's
            raise
        except UserError as error:  # the test does not apply to this method or scene
            return names | {"status": "skipped", "message": str(error)}

        def work() -> dict:
            started = time.perf_counter()
            estimate = fuse(model, images.lr_hsi, images.hr_msi, self.device, self.memory_gb)
            seconds = round(time.perf_counter() - started, 4)
            sidecar = read_json(self.prepared / f"{scene}.json")
            missing, tested = missing_of(sidecar), get_protocol(protocol)
            sensors = Sensors.of(tested, ratio, response_under(tested, sidecar))
            observed = sensors.observed(images.lr_hsi, images.hr_msi, missing) if sensors else {}
            scores = metrics.score(images.hr_hsi, estimate, ratio, missing, **observed)
            parts = error_parts(images.hr_hsi, estimate.clip(0, 1), ratio, missing)
            data = data_id([*images, *([] if missing is None else [missing])])
            gaps = {"pixels_missing": 0 if missing is None else int(missing.sum())}
            told = {"message": self._facts.get("message", "")}
            return {**told, "data": data, "fuse_seconds": seconds, **scores, **parts, **gaps}

        return names | outcome(work, protocol)


def error_parts(
    hr_hsi: np.ndarray, estimate: np.ndarray, ratio: int, missing: np.ndarray | None = None
) -> dict[str, float]:
    """Return the RMSE of the means over LR pixels and that of the detail within them, which say where errors arise.

    LR pixels on whose ground a pixel is `missing` (H, W) count in neither.
    """
    bands, height, width = hr_hsi.shape
    error = (estimate.astype(np.float64) - hr_hsi).reshape(bands, height // ratio, ratio, width // ratio, ratio)
    if missing is not None:
        error = error.transpose(0, 1, 3, 2, 4)[:, ~blocks_with_missing(missing, ratio), None].transpose(0, 1, 3, 2, 4)
    means = error.mean((2, 4), keepdims=True)
    parts = {"rmse_blocks": means, "rmse_detail": error - means}
    return {name: float(np.sqrt(np.square(part).mean())) for name, part in parts.items()}
