"""Executing a run: train and fuse, each leaving a folder that the next stage reads.

A method that fails does not stop the others: its failure is written down where its result would stand, and becomes a
row of `metrics.csv` with `status=failed` and the message.
"""

import hashlib
import json
import logging
import shutil
import time
import zlib
from dataclasses import asdict
from functools import partial
from pathlib import Path

from tqdm import tqdm

from smifbench import plugins
from smifbench.degradation.pairs import load_pairs, load_problem, unavailable
from smifbench.errors import UserError
from smifbench.experiment.outcome import attempt, not_run
from smifbench.fusion.build import build_for_run
from smifbench.fusion.tiles import fuse
from smifbench.fusion.weights import save_weights, trained_weights
from smifbench.method import Recipe
from smifbench.run import Run
from smifbench.system.devices import pick_device
from smifbench.system.files import read_json, replacing_folder, write_csv, write_json
from smifbench.system.identity import file_hash
from smifbench.training.loop import HISTORY_COLUMNS, Training
from smifbench.training.patches import valid_images

logger = logging.getLogger(__name__)

NUMERIC_SOURCES = (
    "training/loop",
    "training/patches",
    "system/precision",
    "method",
    "problem",
    "fusion/scaled",
    "fusion/tiles",
    "experiment/execution",
    "fusion/build",
)
"""Modules of the package that, beside the method's own file, decide what a trained network is."""


def train_run(run: Run, pairs: Path, options: dict, recipe: Recipe, device: str, state: Path, target: Path) -> None:
    """Train the run's network on the pairs' training split and write weights, history and facts to the folder `target`.

    The half-trained state and the history so far are kept in the folder `state`, from which a killed run goes on; it is
    removed at the end.
    """
    if reason := unavailable(pairs):
        return not_run(reason, target)
    where = pick_device(device)
    problem = load_problem(pairs)
    train, validation = load_pairs(pairs, "train"), load_pairs(pairs, "val")
    if not train:
        raise UserError(f"{pairs} holds no training scene; give the data set one, or run only methods that solve")
    fingerprint = _fingerprint(run, options, recipe, [pair.data for pair in train])

    def work(folder: Path) -> dict:
        model = build_for_run(run, problem, options).to(where)
        model.fit(recipe.scaling, *valid_images(train))
        # The order of the patches is the same for every method, its initial weights are its own.
        order = zlib.crc32(f"{run.dataset}/{run.ratio}/{run.seed}".encode())
        training = Training(model, train, validation, recipe, order, state, fingerprint)
        training.run(partial(tqdm, desc=f"train {run.method}", mininterval=2, disable=None))
        save_weights(training.finished(), folder / "weights.safetensors")
        write_csv(folder / "history.csv", training.history, HISTORY_COLUMNS)
        return {
            "train_steps": training.step,
            "train_seconds": round(training.seconds, 3),
            "recipe": asdict(recipe),
            "weights": file_hash(folder / "weights.safetensors"),
        }

    attempt(run, problem, where, target, work)
    if read_json(target / "facts.json", target)["status"] == "ok":
        shutil.rmtree(state, ignore_errors=True)


def fuse_run(
    run: Run,
    pairs: Path,
    options: dict,
    device: str,
    trained: Path | None,
    target: Path,
    memory_gb: float | None = None,
) -> None:
    """Fuse the pairs' test split and write `<scene>.npy`, float32 (C, H, W), and facts to the folder `target`.

    `trained` is the folder that `train_run` wrote, or None for a method that only solves; `memory_gb` is
    the bound that `fuse` keeps.
    """
    if reason := unavailable(pairs):
        return not_run(reason, target)
    before = read_json(trained / "facts.json", trained) if trained else {}
    training = {key: before[key] for key in ("train_steps", "train_seconds") if key in before}
    where = pick_device(device)
    problem, test = load_problem(pairs), load_pairs(pairs, "test")

    def work(folder: Path) -> dict:
        model = build_for_run(run, problem, options)
        if trained:
            model.load_state_dict(trained_weights(trained, before))
        seconds = {}
        for pair in test:
            started = time.perf_counter()
            fuse(model, pair.lr_hsi, pair.hr_msi, where, memory_gb, folder / f"{pair.scene}.npy")
            seconds[pair.scene] = round(time.perf_counter() - started, 4)
        return {**training, "fuse_seconds": seconds}

    if before.get("status", "ok") != "ok":
        with replacing_folder(target) as folder:
            write_json(folder / "facts.json", before)
    else:
        attempt(run, problem, where, target, work)


def _fingerprint(run: Run, options: dict, recipe: Recipe, data: list[str]) -> str:
    """Hash of all that decides the trained weights, so that a state from other settings is not taken up."""
    sources = plugins.sources("methods", run.method)
    sources += [plugins.ROOT / "smifbench" / f"{name}.py" for name in NUMERIC_SOURCES]
    parts = [asdict(run), options, asdict(recipe), data, [file_hash(source) for source in sources]]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
