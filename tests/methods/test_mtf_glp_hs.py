"""MTF-GLP-HS against the review's toolbox, and its laws."""

import sys

import numpy as np
import pytest
import torch
from goldens import classical_case

from smifbench import FusionProblem, UserError, build_method, plugins

CASES = ["balloons-r4", "flowers-r4", "pines-r4", "balloons-r8"]
glp = sys.modules[plugins.method_class("mtf_glp_hs").__module__]


def case_of(golden, case):
    """Images (1, bands, H, W) in float64 and what the toolbox made of them; skips where they are absent."""
    inputs, stored = classical_case(golden, "mtf_glp_hs", case)
    images = [torch.from_numpy(inputs[name]).double()[None] for name in ("lr_hsi", "hr_msi")]
    return images, stored


def images(bands=5, msi_bands=3, height=6, width=8, ratio=4, batch=1):
    generator = torch.Generator().manual_seed(bands + ratio)
    lr_hsi = torch.rand(batch, bands, height, width, generator=generator, dtype=torch.float64)
    hr_msi = torch.rand(batch, msi_bands, height * ratio, width * ratio, generator=generator, dtype=torch.float64)
    return lr_hsi, hr_msi


def build(lr_hsi, hr_msi, **options):
    problem = FusionProblem(lr_hsi.shape[1], hr_msi.shape[1], hr_msi.shape[2] // lr_hsi.shape[2])
    return build_method("mtf_glp_hs", problem, **options)


def fuse(lr_hsi, hr_msi, **options):
    return build(lr_hsi, hr_msi, **options)(lr_hsi, hr_msi)


@pytest.mark.parametrize("case", CASES)
def test_equals_the_toolbox(golden, case):
    pair, stored = case_of(golden, case)
    injection = build(*pair).for_scene(*pair)
    np.testing.assert_allclose(injection.weights[0].T, stored["weights"], rtol=1e-9, atol=1e-9)
    for gains in stored["gains"]:  # of both phases
        np.testing.assert_allclose(injection.gains[0], gains, atol=1e-10)
    largest = stored["out"].max()
    np.testing.assert_allclose(injection(*pair)[0], stored["out"], rtol=0, atol=1e-7 * largest)
    single = fuse(*(image.float() for image in pair))
    np.testing.assert_allclose(single[0], stored["out"], rtol=0, atol=1e-5 * largest)


@pytest.mark.parametrize("case", CASES)
def test_resamples_as_the_toolbox(golden, case):
    (lr_hsi, hr_msi), stored = case_of(golden, case)
    ratio = hr_msi.shape[2] // lr_hsi.shape[2]
    np.testing.assert_allclose(glp.taps(ratio), stored["taps"], atol=1e-15)
    np.testing.assert_allclose(glp._low_pass(hr_msi, ratio)[0, :-1], stored["msi_block_gauss"], atol=1e-12)
    for phase, expected in zip((ratio // 2 - 1, ratio // 2), stored["enlarged_band0"], strict=True):
        np.testing.assert_allclose(glp.enlarge(lr_hsi, ratio, phase, "wrap")[0, 0], expected, atol=1e-14)


@pytest.mark.parametrize(("ratio", "height"), [(1, 9), (2, 40), (3, 12), (4, 2), (8, 5), (16, 1), (40, 3)])
@pytest.mark.parametrize("border", ["wrap", "symmetric"])
def test_enlarging_convolves_zeros_between_the_samples_with_the_taps(ratio, height, border):
    image = torch.rand(height, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).numpy()
    margin = 22 // ratio + 1
    sparse = np.zeros([(side + 2 * margin) * ratio for side in image.shape])
    phase = ratio // 2
    sparse[phase::ratio, phase::ratio] = np.pad(image, margin, mode=border)
    for axis in (0, 1):
        sparse = np.apply_along_axis(np.convolve, axis, sparse, glp.taps(ratio), "same")
    expected = sparse[margin * ratio : -margin * ratio, margin * ratio : -margin * ratio]
    enlarged = glp.enlarge(torch.from_numpy(image)[None, None], ratio, phase, border)
    np.testing.assert_allclose(enlarged[0, 0], expected, atol=1e-13)


@pytest.mark.parametrize("ratio", [2, 3, 4, 8])
def test_gains_are_those_of_the_enlarged_images(ratio):
    """By the definition, on HR pixels of every phase, against sums over LR pixels alone."""
    lr_hsi, hr_msi = images(ratio=ratio, height=5, width=7, batch=2)
    injection = build(lr_hsi, hr_msi).for_scene(lr_hsi, hr_msi)
    low = glp.predict(injection.weights, glp._low_pass(hr_msi, ratio))
    for phase in {(ratio - 1) // 2, ratio // 2}:
        up, up_low = (glp.enlarge(image, ratio, phase, "wrap").flatten(2) for image in (lr_hsi, low))
        up, up_low = (image - image.mean(2, keepdim=True) for image in (up, up_low))
        gains = (up * up_low).sum(2) / up_low.square().sum(2)
        torch.testing.assert_close(injection.gains, gains, rtol=1e-8, atol=0)


def test_a_flat_msi_adds_no_detail():
    lr_hsi, hr_msi = images()
    estimate = fuse(lr_hsi, torch.full_like(hr_msi, 0.3))
    mean = lr_hsi.mean((2, 3), keepdim=True)
    phases = [(mean + glp.enlarge(lr_hsi - mean, 4, phase, "wrap")).clamp_min(0) for phase in (1, 2)]
    torch.testing.assert_close(estimate, sum(phases) / 2)


def test_dark_images():
    lr_hsi, hr_msi = images()
    zeros = torch.zeros_like
    assert (fuse(zeros(lr_hsi), hr_msi) == 0).all()
    assert (fuse(zeros(lr_hsi), zeros(hr_msi)) == 0).all()
    assert torch.isfinite(fuse(lr_hsi, zeros(hr_msi))).all()


@pytest.mark.parametrize("ratio", [1, 3, 4])
def test_negative_values_become_0_and_scales_stay(ratio):
    lr_hsi, hr_msi = images(ratio=ratio)
    estimate = fuse(lr_hsi, hr_msi)
    assert (estimate >= 0).all()
    torch.testing.assert_close(fuse(1000 * lr_hsi, hr_msi) / 1000, estimate, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(fuse(lr_hsi, 1000 * hr_msi), estimate, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(fuse(lr_hsi, hr_msi + 3), estimate, rtol=1e-8, atol=1e-8)


def test_at_ratio_1_the_image_itself():
    lr_hsi, hr_msi = images(ratio=1)
    torch.testing.assert_close(fuse(lr_hsi, hr_msi), lr_hsi)


@pytest.mark.parametrize("ratio", [3, 4, 8])
def test_mirrored_tiles_equal_the_whole(ratio):
    height = 30
    lr_hsi, hr_msi = images(height=height, width=5, ratio=ratio)
    injection = build(lr_hsi, hr_msi, border="mirrored").for_scene(lr_hsi, hr_msi)
    whole, frame = injection(lr_hsi, hr_msi), injection.halo
    for start, stop in ((0, 10), (10, 20), (20, 30)):
        top, bottom = max(0, start - frame), min(height, stop + frame)
        tile = injection(lr_hsi[..., top:bottom, :], hr_msi[..., top * ratio : bottom * ratio, :])
        inner = tile[..., (start - top) * ratio : (stop - top) * ratio, :]
        torch.testing.assert_close(inner, whole[..., start * ratio : stop * ratio, :], rtol=0, atol=1e-12)


def test_borders_differ_near_the_border_only():
    lr_hsi, hr_msi = images(height=24, width=24)
    periodic, mirrored = (fuse(lr_hsi, hr_msi, border=border) for border in ("periodic", "mirrored"))
    inside = slice(24, -24)
    torch.testing.assert_close(periodic[..., inside, inside], mirrored[..., inside, inside], rtol=0, atol=1e-12)
    assert (periodic - mirrored).abs().max() > 0.01


def test_what_it_cannot_do_is_told():
    assert "gaps" in plugins.method_class("mtf_glp_hs").skip(FusionProblem(5, 3, 45))
    assert plugins.method_class("mtf_glp_hs").skip(FusionProblem(5, 3, 44)) is None
    with pytest.raises(UserError, match="border must be periodic or mirrored, not 'edge'"):
        build_method("mtf_glp_hs", FusionProblem(5, 3, 4), border="edge")


def test_keeps_its_precision_under_autocast():
    lr_hsi, hr_msi = (image.float() for image in images())
    expected = fuse(lr_hsi, hr_msi)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(fuse(lr_hsi, hr_msi), expected)
