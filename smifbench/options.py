"""Whether an option takes a value, by the annotations in the constructor of a method or data set, and by its range."""

import inspect
import math
from collections.abc import Sequence
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Union, cast, get_args, get_origin

from smifbench.errors import UserError

WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", NoneType: "null"}
"""What users call the types of values; all other types are left to the constructor."""

ITEMS = {int: "whole numbers", float: "numbers", str: "texts"}
"""What they call many of them."""


def stated_types(cls: type) -> dict[str, Any]:
    """Return the annotations of a class's constructor; none where they name what its file has not imported."""
    try:
        parameters = inspect.signature(cls, eval_str=True).parameters.values()
    except NameError:
        return {}
    return {parameter.name: parameter.annotation for parameter in parameters}


def fits(value: object, kind: Any) -> bool:
    """Tell whether a value, as YAML or Python has it, is of a stated type; NaN and infinity are no numbers."""
    if kind in (bool, str, NoneType):
        return isinstance(value, kind)
    if kind in (int, float):
        number = isinstance(value, Integral if kind is int else Real)
        return number and not isinstance(value, bool) and math.isfinite(cast(float, value))
    if _is_list(kind):
        return isinstance(value, list | tuple) and all(fits(item, _items(kind)[0]) for item in value)
    if _is_choice(kind):
        return any(fits(value, choice) for choice in get_args(kind))
    return True


def in_words(kind: Any) -> str:
    """Say what values a type has that refuses some: "a list of whole numbers or null"."""
    if _is_list(kind):
        items = ITEMS.get(_items(kind)[0])
        return f"a list of {items}" if items else "a list"
    if _is_choice(kind):
        return " or ".join(map(in_words, get_args(kind)))
    return WORDS[kind]


def _is_list(kind: Any) -> bool:
    return get_origin(kind) in (list, tuple, Sequence) and len(_items(kind)) == 1


def _items(kind: Any) -> list[Any]:
    """Return the different types that the items of a list are stated to have."""
    return list(dict.fromkeys(item for item in get_args(kind) if item is not ...))


def _is_choice(kind: Any) -> bool:
    return get_origin(kind) in (Union, UnionType)


def at_least(least: float, method: str, **options: float) -> None:
    """Raise UserError for an option of a method that is below what it must be at least."""
    for name, value in options.items():
        if value < least:
            raise UserError(f"option {name} of method {method} must be at least {least}, not {value}")
