"""Metrics: laws, values worked out by hand, and other libraries where they compute the same thing."""

import math
import tracemalloc

import numpy as np
import pytest
import scipy.signal
import sewar
import skimage.metrics
from sewar.utils import Filter

from smifbench import metrics
from smifbench.errors import UserError

WALD = ["psnr", "mpsnr", "ssim", "sam", "rase", "rmse", "ergas", "uiqi", "q2n", "cc", "scc"]
PAPER = ["paper_psnr", "paper_ssim", "paper_sam", "paper_rase", "paper_rmse", "paper_ergas"]
CONSISTENCY = ["spectral_consistency", "spatial_consistency"]
INDICES = ["ssim", "uiqi", "q2n", "cc", "scc", "paper_ssim"]
HIGHER_BETTER = {"psnr", "mpsnr", "paper_psnr", *INDICES}
DECIBELS_PER_HALVING = 20 * math.log10(2)


def evaluate(name, reference, estimate, ratio=4):
    function = getattr(metrics, name)
    return function(reference, estimate, ratio) if name == "ergas" else function(reference, estimate)


def smooth_scene(bands=9, height=30, width=26, seed=0):
    """A cube in [0.1, 0.9] with structure along both axes and the spectrum, brighter in some bands than in others."""
    rng = np.random.default_rng(seed)
    rows, columns = np.linspace(0, 3, height)[:, None], np.linspace(0, 2, width)
    level = np.linspace(0.3, 1, bands)[:, None, None]
    phase = rng.uniform(0, 6, bands)[:, None, None]
    return level * (0.55 + 0.3 * np.sin(3 * rows + 2 * columns + 0.3 * phase) + 0.04 * rng.random((height, width)))


@pytest.fixture
def scene():
    return smooth_scene()


@pytest.fixture
def noisy(scene):
    noise = np.random.default_rng(1).standard_normal(scene.shape)
    return np.clip(scene + 0.03 * noise * np.linspace(0.5, 1.5, len(scene))[:, None, None], 0, 1)


def bands_last(image):
    return np.moveaxis(image, 0, -1)


# values worked out by hand


@pytest.fixture
def pair_by_hand():
    """Two bands of two pixels; squared errors 0.01, 0.01 and 0.04, 0; band means 0.5 and 0.25."""
    reference = np.array([[[0.4, 0.6]], [[0.3, 0.2]]])
    estimate = np.array([[[0.5, 0.5]], [[0.5, 0.2]]])
    return reference, estimate


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("psnr", 10 * math.log10(1 / 0.015)),
        ("mpsnr", (20 + 10 * math.log10(1 / 0.02)) / 2),
        ("rmse", math.sqrt(0.015)),
        ("rase", 100 * math.sqrt(0.015) / 0.375),
        ("ergas", 25 * math.sqrt((0.01 / 0.25 + 0.02 / 0.0625) / 2)),
        ("sam", math.degrees(math.atan(1) - math.atan(0.75) + math.atan(0.4) - math.atan(1 / 3)) / 2),
        ("paper_psnr", 10 * math.log10(0.36 / 0.015)),
        ("paper_rmse", math.sqrt(0.015)),
        ("paper_rase", 100 * math.sqrt(0.015) / 0.375),
        ("paper_ergas", 25 * math.sqrt(0.015) / 0.375),
        ("paper_sam", math.degrees(math.acos(0.69 / math.sqrt(0.65 * 0.79)))),
    ],
)
def test_value_by_hand(name, expected, pair_by_hand):
    assert evaluate(name, *pair_by_hand) == pytest.approx(expected, rel=1e-12)


def test_ssim_by_hand():
    # One window, both images constant: no variance, so SSIM is the luminance term alone.
    reference, estimate = np.full((1, 11, 11), 0.5), np.full((1, 11, 11), 0.7)
    expected = (2 * 0.5 * 0.7 + 1e-4) / (0.5**2 + 0.7**2 + 1e-4)
    assert metrics.ssim(reference, estimate) == pytest.approx(expected, rel=1e-12)


