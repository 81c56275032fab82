"""Values of options are judged by the annotations of constructors, so that no text passes for true."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from smifbench import FusionProblem, UserError, build_method, plugins
from smifbench.method import FusionMethod
from smifbench.options import fits, in_words, stated_types


@pytest.mark.parametrize(
    ("kind", "words", "taken", "refused"),
    [
        (bool, "true or false", [True, False], ["no", 0, 1, None]),
        (int, "a whole number", [3, -1, np.int64(3)], [3.0, True, "3", None]),
        (float, "a number", [0.5, 3, np.float32(0.5)], ["0.5", True, float("nan"), float("inf"), [0.5]]),
        (str, "text", ["a", ""], [3, None, ["a"]]),
        (int | None, "a whole number or null", [3, None], [0.5, "3"]),
        (tuple[float, ...], "a list of numbers", [(0.5,), [1, 0.5], []], [0.5, ["a"], "0.5"]),
        (Sequence[int], "a list of whole numbers", [(1, 2), [1]], [1, [0.5], "12"]),
        (Sequence[int | Sequence[int]], "a list", [[1, [2, 3]]], [1, ["a"]]),
    ],
)
def test_values_of_a_type(kind, words, taken, refused):
    assert in_words(kind) == words
    assert all(fits(value, kind) for value in taken)
    assert not any(fits(value, kind) for value in refused)


@pytest.mark.parametrize("kind", [Any, list, tuple[int, str], Mapping[str, int], str | Mapping[str, int]])
def test_other_types_are_left_to_the_constructor(kind):
    assert all(fits(value, kind) for value in (3, "a", None))


def test_a_constructor_without_annotations_takes_what_it_is_given():
    class Loose(FusionMethod):
        def __init__(self, problem, width=3):
            super().__init__(problem)

    assert fits("wide", stated_types(Loose).get("width", Any))


WRONG = {bool: "no", int: 1.5, float: "a", str: 3}


@pytest.mark.parametrize("name", plugins.names("methods"))
def test_every_method_refuses_wrong_values(name):
    problem = FusionProblem(6, 3, 4)
    types = stated_types(plugins.method_class(name))
    for option, default in plugins.method_options(plugins.method_class(name)).items():
        wrong = [["a"], WRONG.get(type(default), "a")]
        if isinstance(default, int) and not isinstance(default, bool) and option != "seed":
            wrong.append(-1)
        for value in wrong:
            with pytest.raises(UserError, match=option):
                build_method(name, problem, **{option: value})
        assert option == "operators" or fits(default, types[option])


@pytest.mark.parametrize("name", plugins.names("datasets"))
def test_every_data_set_refuses_wrong_values(name):
    for option, default in plugins.dataset_options(name).items():
        if type(default) in WRONG:
            with pytest.raises(UserError, match=option):
                plugins.build_dataset(name, **{option: WRONG[type(default)]})
