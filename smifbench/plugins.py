"""Finds methods/*.py and datasets/*.py and builds what they hold.

A plug-in is a file without a leading underscore. It is loaded under a private package name, because `datasets` and
`methods` are common names that other packages on the path may carry too.
"""

import ast
import importlib
import importlib.machinery
import importlib.util
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from smifbench.dataset import DataSet
from smifbench.errors import UserError, unknown

if TYPE_CHECKING:
    from smifbench.method import FusionMethod

ROOT = Path(__file__).resolve().parent.parent


def names(folder: str) -> list[str]:
    """Sorted plug-in names of `folder` ("methods" or "datasets")."""
    return sorted(path.stem for path in (ROOT / folder).glob("*.py") if not path.stem.startswith("_"))


def sources(folder: str, name: str) -> list[Path]:
    """Return the plug-in's file and the private files of the same folder that it imports, directly or not."""
    found: list[Path] = []
    pending = [f"{name}.py"]
    while pending:
        path = ROOT / folder / pending.pop()
        if path.exists() and path not in found:
            found.append(path)
            for node in ast.walk(_parsed(path)):
                if isinstance(node, ast.ImportFrom) and node.level == 1:
                    modules = [node.module] if node.module else [alias.name for alias in node.names]
                    pending += [f"{module}.py" for module in modules]
    return found


def dataset_class(name: str) -> type[DataSet]:
    """Return the class of `datasets/<name>.py`; raises UserError for an unknown name or a broken file."""
    return _only_class("datasets", "data set", name, DataSet)


def build_dataset(name: str, **options: object) -> DataSet:
    """Build the data set of `datasets/<name>.py`; raises UserError for an unknown name or option."""
    cls = dataset_class(name)
    known = dataset_options(name)
    for option in options:
        if option not in known:
            raise unknown(f"option of data set {name}", option, known)
    return cls(**options)


def dataset_options(name: str) -> dict[str, object]:
    """Options of a data set's reader with their defaults."""
    return _options(dataset_class(name))


def method_class(name: str) -> "type[FusionMethod]":
    """Return the method class of `methods/<name>.py`; raises UserError for an unknown name or a broken file."""
    from smifbench.method import FusionMethod

    return _only_class("methods", "method", name, FusionMethod)


def method_options(cls: "type[FusionMethod]") -> dict[str, object]:
    """Options of a method with their defaults.

    They are those of its constructor, whose first argument is the problem. A method that solves has one more,
    `operators`: "known" tells it the problem's PSF and response, "estimated" what the images themselves say of them.
    """
    options = dict(list(_options(cls).items())[1:])
    return options if cls.trainable else {**options, "operators": "known"}


def is_random(method: str) -> bool:
    """Tell whether a method's result depends on a seed: it is trained, or takes an option `seed`."""
    cls = method_class(method)
    return cls.trainable or "seed" in method_options(cls)


def _options(cls: type) -> dict[str, object]:
    return {parameter.name: parameter.default for parameter in inspect.signature(cls).parameters.values()}


def _only_class(folder: str, kind: str, name: str, base: type) -> type:
    if name not in names(folder):
        raise unknown(kind, name, names(folder))
    try:
        module = importlib.import_module(f"{_package(folder)}.{name}")
    except (SyntaxError, ImportError) as error:
        raise UserError(f"{folder}/{name}.py cannot be imported: {error}") from error
    found = [
        value
        for key, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, base) and value.__module__ == module.__name__ and key[0] != "_"
    ]
    if len(found) != 1:
        raise UserError(
            f"{folder}/{name}.py must hold exactly one public subclass of {base.__name__}, not {len(found)}"
        )
    return found[0]


def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    except SyntaxError as error:
        raise UserError(f"{path.parent.name}/{path.name} cannot be read as Python: {error}") from error


def _package(folder: str) -> str:
    name = f"_smifbench_{folder}"
    if name not in sys.modules:
        spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(ROOT / folder)]
        sys.modules[name] = importlib.util.module_from_spec(spec)
    return name
