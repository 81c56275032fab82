"""smifbench: a reproducible benchmark of hyperspectral/multispectral image fusion."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smifbench import metrics
    from smifbench.auditing import audit
    from smifbench.build import build_method
    from smifbench.errors import UserError
    from smifbench.inference import fuse
    from smifbench.method import FusionMethod, Recipe
    from smifbench.problem import FusionProblem
    from smifbench.results import compare, leaderboard, load_results
    from smifbench.simulation import simulate
    from smifbench.statistics import claims, intervals, ranks, significance
    from smifbench.tables import to_latex

__all__ = [
    "FusionMethod",
    "FusionProblem",
    "Recipe",
    "UserError",
    "audit",
    "build_method",
    "claims",
    "compare",
    "fuse",
    "intervals",
    "leaderboard",
    "load_results",
    "metrics",
    "ranks",
    "significance",
    "simulate",
    "to_latex",
]

_HOME = {
    "FusionMethod": "method",
    "FusionProblem": "problem",
    "Recipe": "method",
    "UserError": "errors",
    "audit": "auditing",
    "build_method": "build",
    "claims": "statistics",
    "compare": "results",
    "fuse": "inference",
    "intervals": "statistics",
    "leaderboard": "results",
    "load_results": "results",
    "ranks": "statistics",
    "significance": "statistics",
    "simulate": "simulation",
    "to_latex": "tables",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, so that steps without networks start without torch."""
    if name == "metrics":
        return importlib.import_module("smifbench.metrics")
    if name not in _HOME:
        raise AttributeError(f"module 'smifbench' has no attribute '{name}'")
    return getattr(importlib.import_module(f"smifbench.{_HOME[name]}"), name)
