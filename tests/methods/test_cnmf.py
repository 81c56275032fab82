"""CNMF against the authors' release, its stopping rule, and inputs on the edge of what it takes."""

import sys

import numpy as np
import pytest
import torch

from smifbench import plugins
from smifbench.errors import UserError
from smifbench.fusion.build import build_method
from smifbench.problem import FusionProblem

cnmf = sys.modules[plugins.method_class("cnmf").__module__]

CASES = ["31-3-64-4", "31-3-64-8", "60-10-64-4"]
D700_WEIGHTS = np.array(
    [
        [2, 1, 1, 1, 1, 1] + 10 * [0] + [2, 6, 11, 17, 21, 22, 21, 20, 20, 19, 19, 18, 18, 17, 17],
        [1, 1, 1, 1, 1, 1, 2, 4, 6, 8, 11, 16, 19, 21, 20, 18, 16, 14, 11, 7, 5, 3, 2, 2, 1, 1, 2, 2, 2, 2, 2],
        [7, 10, 15, 19, 25, 29, 30, 29, 27, 22, 16, 9, 2] + 7 * [0] + 11 * [1],
    ],
    dtype=float,
)
D700 = D700_WEIGHTS / D700_WEIGHTS.sum(axis=1, keepdims=True)
"""Spectral response (3, 31) of a Nikon D700, 400 to 700 nm."""


def cosines(count, length):
    """The first `count` cosines of half periods over `length` samples (count, length)."""
    return np.cos(np.pi * np.outer(np.arange(count), (np.arange(length) + 0.5) / length))


def smooth_spectra(random, members, bands):
    weights = random.standard_normal((members, 7)) / np.arange(1, 8)
    return 0.03 + 0.9 / (1 + np.exp(-2 * weights @ cosines(7, bands)))


def smooth_abundances(random, members, size, order, gain):
    """Maps (members, size, size) that sum to 1: softmax of random cosine series."""
    waves = cosines(order, size)
    series = gain / order * waves.T @ random.standard_normal((members, order, order)) @ waves
    exponentials = np.exp(series - series.max(axis=0))
    return exponentials / exponentials.sum(axis=0)


def shaded_scene(size, brightness, gain):
    """Six materials with smooth abundances under a shading of finer structure, (31, size, size) in float32 steps."""
    random = np.random.RandomState(2012)
    spectra = smooth_spectra(random, 6, 31)
    scene = np.tensordot(spectra.T, smooth_abundances(random, 6, size, 5, 5.0), 1).astype(np.float32)
    shade = smooth_abundances(np.random.RandomState(2013), 2, size, 12, gain)[0]
    return (brightness * scene * shade).astype(np.float32).astype(float)


def observe(scene, ratio):
    """Pair in float32 steps: Gaussian of twice the ratio, FWHM = ratio, mirrored edges; and the D700's three bands."""
    offsets = np.arange(2 * ratio) - ratio + 0.5
    profile = np.exp(-0.5 * (offsets * 2.35482 / ratio) ** 2)
    margin = ratio // 2
    padded = np.pad(scene, ((0, 0), (margin, margin), (margin, margin)), mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * [2 * ratio], axis=(1, 2))[:, ::ratio, ::ratio]
    lr_hsi = windows @ (profile / profile.sum()) @ (profile / profile.sum())
    return tensor(lr_hsi.astype(np.float32)), tensor(np.tensordot(D700, scene, 1).astype(np.float32))


def tensor(array):
    return torch.from_numpy(np.asarray(array, dtype=np.float64))


def band_psnr(reference, estimate):
    """Mean over bands of the PSNR in dB, the peak being each band's maximum."""
    estimate = np.asarray(estimate, dtype=np.float64)
    errors = ((reference - estimate) ** 2).mean(axis=(1, 2))
    return (10 * np.log10(reference.max(axis=(1, 2)) ** 2 / errors)).mean()


