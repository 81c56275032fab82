"""The recipe by which a network is trained in an experiment."""

from dataclasses import replace

from smifbench import plugins
from smifbench.method import PAPER_RECIPE, Recipe


def resolved_recipe(method: str, base: str, *changes: dict) -> Recipe:
    """Return the recipe called `base` for a method ("own" or "paper"), with `changes` made in their order."""
    recipe = PAPER_RECIPE if base == "paper" else plugins.method_class(method).recipe
    for change in changes:
        if {"epochs", "steps", "seconds"} & change.keys():
            change = {"steps": None, "seconds": None, **change}  # a budget takes the place of one of another kind
        recipe = replace(recipe, **change)
    return recipe
