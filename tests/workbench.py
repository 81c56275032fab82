"""A copy of the code in which a test may run snakemake, edit and break things."""

import os
import re
import shutil
import sys

import forked
import yaml

from smifbench import plugins

CODE = [
    "Snakefile",
    "environment.yml",
    "config",
    "datasets",
    "methods",
    "profiles",
    "smifbench",
    "workflow",
    "results/published",
]


def copy_code(folder):
    """Copy to `folder` all that the DAG needs."""
    for name in CODE:
        source, target = plugins.ROOT / name, folder / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        target.parent.mkdir(parents=True, exist_ok=True)
        copy(source, target)


def write_config(folder, config):
    """Write a config to `tiny.yaml`."""
    (folder / "tiny.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


def command(*arguments, configs=("tiny.yaml",)):
    """The command line of snakemake on `configs`."""
    return [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", *map(str, configs), *arguments]


def environment(folder):
    """Environment in which the copy's modules are imported, and not those of this checkout."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


def snakemake(folder, *arguments, configs=("tiny.yaml",), code=None):
    """Run snakemake on `configs` in `folder`; returns its exit status and all that it printed.

    `code` is the folder of the code where that is another one.
    """
    return forked.call(command(*arguments, configs=configs)[3:], folder, environment(code or folder))


def planned(output):
    """Job counts of a dry run."""
    table = re.search(r"job\s+count\n[- ]+\n(.*?)\n\n", output, re.DOTALL).group(1)
    return {line.split()[0]: int(line.split()[1]) for line in table.splitlines()}
