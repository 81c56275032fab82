"""Finds methods/*.py and datasets/*.py, the suite's and those of the current directory, and builds what they hold.

A plug-in is a file without a leading underscore. It is loaded under a private package name, because `datasets` and
`methods` are common names that other packages on the path may carry too. Private files that it imports
(`from ._layers import ...`) are looked for in its own folder first, then in the suite's.
"""

import ast
import hashlib
import importlib
import importlib.machinery
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from smifbench.dataset import DataSet
from smifbench.errors import UserError, unknown
from smifbench.options import fits, in_words, stated_types
from smifbench.places import PACKAGE, ROOT

if TYPE_CHECKING:
    from smifbench.method import FusionMethod

KINDS = {"methods": "method", "datasets": "data set"}
"""Folders of plug-ins, and what they hold."""

_ONE_PARSES = Lock()
"""In Python 3.11 threads that parse at once, as Snakemake's may, end in a SystemError (CPython's issue 106905)."""


def folders(folder: str) -> list[Path]:
    """Where plug-ins of `folder` ("methods" or "datasets") lie: with the suite, and in the current directory."""
    return list(dict.fromkeys([ROOT / folder, *(path for path in [Path.cwd() / folder] if path.is_dir())]))


def names(folder: str) -> list[str]:
    """Sorted plug-in names of `folder` ("methods" or "datasets")."""
    paths = [path for home in folders(folder) for path in home.glob("*.py")]
    return sorted({path.stem for path in paths if not path.stem.startswith("_")})


def source(folder: str, name: str) -> Path:
    """File of a plug-in; raises UserError for an unknown name, or one that exists twice."""
    if name not in names(folder):
        raise unknown(KINDS[folder], name, names(folder))
    found = [path for home in folders(folder) if (path := home / f"{name}.py").is_file()]
    if len(found) > 1:
        raise UserError(f"{KINDS[folder]} '{name}' exists twice, as {found[0]} and {found[1]}; rename one of the files")
    return found[0]


def sources(folder: str, name: str) -> list[Path]:
    """Return the plug-in's file and what it imports of the user's, directly or not; none for an unknown name.

    These are private files and packages beside it, and modules and packages in the current directory.
    """
    if name not in names(folder):
        return []
    file = source(folder, name)
    found: list[Path] = []
    pending = [file]
    while pending:
        path = pending.pop()
        if path not in found:
            found.append(path)
            for module, homes in _imported(path, _homes(file)):
                pending += next((files for home in homes if (files := _files_of(home, module))), [])
    return found


def _imported(path: Path, homes: list[Path]) -> Iterator[tuple[str, list[Path]]]:
    """First names of the modules that a file imports, and the folders in which each may lie."""
    for node in ast.walk(syntax_tree(path)):
        aliases = [alias.name for alias in getattr(node, "names", [])]
        if isinstance(node, ast.ImportFrom) and node.level < 2:
            modules, places = [node.module] if node.module else aliases, homes if node.level else [Path.cwd()]
        elif isinstance(node, ast.Import):
            modules, places = aliases, [Path.cwd()]
        else:
            continue
        first = {module.partition(".")[0] for module in modules} - {PACKAGE.name}
        yield from ((module, places) for module in sorted(first))


def syntax_tree(path: Path) -> ast.Module:
    """Return the syntax tree of a Python file, in any thread; raises UserError where the file is no Python."""
    try:
        with _ONE_PARSES:
            return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise UserError(f"{_shown(path)} cannot be read as Python: {error}") from error


def _files_of(home: Path, module: str) -> list[Path]:
    """Return the file of a module in a folder, or all files of a package."""
    file = home / f"{module}.py"
    return [file] if file.is_file() else sorted((home / module).rglob("*.py"))


