"""Writing so that nothing is ever half-written: to a temporary name beside the target, then renamed."""

import csv
import errno
import glob
import io
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from smifbench.errors import CannotWrite, DamagedFile

UNWRITABLE = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM),
    *(errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG),
}
"""Errors of the system's that say that a file cannot be written where it shall be."""


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path that takes the place of the file or folder `path` when the block ends without error.

    Raises CannotWrite where the disk is full or read-only. What a killed process left behind is removed.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
            if not _runs(leftover.suffixes[-2].removeprefix(".")):
                _remove(leftover)
        yield temporary
        if temporary.is_dir() and path.is_dir():
            shutil.rmtree(path)
        temporary.replace(path)
    except OSError as error:
        # numpy says only how much it wrote, without a number of the system's
        unwritable = error.errno in UNWRITABLE or (type(error) is OSError and error.errno is None)
        where = Path(error.filename or path)
        if not unwritable or not (where.is_relative_to(path.parent) or path.is_relative_to(where)):
            raise
        raise CannotWrite(f"{path} cannot be written ({error.strerror or error}); mend that and run again") from error
    finally:
        _remove(temporary)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    elif path.exists():
        path.unlink(missing_ok=True)


def _runs(process: str) -> bool:
    """Tell whether a process runs on this machine; what is no number is taken for one that does."""
    return not process.isdecimal() or Path(f"/proc/{process}").exists() or not Path("/proc").exists()


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """Like `replacing`, with the temporary folder already made."""
    with replacing(path) as temporary:
        temporary.mkdir()
        yield temporary


@contextmanager
def whole(path: str | Path, remove: str | Path) -> Iterator[None]:
    """Read the file `path` in this block; raises DamagedFile with the remedy to delete `remove` where it is not whole.

    What is made once and read much later may have suffered in between, and libraries then raise anything.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise DamagedFile(f"{path} is missing; delete {remove} and run snakemake to make it anew") from error
    except OSError:
        raise  # the disk or the permissions, told in the system's words
    except Exception as error:
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise DamagedFile(f"{path} is damaged ({why}); delete {remove} and run snakemake to make it anew") from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make `folder`, and let one process at a time work in it; the others wait."""
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        yield


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` at once."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: object) -> None:
    """Write `value` as readable JSON to `path` at once."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_csv(path: str | Path, rows: list[dict], columns: list[str]) -> None:
    """Write `rows` as a table with `columns` to `path` at once."""
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_text(path, text.getvalue())


def read_json(path: str | Path, remove: str | Path | None = None) -> dict:
    """Read a JSON file; raises DamagedFile as `whole` does, with the file itself as default of `remove`."""
    with whole(path, remove or path):
        return json.loads(Path(path).read_text(encoding="utf-8"))
