"""Filling missing pixels, and masks as text."""

import numpy as np
import pytest

from smifbench import UserError
from smifbench.data.missing import blocks_with_missing, fill_nearest, mask_from_text, mask_to_text


def test_every_missing_pixel_has_the_values_of_a_nearest_valid_one():
    generator = np.random.default_rng(0)
    image, missing = generator.random((3, 20, 30)), generator.random((20, 30)) < 0.6
    filled = fill_nearest(np.where(missing, np.nan, image), missing)
    np.testing.assert_array_equal(filled[:, ~missing], image[:, ~missing])
    valid = np.argwhere(~missing)
    for row, column in np.argwhere(missing):
        distances = np.hypot(*(valid - (row, column)).T)
        nearest = valid[np.isclose(distances, distances.min())]
        assert any((filled[:, row, column] == image[:, *place]).all() for place in nearest)


def test_an_image_without_a_valid_pixel_is_refused():
    with pytest.raises(UserError, match="every pixel is missing"):
        fill_nearest(np.zeros((2, 4, 4)), np.ones((4, 4), bool))


@pytest.mark.parametrize("shape", [(1, 1), (7, 13), (64, 64)])
def test_a_mask_comes_back_from_its_text(shape):
    missing = np.random.default_rng(0).random(shape) < 0.3
    np.testing.assert_array_equal(mask_from_text(mask_to_text(missing), shape), missing)


def test_a_block_is_missing_with_one_of_its_pixels():
    missing = np.zeros((8, 12), bool)
    missing[3, 7] = True
    assert np.argwhere(blocks_with_missing(missing, 4)).tolist() == [[0, 1]]