def bibtex(folder: str, key: str) -> str:
    """Return the BibTeX entry `key` of the files `references.bib` beside the plug-ins, or "" where they have none."""
    files = [path for home in folders(folder) if (path := home / "references.bib").is_file()]
    text = "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in files)
    head = re.search(rf"@\w+\s*{{\s*{re.escape(key)}\s*,", text)
    if not head:
        return ""
    depth = 0
    for place in range(text.index("{", head.start()), len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[head.start() : place + 1]
    return ""


def dataset_class(name: str) -> type[DataSet]:
    """Return the class of `datasets/<name>.py`; raises UserError for an unknown name or a broken file."""
    return _only_class("datasets", name, DataSet)


def build_dataset(name: str, **options: object) -> DataSet:
    """Build the data set of `datasets/<name>.py`; raises UserError for an unknown name or option, or a wrong value."""
    cls = dataset_class(name)
    _check_options(f"data set {name}", cls, options, dataset_options(name))
    dataset = cls(**options)
    _check_stated(source("datasets", name), dataset, ("title", "citation", "licence", "homepage"))
    return dataset


def dataset_options(name: str) -> dict[str, object]:
    """Options of a data set's reader with their defaults."""
    return _options(dataset_class(name))


def method_class(name: str) -> "type[FusionMethod]":
    """Return the method class of `methods/<name>.py`; raises UserError for an unknown name or a broken file."""
    from smifbench.method import FusionMethod

    cls = _only_class("methods", name, FusionMethod)
    _check_stated(source("methods", name), cls, ("title", "citation"))
    return cls


def method_options(cls: "type[FusionMethod]") -> dict[str, object]:
    """Options of a method with their defaults.

    They are those of its constructor, whose first argument is the problem. A method that solves has one more,
    `operators`: "known" tells it the problem's PSF and response, "estimated" what the images themselves say of them.
    """
    options = dict(list(_options(cls).items())[1:])
    return options if cls.trainable else {**options, "operators": "known"}


def check_method_options(name: str, options: Mapping[str, object]) -> None:
    """Raise UserError for an option that the method does not have, or a value of another type than it states."""
    cls = method_class(name)
    _check_options(f"method {name}", cls, options, method_options(cls))


def is_random(method: str) -> bool:
    """Tell whether a method's result depends on a seed: it is trained, or takes an option `seed`."""
    cls = method_class(method)
    return cls.trainable or "seed" in method_options(cls)


def _check_options(what: str, cls: type, options: Mapping[str, object], known: Iterable[str]) -> None:
    types = stated_types(cls)
    for option, value in options.items():
        if option not in known:
            raise unknown(f"option of {what}", option, known)
        if option in types and not fits(value, types[option]):
            raise UserError(f"option {option} of {what} must be {in_words(types[option])}, not {value!r}")


def _options(cls: type) -> dict[str, object]:
    return {parameter.name: parameter.default for parameter in inspect.signature(cls).parameters.values()}


def _check_stated(file: Path, plugin: object, attributes: tuple[str, ...]) -> None:
    for attribute in attributes:
        if not isinstance(getattr(plugin, attribute, None), str):
            raise UserError(f'{_shown(file)} must state what tables print: add {attribute} = "..." to its class')


def _only_class(folder: str, name: str, base: type) -> type:
    file = source(folder, name)
    try:
        module = importlib.import_module(f"{_package(file)}.{name}")
    except (SyntaxError, ImportError) as error:
        raise UserError(f"{_shown(file)} cannot be imported: {error}") from error
    found = [
        value
        for key, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, base) and value.__module__ == module.__name__ and key[0] != "_"
    ]
    if len(found) != 1:
        raise UserError(f"{_shown(file)} must hold exactly one public subclass of {base.__name__}, not {len(found)}")
    return found[0]


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _homes(file: Path) -> list[Path]:
    """Folders in which a plug-in's file finds what it imports."""
    return list(dict.fromkeys([file.parent, ROOT / file.parent.name]))


def _package(file: Path) -> str:
    """Return the name of the package that the plug-in `file` is a module of, and make that package."""
    homes = [str(home) for home in _homes(file)]
    name = f"_smifbench_{file.parent.name}"
    if homes[1:]:
        name += f"_{hashlib.sha256(homes[0].encode()).hexdigest()[:8]}"
    if name not in sys.modules:
        spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = homes
        sys.modules[name] = importlib.util.module_from_spec(spec)
    return name
