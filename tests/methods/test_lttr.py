"""LTTR against the authors' program, and its parts by their definitions."""

import sys

import numpy as np
import pytest
import torch
from goldens import classical_case

from smifbench import FusionProblem, UserError, build_method, plugins
from smifbench.degradation.operators import blur_decimate

CASES = ["balloons-r4", "flowers-r4", "pines-r4", "balloons-r8"]
module = sys.modules[plugins.method_class("lttr").__module__]


def case_of(golden, case):
    """Images (bands, H, W) in float64, reference, problem, and what the authors made of them; skips where absent."""
    inputs, stored = classical_case(golden, "lttr", case)
    images = [torch.from_numpy(inputs[name]).double() for name in ("lr_hsi", "hr_msi")]
    problem = problem_of(*images, inputs["psf"], inputs["srf"])
    return images, inputs["gt"], problem, stored


def problem_of(lr_hsi, hr_msi, psf=None, srf=None):
    return FusionProblem(lr_hsi.shape[-3], hr_msi.shape[-3], hr_msi.shape[-1] // lr_hsi.shape[-1], psf=psf, srf=srf)


def random_psf(side, seed=1):
    psf = np.random.default_rng(seed).random((side, side))
    return psf / psf.sum()


def observed(bands=5, msi_bands=2, height=18, width=21, ratio=3, side=5):
    """A periodic scene and both its images: lr_hsi, hr_msi, hr_hsi and the problem."""
    generator = torch.Generator().manual_seed(bands)
    hr_hsi = torch.rand(bands, height, width, generator=generator, dtype=torch.float64)
    srf = torch.rand(msi_bands, bands, generator=generator, dtype=torch.float64)
    srf /= srf.sum(1, keepdim=True)
    psf = random_psf(side)
    lr_hsi = blur_decimate(hr_hsi, psf, ratio, "circular")[None]
    hr_msi = torch.tensordot(srf, hr_hsi, 1)[None]
    return lr_hsi, hr_msi, hr_hsi[None], problem_of(lr_hsi, hr_msi, psf, srf.numpy())


def fuse(lr_hsi, hr_msi, problem, **options):
    return build_method("lttr", problem, **options)(lr_hsi, hr_msi)


def solve(images, problem, labels, weight, iterations, precision=torch.float64):
    blur, srf, hr_msi = module.operators(problem, images[0], images[1].to(precision))
    return module.solve(images[0], hr_msi, blur, srf, torch.as_tensor(labels), weight, iterations)


def psnr(reference, estimate):
    return -10 * np.log10(np.square(np.asarray(estimate) - reference).mean())


@pytest.mark.parametrize("case", CASES)
def test_equals_the_authors_program_from_its_groups(golden, case):
    images, reference, problem, stored = case_of(golden, case)
    weight = float(stored["eta"])
    for iterations in (1, 2):
        scene = solve(images, problem, stored["labels"], weight, iterations)
        np.testing.assert_allclose(scene[0], stored[f"iterate_{iterations}_band0"], rtol=0, atol=1e-7)
        error = np.sqrt(np.square(scene.numpy() - reference).mean())
        assert error == pytest.approx(stored["rmse_per_iteration"][iterations - 1], rel=1e-9)
    largest = stored["out"].max()
    scene = solve(images, problem, stored["labels"], weight, 25)
    np.testing.assert_allclose(scene, stored["out"], rtol=0, atol=1e-7 * largest)
    single = solve(images, problem, stored["labels"], weight, 25, torch.float32)
    assert psnr(reference, single) == pytest.approx(psnr(reference, scene), abs=0.01)


@pytest.mark.parametrize("case", CASES)
def test_own_groups_reach_the_authors_level(golden, case):
    (lr_hsi, hr_msi), reference, problem, stored = case_of(golden, case)
    estimate = fuse(lr_hsi[None].float(), hr_msi[None].float(), problem)[0]
    assert psnr(reference, estimate) == pytest.approx(psnr(reference, stored["out"]), abs=0.5)


@pytest.mark.parametrize("unfolding", [0, 1, 2])
def test_low_rank_shrinks_singular_values_of_each_unfolding(unfolding):
    """By a singular value decomposition of the stack unfolded as the paper does, patch by patch."""
    image = torch.rand(3, 20, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    groups = [
        (torch.tensor([0, 1, 3]), torch.tensor([0, 2, 1])),
        (torch.tensor([2, 0, 1, 2, 3, 0, 1, 2, 3]), torch.tensor([0, 1, 1, 1, 0, 2, 0, 2, 2])),
    ]
    total, count = np.zeros(image.shape), np.zeros(image.shape)
    for rows, columns in groups:
        tops = [(4 * int(row), 4 * int(column)) for row, column in zip(rows, columns, strict=True)]
        stack = np.stack([image[:, top : top + 8, left : left + 8].numpy() for top, left in tops])  # (d, C, 8, 8)
        number = len(stack)
        unfolded = [
            stack.transpose(2, 3, 1, 0).reshape(64, -1),
            stack.reshape(number, -1),
            stack.transpose(2, 0, 1, 3).reshape(8, -1),
        ][unfolding]
        roots = np.sqrt([min(64, 3 * number), min(64 * 3, number), 8])
        left_vectors, values, right_vectors = np.linalg.svd(unfolded, full_matrices=False)
        threshold = 0.7 * roots[unfolding] / roots.sum()
        squared = np.maximum(values**2 - 4 * threshold, 0)
        kept = np.where(values**2 > 4 * threshold, (values + np.sqrt(squared)) / 2, 0)
        assert 0 < (kept > 0).sum() <= len(kept)
        result = (left_vectors * kept) @ right_vectors
        folded = [
            lambda matrix, d: matrix.reshape(8, 8, 3, d).transpose(3, 2, 0, 1),
            lambda matrix, d: matrix.reshape(d, 3, 8, 8),
            lambda matrix, d: matrix.reshape(8, d, 3, 8).transpose(1, 2, 0, 3),
        ][unfolding](result, number)
        for patch, (top, left) in zip(folded, tops, strict=True):
            total[:, top : top + 8, left : left + 8] += patch
            count[:, top : top + 8, left : left + 8] += 1
    assert count.min() >= 1
    np.testing.assert_allclose(module.low_rank(image, groups, unfolding, 0.7), total / count, atol=1e-10)


def test_shrinkage():
    values = torch.tensor([1.0, 0.5, 0.6001, 0.5999, 0.0, 1e6], dtype=torch.float64)
    shrunk = module.shrunk_values(values, 0.09)
    torch.testing.assert_close(shrunk[[0, 1, 3, 4]], torch.tensor([0.9, 0, 0, 0], dtype=torch.float64))
    assert shrunk[2] > 0.3
    assert shrunk[5] == pytest.approx(1e6)


@pytest.mark.parametrize("size", [(8, 8), (12, 20), (9, 15), (4, 30), (1, 1)])
def test_patches_put_back_are_the_image(size):
    image = torch.rand(3, *size, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(module.averaged(module.patches(image), size), image)


def test_k_means_finds_clusters_that_lie_apart():
    generator = torch.Generator().manual_seed(0)
    truth = torch.arange(5).repeat(20)
    centres = 10 * torch.eye(5, dtype=torch.float64)
    points = centres[truth] + torch.rand(100, 5, generator=generator, dtype=torch.float64)
    for seed in range(5):
        labels = module.k_means(points, 5, torch.Generator().manual_seed(seed))
        pairs = set(zip(truth.tolist(), labels.tolist(), strict=True))
        assert sorted(label for _, label in pairs) == [0, 1, 2, 3, 4]
        assert len(pairs) == 5


def test_k_means_makes_no_empty_clusters():
    points = torch.tensor([[0.0], [0.0], [1.0], [1.0]], dtype=torch.float64)
    labels = module.k_means(points, 4, torch.Generator().manual_seed(0))
    assert sorted(labels.tolist()) == [0, 0, 1, 1]


@pytest.mark.parametrize(("ratio", "side"), [(1, 3), (2, 2), (3, 5), (4, 12)])
def test_without_weight_it_is_the_least_squares_fit(ratio, side):
    """Both images are explained as well as the bands and pixels allow."""
    lr_hsi, hr_msi, _, problem = observed(height=6 * ratio, width=4 * ratio, ratio=ratio, side=side)
    scene = fuse(lr_hsi, hr_msi, problem, weight=0.0, iterations=50)[0]
    hsi_error = blur_decimate(scene, problem.psf, ratio, "circular") - lr_hsi[0]
    msi_error = torch.tensordot(torch.from_numpy(problem.srf), scene, 1) - hr_msi[0]
    assert hsi_error.square().mean().sqrt() < 1e-2 * lr_hsi.std()
    assert msi_error.square().mean().sqrt() < 1e-2 * hr_msi.std()


def test_groups_are_drawn_by_the_seed():
    lr_hsi, hr_msi, _, problem = observed(height=36, width=36)
    first, again, other = (fuse(lr_hsi, hr_msi, problem, groups=4, iterations=3, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_without_an_srf_it_is_estimated():
    lr_hsi, hr_msi, _, problem = observed(side=3)
    known = fuse(lr_hsi, hr_msi, problem, iterations=5)
    torch.testing.assert_close(fuse(lr_hsi, hr_msi, problem_of(lr_hsi, hr_msi, problem.psf), iterations=5), known)


@pytest.mark.parametrize("bands", [1, 12])
@pytest.mark.parametrize(("height", "width"), [(4, 4), (4, 20), (20, 12)])
def test_any_size(bands, height, width):
    lr_hsi, hr_msi = torch.rand(2, bands, height // 4, width // 4), torch.rand(2, 2, height, width)
    estimate = fuse(lr_hsi, hr_msi, problem_of(lr_hsi, hr_msi, random_psf(12)), iterations=3)
    assert estimate.shape == (2, bands, height, width)
    assert estimate.dtype == torch.float32
    assert torch.isfinite(estimate).all()


def test_dark_images():
    lr_hsi, hr_msi, _, problem = observed()
    zeros = torch.zeros_like
    assert (fuse(zeros(lr_hsi), zeros(hr_msi), problem, iterations=3) == 0).all()
    assert torch.isfinite(fuse(lr_hsi, zeros(hr_msi), problem, iterations=3)).all()


def test_keeps_its_precision_under_autocast():
    lr_hsi, hr_msi, _, problem = observed()
    pair = lr_hsi.float(), hr_msi.float()
    expected = fuse(*pair, problem, iterations=3)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(fuse(*pair, problem, iterations=3), expected)


@pytest.mark.parametrize("options", [{"groups": 0}, {"weight": -1.0}, {"iterations": 0}])
def test_options_outside_their_range_are_refused(options):
    with pytest.raises(UserError, match=next(iter(options))):
        build_method("lttr", FusionProblem(8, 3, 4), **options)
