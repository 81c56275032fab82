"""HySure against the authors' program, and as the minimum of its cost."""

import sys

import numpy as np
import pytest
import torch
from goldens import classical_case

from smifbench import FusionProblem, UserError, build_method, plugins
from smifbench.degradation.operators import blur_decimate

CASES = ["balloons-r4", "flowers-r4", "pines-r4", "balloons-r8"]
module = sys.modules[plugins.method_class("hysure").__module__]


def case_of(golden, case):
    """Images (bands, H, W) in float64, reference, problem, and what the authors made of them; skips where absent."""
    inputs, stored = classical_case(golden, "hysure", case, output="p10.out")
    images = [torch.from_numpy(inputs[name]).double() for name in ("lr_hsi", "hr_msi")]
    problem = problem_of(*images, inputs["psf"], inputs["srf"])
    return images, inputs["gt"], problem, stored


def problem_of(lr_hsi, hr_msi, psf=None, srf=None):
    return FusionProblem(lr_hsi.shape[-3], hr_msi.shape[-3], hr_msi.shape[-1] // lr_hsi.shape[-1], psf=psf, srf=srf)


def random_psf(side, seed=1):
    psf = np.random.default_rng(seed).random((side, side))
    return psf / psf.sum()


def observed(bands=7, materials=3, msi_bands=3, height=18, width=12, ratio=3, side=3):
    """A periodic scene of few materials and both its images: lr_hsi, hr_msi, hr_hsi and the problem."""
    generator = torch.Generator().manual_seed(bands + materials)
    spectra = torch.rand(bands, materials, generator=generator, dtype=torch.float64) + 2 * torch.eye(bands, materials)
    maps = torch.rand(materials, height, width, generator=generator, dtype=torch.float64) ** 4
    hr_hsi = torch.tensordot(spectra, maps / maps.sum(0), 1) / 3
    srf = torch.rand(msi_bands, bands, generator=generator, dtype=torch.float64) / 10 + torch.eye(msi_bands, bands)
    srf /= srf.sum(1, keepdim=True)
    psf = random_psf(side)
    lr_hsi = blur_decimate(hr_hsi, psf, ratio, "circular")[None]
    hr_msi = torch.tensordot(srf, hr_hsi, 1)[None]
    return lr_hsi, hr_msi, hr_hsi[None], problem_of(lr_hsi, hr_msi, psf, srf.numpy())


def fuse(lr_hsi, hr_msi, problem, **options):
    return build_method("hysure", problem, **options)(lr_hsi, hr_msi)


def solve(images, problem, spectra, smoothness, iterations, precision=torch.float64):
    lr_hsi, hr_msi = images[0], images[1].to(precision)
    blur, srf, hr_msi = module.operators(problem, lr_hsi, hr_msi)
    return module.coefficients(lr_hsi, hr_msi, spectra, blur, srf, smoothness, iterations)


def terms(images, problem, spectra, maps):
    """The three terms of the cost, the last one without its weight, by the suite's own blur."""
    scene = torch.tensordot(spectra, maps, 1)
    hsi_error = blur_decimate(scene, problem.psf, problem.ratio, "circular") - images[0]
    msi_error = torch.tensordot(torch.from_numpy(problem.srf), scene, 1) - images[1]
    right, below = (maps - torch.roll(maps, -1, axis) for axis in (2, 1))
    variation = (right.square().sum(0) + below.square().sum(0)).sqrt().sum()
    return hsi_error.square().sum() / 2, msi_error.square().sum() / 2, variation


def psnr(reference, estimate):
    return -10 * np.log10(np.square(np.asarray(estimate) - reference).mean())


@pytest.mark.parametrize("members", [10, 30])
@pytest.mark.parametrize("case", CASES)
def test_equals_the_authors_program_from_its_end_members(golden, case, members):
    images, _, problem, stored = case_of(golden, case)
    stored = {key.removeprefix(f"p{members}."): value for key, value in stored.items()}
    scale, smoothness = images[0].max(), float(stored["lambda_phi"])
    assert scale == stored["scale"]
    scaled, spectra = [image / scale for image in images], torch.from_numpy(stored["basis"])
    for iterations in (1, 2, 10):
        maps = solve(scaled, problem, spectra, smoothness, iterations)
        np.testing.assert_allclose(maps[:3], stored[f"iterate_{iterations}"], rtol=0, atol=1e-7)
    tolerances = {torch.float64: 1e-7, torch.float32: 1e-5} if members == 10 else {torch.float64: 1e-7}
    for precision, tolerance in tolerances.items():
        maps = solve(scaled, problem, spectra, smoothness, 200, precision)
        estimate = scale * module.synthesise(scaled[0], spectra, maps)
        np.testing.assert_allclose(estimate, stored["out"], rtol=0, atol=tolerance * stored["out"].max())
        hsi_error, msi_error, variation = terms(scaled, problem, spectra, maps.double())
        cost = hsi_error, msi_error, smoothness * variation
        np.testing.assert_allclose(cost, stored["objective"][-1], rtol=1e-9 if precision == torch.float64 else 1e-3)


@pytest.mark.parametrize("case", CASES)
def test_own_end_members_reach_the_authors_level(golden, case):
    (lr_hsi, hr_msi), reference, problem, stored = case_of(golden, case)
    pair = lr_hsi.float()[None], hr_msi.float()[None]
    estimate = fuse(*pair, problem)[0]
    assert psnr(reference, estimate) == pytest.approx(psnr(reference, stored["p10.out"]), abs=0.5)


@pytest.mark.parametrize(("ratio", "side", "height"), [(1, 1, 6), (2, 6, 10), (3, 3, 12), (4, 4, 8)])
def test_the_result_is_the_minimum_of_the_cost(ratio, side, height):
    lr_hsi, hr_msi, _, problem = observed(height=height, width=12, ratio=ratio, side=side)
    images = [lr_hsi[0], hr_msi[0]]
    spectra, smoothness = torch.rand(7, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64), 5e-3

    def cost(maps):
        hsi_error, msi_error, variation = terms(images, problem, spectra, maps)
        return float(hsi_error + msi_error + smoothness * variation)

    found = solve(images, problem, spectra, smoothness, 500)
    least, generator = cost(found), torch.Generator().manual_seed(0)
    for size in (1e-3, 1e-2, 1):
        steps = size * torch.randn(10, *found.shape, generator=generator, dtype=torch.float64)
        assert min(cost(found + step) for step in steps) > least
        assert cost((1 + size) * found) > least
        assert cost((1 - size) * found) > least


@pytest.mark.parametrize("known", [True, False])
def test_recovers_scenes_of_no_more_materials_than_msi_bands(known):
    """With windows of a block, which an estimate of the SRF sees as the solver does, whatever the border."""
    lr_hsi, hr_msi, hr_hsi, problem = observed()
    if not known:
        problem = problem_of(lr_hsi, hr_msi, problem.psf)
    estimate = fuse(lr_hsi, hr_msi, problem, endmembers=3, smoothness=0.0, iterations=2000)
    torch.testing.assert_close(estimate, hr_hsi, rtol=0, atol=1e-4)


def test_scales_with_the_images():
    lr_hsi, hr_msi, _, problem = observed()
    scaled, expected = (fuse(by * lr_hsi, by * hr_msi, problem, endmembers=3) for by in (1e3, 1))
    torch.testing.assert_close(scaled / 1e3, expected)


def test_more_smoothness_leaves_less_variation():
    lr_hsi, hr_msi, _, problem = observed()
    estimates = [fuse(lr_hsi, hr_msi, problem, smoothness=smoothness) for smoothness in (0.0, 1e-3, 1e-2, 1e-1)]
    variations = [float(estimate.diff(dim=2).abs().sum() + estimate.diff(dim=3).abs().sum()) for estimate in estimates]
    assert variations == sorted(variations, reverse=True)
    assert variations[-1] < 0.5 * variations[0]


def test_end_members_are_the_pure_pixels():
    generator = torch.Generator().manual_seed(0)
    pure = torch.rand(50, 4, generator=generator, dtype=torch.float64)
    abundances = torch.rand(4, 400, generator=generator, dtype=torch.float64) ** 2
    abundances[:, 100:104] = torch.eye(4)
    found = module.end_members(pure @ (abundances / abundances.sum(0)), 4, generator)
    distances = torch.cdist(found.T, pure.T)
    assert sorted(distances.argmin(1).tolist()) == [0, 1, 2, 3]
    assert distances.min(1).values.max() < 1e-9


def test_end_members_are_drawn_by_the_seed():
    lr_hsi, hr_msi, _, problem = observed(materials=7)
    first, again, other = (fuse(lr_hsi, hr_msi, problem, endmembers=3, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert first.shape == other.shape


@pytest.mark.parametrize("bands", [1, 2, 12])
@pytest.mark.parametrize(("height", "width"), [(4, 4), (4, 12), (12, 4)])
def test_any_size(bands, height, width):
    lr_hsi, hr_msi = torch.rand(2, bands, height // 4, width // 4), torch.rand(2, 2, height, width)
    estimate = fuse(lr_hsi, hr_msi, problem_of(lr_hsi, hr_msi, random_psf(12)), iterations=20)
    assert estimate.shape == (2, bands, height, width)
    assert estimate.dtype == torch.float32
    assert torch.isfinite(estimate).all()


def test_dark_images():
    lr_hsi, hr_msi, _, problem = observed()
    zeros = torch.zeros_like
    assert (fuse(zeros(lr_hsi), hr_msi, problem) == 0).all()
    assert torch.isfinite(fuse(lr_hsi, zeros(hr_msi), problem)).all()


def test_keeps_its_precision_under_autocast():
    lr_hsi, hr_msi, _, problem = observed()
    pair = lr_hsi.float(), hr_msi.float()
    expected = fuse(*pair, problem)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(fuse(*pair, problem), expected)


@pytest.mark.parametrize("options", [{"endmembers": 0}, {"endmembers": 9}, {"smoothness": -1.0}, {"iterations": 0}])
def test_options_outside_their_range_are_refused(options):
    with pytest.raises(UserError, match=next(iter(options))):
        build_method("hysure", FusionProblem(8, 3, 4), **options)