def test_paper_ssim_by_hand():
    reference, estimate = np.full((7, 1, 7), 0.5), np.full((7, 1, 7), 0.7)
    expected = (2 * 0.5 * 0.7 + 4e-4) / (0.5**2 + 0.7**2 + 4e-4)
    assert metrics.paper_ssim(reference, estimate) == pytest.approx(expected, rel=1e-12)


# laws


@pytest.mark.parametrize("name", ["psnr", "mpsnr", "paper_psnr"])
def test_psnr_rises_by_six_decibels_when_the_error_halves(name, scene, noisy):
    half = scene + (noisy - scene) / 2
    gain = evaluate(name, scene, half) - evaluate(name, scene, noisy)
    assert gain == pytest.approx(DECIBELS_PER_HALVING, abs=1e-9)


def test_ergas_halves_when_the_ratio_doubles(scene, noisy):
    assert metrics.ergas(scene, noisy, 8) == pytest.approx(metrics.ergas(scene, noisy, 4) / 2, rel=1e-14)


def test_only_ergas_depends_on_the_ratio(scene, noisy):
    at_4, at_8 = metrics.score(scene, noisy, 4), metrics.score(scene, noisy, 8)
    assert [name for name in at_4 if at_4[name] != at_8[name]] == ["ergas"]


def test_sam_is_blind_to_a_positive_gain_on_each_pixel(scene, noisy):
    gain = np.random.default_rng(2).uniform(0.2, 3, scene.shape[1:])
    assert metrics.sam(scene, noisy * gain) == pytest.approx(metrics.sam(scene, noisy), rel=1e-12)
    assert metrics.sam(scene, scene * gain) == pytest.approx(0, abs=2e-6)
    assert metrics.paper_sam(scene, scene * gain) > 1


def test_angle_of_proportional_images_is_not_lost_to_rounding(scene):
    for gain in np.linspace(0.1, 3, 50):
        assert metrics.sam(scene, gain * scene) < 2e-6
        assert metrics.paper_sam(scene, gain * scene) < 2e-6


def test_relative_metrics_are_blind_to_a_common_gain(scene, noisy):
    for name in ("rase", "ergas", "sam", "paper_rase", "paper_ergas", "paper_sam", "paper_psnr"):
        assert evaluate(name, scene / 3, noisy / 3) == pytest.approx(evaluate(name, scene, noisy), rel=1e-10)


def test_ergas_weighs_bands_by_their_own_mean(scene, noisy):
    # A gain on one band of both images leaves ERGAS alone; the version that pools all bands moves.
    gain = np.ones((len(scene), 1, 1))
    gain[2] = 0.1
    assert metrics.ergas(scene * gain, noisy * gain, 4) == pytest.approx(metrics.ergas(scene, noisy, 4), rel=1e-12)
    assert metrics.paper_ergas(scene * gain, noisy * gain) != pytest.approx(metrics.paper_ergas(scene, noisy), rel=0.01)


def test_identities_between_metrics(scene, noisy):
    values = metrics.score(scene, noisy, 8)
    assert values["paper_rase"] == 4 * values["paper_ergas"]
    assert values["rase"] == pytest.approx(100 * values["rmse"] / scene.mean(), rel=1e-13)
    assert values["rase"] == values["paper_rase"]
    assert values["psnr"] == pytest.approx(-20 * math.log10(values["rmse"]), rel=1e-13)
    assert values["paper_psnr"] == pytest.approx(values["psnr"] + 20 * math.log10(scene.max()), rel=1e-13)
    assert values["mpsnr"] > values["psnr"]


def test_one_band_makes_the_two_ergas_and_the_two_psnr_equal():
    scene = smooth_scene(bands=1)
    estimate = scene + 0.02 * np.random.default_rng(3).standard_normal(scene.shape)
    assert metrics.ergas(scene, estimate, 4) == pytest.approx(metrics.paper_ergas(scene, estimate), rel=1e-13)
    assert metrics.mpsnr(scene, estimate) == pytest.approx(metrics.psnr(scene, estimate), rel=1e-13)


