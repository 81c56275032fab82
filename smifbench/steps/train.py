"""Train one network."""

import argparse
import hashlib
import json
import shutil
import zlib
from collections.abc import Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path

from tqdm import tqdm

from smifbench import plugins
from smifbench.degradation.pairs import load_pairs, load_problem, unavailable
from smifbench.errors import UserError
from smifbench.experiment.causes import digest
from smifbench.experiment.outcome import conditions, write_outcome, write_reason
from smifbench.fusion.build import RunMethod
from smifbench.fusion.weights import save_weights
from smifbench.method import Recipe
from smifbench.steps import _arguments
from smifbench.system.devices import pick_device
from smifbench.system.files import read_json, write_csv
from smifbench.system.identity import file_hash
from smifbench.system.precision import be_exact
from smifbench.training.loop import HISTORY_COLUMNS, Training


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    _arguments.of_run(parser)
    _arguments.of_network(parser)
    parser.add_argument("--recipe", type=_recipe, required=True, help="fields of the recipe as JSON")
    parser.add_argument("--state", type=Path, required=True, help="folder of the half-trained state")


def run(args: argparse.Namespace) -> None:
    """Train the network."""
    be_exact()
    method = RunMethod(args.run, args.options)
    train(method, args.pairs, args.recipe, args.state, args.output, args.device, args.attempt)


def train(
    method: RunMethod, pairs: Path, recipe: Recipe, state: Path, target: Path, device: str = "cpu", attempt: int = 1
) -> None:
    """Train a run's network on the pairs' training split; write weights, history and facts to the folder `target`.

    Parameters
    ----------
    method
        The run and the options of its method.
    pairs
        Folder of the pairs.
    recipe
        How to train.
    state
        Folder of the half-trained state and the history so far, from which a killed run goes on; removed at the end.
    target
        Folder to write `weights.safetensors`, `history.csv` and `facts.json` to.
    device
        "auto", "cpu" or "cuda".
    attempt
        Number of the attempt, written down.

    Raises
    ------
    UserError
        When there is no training scene. Whatever the method raises is written down as its failure.
    """
    where = pick_device(device)
    about = conditions(method.run.method, where, attempt)
    if absent := unavailable(pairs):
        return write_reason(target, "not run", absent, about)
    problem = load_problem(pairs)
    if skipped := method.reason_to_skip(problem):
        return write_reason(target, "skipped", skipped, about)
    training_pairs, validation = load_pairs(pairs, "train"), load_pairs(pairs, "val")
    if not training_pairs:
        raise UserError(f"{pairs} holds no training scene; give the data set one, or run only methods that solve")
    fingerprint = _fingerprint(method, recipe, (pair.data for pair in training_pairs))

    def work(folder: Path) -> dict:
        network = method.build_network(problem).to(where)
        # The order of the patches is the same for every method, its initial weights are its own.
        run = method.run
        order = zlib.crc32(f"{run.dataset}/{run.ratio}/{run.seed}".encode())
        training = Training(network, training_pairs, validation, recipe, order, state, fingerprint)
        training.run(partial(tqdm, desc=f"train {run.method}", mininterval=2, disable=None))
        save_weights(training.finished(), folder / "weights.safetensors")
        write_csv(folder / "history.csv", training.history, HISTORY_COLUMNS)
        return {
            "message": training.remark(),
            "train_steps": training.step,
            "train_seconds": round(training.seconds, 3),
            "recipe": asdict(recipe),
            "weights": file_hash(folder / "weights.safetensors"),
            "method": method.run.method,
            "options": dict(method.options),
            "problem": problem.as_json(),
        }

    write_outcome(target, about, work, method.run.folder)
    if read_json(target / "facts.json", target)["status"] == "ok":
        shutil.rmtree(state, ignore_errors=True)


def _fingerprint(method: RunMethod, recipe: Recipe, data: Iterable[str]) -> str:
    """Hash of all that decides the trained weights, so that a state from other settings is not taken up."""
    code = digest("train", plugins.sources("methods", method.run.method))
    parts = [asdict(method.run), dict(method.options), asdict(recipe), list(data), code]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _recipe(text: str) -> Recipe:
    return Recipe(**json.loads(text))
