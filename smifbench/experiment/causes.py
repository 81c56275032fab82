"""Which code decides a step's numbers, as a digest: it changes when they may, and a rule that has it runs again.

The code is what the step's module and its plug-ins import, directly or not, but for the modules named here, each with
the reason why it decides no number. What counts of a module is its syntax without comments, docstrings, annotations of
types and the words of errors, which decide no number either.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import smifbench
from smifbench.plugins import syntax_tree

PACKAGE = Path(smifbench.__file__).parent

NEUTRAL = {
    "dataset": "says what a data set has to offer; what a data set gives is its own file's",
    "errors": "words of errors",
    "experiment.causes": "decides what runs again, and nothing that is then made",
    "experiment.config": "reads the config; what a rule needs of it is a parameter of the rule",
    "experiment.outcome": "writes down how a run ended",
    "fusion.blind": "for methods that estimate their operators only, whose rules name it",
    "options": "refuses values of options; those that pass are as they were",
    "places": "says where files lie, which decide for themselves",
    "plugins": "finds methods and data sets by name; their files count themselves",
    "run": "names a run",
    "steps._arguments": "reads a step's arguments, which are parameters of its rule",
    "system.devices": "picks the device, which every row names",
    "system.files": "writes files whole; what is in them is decided elsewhere",
    "system.identity": "hashes and revisions, by which damage is noticed",
}
"""Modules that decide no step's numbers, with the reason; what they import is not looked at."""

NEUTRAL_FOR = {
    "train": {
        "fusion.tiles": "validates while training, by a curve that decides nothing",
        "metrics": "validates while training, by a curve that decides nothing",
        "system.signals": "ends a training early, in a state from which it goes on to the bit",
        "training.checkpoint": "keeps the state of a training, which goes on to the bit",
    },
}
"""Modules that decide no numbers of one step, with the reason."""


def digest(step: str, plugins: Iterable[Path] = (), also: Iterable[str] = ()) -> str:
    """Return a short name of all code that decides the numbers of a step.

    Parameters
    ----------
    step
        Name of a module in `smifbench.steps`.
    plugins
        Files of the methods and data sets that the step works with.
    also
        Modules that count although they are neutral otherwise, such as "fusion.blind".
    """
    plugins = list(plugins)
    hashes = [_syntax_hash(_file(module)) for module in modules(step, plugins, also)]
    return hashlib.sha256("".join([*hashes, *map(_syntax_hash, plugins)]).encode()).hexdigest()[:16]


def modules(step: str, plugins: Iterable[Path] = (), also: Iterable[str] = ()) -> list[str]:
    """Names of the package's modules that decide the numbers of a step, sorted; arguments as in `digest`."""
    also = list(also)
    neutral = {*NEUTRAL, *NEUTRAL_FOR.get(step, {})} - {*also}
    pending = [f"steps.{step}", *also, *(module for plugin in plugins for module in _imports(plugin))]
    found: set[str] = set()
    while pending:
        module = pending.pop()
        if module not in neutral and module not in found:
            found.add(module)
            pending += _imports(_file(module))
    return sorted(found)


@cache
def _imports(path: Path) -> list[str]:
    return sorted(set(imported(_tree(path))))


def imported(tree: ast.AST) -> Iterator[str]:
    """Names of the package's modules that a syntax tree imports, anywhere but under `TYPE_CHECKING`.

    A public name that `smifbench` itself passes on counts for the module where it is at home.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "smifbench":
            package = (node.module or "").partition(".")[2]
            for alias in node.names:
                name = f"{package}.{alias.name}" if package else alias.name
                if _file(name).exists():
                    yield name
                elif package:
                    yield package
                elif alias.name in smifbench.HOME:
                    yield smifbench.HOME[alias.name]
        elif isinstance(node, ast.Import):
            names = [alias.name.partition(".") for alias in node.names]
            yield from (module for package, _, module in names if package == "smifbench" and module)
        yield from imported(node)


def _file(module: str) -> Path:
    return PACKAGE.joinpath(*module.split(".")).with_suffix(".py")


_tree = cache(syntax_tree)


@cache
def _syntax_hash(path: Path) -> str:
    return hashlib.sha256(repr(_plain(_tree(path))).encode()).hexdigest()


def _plain(node: object) -> object:
    """A syntax tree as nested tuples that are the same in every version of Python, without what decides nothing."""
    if isinstance(node, list):
        return tuple(_plain(item) for item in node if not _is_text(item))
    if not isinstance(node, ast.AST):
        return node
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        return ("Raise", _plain(node.exc.func))
    parts = [
        (name, _plain(value))
        for name, value in ast.iter_fields(node)
        if value not in (None, []) and name not in ("annotation", "returns", "type_comment", "ctx", "kind")
    ]
    return (type(node).__name__, *parts)


def _is_text(statement: object) -> bool:
    """Tell whether a statement is a docstring, or text that stands where one might."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