def test_tangent_of_paper_sam_is_the_relative_error_of_uncorrelated_noise(scene):
    noise = np.random.default_rng(4).standard_normal(scene.shape)
    mean_over_rms = scene.mean() / np.sqrt(np.mean(scene**2))

    def tangent_and_relative_error(error):
        values = metrics.paper_sam(scene, scene + error), metrics.paper_rase(scene, scene + error)
        return math.tan(math.radians(values[0])), values[1] / 100 * mean_over_rms

    orthogonal = 0.05 * (noise - np.vdot(noise, scene) / np.vdot(scene, scene) * scene)
    assert np.divide(*tangent_and_relative_error(orthogonal)) == pytest.approx(1, rel=1e-9)
    assert np.divide(*tangent_and_relative_error(0.05 * noise)) == pytest.approx(1, rel=0.02)
    assert np.divide(*tangent_and_relative_error(0.05 * scene)) < 1e-5


@pytest.mark.parametrize("name", WALD + PAPER)
def test_monotone_in_noise(name, scene):
    noise = np.random.default_rng(5).standard_normal(scene.shape)
    values = np.array([evaluate(name, scene, scene + sigma * noise) for sigma in (0, 0.005, 0.01, 0.02, 0.04, 0.08)])
    steps = np.diff(values[1:]) if np.isinf(values[0]) else np.diff(values)
    assert (steps < 0 if name in HIGHER_BETTER else steps > 0).all()


@pytest.mark.parametrize("name", WALD + PAPER)
def test_identical_images_have_the_best_value(name, scene):
    best = 1.0 if name in INDICES else math.inf if "psnr" in name else 0.0
    assert evaluate(name, scene, scene.copy()) == pytest.approx(best, abs=2e-6)


def test_ssim_is_symmetric_and_ignores_transposition(scene, noisy):
    assert metrics.ssim(noisy, scene) == pytest.approx(metrics.ssim(scene, noisy), rel=1e-13)
    transposed = metrics.ssim(scene.transpose(0, 2, 1), noisy.transpose(0, 2, 1))
    assert transposed == pytest.approx(metrics.ssim(scene, noisy), rel=1e-13)


@pytest.mark.parametrize("name", ["ssim", "paper_ssim", "uiqi"])
@pytest.mark.parametrize("strip", [60, 1000])
def test_means_of_windows_do_not_depend_on_the_strips(name, strip, scene, noisy, monkeypatch):
    whole = evaluate(name, scene, noisy)
    monkeypatch.setattr(metrics, "STRIP", strip)
    assert evaluate(name, scene, noisy) == pytest.approx(whole, rel=1e-12)


# other libraries, where they compute the same thing


def test_ssim_equals_scikit_image(scene, noisy):
    expected = skimage.metrics.structural_similarity(
        scene, noisy, channel_axis=0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1
    )
    assert metrics.ssim(scene, noisy) == pytest.approx(expected, rel=1e-12)


def test_paper_ssim_equals_scikit_image_on_bands_by_pixels(scene, noisy):
    flat = scene.reshape(len(scene), -1), noisy.reshape(len(scene), -1)
    expected = skimage.metrics.structural_similarity(*flat, data_range=2)
    assert metrics.paper_ssim(scene, noisy) == pytest.approx(expected, rel=1e-12)


def test_psnr_equals_scikit_image(scene, noisy):
    expected = skimage.metrics.peak_signal_noise_ratio(scene, noisy, data_range=1)
    assert metrics.psnr(scene, noisy) == pytest.approx(expected, rel=1e-13)
    expected = skimage.metrics.peak_signal_noise_ratio(scene, noisy, data_range=scene.max())
    assert metrics.paper_psnr(scene, noisy) == pytest.approx(expected, rel=1e-13)


def test_sewar_agrees_where_it_follows_the_definitions(scene, noisy):
    pair = bands_last(scene), bands_last(noisy)
    assert metrics.psnr(scene, noisy) == pytest.approx(sewar.psnr(*pair, MAX=1), rel=1e-13)
    assert metrics.rmse(scene, noisy) == pytest.approx(sewar.rmse(*pair), rel=1e-13)
    assert metrics.ergas(scene, noisy, 8) == pytest.approx(sewar.ergas(*pair, r=1 / 8), rel=1e-13)
    gaussian = {"fltr": Filter.GAUSSIAN, "sigma": 1.5, "ws": 11}
    assert metrics.ssim(scene, noisy) == pytest.approx(sewar.ssim(*pair, MAX=1, fltr_specs=gaussian)[0], rel=1e-11)
    assert metrics.sam(scene, noisy) == pytest.approx(math.degrees(sewar.sam(*pair)), rel=1e-12)


