"""Finds methods/*.py and datasets/*.py and builds what they hold.

A plug-in is a file without a leading underscore. It is loaded under a private package name, because `datasets` and
`methods` are common names that other packages on the path may carry too.
"""

import importlib
import importlib.machinery
import importlib.util
import inspect
import sys
from pathlib import Path

from smifbench.errors import UserError, unknown
from smifbench.method import FusionMethod
from smifbench.problem import FusionProblem

ROOT = Path(__file__).resolve().parent.parent


def names(folder: str) -> list[str]:
    """Sorted plug-in names of `folder` ("methods" or "datasets")."""
    return sorted(path.stem for path in (ROOT / folder).glob("*.py") if not path.stem.startswith("_"))


def method_class(name: str) -> type[FusionMethod]:
    """Return the method class of `methods/<name>.py`; raises UserError for an unknown name or a broken file."""
    return _only_class("methods", "method", name, FusionMethod)


def build_method(name: str, problem: FusionProblem, **options: object) -> FusionMethod:
    """Build one method for `problem`.

    Parameters
    ----------
    name
        A file name under `methods/`, without `.py`.
    problem
        Band counts, ratio and known responses.
    **options
        The constructor's options; every option has a default.

    Raises
    ------
    UserError
        For an unknown method or option, with the nearest valid name.
    """
    cls = method_class(name)
    known = method_options(cls)
    for option in options:
        if option not in known:
            raise unknown(f"option of method {name}", option, known)
    return cls(problem, **options)


def method_options(cls: type[FusionMethod]) -> dict[str, object]:
    """Options of a method's constructor with their defaults."""
    parameters = list(inspect.signature(cls).parameters.values())[1:]
    return {parameter.name: parameter.default for parameter in parameters}


def _only_class(folder: str, kind: str, name: str, base: type) -> type:
    if name not in names(folder):
        raise unknown(kind, name, names(folder))
    module = importlib.import_module(f"{_package(folder)}.{name}")
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


def _package(folder: str) -> str:
    name = f"_smifbench_{folder}"
    if name not in sys.modules:
        spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(ROOT / folder)]
        sys.modules[name] = importlib.util.module_from_spec(spec)
    return name
