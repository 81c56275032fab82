"""Checking a submission without its data: whole, of known ids, of the scenes and protocols as all others, plausible."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from functools import partial
from itertools import product
from pathlib import Path

import pandas as pd

from smifbench import plugins
from smifbench.degradation.protocol import Protocol, get_protocol
from smifbench.errors import UserError
from smifbench.evaluation.likeness import SETTING, refuse_other_data
from smifbench.evaluation.plausibility import broken_laws, place
from smifbench.evaluation.reading import load_costs
from smifbench.evaluation.results import load_results, run_of
from smifbench.evaluation.submission import (
    LACKS,
    STATEMENT,
    Submission,
    hashes,
    read_submission,
    verified_runs,
)
from smifbench.method import Recipe
from smifbench.run import Run
from smifbench.system.files import read_json

NO_COMMIT = re.compile(r"dirty|unknown|\+|^$")
"""What an id of code holds that names no commit of the repository."""

EXPERIMENT_KEYS = ("experiment", "datasets", "protocols", "ratios", "seeds", "methods", "code", "versions", "hardware")

PACKAGES = ("python", "torch", "numpy", "scipy")
"""Packages whose versions a submission must state."""

OF_USERS = ("own", "own_pair")
"""Readers of a user's own files, whose scenes nobody else has."""

RUN = [field.name for field in fields(Run)]


def check(folder: Path, others: Path | None = None) -> list[str]:
    """Say in sentences what is wrong with a submission; an empty list where nothing is.

    Parameters
    ----------
    folder
        Of the submission.
    others
        Folder of the submissions whose images its own must be; the one that holds `folder` by default.
    """
    try:
        submission, df, experiment = read_submission(folder), load_results(folder), _experiment(folder)
        complaints = [*_files(folder, submission), *_statements(folder, submission, df, experiment)]
        complaints += [*_ids(experiment), *_protocols(experiment), *_scenes(experiment)]
        if complaints:  # the grid of unknown methods or scenes says nothing
            return complaints
        return [*_grid(df, experiment), *_rows(df, experiment), *_images(folder, df, others), *broken_laws(df)]
    except UserError as error:
        return [str(error)]


def _experiment(folder: Path) -> dict:
    experiment = read_json(folder / "experiment.json")
    missing = [key for key in EXPERIMENT_KEYS if key not in experiment]
    missing += [f"versions.{package}" for package in PACKAGES if package not in experiment.get("versions", {})]
    if missing:
        raise UserError(f"{folder}/experiment.json lacks {', '.join(missing)}; take the one that the suite wrote")
    return experiment


def _files(folder: Path, submission: Submission) -> Iterator[str]:
    """Files are those that were handed in."""
    there = hashes(folder)
    for name in sorted(there.keys() | submission.files.keys()):
        if name not in there:
            yield f"{name} is named in submission.json and is not there"
        elif name not in submission.files:
            yield f"{name} is not named in submission.json"
        elif there[name] != submission.files[name]:
            yield f"{name} is not the file that was handed in (other SHA-256)"
    if submission.name != folder.name:
        yield f"the folder {folder.name} holds the submission {submission.name}"
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", submission.date):
        yield f"date is '{submission.date}'; write it as 2026-11-26"
    verified_runs(folder)


def _statements(folder: Path, submission: Submission, df: pd.DataFrame, experiment: dict) -> Iterator[str]:
    """What is lacking is said, and nothing that is there is said to be lacking."""
    trained = {run.folder for run in _expected(experiment) if _about(experiment, run)["trainable"]}
    weights = {about.get("run"): about for about in submission.weights}
    whole = [
        run
        for run, about in weights.items()
        if re.fullmatch(r"[0-9a-f]{64}", about.get("sha256", "")) and about.get("address")
    ]
    if strange := weights.keys() - trained:
        yield f"weights are named for {sorted(map(str, strange))[0]}, which the experiment does not train"
    lacking = {"statement"} if submission.statement != STATEMENT else set()
    lacking |= {"weights"} if trained - set(whole) else set()
    lacking |= set() if (folder / "cost.csv").exists() else {"cost"}
    lacking |= {"sam"} if df.sam_excluded[df.status == "ok"].isna().any() else set()
    for key in sorted(lacking ^ set(submission.lacks)):
        yield (
            f"submission.json does not say that it lacks {key}: {LACKS[key]}"
            if key in lacking
            else f"submission.json says that it lacks {key}, and it does not"
        )
    if (folder / "cost.csv").exists():
        load_costs(folder)


def _ids(experiment: dict) -> Iterator[str]:
    """Methods, options, recipes and readers are those of the suite."""
    for key, about in experiment["methods"].items():
        if about.get("external"):
            continue
        known = _tried(partial(_method_options, key.partition("/")[0]))
        if isinstance(known, str):
            yield f"{known} To hand in results of a method, add the method first"
            continue
        yield from (f"method {key} has no option {option}" for option in about["options"] if option not in known)
        if about["trainable"] and isinstance(wrong := _tried(partial(Recipe, **about["recipe"])), str):
            yield f"recipe of {key}: {wrong}"
    for name, about in experiment["datasets"].items():
        known = _tried(partial(plugins.dataset_options, about["reader"]))
        if isinstance(known, str):
            yield f"data set {name}: {known}"
        else:
            yield from (f"data set {name} has no option {option}" for option in about["options"] if option not in known)