# other libraries, where their defaults are something else


def test_sewar_ergas_assumes_ratio_4_unless_told(scene, noisy):
    default = sewar.ergas(bands_last(scene), bands_last(noisy))
    assert default == pytest.approx(2 * metrics.ergas(scene, noisy, 8), rel=1e-13)


def test_sewar_rase_averages_over_windows(scene, noisy):
    windowed = sewar.rase(bands_last(scene), bands_last(noisy))
    assert abs(windowed - metrics.rase(scene, noisy)) > 0.01 * windowed


def test_sewar_ssim_has_a_uniform_window_by_default(scene, noisy):
    uniform = sewar.ssim(bands_last(scene), bands_last(noisy), MAX=1)[0]
    assert uniform > metrics.ssim(scene, noisy) + 1e-3


def test_scikit_image_defaults_are_a_third_ssim(scene, noisy):
    default = skimage.metrics.structural_similarity(scene, noisy, channel_axis=0, data_range=1)
    assert default > metrics.ssim(scene, noisy) + 1e-3
    with pytest.raises(ValueError, match="data_range"):
        skimage.metrics.structural_similarity(scene[0], noisy[0])


# indices of windows, blocks and bands


def slow_uiqi(x, y, side=8):
    """Wang and Bovik's index of every window, with centred sums."""
    values = []
    for top, left in np.ndindex(len(x) - side + 1, x.shape[1] - side + 1):
        a, b = (image[top : top + side, left : left + side] for image in (x, y))
        means, deviations = (a.mean(), b.mean()), (a - a.mean(), b - b.mean())
        spread = (deviations[0] ** 2).sum() + (deviations[1] ** 2).sum()
        likeness = 2 * (deviations[0] * deviations[1]).sum() / spread if spread > 1e-20 else 1
        power = means[0] ** 2 + means[1] ** 2
        values.append(likeness * (2 * means[0] * means[1] / power if power else 1))
    return np.array(values).reshape(len(x) - side + 1, -1)


def test_uiqi_is_the_mean_of_wang_and_boviks_index_over_windows(scene, noisy):
    expected = np.mean([slow_uiqi(x, y).mean() for x, y in zip(scene, noisy, strict=True)])
    assert metrics.uiqi(scene, noisy) == pytest.approx(expected, rel=1e-10)


def test_uiqi_is_scikit_images_ssim_without_constants(scene, noisy, monkeypatch):
    monkeypatch.setattr(metrics, "UIQI_WINDOW", np.full(7, 1 / 7))  # scikit-image's windows have odd sides
    expected = skimage.metrics.structural_similarity(
        scene, noisy, channel_axis=0, win_size=7, use_sample_covariance=False, data_range=1, K1=0, K2=0
    )
    assert metrics.uiqi(scene, noisy) == pytest.approx(expected, rel=1e-10)


def test_flat_windows_differ_by_their_means_alone():
    flat, other, lively = np.full((1, 12, 12), 0.7), np.full((1, 12, 12), 0.35), smooth_scene(1, 12, 12)
    assert metrics.uiqi(flat, flat) == metrics.uiqi(0 * flat, 0 * flat) == 1
    assert metrics.uiqi(flat, other) == pytest.approx(0.8, rel=1e-12)
    assert metrics.uiqi(flat, flat + 1e-9 * lively) == pytest.approx(1, rel=1e-6)  # rounding is no structure
    assert metrics.uiqi(flat, lively) == pytest.approx(0, abs=1e-9)


