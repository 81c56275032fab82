"""What a fusion problem takes and refuses."""

import numpy as np
import pytest

from smifbench import FusionProblem, UserError


def test_integers_of_numpy_count_too():
    problem = FusionProblem(np.int64(6), np.uint8(2), np.int32(4))
    assert problem.as_json() == FusionProblem(6, 2, 4).as_json()
    assert {type(value) for value in (problem.bands, problem.msi_bands, problem.ratio)} == {int}


@pytest.mark.parametrize("ratio", [0, -4, 4.0, np.float64(4), True, np.True_, "4", None])
def test_other_counts_are_refused(ratio):
    with pytest.raises(UserError, match="ratio must be a positive integer, not"):
        FusionProblem(6, 2, ratio)


def test_a_problem_comes_back_from_json():
    known = FusionProblem(3, 2, 2, np.full((2, 2), 0.25), np.full((2, 3), 1 / 3), np.array([400.0, 500, 600]))
    back = FusionProblem.of_json(known.as_json())
    assert back.as_json() == known.as_json()
    assert np.array_equal(back.srf, known.srf)
