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
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file
from tqdm import tqdm

from smifbench import plugins
from smifbench.devices import device_name, pick_device
from smifbench.errors import MachineError, UserError
from smifbench.files import file_hash, read_json, replacing_folder, whole, write_csv, write_json
from smifbench.inference import fuse
from smifbench.method import PAPER_RECIPE, FusionMethod, Recipe
from smifbench.problem import FusionProblem
from smifbench.revision import code_id
from smifbench.run import Run
from smifbench.scaling import ScaledNetwork, save_weights
from smifbench.scenes import load_pairs, load_problem, unavailable
from smifbench.training import HISTORY_COLUMNS, Training

logger = logging.getLogger(__name__)

NUMERIC_SOURCES = ("training", "patches", "numerics", "method", "problem", "scaling", "inference", "execution")
"""Modules of the package that, beside the method's own file, decide what a trained network is."""


def resolve_recipe(method: str, base: str, *changes: dict) -> Recipe:
    """Return the recipe called `base` ("paper" or "authors") for a method, with `changes` made in their order."""
    recipe = PAPER_RECIPE if base == "paper" else plugins.method_class(method).recipe
    for change in changes:
        if {"epochs", "steps", "seconds"} & change.keys():
            change = {"steps": None, "seconds": None, **change}  # a budget takes the place of one of another kind
        recipe = replace(recipe, **change)
    return recipe


def train_run(run: Run, pairs: Path, options: dict, recipe: Recipe, device: str, state: Path, target: Path) -> None:
    """Train the run's network on the pairs' training split and write weights, history and facts to the folder `target`.

    The half-trained state and the history so far are kept in the folder `state`, from which a killed run goes on; it is
    removed at the end.
    """
    if reason := unavailable(pairs):
        return _not_run(reason, target)
    where = pick_device(device)
    problem = load_problem(pairs)
    train, validation = load_pairs(pairs, "train"), load_pairs(pairs, "val")
    if not train:
        raise UserError(f"{pairs} holds no training scene; give the data set one, or run only methods that solve")
    fingerprint = _fingerprint(run, options, recipe, [pair.data for pair in train])

    def work(folder: Path) -> dict:
        model = _build(run, problem, options).to(where)
        lr_hsi, hr_msi = [torch.tensor(pair.lr_hsi) for pair in train], [torch.tensor(pair.hr_msi) for pair in train]
        model.fit(recipe.scaling, lr_hsi, hr_msi)
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

    _attempt(run, problem, where, target, work)
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
        return _not_run(reason, target)
    before = read_json(trained / "facts.json", trained) if trained else {}
    training = {key: before[key] for key in ("train_steps", "train_seconds") if key in before}
    where = pick_device(device)
    problem, test = load_problem(pairs), load_pairs(pairs, "test")

    def work(folder: Path) -> dict:
        model = _build(run, problem, options)
        if trained:
            model.load_state_dict(_weights(trained, before))
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
        _attempt(run, problem, where, target, work)


def _build(run: Run, problem: FusionProblem, options: dict) -> ScaledNetwork | FusionMethod:
    """Build the method with weights that the run's seed decides; a network comes behind its scaling."""
    torch.manual_seed(zlib.crc32(f"{run.method}/{run.variant}/{run.seed}".encode()))
    if "seed" in plugins.method_options(plugins.method_class(run.method)):
        options = {"seed": run.seed, **options}
    method = plugins.build_method(run.method, problem, **options)
    return ScaledNetwork(method) if method.trainable else method


def _weights(trained: Path, facts: dict) -> dict[str, torch.Tensor]:
    """Load what was trained; raises DamagedFile where it is not what was written."""
    path = trained / "weights.safetensors"
    with whole(path, trained):
        if file_hash(path) != facts["weights"]:
            raise ValueError("its hash is not the one that was written down")
        return load_file(path)


def _not_run(reason: str, target: Path) -> None:
    """Write down that the data could not be had, which is nobody's failure."""
    with replacing_folder(target) as folder:
        write_json(folder / "facts.json", {"status": "not run", "message": reason, "code": code_id()})


def _attempt(
    run: Run, problem: FusionProblem, device: torch.device, target: Path, work: Callable[[Path], dict]
) -> None:
    """Let `work` fill the folder `target` and add `facts.json`: what it returned, or how the method failed."""
    facts = {
        "status": "ok",
        "message": "",
        "device": device_name(device),
        "code": code_id(),
        "torch": torch.__version__,
    }
    with replacing_folder(target) as folder:
        reason = plugins.method_class(run.method).skip(problem)
        if reason:
            facts |= {"status": "skipped", "message": reason}
        else:
            try:
                facts |= work(folder)
            except (OSError, MemoryError, torch.OutOfMemoryError, MachineError):
                raise  # the machine failed, not the method: the job fails, and the next run goes on from the state
            except Exception as error:  # a plug-in may raise anything; its failure is a result, told in its row
                logger.exception("%s failed", run.folder)
                kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
                facts |= {"status": "failed", "message": f"{kind}{error}".splitlines()[0]}
        write_json(folder / "facts.json", facts)


def _fingerprint(run: Run, options: dict, recipe: Recipe, data: list[str]) -> str:
    """Hash of all that decides the trained weights, so that a state from other settings is not taken up."""
    sources = plugins.sources("methods", run.method)
    sources += [plugins.ROOT / "smifbench" / f"{name}.py" for name in NUMERIC_SOURCES]
    parts = [asdict(run), options, asdict(recipe), data, [file_hash(source) for source in sources]]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