def test_sewars_uiqi_takes_means_for_sums(scene, noisy):
    """So its variances are too large by squares of means, and noise hardly lowers it."""
    assert sewar.uqi(bands_last(scene), bands_last(noisy)) > metrics.uiqi(scene, noisy) + 0.05


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 9, 31])
def test_q2n_equals_sewar(bands):
    scene = smooth_scene(bands, 64, 96)
    noisy = 0.9 * scene + 0.05 * np.random.default_rng(1).standard_normal(scene.shape)
    assert metrics.q2n(scene, noisy) == pytest.approx(sewar.q2n(bands_last(scene), bands_last(noisy)), rel=1e-9)


def test_q2n_mirrors_what_lies_beyond_whole_blocks(scene):
    scene = smooth_scene(5, 50, 75)
    noisy = scene + 0.05 * np.random.default_rng(1).standard_normal(scene.shape)
    assert metrics.q2n(scene, noisy) == pytest.approx(sewar.q2n(bands_last(scene), bands_last(noisy)), rel=1e-9)
    small = scene[:, :16, :16], noisy[:, :16, :16]
    quarters = (
        np.concatenate([np.concatenate([x, x[:, ::-1]], 1), np.concatenate([x, x[:, ::-1]], 1)[..., ::-1]], 2)
        for x in small
    )
    assert metrics.q2n(*small) == pytest.approx(metrics.q2n(*quarters), rel=1e-12)


def test_q2n_of_one_band_by_hand():
    """One block whose band in the reference has mean 1 and deviation 1 already; the estimate is 2 x + 0.5 there."""
    x = np.random.default_rng(0).standard_normal((1, 32, 32))
    x = (x - x.mean()) / x.std(ddof=1) + 1
    expected = 2 * 2.5 / (1 + 2.5**2) * 2 * 2 / (1 + 4)
    assert metrics.q2n(x, 2 * x + 0.5) == pytest.approx(expected, rel=1e-12)


def test_q2n_of_flat_bands():
    """A band flat in the reference is only shifted; where all are, the means decide, and rounding is no structure."""
    flat = np.full((3, 32, 32), 0.7)
    assert metrics.q2n(flat, flat) == 1
    expected = 2 * math.sqrt(4 * (3 * 1.1**2 + 1)) / (4 + 3 * 1.1**2 + 1)
    assert metrics.q2n(flat, flat + 0.1) == pytest.approx(expected, rel=1e-12)
    lively = smooth_scene(3, 32, 32)
    lively[1] = 0.7
    noisy = lively + 1e-3 * np.random.default_rng(0).standard_normal(lively.shape)
    assert metrics.q2n(lively, noisy) > 0.99
    lively[1] = 0
    noisy[1] = np.abs(noisy[1] - 0.7)
    assert metrics.q2n(lively, noisy) == pytest.approx(sewar.q2n(bands_last(lively), bands_last(noisy)), rel=1e-9)


def test_q2n_is_blind_to_the_reference_bands_gains(scene, noisy):
    gains = np.linspace(0.1, 1, len(scene))[:, None, None]
    assert metrics.q2n(gains * scene, gains * noisy) == pytest.approx(metrics.q2n(scene, noisy), rel=1e-9)


def test_cc_is_the_mean_correlation_of_bands(scene, noisy):
    expected = np.mean([np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in zip(scene, noisy, strict=True)])
    assert metrics.cc(scene, noisy) == pytest.approx(expected, rel=1e-12)
    assert metrics.cc(scene, 0.3 * scene + 0.2) == pytest.approx(1, rel=1e-12)
    assert metrics.cc(scene, 1 - scene) == pytest.approx(-1, rel=1e-12)


def test_scc_is_the_correlation_behind_a_laplacian_filter(scene, noisy):
    kernel = [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]
    expected = np.mean(
        [
            np.corrcoef(*(scipy.signal.convolve2d(image, kernel, "valid").ravel() for image in bands))[0, 1]
            for bands in zip(scene, noisy, strict=True)
        ]
    )
    assert metrics.scc(scene, noisy) == pytest.approx(expected, rel=1e-10)
    ramp = np.linspace(0, 0.1, scene.shape[2])
    assert metrics.scc(scene, scene + ramp) == pytest.approx(1, rel=1e-9)  # a slope is no detail


