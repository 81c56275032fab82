import numpy as np
import pytest
import torch

from smifbench import FusionProblem, UserError, build_method
from smifbench.fusion.tiles import fuse

RATIO = 4


def problem(bands=5, msi_bands=3, psf=None):
    return FusionProblem(bands, msi_bands, RATIO, psf=psf)


def images(bands=5, msi_bands=3, height=12, width=14, batch=1, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    lr_hsi = torch.rand(batch, bands, height, width, generator=generator, dtype=torch.float64)
    hr_msi = torch.rand(batch, msi_bands, height * RATIO, width * RATIO, generator=generator, dtype=torch.float64)
    return lr_hsi.to(dtype), hr_msi.to(dtype)


def fused(lr_hsi, hr_msi, name="local_gsa", psf=None, **options):
    return build_method(name, problem(lr_hsi.shape[1], hr_msi.shape[1], psf), **options)(lr_hsi, hr_msi)


def mosaic(psf):
    """Two materials side by side, each with an affine law of its own: lr_hsi, hr_msi, hr_hsi."""
    generator = torch.Generator().manual_seed(1)
    hr_msi = torch.rand(1, 3, 64, 128, generator=generator, dtype=torch.float64)
    slopes = torch.rand(2, 5, 3, generator=generator, dtype=torch.float64) - 0.3
    left, right = (
        torch.einsum("bm,nmhw->nbhw", law, part) + 0.1 for law, part in zip(slopes, hr_msi.split(64, 3), strict=True)
    )
    hr_hsi = torch.cat([left, right], 3)
    blocks = hr_hsi.unflatten(3, (-1, RATIO)).unflatten(2, (-1, RATIO))
    return torch.einsum("nbiujv,uv->nbij", blocks, torch.from_numpy(psf)), hr_msi, hr_hsi


def random_psf(side=RATIO):
    psf = np.random.default_rng(1).random((side, side))
    return psf / psf.sum()


def test_materials_with_affine_laws_of_their_own_come_back_within_their_cores():
    """Within two windows of radius 2 and the enlargement's two pixels, all 6 LR pixels see one material."""
    psf = random_psf()
    lr_hsi, hr_msi, hr_hsi = mosaic(psf)
    core = torch.ones(128, dtype=torch.bool)
    core[64 - 6 * RATIO : 64 + 6 * RATIO] = False
    error = (fused(lr_hsi, hr_msi, psf=psf, ridge=1e-9) - hr_hsi).abs()
    assert error[..., core].max() < 1e-7
    assert error[..., ~core].max() > 1e-2
    assert (fused(lr_hsi, hr_msi, "gsa", psf=psf) - hr_hsi).abs()[..., core].mean() > 1e-2


def test_slopes_are_those_of_a_weighted_regression():
    """One LR pixel by hand: ridge regression over the window's pixels towards the scene's slopes, then their mean."""
    lr_hsi, hr_msi = images(height=7, width=7)
    lr_msi = hr_msi.unflatten(3, (-1, RATIO)).unflatten(2, (-1, RATIO)).mean((3, 5))[0].flatten(1).numpy()
    hsi = lr_hsi[0].flatten(1).numpy()
    unit = (lr_msi - lr_msi.mean(1, keepdims=True)) / lr_msi.std(1, keepdims=True)
    design = np.vstack([unit, np.ones(49)])
    scene = np.linalg.lstsq(design.T, hsi.T, rcond=None)[0].T[:, :3]
    rows, columns = np.divmod(np.arange(49), 7)
    windows = np.exp(-((rows - rows[:, None]) ** 2 + (columns - columns[:, None]) ** 2) / 2 / 0.6**2)
    windows *= (abs(rows - rows[:, None]) <= 2) & (abs(columns - columns[:, None]) <= 2)
    windows /= windows.sum(1, keepdims=True)
    slopes = []
    for weights in windows:
        x, y = unit - (unit @ weights)[:, None], hsi - (hsi @ weights)[:, None]
        slopes.append((y * weights @ x.T + 0.01 * scene) @ np.linalg.inv(x * weights @ x.T + 0.01 * np.eye(3)))
    mean = np.einsum("pq,qbm->bmp", windows, np.array(slopes)).reshape(5, 3, 7, 7)
    flat = lr_hsi.new_zeros(1, 1, 28, 28)
    maps = torch.from_numpy(np.vstack([hsi.reshape(5, 7, 7)[None], mean.swapaxes(0, 1)])).flatten(0, 1)[None]
    centres = torch.from_numpy(np.concatenate([mean[:, band] * unit[band].reshape(7, 7) for band in range(3)]))[None]
    enlarged = build_method("bicubic", FusionProblem(20, 1, RATIO))(maps, flat)[0].unflatten(0, (4, 5))
    at_centres = build_method("bicubic", FusionProblem(15, 1, RATIO))(centres, flat)[0].unflatten(0, (3, 5))
    hr_unit = (hr_msi[0].numpy() - lr_msi.mean(1)[:, None, None]) / lr_msi.std(1)[:, None, None]
    expected = enlarged[0] - at_centres.sum(0) + (enlarged[1:] * torch.from_numpy(hr_unit)[:, None]).sum(0)
    torch.testing.assert_close(fused(lr_hsi, hr_msi, ridge=0.01)[0], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("side", [None, 2, 4, 10])
def test_a_large_ridge_is_gsa(side):
    psf = None if side is None else random_psf(side)
    lr_hsi, hr_msi = images(batch=2)
    expected = fused(lr_hsi, hr_msi, "gsa", psf)
    torch.testing.assert_close(fused(lr_hsi, hr_msi, psf=psf, ridge=1e12), expected, rtol=0, atol=1e-9)


def test_a_wide_window_is_gsa():
    lr_hsi, hr_msi = images(height=6, width=6)
    wide = fused(lr_hsi, hr_msi, window=1e4, ridge=1e-12)
    torch.testing.assert_close(wide, fused(lr_hsi, hr_msi, "gsa"), rtol=0, atol=1e-6)


@pytest.mark.parametrize("height", [12, 1])
def test_gain_and_offset_of_an_msi_band_change_nothing(height):
    lr_hsi, hr_msi = images(height=height)
    gain = torch.tensor([-3.0, 0.01, 31.0], dtype=torch.float64)[:, None, None]
    torch.testing.assert_close(fused(lr_hsi, hr_msi * gain + gain**2), fused(lr_hsi, hr_msi), rtol=0, atol=1e-9)


@pytest.mark.parametrize("level", [0.0, 0.3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_flat_msi_leaves_bicubic(level, dtype):
    lr_hsi, hr_msi = images(dtype=dtype)
    flat = torch.full_like(hr_msi, level)
    torch.testing.assert_close(fused(lr_hsi, flat), fused(lr_hsi, flat, "bicubic"), rtol=0, atol=1e-7)


def test_rounding_errors_are_no_detail():
    lr_hsi, hr_msi = images(dtype=torch.float32)
    noisy = 0.3 + torch.finfo(torch.float32).eps * hr_msi.round()
    assert noisy.std() > 0
    torch.testing.assert_close(fused(lr_hsi, noisy), fused(lr_hsi, noisy, "bicubic"), rtol=0, atol=1e-7)


def test_flat_stretches_of_a_scene_are_bicubic():
    """A window without detail has no slopes of its own, and rounding errors give it none."""
    lr_hsi, hr_msi = images(dtype=torch.float32)
    hr_msi[..., : 10 * RATIO] = 0.5 + torch.finfo(torch.float32).eps * hr_msi[..., : 10 * RATIO].round()
    flat = (..., slice(5 * RATIO))
    expected = fused(lr_hsi, hr_msi, "bicubic")[flat]
    torch.testing.assert_close(fused(lr_hsi, hr_msi)[flat], expected, rtol=0, atol=1e-5)


def test_float32_images_give_what_float64_images_give():
    lr_hsi, hr_msi = images(dtype=torch.float32)
    single, double = fused(lr_hsi, hr_msi), fused(lr_hsi.double(), hr_msi.double())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), double, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("bands", "msi_bands", "height", "width"), [(1, 1, 1, 1), (40, 2, 2, 3), (3, 40, 2, 3)])
def test_few_pixels_and_many_bands(bands, msi_bands, height, width):
    lr_hsi, hr_msi = images(bands, msi_bands, height, width)
    result = fused(lr_hsi, hr_msi)
    assert result.isfinite().all()
    assert result.abs().max() < 10


@pytest.mark.parametrize(
    ("side", "refocusing", "width"), [(None, False, 40), (4, False, 40), (10, False, 40), (4, True, 160)]
)
def test_tiles_equal_the_whole_scene(side, refocusing, width):
    psf = None if side is None else random_psf(side)
    lr_hsi, hr_msi = (image[0].numpy() for image in images(height=40, width=width, dtype=torch.float32))
    method = build_method("local_gsa", problem(psf=psf), window=0.9, refocusing=refocusing)
    whole = fuse(method, lr_hsi, hr_msi)
    tiles = fuse(method, lr_hsi, hr_msi, memory_gb=0.012 if width == 40 else 0.1)
    np.testing.assert_allclose(tiles, whole, atol=2e-5 if refocusing else 2e-6)


@pytest.mark.parametrize("side", [10, 20])
@pytest.mark.parametrize("refocusing", [False, True])
def test_a_pixel_beyond_the_halo_has_no_say(refocusing, side):
    lr_hsi, hr_msi = images(height=24, width=80 if refocusing else 24)
    method = build_method("local_gsa", problem(psf=random_psf(side)), refocusing=refocusing)
    scene = method.for_scene(lr_hsi, hr_msi)
    near, far = hr_msi.clone(), hr_msi.clone()
    far[..., (12 + scene.halo + 1) * RATIO :] += 1
    near[..., 14 * RATIO :] += 1
    here = (..., slice(12 * RATIO, 13 * RATIO))
    assert torch.equal(scene(lr_hsi, far)[here], scene(lr_hsi, hr_msi)[here])
    assert not torch.equal(scene(lr_hsi, near)[here], scene(lr_hsi, hr_msi)[here])


def test_a_band_that_lies_beside_the_msi_comes_back_by_refocusing():
    psf = random_psf()
    smooth = torch.nn.functional.interpolate(images(height=4, width=4)[1], size=(96, 96), mode="bicubic")
    truth = torch.cat([smooth, torch.roll(smooth[:, :1], 1, 3)], 1)
    blocks = truth.unflatten(3, (-1, RATIO)).unflatten(2, (-1, RATIO))
    lr_hsi = torch.einsum("nbiujv,uv->nbij", blocks, torch.from_numpy(psf))

    def errors(refocusing):
        estimate = fused(lr_hsi, smooth, psf=psf, window=2.0, refocusing=refocusing)
        return (estimate - truth)[..., 12:-12, 12:-12].square().mean((0, 2, 3)).sqrt()

    assert errors(True)[3] < 0.6 * errors(False)[3]
    assert errors(True)[:3].max() < errors(False)[:3].max() + 1e-3


def test_keeps_its_precision_under_autocast():
    lr_hsi, hr_msi = images(dtype=torch.float32)
    expected = fused(lr_hsi, hr_msi)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(fused(lr_hsi, hr_msi), expected)


def test_estimated_operators_are_near_the_known_ones():
    psf = random_psf()
    lr_hsi, hr_msi, hr_hsi = mosaic(psf)
    hr_msi = hr_hsi[:, [0, 2, 4]]
    known = fused(lr_hsi, hr_msi, psf=psf)
    estimated = fused(lr_hsi.float(), hr_msi.float(), operators="estimated")
    error, blind_error = ((image - hr_hsi).square().mean() for image in (known, estimated))
    assert blind_error < 1.2 * error + 1e-6


@pytest.mark.parametrize("option", ["window", "ridge"])
def test_refuses_options_without_meaning(option):
    with pytest.raises(UserError, match=f"option {option} of local_gsa must be above 0, not 0"):
        build_method("local_gsa", problem(), **{option: 0})
