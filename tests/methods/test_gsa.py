import numpy as np
import pytest
import torch

from smifbench import FusionProblem, build_method

RATIO = 4


def images(bands=5, msi_bands=3, height=6, width=8, batch=1, seed=0, ratio=RATIO):
    generator = torch.Generator().manual_seed(seed)
    lr_hsi = torch.rand(batch, bands, height, width, generator=generator, dtype=torch.float64)
    hr_msi = torch.rand(batch, msi_bands, height * ratio, width * ratio, generator=generator, dtype=torch.float64)
    return lr_hsi, hr_msi


def fuse(lr_hsi, hr_msi, psf=None, ratio=RATIO, name="gsa"):
    method = build_method(name, FusionProblem(lr_hsi.shape[1], hr_msi.shape[1], ratio, psf=psf))
    return method(lr_hsi, hr_msi)


def enlarged(lr_hsi, ratio=RATIO):
    height, width = lr_hsi.shape[2:]
    return fuse(lr_hsi, lr_hsi.new_zeros(len(lr_hsi), 1, height * ratio, width * ratio), ratio=ratio, name="bicubic")


def reduced(image, psf, ratio=RATIO):
    """Weighted sums over windows centred on the blocks, one by one."""
    side = len(psf)
    before = (side - ratio) // 2
    margin = max(before, 0)
    image = np.pad(image, ((0, 0), (margin, margin), (margin, margin)), mode="edge")
    height, width = ((length - 2 * margin) // ratio for length in image.shape[1:])
    result = np.empty((len(image), height, width))
    for row in range(height):
        for column in range(width):
            top, left = (index * ratio - before + margin for index in (row, column))
            window = image[:, top : top + side, left : left + side]
            result[:, row, column] = (window * psf).sum((1, 2))
    return result


def random_psf(side):
    psf = np.random.default_rng(1).random((side, side))
    return psf / psf.sum()


@pytest.mark.parametrize("side", [None, 2, 4, 6, 10])
def test_equals_the_published_formula_band_by_band(side):
    lr_hsi, hr_msi = images()
    psf = None if side is None else random_psf(side)
    lr_msi = reduced(hr_msi[0].numpy(), np.full((4, 4), 1 / 16) if psf is None else psf)
    design = np.stack([*lr_msi.reshape(3, -1), np.ones(lr_msi[0].size)], 1)
    hr_design = np.stack([*hr_msi[0].numpy().reshape(3, -1), np.ones(hr_msi[0, 0].numel())], 1)
    result = fuse(lr_hsi, hr_msi, psf)
    for band in range(5):
        values = lr_hsi[0, band].numpy()
        weights = np.linalg.lstsq(design, values.ravel(), rcond=None)[0]
        lr_intensity = (design @ weights).reshape(values.shape)
        hr_intensity = (hr_design @ weights).reshape(hr_msi.shape[2:])
        covariance = np.cov(values.ravel(), lr_intensity.ravel())
        gain = covariance[0, 1] / covariance[1, 1]
        low = enlarged(torch.from_numpy(np.stack([values, lr_intensity]))[None])[0].numpy()
        np.testing.assert_allclose(result[0, band], low[0] + gain * (hr_intensity - low[1]), atol=1e-12)


@pytest.mark.parametrize("side", [None, 4, 8])
def test_recovers_bands_that_are_affine_in_the_msi(side):
    _, hr_msi = images(msi_bands=4, batch=2)
    psf = None if side is None else random_psf(side)
    mixing = torch.rand(7, 4, dtype=torch.float64) - 0.3
    hr_hsi = torch.einsum("bm,nmhw->nbhw", mixing, hr_msi) + torch.rand(7, 1, 1, dtype=torch.float64)
    kernel = np.full((4, 4), 1 / 16) if psf is None else psf
    lr_hsi = torch.from_numpy(np.stack([reduced(image.numpy(), kernel) for image in hr_hsi]))
    torch.testing.assert_close(fuse(lr_hsi, hr_msi, psf), hr_hsi, rtol=0, atol=1e-12)
    single = fuse(lr_hsi.float(), hr_msi.float(), psf)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), hr_hsi, rtol=0, atol=1e-5)


@pytest.mark.parametrize("height", [6, 1])
def test_gain_and_offset_of_an_msi_band_change_nothing(height):
    """In one row of LR pixels there are more MSI bands than a regression can tell apart."""
    lr_hsi, hr_msi = images(msi_bands=12, height=height)
    gain = torch.linspace(-3, 31, 12, dtype=torch.float64)[:, None, None]
    torch.testing.assert_close(fuse(lr_hsi, hr_msi * gain + gain**2), fuse(lr_hsi, hr_msi), rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dependent_and_flat_msi_bands_add_nothing(dtype):
    lr_hsi, hr_msi = (image.to(dtype) for image in images())
    more = torch.cat([hr_msi, 0.7 * hr_msi[:, :1] + 0.1, torch.full_like(hr_msi[:, :2], 0.3)], 1)
    torch.testing.assert_close(fuse(lr_hsi, more), fuse(lr_hsi, hr_msi), rtol=0, atol=1e-5)


@pytest.mark.parametrize("level", [0.0, 0.3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_flat_msi_leaves_bicubic(level, dtype):
    lr_hsi, hr_msi = (image.to(dtype) for image in images())
    assert torch.equal(fuse(lr_hsi, torch.full_like(hr_msi, level)), enlarged(lr_hsi))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rounding_errors_are_no_detail(dtype):
    lr_hsi, hr_msi = (image.to(dtype) for image in images())
    noisy = 0.3 + torch.finfo(dtype).eps * hr_msi.round()
    assert noisy.std() > 0
    assert torch.equal(fuse(lr_hsi, noisy), enlarged(lr_hsi))


def test_bands_and_images_are_fused_alone():
    lr_hsi, hr_msi = images(batch=3)
    together = fuse(lr_hsi, hr_msi)
    torch.testing.assert_close(together[1:2, 3:4], fuse(lr_hsi[1:2, 3:4], hr_msi[1:2]), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("bands", "msi_bands", "ratio"), [(1, 1, 2), (300, 2, 8), (3, 300, 4), (2, 5, 16)])
def test_one_lr_pixel_is_spread_evenly(bands, msi_bands, ratio):
    lr_hsi, hr_msi = images(bands, msi_bands, 1, 1, ratio=ratio)
    torch.testing.assert_close(fuse(lr_hsi, hr_msi, ratio=ratio), lr_hsi.expand(-1, -1, ratio, ratio))


def test_more_msi_bands_than_lr_pixels():
    lr_hsi, hr_msi = images(msi_bands=40, height=2, width=3)
    result = fuse(lr_hsi, hr_msi)
    assert result.isfinite().all()
    assert result.abs().max() < 10


def test_keeps_its_precision_under_autocast():
    lr_hsi, hr_msi = (image.float() for image in images())
    expected = fuse(lr_hsi, hr_msi)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(fuse(lr_hsi, hr_msi), expected)
