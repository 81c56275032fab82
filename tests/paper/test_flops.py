"""What is said of a published FLOPs cell follows from the counts."""

import pandas as pd
import pytest

from smifbench.paper.flops import _explain, _is_cut_off

COUNTED = pd.DataFrame(
    [
        # dataset, ratio, method, params, gmacs_thop, published_tflops
        ("cave", 4, "right", 1_000_000, 1200.9, 1.200),
        ("cave", 8, "right", 1_000_000, 1181.3, 1.200),
        ("cave", 4, "parameters", 1_964_346, 516.2, 1.964),
        ("cave", 4, "swapped", 7_000_000, 4396.1, 0.516),
        ("cave", 4, "rounded_up", 1_000_000, 2399.9, 2.400),
        ("cave", 4, "absent", 1_000_000, 100.0, float("nan")),
        ("harvard", 4, "right", 1_000_000, 17584.6, 17.58),
    ],
    columns=["dataset", "ratio", "method", "params", "gmacs_thop", "published_tflops"],
)


@pytest.mark.parametrize(
    ("row", "explanation"),
    [
        (0, "thop's count, cut off"),
        (1, "thop's count at ratio 4, cut off and repeated"),
        (2, "not a count: the parameters in millions"),
        (3, "not its own: thop's count of parameters"),
        (4, "differs: thop's count at ratio 4 is -0.00 %"),
        (5, "the paper has no such row"),
        (6, "thop's count, cut off"),
    ],
)
def test_explanation(row, explanation):
    assert _explain(COUNTED.iloc[row], COUNTED) == explanation


def test_digits_are_cut_off_and_not_rounded():
    assert _is_cut_off(3.5079, 3.507)
    assert not _is_cut_off(3.5079, 3.508)
    assert _is_cut_off(14.0299, 14.02)
    assert not _is_cut_off(14.0299, 14.03)
