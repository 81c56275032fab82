"""Figures: one stretch and one scale for all methods, and the same bytes whenever the data are the same."""

import numpy as np
import pandas as pd
import pytest

from smifbench import figures


@pytest.fixture
def comparison():
    rng = np.random.default_rng(0)
    reference = rng.random((12, 32, 48)).astype(np.float32) * 0.2
    reference[:, 16:24, 32:40] = rng.random((12, 8, 8))
    noisy = {"Good": reference + 0.01, "Bad": reference + 0.1 * rng.standard_normal(reference.shape)}
    return figures.Comparison("toy", 4, "toy_test", np.linspace(430, 900, 12), reference, noisy)


def pictures(figure):
    return [image for axis in figure.axes for image in axis.get_images()]


def test_bands_are_the_nearest_ones(comparison):
    assert comparison.band(640) == int(np.abs(comparison.wavelengths_nm - 640).argmin())
    assert comparison.band(10_000) == 11


def test_the_framed_square_is_where_the_reference_varies_most(comparison):
    top, left, side = comparison.detail_box()
    assert side == 8
    assert abs(top - 16) <= side // 2
    assert abs(left - 32) <= side // 2


def test_the_stretch_comes_from_the_reference(comparison):
    figure = figures.pseudo_colour(comparison)
    reference, good = (
        pictures(figure)[0].get_array(),
        next(image.get_array() for axis in figure.axes if axis.get_title() == "Good" for image in axis.get_images()),
    )
    bands = [comparison.band(nm) for nm in figures.RGB_NM]
    low, high = np.percentile(comparison.reference[bands], (1, 99), axis=(1, 2), keepdims=True)
    expected = ((comparison.estimates["Good"][bands] - low) / (high - low)).clip(0, 1)
    np.testing.assert_allclose(good, np.moveaxis(expected, 0, -1), atol=1e-6)
    assert reference.min() == 0
    assert reference.max() == 1


def test_error_maps_share_one_scale_and_show_the_mean_absolute_error(comparison):
    figure = figures.error_maps(comparison)
    shown = [image for image in pictures(figure) if image.get_array().shape == (32, 48)]
    assert len({image.get_clim() for image in shown}) == 1
    np.testing.assert_allclose(shown[0].get_array(), 0.01, atol=1e-6)


def test_error_of_one_band(comparison):
    figure = figures.error_maps(comparison, nm=860)
    band = comparison.band(860)
    expected = np.abs(comparison.estimates["Bad"][band] - comparison.reference[band])
    shown = [image.get_array() for image in pictures(figure) if image.get_array().shape == (32, 48)]
    np.testing.assert_allclose(shown[1], expected, atol=1e-7)


@pytest.mark.parametrize("draw", [figures.pseudo_colour, figures.error_maps, lambda c: figures.spectra([c])])
def test_files_are_the_same_byte_for_byte(draw, comparison, tmp_path):
    for name in ("first", "second"):
        figures.save(draw(comparison), tmp_path, name)
    for suffix in (".pdf", ".png"):
        assert (tmp_path / f"first{suffix}").read_bytes() == (tmp_path / f"second{suffix}").read_bytes()


def test_accuracy_against_cost_leaves_out_solvers():
    metrics = pd.DataFrame(
        {
            "dataset": "toy",
            "ratio": 4,
            "method": ["gsa", "net"],
            "variant": "default",
            "status": "ok",
            "psnr": [40.0, 41.0],
        }
    )
    cost = metrics.assign(gmacs=[np.nan, 2.0], params=[0, 1000])[
        ["dataset", "ratio", "method", "variant", "gmacs", "params"]
    ]
    figure = figures.accuracy_against_cost(metrics, cost, {"net/default": "Net"})
    (offsets,) = [collection.get_offsets() for axis in figure.axes for collection in axis.collections]
    assert offsets.tolist() == [[2.0, 41.0]]
