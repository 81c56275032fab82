"""FUSE against the authors' solver, and as the minimum of its cost."""

import sys

import numpy as np
import pytest
import torch
from goldens import classical_case

from smifbench import FusionProblem, UserError, build_method, plugins
from smifbench.degradation.operators import blur_decimate

CASES = ["balloons-r4", "flowers-r4", "pines-r4", "balloons-r8"]
module = sys.modules[plugins.method_class("fuse").__module__]


def case_of(golden, case):
    """Images (1, bands, H, W) in float64, the problem, and what the authors made of them; skips where absent."""
    inputs, stored = classical_case(golden, "fuse", case)
    images = [torch.from_numpy(inputs[name]).double()[None] for name in ("lr_hsi", "hr_msi")]
    problem = problem_of(*images, inputs["psf"], inputs["srf"])
    return images, problem, stored


def problem_of(lr_hsi, hr_msi, psf=None, srf=None):
    return FusionProblem(lr_hsi.shape[1], hr_msi.shape[1], hr_msi.shape[2] // lr_hsi.shape[2], psf=psf, srf=srf)


def random_psf(side, seed=1):
    psf = np.random.default_rng(seed).random((side, side))
    return psf / psf.sum()


def observed(bands=7, materials=7, msi_bands=3, height=30, width=21, ratio=3, side=5):
    """A periodic scene of few materials and both its images: lr_hsi, hr_msi, hr_hsi and the problem."""
    generator = torch.Generator().manual_seed(bands + materials)
    spectra = torch.rand(bands, materials, generator=generator, dtype=torch.float64)
    maps = torch.rand(materials, height, width, generator=generator, dtype=torch.float64)
    hr_hsi = torch.tensordot(spectra, maps, 1)
    srf = torch.rand(msi_bands, bands, generator=generator, dtype=torch.float64) ** 6  # each sees a few bands most
    srf /= srf.sum(1, keepdim=True)
    psf = random_psf(side)
    lr_hsi = blur_decimate(hr_hsi, psf, ratio, "circular")[None]
    hr_msi = torch.tensordot(srf, hr_hsi, 1)[None]
    return lr_hsi, hr_msi, hr_hsi[None], problem_of(lr_hsi, hr_msi, psf, srf.numpy())


def fuse(lr_hsi, hr_msi, problem, **options):
    return build_method("fuse", problem, **options)(lr_hsi, hr_msi)


@pytest.mark.parametrize("case", CASES)
def test_equals_the_authors_solver(golden, case):
    pair, problem, stored = case_of(golden, case)
    largest = stored["out"].max()
    np.testing.assert_allclose(fuse(*pair, problem)[0], stored["out"], rtol=0, atol=1e-6 * largest)
    single = fuse(*(image.float() for image in pair), problem)
    np.testing.assert_allclose(single[0], stored["out"], rtol=0, atol=1e-5 * largest)


@pytest.mark.parametrize("case", CASES)
def test_subspace_and_prior_mean_are_the_authors(golden, case):
    """Theirs are in units of standard deviations along each axis, of images times 1e4, and rolled."""
    (lr_hsi, _), problem, stored = case_of(golden, case)
    axes, moments = module.subspace(lr_hsi[0].flatten(1), 15)
    basis = axes * moments.sqrt() * 1e4
    signs = (basis * torch.from_numpy(stored["basis"])).sum(0).sign()
    np.testing.assert_allclose(signs * basis, stored["basis"], rtol=0, atol=1e-9 * stored["basis"].max())
    units = (signs / moments.sqrt())[:, None] * axes.T
    mean = module.prior_mean(torch.tensordot(units, lr_hsi[0], 1), problem.ratio)
    phase = problem.ratio // 2 - 1
    np.testing.assert_allclose(mean[:3].roll((-phase, -phase), (1, 2)), stored["prior_mean"], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("ratio", "side"), [(1, 3), (2, 2), (2, 6), (3, 1), (3, 5), (4, 12)])
def test_the_gradient_of_the_cost_is_0_at_the_result(ratio, side):
    """By the suite's own blur and finite steps in random directions, at weights where every term counts."""
    lr_hsi, hr_msi, _, problem = observed(height=6 * ratio, width=4 * ratio, ratio=ratio, side=side)
    prior, dimensions = 1e-2, 5
    axes, moments = module.subspace(lr_hsi[0].flatten(1), dimensions)
    mean = module.prior_mean(torch.tensordot(axes.T, lr_hsi[0], 1), ratio)
    psf = np.pad(problem.psf, max(0, ratio - side) // 2)

    def cost(coefficients):
        scene = torch.tensordot(axes, coefficients, 1)
        hsi_error = blur_decimate(scene, psf, ratio, "circular") - lr_hsi[0]
        msi_error = torch.tensordot(torch.from_numpy(problem.srf), scene, 1) - hr_msi[0]
        unlikely = (coefficients - mean).square() / moments[:, None, None]
        return hsi_error.square().sum() + msi_error.square().sum() + prior * unlikely.sum()

    found = torch.tensordot(axes.T, fuse(lr_hsi, hr_msi, problem, dimensions=dimensions, prior=prior)[0], 1)
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        step = torch.randn(found.shape, generator=generator, dtype=torch.float64)
        up, at, down = cost(found + step), cost(found), cost(found - step)
        assert abs(up - down) < 1e-9 * (up + down)  # the cost is quadratic, so this is its slope
        assert at < min(up, down)


@pytest.mark.parametrize("known", [True, False])
def test_recovers_scenes_of_no_more_materials_than_msi_bands(known):
    """With windows of a block, which an estimate of the SRF sees as the solver does, whatever the border."""
    lr_hsi, hr_msi, hr_hsi, problem = observed(materials=3, side=3)
    if not known:
        problem = problem_of(lr_hsi, hr_msi, problem.psf)
    torch.testing.assert_close(fuse(lr_hsi, hr_msi, problem), hr_hsi, rtol=0, atol=1e-5)


def test_explains_both_images_where_the_subspace_is_the_whole_space():
    lr_hsi, hr_msi, _, problem = observed()
    estimate = fuse(lr_hsi, hr_msi, problem)[0]
    seen = blur_decimate(estimate, problem.psf, problem.ratio, "circular")
    torch.testing.assert_close(seen, lr_hsi[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(
        torch.tensordot(torch.from_numpy(problem.srf), estimate, 1), hr_msi[0], rtol=0, atol=1e-6
    )


def test_scales_with_the_images():
    """Of one calibration: the prior is relative to the scene's own variances, its weight to the scale squared."""
    lr_hsi, hr_msi, _, problem = observed()
    expected = fuse(lr_hsi, hr_msi, problem, prior=1e-4)
    torch.testing.assert_close(fuse(1e3 * lr_hsi, 1e3 * hr_msi, problem, prior=1e2) / 1e3, expected)


def test_a_heavy_prior_leaves_the_splines():
    lr_hsi, hr_msi, _, problem = observed(bands=4)
    expected = module.prior_mean(lr_hsi[0], 3)
    torch.testing.assert_close(fuse(lr_hsi, hr_msi, problem, prior=1e12)[0], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("ratio", [1, 2, 3, 4])
def test_splines_pass_through_the_samples_and_follow_cubics(ratio):
    grid = torch.arange(9, dtype=torch.float64)
    enlarged = module.prior_mean((grid[:, None] * torch.ones(9, dtype=torch.float64))[None], ratio)[0]
    phase = (ratio - 1) // 2
    torch.testing.assert_close(enlarged[phase::ratio, 0], grid)
    middle = slice(phase + 3 * ratio, phase + 5 * ratio)
    expected = (torch.arange(9 * ratio, dtype=torch.float64) - phase)[middle] / ratio
    torch.testing.assert_close(enlarged[middle, 0], expected, rtol=0, atol=0.02)


@pytest.mark.parametrize(("height", "width"), [(4, 4), (4, 12), (12, 4)])
@pytest.mark.parametrize("side", [2, 4, 12, 20])
def test_any_size_and_window(height, width, side):
    """Windows may be wider than the whole scene, which then counts more than once."""
    lr_hsi, hr_msi = torch.rand(2, 5, height // 4, width // 4), torch.rand(2, 2, height, width)
    estimate = fuse(lr_hsi, hr_msi, problem_of(lr_hsi, hr_msi, random_psf(side)))
    assert estimate.shape == (2, 5, height, width)
    assert estimate.dtype == torch.float32
    assert torch.isfinite(estimate).all()


def test_dark_images():
    lr_hsi, hr_msi, _, problem = observed()
    zeros = torch.zeros_like
    assert (fuse(zeros(lr_hsi), zeros(hr_msi), problem) == 0).all()
    assert (fuse(zeros(lr_hsi), hr_msi, problem_of(lr_hsi, hr_msi)) == 0).all()
    assert torch.isfinite(fuse(lr_hsi, zeros(hr_msi), problem)).all()


def test_keeps_its_precision_under_autocast():
    lr_hsi, hr_msi, _, problem = observed()
    pair = lr_hsi.float(), hr_msi.float()
    expected = fuse(*pair, problem)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(fuse(*pair, problem), expected)


@pytest.mark.parametrize("options", [{"dimensions": 0}, {"prior": 0.0}, {"prior": float("nan")}])
def test_options_outside_their_range_are_refused(options):
    with pytest.raises(UserError, match=next(iter(options))):
        build_method("fuse", FusionProblem(8, 3, 4), **options)
