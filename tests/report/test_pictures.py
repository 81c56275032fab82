"""Figures: one stretch and one scale for all methods, and the same bytes whenever the data are the same."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from smifbench import metrics
from smifbench.report import charts
from smifbench.report import pictures as pictures_module
from smifbench.report.comparison import RGB_NM, Comparison
from smifbench.report.figures import CAPTIONS, at_one_ratio, colour_and_grey
from smifbench.report.style import save, styles


@pytest.fixture
def comparison():
    rng = np.random.default_rng(0)
    reference = rng.random((12, 32, 48)).astype(np.float32) * 0.2
    reference[:, 16:24, 32:40] = rng.random((12, 8, 8))
    noisy = {"Good": reference + 0.01, "Bad": reference + 0.1 * rng.standard_normal(reference.shape)}
    return Comparison("toy", 4, "toy_test", np.linspace(430, 900, 12), reference, noisy)


def pictures(figure):
    return [image for axis in figure.axes for image in axis.get_images()]


def images_of(figure, name):
    """The whole image called `name` and its magnified square."""
    place = next(index for index, axis in enumerate(figure.axes) if axis.get_title() == name)
    return [figure.axes[place + step].get_images()[0].get_array() for step in (0, 1)]


# comparisons


def test_bands_are_the_nearest_ones(comparison):
    assert comparison.band(640) == int(np.abs(comparison.wavelengths_nm - 640).argmin())
    assert comparison.band(10_000) == 11


def test_the_framed_square_is_where_the_reference_has_most_edges(comparison):
    top, left, side = comparison.detail_box()
    assert side == 8
    assert abs(top - 16) <= side // 4
    assert abs(left - 32) <= side // 4


def test_random_pixels_are_bright_distinct_and_the_same_for_all_methods(comparison):
    pixels = comparison.random_pixels(3)
    image = comparison.reference.mean(0)
    assert len(set(pixels)) == 3
    assert all(image[pixel] >= np.median(image) for pixel in pixels)
    other = Comparison("toy", 8, "toy_test", comparison.wavelengths_nm, comparison.reference, {})
    assert other.random_pixels(3) == pixels


def test_errors_are_those_of_the_metrics(comparison):
    clamped = comparison.estimates["Bad"].clip(0, 1)
    assert comparison.band_psnr("Bad").mean() == pytest.approx(metrics.mpsnr(comparison.reference, clamped))
    expected = np.abs(clamped - comparison.reference).mean(0)
    np.testing.assert_allclose(comparison.errors("Bad"), expected, atol=1e-7)


# images


def test_the_stretch_comes_from_the_reference(comparison):
    figure = pictures_module.pseudo_colour(comparison)
    reference, _ = images_of(figure, "reference")
    good, magnified = images_of(figure, "Good")
    bands = [comparison.band(nm) for nm in RGB_NM]
    low, high = np.percentile(comparison.reference[bands], (1, 99), axis=(1, 2), keepdims=True)
    expected = ((comparison.estimates["Good"][bands] - low) / (high - low)).clip(0, 1) ** (1 / 1.6)
    np.testing.assert_allclose(good, np.moveaxis(expected, 0, -1), atol=1e-6)
    top, left, side = comparison.detail_box()
    np.testing.assert_array_equal(magnified, good[top : top + side, left : left + side])
    assert (reference.min(), reference.max()) == (0, 1)


@pytest.mark.parametrize("draw", [pictures_module.error_maps, pictures_module.grey_scale])
def test_all_methods_share_one_scale_with_a_colour_bar(draw, comparison):
    figure = draw(comparison)
    scales = {image.get_clim() for image in pictures(figure) if image.get_array().ndim == 2}
    assert len(scales) == 1
    bars = [axis for axis in figure.axes if axis.get_xlabel() in ("absolute error", "value")]
    assert len(bars) == 1


def test_error_maps_show_the_mean_absolute_error(comparison):
    whole, magnified = images_of(pictures_module.error_maps(comparison), "Good")
    expected = np.abs(comparison.estimates["Good"].clip(0, 1) - comparison.reference).mean(0)
    np.testing.assert_allclose(whole, expected, atol=1e-7)
    assert magnified.shape == (8, 8)


def test_error_of_one_band(comparison):
    band = comparison.band(860)
    expected = np.abs(comparison.estimates["Bad"][band].clip(0, 1) - comparison.reference[band])
    whole, _ = images_of(pictures_module.error_maps(comparison, nm=860), "Bad")
    np.testing.assert_allclose(whole, expected, atol=1e-7)


def test_one_bad_method_does_not_darken_the_others(comparison):
    maps = [np.full((8, 8), value) for value in (0.01, 0.02, 5.0)]
    assert pictures_module.error_scale(maps) == pytest.approx(0.02)


def test_spectra_have_three_pixels_and_magnify_where_the_median_method_errs(comparison):
    spoilt = comparison.reference.copy()
    spoilt[6:8] += 0.3
    wild = comparison.reference.copy()
    wild[0] += 5
    estimates = {"A": spoilt, "B": spoilt + 0.001, "Wild": wild}
    spectra = Comparison("toy", 4, "t", comparison.wavelengths_nm, comparison.reference, estimates)
    figure = pictures_module.spectra([spectra], styles(estimates))
    assert len(figure.axes) == 3
    for axis in figure.axes:
        low, high = axis.child_axes[0].lines[0].get_xdata()[[0, -1]]
        assert low <= comparison.wavelengths_nm[6]
        assert high >= comparison.wavelengths_nm[7]


@pytest.mark.parametrize(
    "draw",
    [
        pictures_module.pseudo_colour,
        pictures_module.error_maps,
        lambda c: pictures_module.spectra([c], styles(c.estimates)),
    ],
)
def test_pdf_text_stays_text(draw, comparison, tmp_path):
    save(draw(comparison), tmp_path, "figure")
    pdf = (tmp_path / "figure.pdf").read_bytes()
    assert b"/TrueType" in pdf or b"/CIDFontType2" in pdf
    assert b"/Type3" not in pdf


# charts


def frame(names, **columns):
    """Rows of a chart: methods called by their names in capitals, on one data set and ratio."""
    titles = [name.upper() for name in names]
    rows = pd.DataFrame({"dataset": "d", "ratio": 4, "setting": "s", "name": list(names), "title": titles})
    return rows.assign(**columns)


def points(**changes):
    return frame("ab", psnr=[40.0, 41.0], params=[1e6, 4e6], gmacs=[0.5, 2]).assign(**changes)


def test_accuracy_against_cost_is_logarithmic_with_areas_by_the_other_cost():
    figure = charts.accuracy_against_cost(points(), "params", "gmacs", styles(["a", "b"]))
    (axis,) = figure.axes
    assert axis.get_xscale() == "log"
    assert [collection.get_offsets().tolist() for collection in axis.collections] == [[[1, 40]], [[4, 41]]]
    small, large = (collection.get_sizes()[0] for collection in axis.collections)
    assert small < large


def test_training_curves_end_at_the_whole_budget():
    history = frame("aa", step=[10, 40], val_psnr=[20.0, 30.0])
    (axis,) = charts.training_curves(history, styles(["a"])).axes
    np.testing.assert_array_equal(axis.lines[0].get_xydata(), [[0.25, 20], [1, 30]])


def test_every_scene_and_seed_is_a_point():
    scores = frame("aaabb", psnr=[30.0, 31, 32, 40, 41])
    (axis,) = charts.scene_spread(scores, styles(["a", "b"])).axes
    assert [sorted(marks.get_offsets()[:, 0]) for marks in axis.collections] == [[30, 31, 32], [40, 41]]
    assert [line.get_xdata()[0] for line in axis.lines] == [31, 40.5]


def test_a_bar_joins_methods_that_differ_by_less_than_the_critical_difference():
    ranks = {"A": 1.0, "B": 1.5, "C": 2.5, "D": 4.0}
    figure = charts.critical_difference(list(ranks.items()), 1.2)
    bars = [line.get_xdata() for axis in figure.axes for line in axis.lines if line.get_color() == charts.CLIQUE]
    joined = [[name for name, rank in ranks.items() if low <= rank <= high] for low, high in bars]
    assert joined == [["A", "B"], ["B", "C"]]


# the gallery of an experiment


def test_the_papers_data_sets_and_ratio_are_preferred(comparison):
    def at(dataset, ratio):
        return Comparison(dataset, ratio, "scene", comparison.wavelengths_nm, comparison.reference, {})

    colour, grey = colour_and_grey(
        at_one_ratio([at("wdcm", 8), at("wdcm", 16), at("cave", 4), at("cave", 8), at("own", 4)])
    )
    assert (colour.dataset, colour.ratio, grey.dataset, grey.ratio) == ("cave", 8, "wdcm", 8)
    colour, grey = colour_and_grey(at_one_ratio([at("own", 2), at("own", 4)]))
    assert (colour.ratio, grey.ratio) == (4, 4)


@pytest.mark.xdist_group("report")
def test_an_experiment_has_all_figures_byte_for_byte_the_same_in_another_process(made_up, tmp_path):
    results, pairs = made_up
    command = ["figures", "--results", results, "--pairs", pairs, "--output", tmp_path / "figures"]
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-m", "smifbench.steps", *map(str, command)], check=True, env=environment)
    expected = {f"{name}{suffix}" for name in CAPTIONS for suffix in (".pdf", ".png")}
    assert {path.name for path in (tmp_path / "figures").iterdir()} == expected
    for name in expected:
        assert (results / "figures" / name).read_bytes() == (tmp_path / "figures" / name).read_bytes(), name
