"""Identity of values, files and code: hashes, and the revision that made a number."""

import hashlib
import subprocess
from pathlib import Path

import numpy as np


def array_hash(array: np.ndarray) -> str:
    """SHA-256 of an array's shape, type and values, in hexadecimal."""
    digest = hashlib.sha256(f"{array.shape}{array.dtype.str}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def code_id() -> str:
    """Return `git describe` of the code, or "unknown" outside a git checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--tags"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
