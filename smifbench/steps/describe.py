"""Write down what the experiment is and where it runs: the facts that its tables and pages print beside the numbers."""

import argparse
import importlib.metadata
import json
import os
import platform
import re
from dataclasses import asdict

import torch

from smifbench import plugins
from smifbench.degradation.protocol import get_protocol
from smifbench.experiment.config import Experiment, check_experiment
from smifbench.system.files import write_json
from smifbench.system.identity import code_id

PACKAGES = ("torch", "numpy", "scipy", "pandas", "snakemake", "matplotlib", "fvcore")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    parser.add_argument("--config", type=json.loads, required=True, help="the experiment's config as JSON")


def run(args: argparse.Namespace) -> None:
    """Write `experiment.json`."""
    write_json(args.output, describe(check_experiment(args.config)))


def describe(experiment: Experiment) -> dict:
    """Return the contents of `experiment.json`: config, recipes, titles, citations, protocols, versions, hardware."""
    methods = {}
    for (name, variant), about in experiment.methods.items():
        cls = plugins.method_class(name)
        title = cls.title if variant == "default" else f"{cls.title} {variant.replace('_', ' ')}"
        methods[f"{name}/{variant}"] = {
            "title": title,
            "trainable": cls.trainable,
            "options": about["options"],
            "recipe": asdict(experiment.recipe_of(name, variant)) if cls.trainable else None,
            "bibtex": bibtex("methods", cls.citation),
        }
    return {
        "experiment": experiment.name,
        "note": experiment.note,
        "datasets": {name: _describe_dataset(name, experiment) for name in experiment.datasets},
        "protocols": {protocol: asdict(get_protocol(protocol)) for protocol in experiment.protocols},
        "ratios": experiment.ratios,
        "seeds": experiment.seeds,
        "recipe": experiment.recipe,
        "reference": experiment.reference,
        "methods": methods,
        "code": code_id(),
        "versions": {"python": platform.python_version()}
        | {package: importlib.metadata.version(package) for package in PACKAGES},
        "hardware": hardware(),
    }


def bibtex(folder: str, key: str) -> str:
    """Return the BibTeX entry `key` of `<folder>/references.bib`, or "" where it has none."""
    text = (plugins.ROOT / folder / "references.bib").read_text(encoding="utf-8")
    found = re.search(rf"^@\w+{{{re.escape(key)},.*?^}}", text, re.MULTILINE | re.DOTALL)
    return found.group() if found else ""


def hardware() -> str:
    """Return the machine's GPUs, or its processor and the number of its cores, in words."""
    if torch.cuda.is_available():
        return ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
    return f"{platform.machine()} CPU, {os.cpu_count()} cores"


def _describe_dataset(name: str, experiment: Experiment) -> dict:
    dataset = experiment.build_dataset(name)
    return {
        "title": dataset.title,
        "data": experiment.data_id(name),
        "licence": dataset.licence,
        "homepage": dataset.homepage,
        "reader": experiment.reader(name),
        "options": experiment.options(name),
        "scenes": dataset.scenes(),
        "bibtex": bibtex("datasets", dataset.citation),
    }
