"""A demo with a network that has not learnt does not pass."""

import demo_check
import pandas as pd
import pytest


def demo(**changes):
    """Rows of a floor and eight networks that have learnt, but for those in `changes` of `n3`."""
    names = ["bicubic", *(f"n{number}" for number in range(8))]
    rows = pd.DataFrame(
        {"psnr": [35.0, *[40.0] * 8], "sam": [2.0, *[1.0] * 8], "train_steps": [None, *[9.0] * 8]}, names
    )
    for column, value in changes.items():
        rows.loc["n3", column] = value
    return rows


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({}, None),
        ({"psnr": 38.9}, "too weak: n3"),
        ({"sam": 2.0}, "too weak: n3"),
        ({"psnr": float("nan")}, "too weak: n3"),
        ({"train_steps": None}, "only 7 of 8 networks have rows"),
    ],
)
def test_what_is_said_of_a_demo(changes, complaint):
    assert demo_check.complaint(demo(**changes)) == complaint
