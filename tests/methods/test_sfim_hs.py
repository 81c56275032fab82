"""SFIM-HS against the review's toolbox, and its laws."""

import sys

import numpy as np
import pytest
import torch
from goldens import classical_case

from smifbench import FusionProblem, build_method, plugins

CASES = ["balloons-r4", "flowers-r4", "pines-r4", "balloons-r8"]
resampling = sys.modules[plugins.method_class("sfim_hs").__module__.rpartition(".")[0] + "._resampling"]


def case_of(golden, case):
    """Images (1, bands, H, W) in float64 and what the toolbox made of them; skips where they are absent."""
    inputs, stored = classical_case(golden, "sfim_hs", case, output="out_nn")
    images = [torch.from_numpy(inputs[name]).double()[None] for name in ("lr_hsi", "hr_msi")]
    return images, stored


def images(bands=5, msi_bands=3, height=6, width=8, ratio=4, batch=1):
    generator = torch.Generator().manual_seed(bands + ratio)
    lr_hsi = torch.rand(batch, bands, height, width, generator=generator, dtype=torch.float64)
    hr_msi = torch.rand(batch, msi_bands, height * ratio, width * ratio, generator=generator, dtype=torch.float64)
    return lr_hsi, hr_msi


def build(lr_hsi, hr_msi):
    return build_method("sfim_hs", FusionProblem(lr_hsi.shape[1], hr_msi.shape[1], hr_msi.shape[2] // lr_hsi.shape[2]))


def fuse(lr_hsi, hr_msi):
    return build(lr_hsi, hr_msi)(lr_hsi, hr_msi)


def replicated(lr_hsi, ratio=4):
    return lr_hsi.repeat_interleave(ratio, 2).repeat_interleave(ratio, 3)


@pytest.mark.parametrize("case", CASES)
def test_equals_the_toolbox(golden, case):
    pair, stored = case_of(golden, case)
    prediction = build(*pair).for_scene(*pair)
    np.testing.assert_allclose(prediction.weights[0].T, stored["weights_nn"], atol=1e-9)
    largest = stored["out_nn"].max()
    np.testing.assert_allclose(prediction(*pair)[0], stored["out_nn"], rtol=0, atol=1e-7 * largest)
    single = fuse(*(image.float() for image in pair))
    np.testing.assert_allclose(single[0], stored["out_nn"], rtol=0, atol=1e-5 * largest)


@pytest.mark.parametrize("case", CASES)
def test_reduces_the_msi_as_the_toolbox(golden, case):
    (lr_hsi, hr_msi), stored = case_of(golden, case)
    ratio = hr_msi.shape[2] // lr_hsi.shape[2]
    reduced = resampling.reduce(hr_msi[0], resampling.triangle(ratio), ratio, "symmetric")
    np.testing.assert_allclose(reduced, stored["msi_reduced"], rtol=0, atol=1e-15)


@pytest.mark.parametrize("ratio", [1, 2, 3, 4, 5])
def test_the_msi_is_reduced_by_linear_interpolation_over_twice_a_block(ratio):
    """Weight of each pixel by the distance of its centre, mirrored pixels beyond the border among them."""
    image = torch.rand(1, 4 * ratio, 4 * ratio, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mirrored = np.pad(image[0].numpy(), ratio, mode="symmetric")
    positions = np.arange(len(mirrored)) - ratio
    centres = (np.arange(4) + 0.5) * ratio - 0.5
    weights = np.maximum(0, 1 - abs(centres[:, None] - positions) / ratio)
    weights /= weights.sum(1, keepdims=True)
    reduced = resampling.reduce(image, resampling.triangle(ratio), ratio, "symmetric")
    np.testing.assert_allclose(reduced[0], weights @ mirrored @ weights.T, atol=1e-14)


@pytest.mark.parametrize("ratio", [2, 3, 4])
def test_recovers_non_negative_mixtures_of_the_msi(ratio):
    _, hr_msi = images(ratio=ratio, batch=2)
    mixing = torch.rand(7, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    hr_hsi = torch.einsum("bm,nmhw->nbhw", mixing, hr_msi) + 0.2
    lr_hsi = resampling.reduce(hr_hsi, resampling.triangle(ratio), ratio, "symmetric")
    torch.testing.assert_close(fuse(lr_hsi, hr_msi), hr_hsi, rtol=0, atol=1e-12)


def test_images_scale_by_themselves():
    lr_hsi, hr_msi = images()
    expected = fuse(lr_hsi, hr_msi)
    torch.testing.assert_close(fuse(1000 * lr_hsi, 1000 * hr_msi) / 1000, expected)
    scales = torch.tensor([0.01, 1, 30], dtype=torch.float64)[:, None, None]
    torch.testing.assert_close(fuse(lr_hsi, scales * hr_msi), expected)


def test_the_msi_lends_detail_and_no_level():
    """Constant images stay constant, a flat MSI leaves blocks, and at ratio 1 nothing is to be done."""
    lr_hsi, hr_msi = images()
    torch.testing.assert_close(fuse(lr_hsi, torch.full_like(hr_msi, 0.3)), replicated(lr_hsi))
    flat = torch.full_like(lr_hsi, 0.7)
    torch.testing.assert_close(fuse(flat, hr_msi), replicated(flat))
    small, same_size = images(ratio=1)
    torch.testing.assert_close(fuse(small, same_size), small)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dark_pixels_are_not_divided_by(dtype):
    lr_hsi, hr_msi = (image.to(dtype) for image in images())
    hr_msi[..., 8:20, 8:20] = 0
    lr_hsi[:, 0] = resampling.reduce(hr_msi[:, 0], resampling.triangle(4), 4, "symmetric")  # a fit without intercept
    assert lr_hsi[0, 0, 3, 3] == 0
    estimate = fuse(lr_hsi, hr_msi)
    assert torch.isfinite(estimate).all()
    assert (estimate[:, 0, 12:16, 12:16] == 0).all()
    for pair in [(lr_hsi, 0 * hr_msi), (0 * lr_hsi, hr_msi), (0 * lr_hsi, 0 * hr_msi)]:
        torch.testing.assert_close(fuse(*pair), replicated(pair[0]))


@pytest.mark.parametrize("ratio", [3, 4])
def test_tiles_equal_the_whole(ratio):
    lr_hsi, hr_msi = images(height=9, width=7, ratio=ratio)
    prediction = build(lr_hsi, hr_msi).for_scene(lr_hsi, hr_msi)
    rows, frame = slice(3, 6), prediction.halo
    framed = slice(rows.start - frame, rows.stop + frame)
    tile = prediction(lr_hsi[..., framed, :], hr_msi[..., framed.start * ratio : framed.stop * ratio, :])
    inner = tile[..., frame * ratio : -frame * ratio, :]
    whole = prediction(lr_hsi, hr_msi)[..., rows.start * ratio : rows.stop * ratio, :]
    torch.testing.assert_close(inner, whole, rtol=0, atol=1e-12)


def test_keeps_its_precision_under_autocast():
    lr_hsi, hr_msi = (image.float() for image in images())
    expected = fuse(lr_hsi, hr_msi)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(fuse(lr_hsi, hr_msi), expected)
