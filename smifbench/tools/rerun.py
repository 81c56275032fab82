"""Running a method once more on a data set's test scenes, and holding stated rows against what comes out."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from smifbench.data.scenes import prepare
from smifbench.dataset import DataSet
from smifbench.degradation.degrade import degrade
from smifbench.fusion.build import RunMethod
from smifbench.metrics import METRICS
from smifbench.run import Run
from smifbench.steps.fuse import fuse
from smifbench.tools.verification import Verdict, complain

TOLERANCE = 1e-6
"""Largest relative difference: estimates are computed anew too, and another processor adds in another order."""

STATED = ["scene", "data", *METRICS, "pixels_missing"]
"""Columns of a row that do not depend on the machine."""


def run_again(
    work: Path,
    dataset: DataSet,
    run: Run,
    options: dict,
    rows: list[dict],
    threads: int,
    table: str,
    bring_weights: Callable[[Path], None] | None = None,
) -> list[Verdict]:
    """Prepare and degrade the test scenes, fuse them, score, and compare with `rows`.

    Parameters
    ----------
    work
        Folder to work in. Scenes and pairs that a former call left there are taken as they are.
    dataset
        The data set, whose files are there.
    run, options
        The run, and the options of its method.
    rows
        For each test scene what is stated, of the columns `STATED` those that are known.
    threads
        Number of CPU threads that fuse.
    table
        What a complaint calls the place that states the rows.
    bring_weights
        Writes a finished training to a folder; None for a method that solves.

    Returns
    -------
    list of Verdict
        One for each row.
    """
    scenes = [work / "scenes" / run.dataset / f"{row['scene']}.npy" for row in rows]
    pairs = work / "pairs" / run.dataset / run.protocol / f"x{run.ratio}"
    with _threads(threads):
        for path in scenes:
            if not path.exists():
                prepare(dataset, run.dataset, path.stem, work / "raw" / run.dataset, path)
        if not pairs.exists():
            degrade(scenes, run.protocol, run.ratio, pairs)
        place = work / "runs" / run.folder
        trained = place / "trained" if bring_weights else None
        if bring_weights:
            bring_weights(place / "trained")
        fuse(RunMethod(run, options, trained), pairs, place / "fused")
        ok = {"status": "ok", "message": ""}
        return [
            Verdict(f"{run.folder}, {row['scene']}", complain(ok | row, run, work, pairs, table, TOLERANCE))
            for row in rows
        ]


def cpu_threads(device: str) -> int:
    """Return the number of threads in a CPU's name as `device_name` gives it; 0 for a GPU."""
    found = re.search(r", (\d+) threads?$", device)
    return int(found[1]) if found else 0


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Let torch compute with so many threads inside the block: another number adds in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
