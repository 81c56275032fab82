"""smifbench: a reproducible benchmark of hyperspectral/multispectral image fusion."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smifbench.errors import UserError
    from smifbench.method import FusionMethod, Recipe
    from smifbench.plugins import build_method
    from smifbench.problem import FusionProblem

_HOME = {
    "FusionMethod": "method",
    "FusionProblem": "problem",
    "Recipe": "method",
    "UserError": "errors",
    "build_method": "plugins",
}

__all__ = ["FusionMethod", "FusionProblem", "Recipe", "UserError", "build_method"]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, so that steps without networks start without torch."""
    if name not in _HOME:
        raise AttributeError(f"module 'smifbench' has no attribute '{name}'")
    return getattr(importlib.import_module(f"smifbench.{_HOME[name]}"), name)
