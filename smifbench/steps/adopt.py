"""Take estimates that were made elsewhere as a run's own."""

import argparse
import hashlib
import json
import logging
from pathlib import Path

import numpy as np

from smifbench.degradation.pairs import Pair, load_pairs, load_problem, unavailable
from smifbench.errors import MachineError, UserError
from smifbench.evaluation.columns import EXTERNAL
from smifbench.evaluation.estimates import (
    PLAIN,
    Reading,
    file_of_scene,
    files_of_scene,
    read_estimate,
)
from smifbench.experiment.outcome import write_reason
from smifbench.run import Run
from smifbench.steps import _arguments
from smifbench.system.files import replacing_folder, write_json
from smifbench.system.identity import file_hash


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    _arguments.of_run(parser)
    parser.add_argument("--estimates", type=Path, required=True, help="folder of the estimates, a file a scene")
    parser.add_argument("--reading", type=json.loads, default={}, help="how the files are read, as JSON")


def run(args: argparse.Namespace) -> None:
    """Read, check and keep the estimates."""
    adopt(args.run, args.pairs, args.estimates, args.output, Reading(**args.reading))


def adopt(run: Run, pairs: Path, folder: Path, target: Path, reading: Reading = PLAIN) -> None:
    """Write `<scene>.npy` of every test scene whose estimate is in `folder`, and `facts.json`, to the folder `target`.

    A scene without a usable estimate is a failure of its own, with a sentence under `failed_scenes`; the others count.
    """
    about: dict[str, object] = {"device": EXTERNAL, "code": EXTERNAL, "attempt": 1}
    if absent := unavailable(pairs):
        return write_reason(target, "not run", absent, about)
    wavelengths_nm = load_problem(pairs).wavelengths_nm
    failed, hashes = {}, {}

    def estimate_of(pair: Pair) -> np.ndarray:
        path = file_of_scene(folder, pair.scene)
        hashes[pair.scene] = {file.name: file_hash(file) for file in files_of_scene(folder, pair.scene)[path]}
        return read_estimate(path, pair.hr_hsi, pair.missing, wavelengths_nm, reading)

    with replacing_folder(target) as kept:
        for pair in load_pairs(pairs, "test"):
            try:
                np.save(kept / f"{pair.scene}.npy", estimate_of(pair))
            except MachineError:  # a damaged pair is nothing of the estimate's
                raise
            except UserError as error:
                logging.warning("%s: %s", run.folder, error)
                failed[pair.scene] = str(error)
        digits = hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()[:12]
        about["code"] = f"{EXTERNAL}:{digits}" if hashes else EXTERNAL
        about |= {"status": "ok", "message": "", "failed_scenes": failed, "files": hashes}
        write_json(kept / "facts.json", about)
