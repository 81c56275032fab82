"""Scripts of the repository that are no modules of the package, loaded by their paths."""

import importlib.util
from types import ModuleType

from smifbench import plugins


def load(path: str) -> ModuleType:
    """Return the script at a path from the repository's root as a module; it does not run."""
    spec = importlib.util.spec_from_file_location(path.rpartition("/")[2].removesuffix(".py"), plugins.ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
