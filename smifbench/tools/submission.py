"""Handing in results: a folder for the leaderboard from an experiment's results, and its rows computed anew."""

import datetime
import re
import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from smifbench import plugins
from smifbench.errors import UserError
from smifbench.evaluation.results import load_results, run_of
from smifbench.evaluation.submission import STATEMENT, Submission, hashes, read_submission, write_submission
from smifbench.fusion.trained import find_trained
from smifbench.places import ZOO
from smifbench.run import Run
from smifbench.system.files import read_json, replacing_folder, write_json
from smifbench.system.identity import file_hash
from smifbench.tools.rerun import STATED, cpu_threads, run_again
from smifbench.tools.submission_check import check
from smifbench.tools.verification import Verdict, verify_rows

KEPT = ("metrics.csv", "experiment.json", "cost.csv")
"""Files of the results that a submission has; the last one may be missing."""

Basis = str
"""What rows were computed anew from: a key of `EVIDENCE`."""


def submit(results: Path, name: str, target: Path, stated: bool, address: str | None = None) -> list[str]:
    """Write the folder of a submission, and check it as those who receive it will.

    Parameters
    ----------
    results
        Finished results of an experiment, with its runs.
    name
        Of the submission: lower-case letters, digits and `_`.
    target
        Folder to write, called as the submission; it must not be there.
    stated
        Whether `STATEMENT` is made.
    address
        Where the trained weights can be had; not needed where nothing was trained.

    Returns
    -------
    list of str
        What `check` has against it. Nothing is written then.

    Raises
    ------
    UserError
        When the results are incomplete, the statement is missing, or `target` is there already.
    """
    if not re.fullmatch(r"[a-z0-9_]+", name) or target.name != name:
        raise UserError(f"a submission is named by lower-case letters, digits and _, and its folder too, not '{name}'")
    if target.exists():
        raise UserError(f"{target} is there already; take another --name, or delete it")
    if not stated:
        raise UserError(f"a submission needs this statement: {STATEMENT} Make it by --test-scenes-chose-nothing")
    rows, experiment = load_results(results), read_json(results / "experiment.json")
    weights = list(_weights(results, rows, experiment, address))
    with TemporaryDirectory() as temporary:
        folder = Path(temporary) / name
        folder.mkdir()
        for file in KEPT:
            if (results / file).exists():
                shutil.copyfile(results / file, folder / file)
        lacks = [] if (folder / "cost.csv").exists() else ["cost"]
        today = datetime.date.today().isoformat()
        write_submission(folder, Submission(name, today, STATEMENT, hashes(folder), weights, lacks))
        complaints = check(folder, target.parent)
        if not complaints:
            with replacing_folder(target) as final:
                shutil.copytree(folder, final, dirs_exist_ok=True)
    return complaints


def _weights(results: Path, rows: pd.DataFrame, experiment: dict, address: str | None) -> Iterator[dict]:
    """What is stated of each trained run's weights."""
    for run in _runs(rows):
        if not experiment["methods"].get(f"{run.method}/{run.variant}", {}).get("trainable"):
            continue
        if not address:
            raise UserError(f"say by --weights-at where the weights of {run.folder} can be had, such as https://...")
        place = {key: getattr(run, key) for key in ("dataset", "protocol", "ratio", "seed")}
        folder = find_trained(results, run.method, run.variant, **place).folder
        yield {"run": run.folder, "sha256": file_hash(folder / "weights.safetensors"), "address": address}


def compute_anew(
    folder: Path,
    data: Path | None = None,
    weights: Path | None = None,
    methods: Sequence[str] = (),
) -> Iterator[tuple[Run, Basis, list[Verdict]]]:
    """Run a submission's methods once more on the test scenes, and compare all metrics.

    Methods that solve are run as they are, networks with their weights. Left out are networks whose weights are neither
    in `weights` nor in the zoo, what a GPU has fused, and what was skipped.

    Parameters
    ----------
    folder
        Of the submission.
    data
        Folder with the files of all its data sets, in any layout; those that come with a package need none.
    weights
        Folder with safetensors files, under any names.
    methods
        Those to run; all by default.

    Raises
    ------
    UserError
        When a data set cannot be read.
    """
    df, experiment = load_results(folder), read_json(folder / "experiment.json")
    known = _weights_by_hash(weights)
    stated = {about["run"]: about["sha256"] for about in read_submission(folder).weights}
    with TemporaryDirectory() as temporary:
        for run, rows in _runs(df).items():
            about = experiment["methods"][f"{run.method}/{run.variant}"]
            file, threads = known.get(stated.get(run.folder, "")), cpu_threads(rows.device.iloc[0])
            if (methods and run.method not in methods) or (about["trainable"] and not file):
                continue
            if not threads or set(rows.status) != {"ok"}:
                continue
            verdicts = run_again(
                Path(temporary),
                _dataset(experiment["datasets"][run.dataset], rows.scene.tolist(), data),
                run,
                about["options"],
                [row.dropna().to_dict() for _, row in rows[STATED].iterrows()],
                threads,
                "metrics.csv",
                partial(_bring, file) if file else None,
            )
            yield run, "weights" if file else "code", verdicts


def compare_estimates(
    folder: Path, results: Path, pairs: Path | None = None
) -> Iterator[tuple[Run, Basis, list[Verdict]]]:
    """Hold a submission's rows against the estimates that the results of its experiment still keep."""
    for run, rows in _runs(load_results(folder)).items():
        if set(rows.status) == {"ok"} and (results / "runs" / run.folder / "fused").is_dir():
            yield run, "estimates", verify_rows(rows, results, pairs)


def _runs(df: pd.DataFrame) -> dict[Run, pd.DataFrame]:
    """Rows by run, in the table's order."""
    groups = df.groupby(list(Run.__dataclass_fields__), sort=False)
    return {run_of(rows.iloc[0]): rows for _, rows in groups}


def _weights_by_hash(folder: Path | None) -> dict[str, Path]:
    places = [ZOO, *([folder] if folder else [])]
    return {file_hash(path): path for place in places for path in place.rglob("*.safetensors")}


def _bring(weights: Path, folder: Path) -> None:
    """Write a finished training with these weights."""
    with replacing_folder(folder) as temporary:
        shutil.copyfile(weights, temporary / "weights.safetensors")
        write_json(temporary / "facts.json", {"status": "ok", "message": "", "weights": file_hash(weights)})


def _dataset(about: dict, scenes: list[str], data: Path | None):
    """Build a data set of these scenes alone, where it can leave out some, with its files in `data`."""
    known = plugins.dataset_options(about["reader"])
    if "folder" in known and data is None:
        raise UserError(f"name the folder that holds the files of {about['title']} by --data")
    chosen = {"folder": data and str(data), "scenes": scenes}
    options = about["options"] | {key: value for key, value in chosen.items() if key in known}
    return plugins.build_dataset(about["reader"], **options)
