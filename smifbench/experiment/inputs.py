"""Files that no step makes: the suite's own and those of the user's that a config names."""

import os
import time
from collections.abc import Iterable
from datetime import datetime
from functools import cache
from pathlib import Path

from smifbench import plugins
from smifbench.data.responses import NAMED
from smifbench.errors import UserError
from smifbench.experiment.config import Experiment
from smifbench.paper.layout import FILES
from smifbench.places import PACKAGE, PUBLISHED, RESPONSES, ROOT
from smifbench.system.identity import file_hash

LARGE = 100_000_000
"""Bytes beyond which a file is known by its size and time, as reading it at every call would take too long."""

SECOND = 1.0
"""By which a file may seem to come from the future: file systems round times."""


def responses() -> list[str]:
    """Return the shipped spectral responses."""
    return _shipped({*RESPONSES.glob("*.csv"), *(RESPONSES / f"{stem}.csv" for stem, _ in NAMED.values())})


def published() -> list[str]:
    """Return the printed tables."""
    return _shipped(PUBLISHED / f"{name}.csv" for name in FILES)


def templates() -> list[str]:
    """Return the parts of the report's page."""
    return _shipped(PACKAGE / "report" / "templates" / f"report.{suffix}" for suffix in ("html.j2", "css", "js"))


def references() -> list[str]:
    """Return the files of BibTeX entries, beside the plug-ins."""
    files = [home / "references.bib" for folder in plugins.KINDS for home in plugins.folders(folder)]
    return [os.path.relpath(file) for file in files if file.is_file()]


def named(options: object) -> list[Path]:
    """Return the files that the values of a plug-in's options name, such as weights from elsewhere."""
    return [path for path in _paths(options) if path.is_file()]


def below(options: object) -> list[Path]:
    """Return the files in the folders that the values of a plug-in's options name, such as a data set's own copy."""
    files = [Path(parent, name) for path in _paths(options) for parent, _, names in os.walk(path) for name in names]
    return sorted(path for path in files if path.is_file())


def dataset_files(experiment: Experiment, name: str) -> list[Path]:
    """Return the user's files that a data set is read from, those of a whole folder aside."""
    stated = experiment.build_dataset(name).sources()
    return list(dict.fromkeys([*stated, *named(experiment.options(name))]))


def inputs(experiment: Experiment) -> list[Path]:
    """Return all files that the numbers, tables and pages of an experiment depend on and no step makes."""
    from smifbench.degradation.protocol import get_protocol

    shipped = [*responses(), *published(), *templates(), *references()]
    protocols = [*experiment.protocols, *experiment.test_protocols]
    users = [file for name in experiment.datasets for file in dataset_files(experiment, name)]
    users += [file for protocol in protocols for file in get_protocol(protocol).sources()]
    users += [file for about in experiment.methods.values() for file in named(about["options"])]
    return list(dict.fromkeys([*map(Path, shipped), *users]))


def check_inputs(experiment: Experiment) -> None:
    """Refuse files that snakemake cannot take.

    Raises
    ------
    UserError
        For a name with braces, which it takes for wildcards, and a time in the future, by which all that is made of the
        file would seem older than it; and where files of the suite are gone.
    """
    paths = inputs(experiment)
    for path in [ROOT, *paths]:
        if {"{", "}"} & {*str(path)}:
            raise UserError(f"{path}: snakemake takes braces in a name for wildcards; rename it")
    for path in paths:
        changed = path.stat().st_mtime
        if changed > time.time() + SECOND:
            when = datetime.fromtimestamp(changed).strftime("%Y-%m-%d %H:%M:%S")
            raise UserError(
                f"{path} was changed in the future, {when} by this machine's clock, so that what is made of it would "
                f"seem older; give it the present time: touch '{path}'"
            )


def contents(paths: Iterable[str | Path]) -> list[tuple[str, str]]:
    """Return name and content, in short, of each file: an edited one counts, whatever time it bears."""
    return [(Path(path).name, _content(path)) for path in paths]


@cache
def _content(path: str | Path) -> str:
    about = os.stat(path)
    return file_hash(path) if about.st_size <= LARGE else f"{about.st_size} bytes of {about.st_mtime_ns}"


def _paths(options: object) -> list[Path]:
    """Return all texts among nested values, as paths."""
    if isinstance(options, dict | list):
        values = options.values() if isinstance(options, dict) else options
        return [path for value in values for path in _paths(value)]
    return [Path(options).expanduser()] if isinstance(options, str) and options else []


def _shipped(paths: Iterable[Path]) -> list[str]:
    """Return files of the suite relative to where snakemake runs; raises UserError where one is gone."""
    files = sorted(map(os.path.relpath, paths))
    for file in files:
        if not os.path.isfile(file):
            raise UserError(
                f"{file} comes with the suite and is gone; get it back: git checkout {os.path.dirname(file)}"
            )
    return files
