"""A submission: one experiment's results as a small folder that others can check.

`metrics.csv`, `experiment.json` and, where there is one, `cost.csv` lie in it as the suite wrote them. Beside them
`submission.json`, whose keys are the fields of `Submission`, says what else is to be known. Where rows were computed
anew, `verification.json` says which, from what and by which code.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_origin, get_type_hints

from smifbench.errors import UserError
from smifbench.system.files import write_json
from smifbench.system.identity import file_hash

SUBMISSION, VERIFICATION = "submission.json", "verification.json"

STATEMENT = "The test scenes chose nothing: no weights, option, recipe or seed, and not the moment of stopping."
"""What whoever hands in results declares."""

LACKS = {
    "statement": "nobody states that the test scenes chose nothing",
    "weights": "hash or address of trained weights is not known",
    "cost": "parameters and operations were not counted",
    "sam": "SAM left out pixels that are zero in the estimate alone, by an older rule",
}
"""What a submission may lack, if it says so; the leaderboard then says it too."""

EVIDENCE = {
    "weights": "verified here from weights",
    "code": "verified here by running it again",
    "estimates": "verified from estimates",
    "": "measured, not verified",
    "print": "reported only",
}
"""What may stand behind an entry of the leaderboard, strongest first, in words."""


@dataclass(frozen=True)
class Submission:
    """What `submission.json` says.

    Parameters
    ----------
    name
        Of the folder, and of the submission on the leaderboard.
    date
        Day on which it was handed in, as 2026-11-26.
    statement
        `STATEMENT`, or "" where nobody has made it.
    files
        SHA-256 of every file of the folder beside `SUBMISSION` and `VERIFICATION`, by its path.
    weights
        For each trained run: its folder as `run`, the `sha256` of its safetensors file, and an `address` to get it
        from.
    lacks
        Keys of `LACKS`.
    """

    name: str
    date: str
    statement: str
    files: dict[str, str]
    weights: list[dict[str, str]]
    lacks: list[str]


def write_submission(folder: Path, submission: Submission) -> None:
    """Write `submission.json` to a submission's folder."""
    write_json(folder / SUBMISSION, asdict(submission))


def read_submission(folder: Path) -> Submission:
    """Read `submission.json`; raises UserError where it is missing or has other keys or types."""
    path = folder / SUBMISSION
    about = _read(path, "make the folder by: python -m smifbench submit")
    kinds = {name: get_origin(kind) or kind for name, kind in get_type_hints(Submission).items()}
    wrong = sorted(kinds.keys() ^ about.keys()) or [key for key in kinds if not isinstance(about[key], kinds[key])]
    if wrong:
        raise UserError(f"{path}: {', '.join(wrong)} is missing, unknown or of another type; write it anew by submit")
    return Submission(**about)


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of the files that `Submission.files` names."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    named = {path.relative_to(folder).as_posix(): path for path in paths}
    return {name: file_hash(path) for name, path in named.items() if name not in (SUBMISSION, VERIFICATION)}


def verified_runs(folder: Path) -> dict[str, str]:
    """Return for the folder of each run that was computed anew from what: a key of `EVIDENCE`.

    Raises UserError where `verification.json` was made of other rows than the folder has now.
    """
    path = folder / VERIFICATION
    if not path.exists():
        return {}
    about = _read(path, "delete it and verify anew")
    if about.get("metrics") != file_hash(folder / "metrics.csv") or not isinstance(about.get("runs"), dict):
        raise UserError(f"{path} was made of other rows than {folder}/metrics.csv has; delete it and verify anew")
    if strange := set(about["runs"].values()) - {"weights", "code", "estimates"}:
        raise UserError(f"{path} names {sorted(strange)[0]!r} as what rows were computed from; delete it, verify anew")
    return about["runs"]


def record_verified(folder: Path, runs: dict[str, str], code: str, date: str) -> None:
    """Write down that runs were computed anew and hold, beside those that were before."""
    about = {"date": date, "code": code, "metrics": file_hash(folder / "metrics.csv")}
    write_json(folder / VERIFICATION, about | {"runs": dict(sorted((verified_runs(folder) | runs).items()))})


def _read(path: Path, remedy: str) -> dict:
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; {remedy}") from error
    except ValueError as error:
        raise UserError(f"{path} is no JSON ({error}); {remedy}") from error
    if not isinstance(about, dict):
        raise UserError(f"{path} holds no keys; {remedy}")
    return about