def test_sewars_scc_averages_over_windows():
    """So windows without an edge, in which there is noise alone, count as much as those with the scene's only edge."""
    edge = np.repeat([0.2, 0.8], 20)[None, None] * np.ones((1, 40, 1))
    noisy = edge + 0.01 * np.random.default_rng(0).standard_normal(edge.shape)
    assert metrics.scc(edge, noisy) > 0.95
    assert sewar.scc(bands_last(edge), bands_last(noisy)) < 0.5


@pytest.mark.parametrize("name", ["cc", "scc"])
def test_correlation_with_what_is_flat(name, scene):
    flat = scene.copy()
    flat[2] = 0.7
    assert math.isnan(evaluate(name, flat, scene))
    assert evaluate(name, scene, flat) == pytest.approx((len(scene) - 1) / len(scene), rel=1e-12)


@pytest.mark.parametrize(("name", "side"), [("ssim", 11), ("uiqi", 8), ("scc", 3)])
def test_windows_that_touch_a_missing_pixel_are_left_out(name, side, monkeypatch):
    """What remains is that of the pieces without the missing rows, weighed by their windows."""
    scene, noisy = smooth_scene(3, 40, 30), smooth_scene(3, 40, 30, seed=1)
    missing = np.zeros((40, 30), bool)
    missing[17:19] = True
    if name == "scc":
        monkeypatch.setattr(metrics, "_correlation", lambda x, y, *_: x.size)
        assert metrics.scc(scene, noisy, missing) == (15 + 19) * 28
        return
    pieces = [(rows, getattr(metrics, name)(scene[:, rows], noisy[:, rows])) for rows in (slice(17), slice(19, 40))]
    weights = [len(range(40)[rows]) - side + 1 for rows, _ in pieces]
    expected = np.average([value for _, value in pieces], weights=weights)
    assert getattr(metrics, name)(scene, noisy, missing) == pytest.approx(expected, rel=1e-12)


# agreement with the pair


def test_consistency_is_the_psnr_against_what_was_observed(scene, noisy):
    def means(image):
        return image[:, :28, :24].reshape(len(image), 7, 4, 6, 4).mean((2, 4))

    msi = np.tensordot(np.full((2, len(scene)), 1 / len(scene)), scene, 1)
    observed = {
        "lr_hsi": metrics.Observed(means(scene), means),
        "hr_msi": metrics.Observed(msi, lambda image: np.stack([image.mean(0)] * 2)),
    }
    values = metrics.score(scene, noisy, 4, **observed)
    assert list(values) == [*WALD, *CONSISTENCY, *PAPER, "sam_excluded"]
    assert values["spectral_consistency"] == metrics.psnr(means(scene), means(noisy))
    expected = -10 * math.log10(np.mean((noisy.mean(0) - scene.mean(0)) ** 2))
    assert values["spatial_consistency"] == pytest.approx(expected, rel=1e-12)
    wild = noisy + 5 * (noisy == noisy.max())
    assert metrics.score(scene, wild, 4, **observed) == metrics.score(scene, np.clip(wild, 0, 1), 4, **observed)


def test_pixels_that_do_not_count_take_no_part_in_consistency(scene, noisy):
    missing = np.zeros(scene.shape[1:], bool)
    missing[3] = True
    spoilt = np.where(missing, 1e3, scene)
    value = metrics.spatial_consistency(noisy, metrics.Observed(spoilt, lambda image: image, missing))
    assert value == pytest.approx(metrics.psnr(np.delete(scene, 3, 1), np.delete(noisy, 3, 1)), rel=1e-12)


# the clamp, and edges


def test_score_has_every_metric_once_in_order(scene, noisy):
    values = metrics.score(scene, noisy, 4)
    assert list(values) == [*WALD, *PAPER, "sam_excluded"]
    assert all(type(value) is float for value in values.values())
    for name in WALD + PAPER:
        assert values[name] == evaluate(name, scene, noisy)