def rms_errors(costs, lr_hsi, hr_msi):
    return [np.sqrt(cost / image.numel()) for cost, image in zip(costs, (lr_hsi, hr_msi, lr_hsi), strict=True)]


def spread_pixels(lr_hsi):
    """Thirty pixels at equal distances, instead of end members that a random generator chose."""
    pixels = lr_hsi.flatten(1)
    return pixels[:, torch.arange(30) * pixels.shape[1] // 30]


def pair(bands, msi_bands, height, width, ratio, batch=1):
    """Consistent random images: blocks of 1/ratio of the size, seen through a random response."""
    generator = torch.Generator().manual_seed(bands + 7 * msi_bands)
    lr_hsi = torch.rand(batch, bands, height // ratio, width // ratio, generator=generator)
    srf = torch.rand(msi_bands, bands, generator=generator)
    srf = srf / srf.sum(1, keepdim=True)
    hr_msi = torch.einsum("mb,nbyx->nmyx", srf, torch.nn.functional.interpolate(lr_hsi, (height, width)))
    return lr_hsi, hr_msi, srf.double().numpy()


def build(lr_hsi, hr_msi, srf=None, **options):
    problem = FusionProblem(lr_hsi.shape[1], hr_msi.shape[1], hr_msi.shape[2] // lr_hsi.shape[2], srf=srf)
    return build_method("cnmf", problem, **options)


@pytest.mark.parametrize("case", CASES)
def test_equals_the_authors_release(golden, case):
    stored = golden("cnmf")
    lr_hsi, hr_msi = (tensor(stored[f"{case}.{name}"]).clamp_min(0) for name in ("lr_hsi", "hr_msi"))
    estimate, costs = cnmf.couple(lr_hsi, hr_msi, tensor(stored[f"{case}.W_vca"]), tensor(stored[f"{case}.srf"]))
    np.testing.assert_allclose(estimate, stored[f"{case}.known.out"], rtol=0, atol=3.1e-8)
    np.testing.assert_allclose(rms_errors(costs, lr_hsi, hr_msi), stored[f"{case}.known.costs"][:3], rtol=1e-10)


@pytest.mark.parametrize("case", CASES[:2])
def test_equals_the_authors_release_with_estimated_srf(golden, case):
    stored = golden("cnmf")
    lr_hsi, hr_msi = tensor(stored[f"{case}.lr_hsi"]), tensor(stored[f"{case}.hr_msi"])
    srf, offsets = cnmf.estimate_srf(lr_hsi, cnmf.reduce_gaussian(hr_msi, int(case[-1])))
    explained = (hr_msi - offsets[:, None, None]).clamp_min(0)
    estimate, _ = cnmf.couple(lr_hsi, explained, tensor(stored[f"{case}.W_vca"]), srf)
    np.testing.assert_allclose(estimate, stored[f"{case}.estimated.out"], rtol=0, atol=3.1e-8)


def test_estimated_srf_equals_the_authors_where_noise_makes_it_unique(golden):
    stored, case = golden("cnmf"), CASES[2]
    srf, offsets = cnmf.estimate_srf(
        tensor(stored[f"{case}.lr_hsi"]), cnmf.reduce_gaussian(tensor(stored[f"{case}.hr_msi"]), 4)
    )
    np.testing.assert_allclose(torch.column_stack([srf, offsets]), stored[f"{case}.estimated.R"], atol=1e-9)


@pytest.mark.parametrize("precision", [torch.float64, torch.float32])
@pytest.mark.parametrize(
    ("size", "ratio", "brightness", "gain", "psnr", "errors"),
    [
        (64, 8, 1, 10, 31.774, (1.0483e-3, 1.0940e-2, 1.5602e-2)),  # stops at the first HR step looked at
        (64, 4, 0.25, 10, 37.162, (4.3436e-4, 1.1633e-3, 3.1984e-3)),  # at step 142
        (128, 4, 1, 40, 50.046, (2.0230e-3, 1.5242e-3, 8.0997e-3)),  # at step 240
    ],
)
def test_stopping_rule(size, ratio, brightness, gain, psnr, errors, precision):
    scene = shaded_scene(size, brightness, gain)
    lr_hsi, hr_msi = observe(scene, ratio)
    estimate, costs = cnmf.couple(lr_hsi, hr_msi, spread_pixels(lr_hsi), tensor(D700), precision=precision)
    assert estimate.dtype == precision
    assert band_psnr(scene, estimate) == pytest.approx(psnr, abs=6e-4)
    np.testing.assert_allclose(rms_errors(costs, lr_hsi, hr_msi), errors, rtol=1e-4)


@pytest.mark.parametrize(("size", "ratio", "brightness", "psnr"), [(64, 8, 1, 30.148), (64, 4, 0.25, 37.301)])
def test_without_the_stopping_rule_all_steps_are_taken(monkeypatch, size, ratio, brightness, psnr):
    monkeypatch.setattr(cnmf, "TOLERANCE", -np.inf)
    scene = shaded_scene(size, brightness, 10)
    lr_hsi, hr_msi = observe(scene, ratio)
    estimate, _ = cnmf.couple(lr_hsi, hr_msi, spread_pixels(lr_hsi), tensor(D700), precision=torch.float32)
    assert band_psnr(scene, estimate) == pytest.approx(psnr, abs=6e-4)


@pytest.mark.parametrize("mode", ["known", "estimated"])
def test_own_end_members_reach_the_authors_level(golden, mode):
    stored, case = golden("cnmf"), CASES[0]
    lr_hsi, hr_msi = (torch.from_numpy(stored[f"{case}.{name}"])[None] for name in ("lr_hsi", "hr_msi"))
    theirs = stored[f"{case}.{mode}.psnr_per_seed"]
    for seed in (1, 2):
        method = build(lr_hsi, hr_msi, srf=stored[f"{case}.srf"] if mode == "known" else None, seed=seed)
        level = band_psnr(stored[f"{case}.gt"].astype(float), method(lr_hsi, hr_msi)[0])
        assert theirs.min() - 0.5 < level < theirs.max() + 0.5


def test_virtual_dimension(golden):
    stored = golden("cnmf")
    noisy = tensor(stored[f"{CASES[2]}.lr_hsi"]).clamp_min(0).flatten(1)
    assert cnmf.virtual_dimension(noisy) == stored[f"{CASES[2]}.known.vd"]
    random = np.random.default_rng(0)
    exact = tensor(random.random((191, 6)) @ random.dirichlet(np.ones(6), 500).T)
    assert cnmf.virtual_dimension(exact) <= 6  # the rank: rounding errors are no materials


@pytest.mark.parametrize("noise", [0, 0.02])
def test_vca_finds_pure_pixels(noise):
    random = np.random.default_rng(3)
    pure = smooth_spectra(random, 4, 50)
    abundances = random.dirichlet(np.ones(4), 400).T
    abundances[:, :4] = np.eye(4)
    pixels = (pure.T @ abundances + noise * random.standard_normal((50, 400))).clip(0)
    found = cnmf.vca(tensor(pixels), 4, torch.Generator().manual_seed(0)).numpy()
    distances = np.sqrt(((found[:, None] - pure.T[:, :, None]) ** 2).mean(axis=0))
    assert sorted(distances.argmin(axis=0)) == [0, 1, 2, 3]
    assert distances.min(axis=0).max() < 1e-9 + 2 * noise


@pytest.mark.parametrize("ratio", [1, 2, 3, 4, 8])
def test_reduction_sees_beyond_the_block_only_inside_the_image(ratio):
    reach = ratio // 2
    size = 5 * ratio
    impulses = torch.eye(size * size, dtype=torch.float64).view(-1, size, size)
    weights = cnmf.reduce_gaussian(impulses, ratio).view(size, size, 5, 5).permute(2, 3, 0, 1)
    torch.testing.assert_close(weights.sum((2, 3)), torch.ones(5, 5, dtype=torch.float64))
    for row, column, margin in [(2, 1, reach), (0, 2, 0), (3, 4, 0), (4, 4, 0)]:
        rows, columns = ((ratio * i - margin, ratio * (i + 1) + margin) for i in (row, column))
        window = weights[row, column, slice(*rows), slice(*columns)]
        assert (window > 0).all()
        assert window.sum() == pytest.approx(1)
        profile = window.sum(0) / window.sum(0).max()
        offsets = torch.arange(len(profile)) - (len(profile) - 1) / 2
        expected = torch.exp(-4 * np.log(2) * (offsets.double() ** 2 - offsets.abs().min() ** 2) / ratio**2)
        torch.testing.assert_close(profile, expected, rtol=1e-5, atol=0)


def test_estimated_srf_and_offset_are_the_true_ones_where_the_images_tell():
    scene = torch.rand(5, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    srf = torch.tensor([[0.5, 0.25, 0.25, 0, 0], [0, 0, 0.2, 0.3, 0.5]], dtype=torch.float64)
    found, offsets = cnmf.estimate_srf(
        cnmf.reduce_gaussian(scene, 2), cnmf.reduce_gaussian(torch.tensordot(srf, scene, 1) + 0.05, 2)
    )
    torch.testing.assert_close(found, srf)
    torch.testing.assert_close(offsets, torch.full_like(offsets, 0.05))


def test_estimate_of_the_srf_ends_on_dependent_bands():
    random = np.random.default_rng(0)
    scene = tensor(random.random((102, 6)) @ random.dirichlet(np.ones(6), 1024).T).view(102, 32, 32)
    srf, offsets = cnmf.estimate_srf(cnmf.reduce_gaussian(scene, 4), cnmf.reduce_gaussian(scene[:4], 4))
    fit = torch.tensordot(srf, cnmf.reduce_gaussian(scene, 4), 1) + offsets[:, None, None]
    torch.testing.assert_close(fit, cnmf.reduce_gaussian(scene[:4], 4), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("bands", "msi_bands", "height", "width", "ratio"),
    [
        (31, 3, 4, 4, 4),  # one LR pixel
        (31, 3, 8, 32, 4),
        (12, 10, 48, 16, 16),
        (12, 4, 9, 12, 3),
        (6, 3, 8, 8, 1),
        (1, 1, 8, 8, 2),
        (1, 5, 8, 8, 2),
        (2, 1, 8, 8, 4),
        (4, 9, 8, 12, 2),
        (300, 300, 8, 8, 2),
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_any_size_and_band_count(bands, msi_bands, height, width, ratio, known):
    lr_hsi, hr_msi, srf = pair(bands, msi_bands, height, width, ratio)
    estimate = build(lr_hsi, hr_msi, srf=srf if known else None, iterations=20)(lr_hsi, hr_msi)
    assert estimate.shape == (1, bands, height, width)
    assert estimate.dtype == torch.float32
    assert torch.isfinite(estimate).all()
    assert (estimate >= 0).all()
    if known and msi_bands > 2:  # the estimate explains the MSI, unless the sum-to-one row outweighs its few bands
        seen = torch.einsum("mb,nbyx->nmyx", torch.from_numpy(srf).float(), estimate)
        assert (seen - hr_msi).square().mean() < 0.02 * hr_msi.square().mean()


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
def test_denominators_of_zero(precision):
    lr_hsi, hr_msi, srf = (torch.as_tensor(image) for image in pair(8, 4, 16, 16, 4))
    srf[0] = 0
    srf[0, 2] = 1
    lr_hsi[:, 2] = hr_msi[:, 0] = 0  # a dark band, and the MSI band that sees it alone
    lr_hsi[..., 1, 1] = hr_msi[..., 4:8, 4:8] = 0  # a dark pixel
    lr_hsi, hr_msi = lr_hsi.to(precision), hr_msi.to(precision)
    dark = torch.zeros_like
    for images in [(lr_hsi, hr_msi), (lr_hsi, dark(hr_msi)), (dark(lr_hsi), hr_msi), (dark(lr_hsi), dark(hr_msi))]:
        estimate = build(*images, srf=srf.numpy(), iterations=20)(*images)
        assert torch.isfinite(estimate).all()
        assert (estimate[:, 2] == 0).all()
        assert build(*images, iterations=20)(*images).isfinite().all()


def test_outer_rounds_go_on_while_both_errors_fall():
    random = np.random.default_rng(5)
    scene = np.tensordot(smooth_spectra(random, 6, 20).T, smooth_abundances(random, 6, 32, 5, 5.0), 1)
    srf = np.kron(np.eye(5), np.full(4, 0.25))
    lr_hsi, hr_msi = cnmf.reduce_gaussian(tensor(scene), 4), tensor(np.tensordot(srf, scene, 1))
    results = [
        cnmf.couple(lr_hsi, hr_msi, spread_pixels(lr_hsi)[:, :20], tensor(srf), 10, outer) for outer in (1, 2, 50)
    ]
    costs = [costs for _, costs in results]
    assert costs[0] == costs[1][:3] == costs[2][:3]
    falls = [np.sqrt(before / after) - 1 for before, after in zip(costs[2], costs[2][2:], strict=False)]
    assert len(costs[2]) < 100
    assert min(falls[:-1]) > 0.01 >= falls[-1]


def test_same_result_every_time_in_any_batch_and_on_any_number_of_threads():
    lr_hsi, hr_msi, srf = pair(8, 3, 192, 192, 4, batch=2)
    method = build(lr_hsi, hr_msi, srf=srf, iterations=5)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        expected = method(lr_hsi, hr_msi)
        torch.set_num_threads(3)
        assert torch.equal(method(lr_hsi, hr_msi), expected)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(method(lr_hsi[1:], hr_msi[1:])[0], expected[1])
    assert not torch.equal(build(lr_hsi, hr_msi, srf=srf, iterations=5, seed=1)(lr_hsi, hr_msi), expected)


def test_arithmetic_does_not_depend_on_the_callers_modes():
    lr_hsi, hr_msi, srf = pair(8, 3, 32, 32, 4)
    method = build(lr_hsi, hr_msi, srf=srf, iterations=10)
    expected = method(lr_hsi, hr_msi)
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        assert torch.equal(method(lr_hsi, hr_msi), expected)
    fresh = lr_hsi.clone().requires_grad_()
    assert not method(fresh, hr_msi.to(memory_format=torch.channels_last)).requires_grad
    double = method(lr_hsi.double(), hr_msi.double())
    assert double.dtype == torch.float64
    torch.testing.assert_close(expected.double(), double, rtol=0, atol=1e-5)


def test_problem_srf_is_the_default_and_its_absence_means_an_estimate():
    lr_hsi, hr_msi, srf = pair(8, 3, 32, 32, 4)
    known = build(lr_hsi, hr_msi, srf=srf, iterations=5)(lr_hsi, hr_msi)
    absent = build(lr_hsi, hr_msi, iterations=5)(lr_hsi, hr_msi)
    assert torch.equal(build(lr_hsi, hr_msi, srf=srf, estimate_srf=True, iterations=5)(lr_hsi, hr_msi), absent)
    assert not torch.equal(known, absent)


@pytest.mark.parametrize("options", [{"endmembers": 0}, {"endmembers": 9}, {"iterations": 0}, {"outer": 0}])
def test_options_outside_their_range_are_refused(options):
    with pytest.raises(UserError, match=next(iter(options))):
        build_method("cnmf", FusionProblem(8, 3, 4), **options)


def test_number_of_iterations_follows_the_msi():
    assert build_method("cnmf", FusionProblem(8, 1, 4)).iterations == 75
    assert build_method("cnmf", FusionProblem(8, 2, 4)).iterations == 200