def _protocols(experiment: dict) -> Iterator[str]:
    """Protocols are what their ids say today; a field that a former version did not know has its default."""
    defaults = {field.name: field.default for field in fields(Protocol)}
    for id, stated in experiment["protocols"].items():
        protocol = _tried(partial(get_protocol, id))
        if isinstance(protocol, str):
            yield protocol
            continue
        for key, value in json.loads(json.dumps(asdict(protocol))).items():
            before = stated.get(key, json.loads(json.dumps(defaults[key])) if key != "id" else None)
            if before != value:
                yield f"protocol {id} was run with {key} {before!r}, and by its id it is {value!r}"
        yield from (f"protocol {id} has no field {key}" for key in stated if key not in defaults)


def _scenes(experiment: dict) -> Iterator[str]:
    """Each data set has the split of its reader, and all of its test scenes."""
    for name, about in experiment["datasets"].items():
        if about["reader"] in OF_USERS or about["reader"] not in plugins.names("datasets"):
            continue
        options = {key: value for key, value in about["options"].items() if key not in ("folder", "scenes")}
        usual = plugins.build_dataset(about["reader"], **options).scenes()
        stated, test = about["scenes"], [scene for scene, split in usual.items() if split == "test"]
        moved = [scene for scene, split in stated.items() if usual.get(scene) != split]
        if moved:
            yield f"scene {moved[0]} of {name} is for {stated[moved[0]]}; in its data set: {usual.get(moved[0])}"
        elif absent := [scene for scene in test if scene not in stated]:
            yield f"test scene {absent[0]} of {name} was left out; rows are of all test scenes: {', '.join(test)}"


def _grid(df: pd.DataFrame, experiment: dict) -> Iterator[str]:
    """There is one row for each run of the experiment and each test scene, and no other."""
    wanted = {
        (run, scene)
        for run in _expected(experiment)
        for scene, split in experiment["datasets"][run.dataset]["scenes"].items()
        if split == "test"
    }
    found = {(run_of(row), row.scene) for row in df.itertuples()}
    for what, rows in (("is missing", wanted - found), ("is not of the experiment", found - wanted)):
        if rows:
            run, scene = min(rows, key=str)
            yield f"the row of scene {scene} of {run.folder} {what} ({len(rows)} such rows)"
    if set(df.experiment) != {experiment["experiment"]}:
        yield f"metrics.csv has rows of {', '.join(sorted(set(df.experiment)))}, experiment.json is of another"


def _rows(df: pd.DataFrame, experiment: dict) -> Iterator[str]:
    """Every row has a result, or a reason that the method states, and says what made it."""
    wrong = df[~df.status.isin(["ok", "skipped"])]
    if len(wrong):
        yield f"{place(wrong.iloc[0])} has no result ({wrong.status.iloc[0]}: {wrong.message.iloc[0]})"
    for code in sorted({*df.code, experiment["code"]}):
        if NO_COMMIT.search(code):
            yield f"rows were made by code '{code}', which is no commit of the repository; commit and run again"
    for column in ("device", "data"):
        empty = df[(df.status == "ok") & (df[column] == "")]
        if len(empty):
            yield f"{place(empty.iloc[0])} has no {column}"
    for run, rows in df[df.status == "ok"].groupby(RUN, sort=False):
        about, steps = experiment["methods"].get(f"{run[3]}/{run[4]}", {}), rows.train_steps.iloc[0]
        if not about or about["trainable"] == pd.isna(steps):
            yield f"{place(rows.iloc[0])} {'has no train_steps' if pd.isna(steps) else 'states a training'}"
        elif about["trainable"] and not about["recipe"]["seconds"] and about["recipe"]["steps"] not in (None, steps):
            yield f"{place(rows.iloc[0])} took {steps:g} steps, and its recipe {about['recipe']['steps']}"


def _images(folder: Path, df: pd.DataFrame, others: Path | None) -> Iterator[str]:
    """Scenes have the data that they have in all other submissions."""
    refuse_other_data(df)
    for path in sorted((others or folder.resolve().parent).glob("*/metrics.csv")):
        if path.parent.name == folder.name:
            continue
        keys = [*SETTING, "scene"]
        both = df.merge(load_results(path.parent)[[*keys, "data"]].drop_duplicates(), on=keys, suffixes=("", "_there"))
        differing = both[(both.data != both.data_there) & (both.data != "") & (both.data_there != "")]
        if len(differing):
            row = differing.iloc[0]
            yield (
                f"the data of {place(row)} are {row.data}, and {row.data_there} in {path.parent.name}: other images, "
                "or simulated on a processor that adds in another order"
            )


def _expected(experiment: dict) -> list[Run]:
    """All runs of an experiment; a method without randomness, or that ran elsewhere, has the first seed alone."""

    def seeds(key: str) -> list[int]:
        elsewhere = experiment["methods"][key].get("external")
        random = not elsewhere and _tried(partial(plugins.is_random, key.partition("/")[0]))
        return experiment["seeds"] if random else experiment["seeds"][:1]

    return [
        Run(dataset, protocol, ratio, key.partition("/")[0], key.partition("/")[2], seed)
        for dataset, protocol, ratio, key in product(
            experiment["datasets"], experiment["protocols"], experiment["ratios"], experiment["methods"]
        )
        for seed in seeds(key)
    ]


def _method_options(name: str) -> dict:
    return plugins.method_options(plugins.method_class(name))


def _about(experiment: dict, run: Run) -> dict:
    return experiment["methods"][f"{run.method}/{run.variant}"]


def _tried(work: Callable):
    """Return what `work` returns, or the sentence of the mistake that it finds."""
    try:
        return work()
    except UserError as error:
        return f"{error}"
    except TypeError as error:  # fields that a recipe does not have
        return f"{error}"
