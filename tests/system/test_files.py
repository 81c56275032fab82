"""Writing at once: a target is the old one or the new one, and what cannot be written is named."""

import errno
import os
import subprocess
import sys

import numpy as np
import pytest

from smifbench.errors import CannotWrite
from smifbench.system.files import locked, replacing, replacing_folder, write_text


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    write_text(tmp_path / "file", "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "file", "new" + 10**6 * "new" + "\ud800")
    assert (tmp_path / "file").read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_takes_the_place_of_a_folder(tmp_path):
    for text in ("old", "new"):
        with replacing_folder(tmp_path / "folder") as folder:
            (folder / text).write_text(text)
    assert os.listdir(tmp_path / "folder") == ["new"]


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / f".[a] file.{dead.pid}.tmp").mkdir()
    (tmp_path / f".[a] file.{dead.pid}.tmp" / "half").write_text("")
    (tmp_path / f".[a] file.{os.getppid()}.tmp").write_text("being written")
    (tmp_path / f".other.{dead.pid}.tmp").write_text("")
    write_text(tmp_path / "[a] file", "new")
    kept = {"[a] file", f".[a] file.{os.getppid()}.tmp", f".other.{dead.pid}.tmp"}
    assert set(os.listdir(tmp_path)) == kept


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_what_cannot_be_written_is_named(tmp_path, number):
    with pytest.raises(CannotWrite) as error, replacing(tmp_path / "file"):
        raise OSError(number, os.strerror(number))
    assert str(error.value) == f"{tmp_path}/file cannot be written ({os.strerror(number)}); mend that and run again"
    assert not os.listdir(tmp_path)


def test_a_file_that_cannot_be_read_is_not_taken_for_the_one_written(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "file"):
        np.load(tmp_path / "nowhere.npy")
    with pytest.raises(PermissionError), replacing(tmp_path / "file"):
        raise PermissionError(errno.EACCES, "denied", "/elsewhere")


@pytest.mark.parametrize(
    "write",
    [
        "numpy.save(file.open('wb'), numpy.zeros(10**6))",
        "file.write_text('a' * 10**6)",
        "pandas.DataFrame({'a': numpy.zeros(10**5)}).to_csv(file)",
    ],
)
def test_a_file_that_may_not_grow_is_told_and_is_not_there(tmp_path, write):
    """As on a full disk, through the limit that a process may have on the size of its files."""
    code = (
        "import resource, sys, numpy, pandas; from smifbench.system.files import replacing\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))\n"
        f"try:\n    with replacing('target') as file: {write}\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("CannotWrite target cannot be written (")
    assert not os.listdir(tmp_path)


def test_one_process_at_a_time_works_in_a_locked_folder(tmp_path):
    code = (
        "import sys; from filelock import FileLock, Timeout\n"
        "try:\n    FileLock(sys.argv[1]).acquire(timeout=0)\n    print('free')\nexcept Timeout:\n    print('taken')"
    )

    def other():
        command = [sys.executable, "-c", code, str(tmp_path / "folder" / ".lock")]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    with locked(tmp_path / "folder"):
        assert other() == "taken"
    assert other() == "free"
