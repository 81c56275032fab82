"""Identity of values, files and code: hashes, and the revision that made a number."""

import hashlib
import os
import subprocess
from pathlib import Path

import numpy as np

from smifbench import __version__
from smifbench.places import INSTALLED, ROOT


def array_hash(array: np.ndarray) -> str:
    """SHA-256 of an array's shape, type and values, in hexadecimal."""
    digest = hashlib.sha256(f"{array.shape}{array.dtype.str}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def code_id(*plugins: Path) -> str:
    """Name the code that makes a number.

    It is the version of an installed package; in a checkout `git describe`, with "-dirty" also where files that may
    decide numbers are not in git yet; "unknown" for a copy without git. Of the files `plugins` those count that are no
    part of it: "+" and the first digits of their SHA-256 follow.
    """
    own = sorted(path for path in plugins if not path.resolve().is_relative_to(ROOT))
    digits = hashlib.sha256(b"".join(path.read_bytes() for path in own)).hexdigest()[:8]
    return (__version__ if INSTALLED else _revision()) + (f"+{digits}" if own else "")


def _revision() -> str:
    try:
        described = _git("describe", "--always", "--dirty", "--tags")
        changed = _git("status", "--porcelain", "--", "methods", "datasets", "smifbench")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return described if described.endswith("-dirty") or not changed else f"{described}-dirty"


def _git(*arguments: str) -> str:
    # Never another repository, in which a copy without git may lie.
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(ROOT.parent)}
    command = ["git", "--no-optional-locks", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.strip()