def test_score_clamps_the_estimate_only(scene):
    wild = scene + 0.8 * np.random.default_rng(6).standard_normal(scene.shape)
    before = wild.copy()
    assert metrics.score(scene, wild, 4) == metrics.score(scene, np.clip(wild, 0, 1), 4)
    assert metrics.score(scene, wild, 4)["psnr"] > metrics.psnr(scene, wild) + 1
    np.testing.assert_array_equal(wild, before)


def test_arithmetic_is_in_float64(scene, noisy):
    reference, estimate = scene.astype(np.float32), noisy.astype(np.float32)
    single = metrics.score(reference, estimate, 4)
    double = metrics.score(reference.astype(np.float64), estimate.astype(np.float64), 4)
    assert single == double


def test_zero_spectra_are_left_out_of_sam_and_counted_or_cost_a_right_angle(scene, noisy):
    reference, estimate = scene.copy(), noisy.copy()
    reference[:, 0, 0] = reference[:, 5, 6] = 0
    estimate[:, 3, 4] = estimate[:, 5, 6] = 0
    values = metrics.score(reference, estimate, 4)
    inner = (scene * noisy).sum(0) / np.sqrt((scene**2).sum(0) * (noisy**2).sum(0))
    angles = np.degrees(np.arccos(inner))
    angles[0, 0] = angles[5, 6] = np.nan
    angles[3, 4] = 90
    assert values["sam_excluded"] == 2
    assert values["sam"] == pytest.approx(np.nanmean(angles), rel=1e-12)
    assert all(math.isfinite(value) for value in values.values())


def test_losing_the_dark_pixels_does_not_pay():
    rng = np.random.default_rng(0)
    reference = np.full((4, 32, 32), 0.5)
    reference[:, :, 16:] = rng.uniform(0.01, 0.05, (4, 32, 16))
    tilted = reference * np.linspace(0.99, 1.01, 4)[:, None, None]
    lost = reference.copy()
    lost[:, :, 16:] = -0.02  # clamped to zero
    assert metrics.score(reference, tilted, 4)["sam"] < 1
    assert metrics.score(reference, lost, 4)["sam"] == pytest.approx(45)  # half of the pixels at 90 degrees
    assert metrics.sam(reference, np.zeros_like(reference)) == 90


def test_zero_cube_has_no_angle_and_no_relative_error():
    zero, estimate = np.zeros((8, 12, 12)), np.full((8, 12, 12), 0.1)
    values = metrics.score(zero, estimate, 4)
    undefined = {"sam", "rase", "ergas", "cc", "scc", "paper_psnr", "paper_sam", "paper_rase", "paper_ergas"}
    assert {name for name, value in values.items() if math.isnan(value)} == undefined
    assert values["psnr"] == pytest.approx(20)
    assert values["sam_excluded"] == 144


def test_zero_band_leaves_ergas_undefined(scene, noisy):
    scene[4] = 0
    assert math.isnan(metrics.ergas(scene, noisy, 4))
    assert math.isfinite(metrics.paper_ergas(scene, noisy))


def test_one_exact_band_makes_mpsnr_infinite(scene, noisy):
    noisy[4] = scene[4]
    assert metrics.mpsnr(scene, noisy) == math.inf
    assert math.isfinite(metrics.psnr(scene, noisy))


def test_image_below_the_window_has_no_ssim():
    reference, estimate = np.random.default_rng(0).random((2, 6, 10, 30))
    values = metrics.score(reference, estimate, 4)
    assert {name for name, value in values.items() if math.isnan(value)} == {"ssim", "paper_ssim"}
    values = metrics.score(reference[:, :2], estimate[:, :2], 4)
    assert {name for name, value in values.items() if math.isnan(value)} == {"ssim", "paper_ssim", "uiqi", "scc"}


@pytest.mark.parametrize("shape", [(1, 1, 1), (300, 2, 2), (3, 4, 200), (40, 40, 16), (191, 128, 128), (64, 64, 80)])
def test_shapes_that_are_bands_first_are_accepted(shape):
    assert metrics.psnr(np.full(shape, 0.5), np.full(shape, 0.6)) == pytest.approx(20)


