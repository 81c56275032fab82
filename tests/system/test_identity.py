"""The code id names the code that makes a number, and tells a clean commit from anything else."""

import hashlib
import shutil
import subprocess

import pytest

import smifbench
from smifbench.system import identity

needs_git = pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
"""A source archive may be tested where there is no git; the code id is "unknown" then."""


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with one tagged commit, in the place of this one; returns it with the function that calls git."""
    root = tmp_path / "checkout"
    (root / "methods").mkdir(parents=True)
    (root / "methods" / "net.py").write_text("")
    (root / "README.md").write_text("")

    def git(*arguments):
        author = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *author, *arguments], cwd=root, check=True, capture_output=True)

    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    git("tag", "v9")
    monkeypatch.setattr(identity, "ROOT", root)
    return root


@needs_git
def test_a_clean_commit_is_named_by_its_tag(checkout):
    (checkout / "notes.txt").write_text("untracked, and no code")
    assert identity.code_id() == "v9"


@needs_git
@pytest.mark.parametrize(
    "name", ["README.md", "methods/net.py", "methods/new.py", "smifbench/new.py", "datasets/a/b.py"]
)
def test_a_changed_file_and_a_new_one_that_may_decide_numbers_are_dirt(checkout, name):
    (checkout / name).parent.mkdir(parents=True, exist_ok=True)
    (checkout / name).write_text("changed")
    assert identity.code_id() == "v9-dirty"


@needs_git
def test_a_copy_within_another_repository_does_not_take_its_name(checkout, monkeypatch):
    monkeypatch.setattr(identity, "ROOT", checkout / "methods")
    assert identity.code_id() == "unknown"


def test_an_installed_package_is_named_by_its_version(monkeypatch, tmp_path):
    monkeypatch.setattr(identity, "INSTALLED", True)
    monkeypatch.setattr(identity, "ROOT", tmp_path)
    assert identity.code_id() == smifbench.__version__


def test_plugins_from_elsewhere_add_their_hash(monkeypatch, tmp_path):
    monkeypatch.setattr(identity, "INSTALLED", True)
    monkeypatch.setattr(identity, "ROOT", tmp_path / "package")
    ours, mine, helper = tmp_path / "package" / "gsa.py", tmp_path / "mine.py", tmp_path / "_helper.py"
    ours.parent.mkdir()
    for path in (ours, mine, helper):
        path.write_text(path.name)
    assert identity.code_id(ours) == smifbench.__version__
    digits = hashlib.sha256(b"mine.py").hexdigest()[:8]
    assert identity.code_id(ours, mine) == f"{smifbench.__version__}+{digits}"
    assert identity.code_id(mine, helper) == identity.code_id(helper, mine) != identity.code_id(mine)
