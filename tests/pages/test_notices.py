"""THIRD_PARTY_NOTICES.md says what the code, the data sets' classes and the installed packages say."""

import email
import importlib.metadata
import re

import notices
import pytest
from packaging.version import Version
from requirements import declared

from smifbench import plugins

PAGE = notices.PAGE.read_text()
STALE = "run `make docs`"


def rows(kind):
    """Rows of one of the tables that the script writes, without their head."""
    return re.search(rf"<!-- {kind} -->\n(.*?)\n<!-- end -->", PAGE, re.DOTALL).group(1).splitlines()[2:]


LISTED = {
    name: (version, licence) for name, version, licence, _ in (row[2:-2].split(" | ") for row in rows("packages"))
}


def test_every_table_of_numbers_is_named():
    folders = [plugins.ROOT / "datasets", plugins.ROOT / "results" / "published"]
    tables = [path for folder in folders for path in folder.rglob("*.csv")]
    named = re.findall(r"^\| `(\S+)` \|", PAGE, re.MULTILINE)
    assert len(tables) >= 8
    assert [path for path in tables if not any(path.match(name) for name in named)] == []


@pytest.mark.parametrize("kind", ["methods", "datasets"])
def test_rows_say_what_the_files_say(kind):
    assert rows(kind)
    assert [row for row in rows(kind) if row not in getattr(notices, kind)()] == [], STALE


def test_all_that_the_readme_lists_is_there():
    readme = (plugins.ROOT / "README.md").read_text()
    for kind in ("methods", "datasets"):
        shipped = [name for name in notices.shipped(kind) if f"\n| `{name}` |" in readme and not name.startswith("own")]
        assert len(shipped) >= 4
        assert [name for name in shipped if f"\n| `{name}` |" not in PAGE] == [], STALE


def test_every_direct_dependency_is_listed_in_a_version_that_the_lock_pins():
    assert LISTED.keys() == declared().keys(), STALE
    lock = (plugins.ROOT / "requirements.lock").read_text()
    pins = {(name, Version(version)) for name, version in re.findall(r"^([\w.-]+)==([^ ;\n]+)", lock, re.MULTILINE)}
    listed = {(name, Version(Version(version).public)) for name, (version, _) in LISTED.items()}
    assert listed - pins == set(), STALE


@pytest.mark.parametrize("name", LISTED)
def test_a_licence_is_the_one_that_the_package_states(name):
    version, licence = LISTED[name]
    if importlib.metadata.version(name) != version:
        pytest.skip(f"the page is of {version}, and another is installed")
    assert notices.licence(name) == licence, STALE


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("License-Expression: MIT\nClassifier: License :: OSI Approved :: BSD License", "MIT"),
        ("License: Apache 2.0", "Apache 2.0"),
        ("License: Copyright\n  of many lines\nClassifier: License :: OSI Approved :: BSD License", "BSD License"),
        ("Classifier: Topic :: Software", "none stated"),
    ],
)
def test_where_a_licence_is_read(stated, expected, monkeypatch):
    monkeypatch.setattr(importlib.metadata, "metadata", lambda name: email.message_from_string(stated))
    assert notices.licence("any") == expected