@pytest.mark.parametrize("name", [*WALD, *PAPER, "sam_excluded"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(name, value, scene, noisy):
    noisy[2, 3, 4] = value
    with pytest.raises(UserError, match="estimate holds NaN or infinite"):
        evaluate(name, scene, noisy)
    with pytest.raises(UserError, match="reference holds NaN or infinite"):
        evaluate(name, noisy, scene)


def test_score_refuses_an_infinite_estimate_before_the_clamp(scene, noisy):
    noisy[2, 3, 4] = np.inf
    with pytest.raises(UserError, match="estimate holds NaN or infinite"):
        metrics.score(scene, noisy, 4)


def test_shapes_that_differ_are_refused(scene):
    with pytest.raises(UserError, match="the same bands and pixels"):
        metrics.score(scene, scene[:, :-1], 4)
    with pytest.raises(UserError, match=r"np\.moveaxis\(estimate, -1, 0\)"):
        metrics.score(scene, bands_last(scene), 4)
    with pytest.raises(UserError, match=r"\(bands, height, width\)"):
        metrics.score(scene[None], scene[None], 4)
    with pytest.raises(UserError, match=r"\(bands, height, width\)"):
        metrics.score(scene[:0], scene[:0], 4)


@pytest.mark.parametrize("shape", [(64, 64, 31), (512, 320, 31)])
def test_bands_last_is_refused(shape):
    image = np.full(shape, 0.5, np.float16)
    with pytest.raises(UserError, match=r"bands come first: pass np\.moveaxis"):
        metrics.score(image, image, 4)


def test_reference_outside_the_unit_interval_is_refused(scene):
    with pytest.raises(UserError, match=r"scale both images to \[0,1\]"):
        metrics.score(255 * scene, 255 * scene, 4)
    with pytest.raises(UserError, match=r"scale both images to \[0,1\]"):
        metrics.score(scene - 0.5, scene, 4)


@pytest.mark.parametrize("ratio", [0, -4, math.nan])
def test_ratio_must_be_positive(ratio, scene):
    with pytest.raises(UserError, match="ratio must be positive"):
        metrics.score(scene, scene, ratio)


def test_memory_is_that_of_a_few_bands():
    reference = np.random.default_rng(7).random((20, 256, 256), dtype=np.float32)
    estimate = reference[::-1].copy()
    band = reference[0].size * 8
    tracemalloc.start()
    metrics.score(reference, estimate, 4)
    extra = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert extra < estimate.nbytes + 24 * band


def test_missing_pixels_take_no_part_in_any_metric():
    """Whatever they hold, and as the metrics of the image without its missing half where windows do not matter."""
    generator = np.random.default_rng(0)
    reference, estimate = generator.random((2, 6, 64, 64))
    missing = np.zeros((64, 64), bool)
    missing[:, 32:] = True
    scores = metrics.score(reference, estimate, 4, missing)
    spoilt = np.where(missing, 0, reference), np.where(missing, 7e5, estimate)
    assert metrics.score(*spoilt, 4, missing) == scores
    half = metrics.score(reference[:, :, :32], estimate[:, :, :32], 4)
    for name, value in half.items():
        if name != "paper_ssim":
            assert scores[name] == pytest.approx(value, rel=1e-12), name
    assert metrics.score(reference, estimate, 4, np.zeros((64, 64), bool)) == metrics.score(reference, estimate, 4)


def test_a_metric_of_windows_is_nan_where_no_window_is_whole():
    reference, estimate = np.random.default_rng(0).random((2, 3, 30, 30))
    missing = np.zeros((30, 30), bool)
    for step, lost in ((8, {"ssim", "uiqi", "q2n"}), (3, {"ssim", "uiqi", "q2n", "scc"})):
        missing[::step, ::step] = True
        values = metrics.score(reference, estimate, 4, missing)
        assert {name for name in values if math.isnan(values[name])} - {"paper_ssim"} == lost


def test_a_mask_that_fits_nothing_is_refused():
    image = np.zeros((3, 8, 8))
    for missing, sentence in ((np.ones((8, 8)), "every pixel is missing"), (np.ones((8, 9)), "mask of missing pixels")):
        with pytest.raises(UserError, match=sentence):
            metrics.valid_pixels(image, missing)
