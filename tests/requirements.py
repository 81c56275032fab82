"""The packages that pyproject.toml declares, by name."""

import re
import tomllib
from itertools import chain

from smifbench import plugins

CONDA_NAMES = {
    "matplotlib-base": "matplotlib",
    "python-fvcore": "fvcore",
    "pytorch": "torch",
    "snakemake-minimal": "snakemake",
}


def requirement(text):
    name, bounds = re.fullmatch(r"([A-Za-z0-9_.-]+?)((?:[<>=!].*)?)", text).groups()
    return CONDA_NAMES.get(name, name), bounds


def declared():
    project = tomllib.loads((plugins.ROOT / "pyproject.toml").read_text())
    listed = [*project["project"]["dependencies"], *chain(*project["dependency-groups"].values())]
    return dict(requirement(text) for text in listed)
