"""Fuse the test scenes with one method."""

import argparse
import time
from pathlib import Path

from smifbench.degradation.pairs import load_pairs, load_problem, unavailable
from smifbench.experiment.outcome import conditions, write_outcome, write_reason
from smifbench.fusion.build import RunMethod
from smifbench.fusion.tiles import fuse as fuse_pair
from smifbench.steps import _arguments
from smifbench.system.devices import pick_device
from smifbench.system.files import read_json, replacing_folder, write_json
from smifbench.system.precision import be_exact


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    _arguments.of_run(parser)
    _arguments.of_network(parser)
    _arguments.of_fusing(parser)


def run(args: argparse.Namespace) -> None:
    """Fuse the scenes."""
    be_exact()
    method = RunMethod(args.run, args.options, args.trained)
    fuse(method, args.pairs, args.output, args.device, args.memory_gb, args.attempt)


def fuse(
    method: RunMethod,
    pairs: Path,
    target: Path,
    device: str = "cpu",
    memory_gb: float | None = None,
    attempt: int = 1,
) -> None:
    """Fuse the pairs' test split and write `<scene>.npy`, float32 (C, H, W), and `facts.json` to the folder `target`.

    Parameters
    ----------
    method
        The run, the options of its method and, for a network, the folder of its training. What failed or was skipped
        there is written down here again.
    pairs
        Folder of the pairs.
    target
        Folder to write to.
    device
        "auto", "cpu" or "cuda".
    memory_gb
        Bound that fusing keeps, see `smifbench.fusion.tiles.fuse`.
    attempt
        Number of the attempt, written down.
    """
    before = read_json(method.trained / "facts.json", method.trained) if method.trained else {"status": "ok"}
    if before["status"] != "ok":
        with replacing_folder(target) as folder:
            return write_json(folder / "facts.json", {**before, "attempt": attempt})
    where = pick_device(device)
    about = conditions(method.run.method, where, attempt)
    if absent := unavailable(pairs):
        return write_reason(target, "not run", absent, about)
    problem = load_problem(pairs)
    if reason := method.reason_to_skip(problem):
        return write_reason(target, "skipped", reason, about)

    def work(folder: Path) -> dict:
        model = method.build(problem)
        seconds = {}
        for pair in load_pairs(pairs, "test"):
            started = time.perf_counter()
            fuse_pair(model, pair.lr_hsi, pair.hr_msi, where, memory_gb, folder / f"{pair.scene}.npy")
            seconds[pair.scene] = round(time.perf_counter() - started, 4)
        training = {key: before[key] for key in ("message", "train_steps", "train_seconds") if key in before}
        return {**training, "fuse_seconds": seconds}

    write_outcome(target, about, work, method.run.folder)
