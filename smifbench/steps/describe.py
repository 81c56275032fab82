"""Write down what the experiment is and where it runs: the facts that its tables and pages print beside the numbers."""

import argparse
import importlib.metadata
import json
import logging
import os
import platform
from dataclasses import asdict
from pathlib import Path

import torch

from smifbench import plugins
from smifbench.degradation.protocol import get_protocol
from smifbench.experiment import external
from smifbench.experiment.config import Experiment, check_experiment
from smifbench.report.titles import variant_title
from smifbench.system.files import write_json
from smifbench.system.identity import code_id

logger = logging.getLogger(__name__)

PACKAGES = ("torch", "numpy", "scipy", "pandas", "snakemake", "matplotlib", "fvcore")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    parser.add_argument("--config", type=json.loads, required=True, help="the experiment's config as JSON")


def run(args: argparse.Namespace) -> None:
    """Write `experiment.json`."""
    write_json(args.output, describe(check_experiment(args.config)))


def describe(experiment: Experiment) -> dict:
    """Return the contents of `experiment.json`: config, recipes, titles, citations, protocols, versions, hardware."""
    _tell_missing_entries(experiment)
    methods = {}
    for (name, variant), about in experiment.methods.items():
        if name in experiment.external:
            methods[f"{name}/{variant}"] = _describe_external(name, variant, about)
            continue
        cls = plugins.method_class(name)
        methods[f"{name}/{variant}"] = {
            "title": variant_title(cls.title, variant),
            "trainable": cls.trainable,
            "options": about["options"],
            "recipe": asdict(experiment.recipe_of(name, variant)) if cls.trainable else None,
            "bibtex": plugins.bibtex("methods", cls.citation),
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
        "metrics": experiment.metrics,
        "methods": methods,
        "code": code_id(*_plugin_files(experiment)),
        "versions": {"python": platform.python_version()}
        | {package: importlib.metadata.version(package) for package in PACKAGES},
        "hardware": hardware(),
    }


def hardware() -> str:
    """Return the machine's GPUs, or its processor and the number of its cores, in words."""
    if torch.cuda.is_available():
        return ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
    return f"{platform.machine()} CPU, {os.cpu_count()} cores"


def _plugin_files(experiment: Experiment) -> list[Path]:
    readers = [experiment.reader(name) for name in experiment.datasets]
    files = [plugins.sources("methods", method) for method, _ in experiment.methods]
    files += [plugins.sources("datasets", reader) for reader in readers]
    return sorted({file for several in files for file in several})


def _tell_missing_entries(experiment: Experiment) -> None:
    """Say in the log which BibTeX entries are missing, each once."""
    here = [name for name, _ in experiment.methods if name not in experiment.external]
    cited = [("methods", plugins.method_class(name).citation) for name in here]
    cited += [("datasets", experiment.build_dataset(name).citation) for name in experiment.datasets]
    for folder, key in dict.fromkeys(cited):
        if key and not plugins.bibtex(folder, key):
            logger.warning("there is no BibTeX entry %s; add it to %s/references.bib", key, folder)


def _describe_external(name: str, variant: str, about: dict) -> dict:
    """Describe a method that ran elsewhere: its title says so wherever it is printed."""
    return {
        "title": f"{variant_title(external.title_of(name, about), variant)} (external)",
        "trainable": False,
        "options": {key: about[key] for key in external.KEYS if key in about},
        "recipe": None,
        "bibtex": "",
        "external": True,
    }


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
        "bibtex": plugins.bibtex("datasets", dataset.citation),
    }
