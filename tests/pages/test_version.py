"""The version is the same wherever it stands."""

import re

import yaml

import smifbench
from smifbench import plugins


def test_the_version_is_the_same_everywhere():
    assert yaml.safe_load((plugins.ROOT / "CITATION.cff").read_text())["version"] == smifbench.__version__
    newest = re.search(r"^## ([\d.]+)", (plugins.ROOT / "CHANGELOG.md").read_text(), re.MULTILINE).group(1)
    assert newest == smifbench.__version__
