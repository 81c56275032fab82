"""smifbench: a reproducible benchmark of hyperspectral/multispectral image fusion."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smifbench import metrics
    from smifbench.degradation.simulation import simulate
    from smifbench.errors import UserError
    from smifbench.evaluation.likeness import common_scenes
    from smifbench.evaluation.reading import load_costs
    from smifbench.evaluation.results import compare, leaderboard, load_results
    from smifbench.evaluation.significance import claims, intervals, ranks, significance
    from smifbench.fusion.build import build_method
    from smifbench.fusion.tiles import fuse
    from smifbench.fusion.trained import load_method
    from smifbench.method import FusionMethod, Recipe
    from smifbench.paper.audit import audit
    from smifbench.problem import FusionProblem
    from smifbench.report.tables import to_latex

__version__ = "0.3.0"

__all__ = [
    "FusionMethod",
    "FusionProblem",
    "Recipe",
    "UserError",
    "audit",
    "build_method",
    "claims",
    "common_scenes",
    "compare",
    "fuse",
    "intervals",
    "leaderboard",
    "load_costs",
    "load_method",
    "load_results",
    "metrics",
    "ranks",
    "significance",
    "simulate",
    "to_latex",
]

HOME = {
    "FusionMethod": "method",
    "FusionProblem": "problem",
    "Recipe": "method",
    "UserError": "errors",
    "audit": "paper.audit",
    "build_method": "fusion.build",
    "claims": "evaluation.significance",
    "common_scenes": "evaluation.likeness",
    "compare": "evaluation.results",
    "fuse": "fusion.tiles",
    "intervals": "evaluation.significance",
    "leaderboard": "evaluation.results",
    "load_costs": "evaluation.reading",
    "load_method": "fusion.trained",
    "load_results": "evaluation.results",
    "ranks": "evaluation.significance",
    "significance": "evaluation.significance",
    "simulate": "degradation.simulation",
    "to_latex": "report.tables",
}


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, so that steps without networks start without torch."""
    if name == "metrics":
        return importlib.import_module("smifbench.metrics")
    if name not in HOME:
        raise AttributeError(f"module 'smifbench' has no attribute '{name}'")
    return getattr(importlib.import_module(f"smifbench.{HOME[name]}"), name)
