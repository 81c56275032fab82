"""Reading and writing of files. None is ever half-written: each is written beside its target, then renamed."""

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
"""Numbers of the operating system's errors that mean that a file cannot be written at its path."""


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
        # NumPy's error for a full disk carries no error number
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
    """Tell whether the process of that number runs on this machine; True also where the text is no number."""
    return not process.isdecimal() or Path(f"/proc/{process}").exists() or not Path("/proc").exists()


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """Like `replacing`, with the temporary folder already made."""
    with replacing(path) as temporary:
        temporary.mkdir()
        yield temporary


@contextmanager
def whole(path: str | Path, remove: str | Path) -> Iterator[None]:
    """Raise DamagedFile where the block fails to read the file `path`; its remedy is to delete `remove`.

    A file may be damaged between the step that writes it and the one that reads it, and libraries then raise anything.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise DamagedFile(f"{path} is missing; delete {remove} and run snakemake to make it anew") from error
    except OSError:
        raise  # the disk or the permissions; its own message says so
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
    """Write `text` to the file `path`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: object) -> None:
    """Write `value` as indented JSON to the file `path`, whole or not at all."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_csv(path: str | Path, rows: list[dict], columns: list[str]) -> None:
    """Write `rows` as a table with `columns` to the file `path`, whole or not at all."""
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_text(path, text.getvalue())


def read_json(path: str | Path, remove: str | Path | None = None) -> dict:
    """Read a JSON file; raises DamagedFile as `whole` does, with the file itself as default of `remove`."""
    with whole(path, remove or path):
        return json.loads(Path(path).read_text(encoding="utf-8"))
