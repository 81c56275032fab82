"""The degradation operators against sums worked out by hand, direct sums, and the laws that they must obey."""

import dataclasses
import math
import re

import numpy as np
import pytest
import torch

from smifbench.data.responses import spectral_response
from smifbench.degradation.operators import BORDERS, apply_srf, blur_decimate, blur_decimate_adjoint
from smifbench.degradation.protocol import DEFAULT, PROTOCOLS, Protocol, get_protocol
from smifbench.degradation.simulation import simulate
from smifbench.errors import UserError
from smifbench.problem import FusionProblem

RATIOS = (2, 3, 4, 8)
PRESETS = tuple(PROTOCOLS)
MODES = {"circular": "wrap", "reflect": "reflect", "replicate": "edge"}
"""Our borders by numpy's names for them."""

# Worked out by hand, one weight for each distance from the centre:
# sigma 2, distances 0.5, 1.5:         exp(-1/32) = 0.969233, exp(-9/32) = 0.754840; twice their sum 3.448146
# FWHM 4, distances 0.5 to 3.5:        2^(-1/16) = 0.957603, 2^(-9/16) = 0.677128, 2^(-25/16) = 0.338564,
#                                      2^(-49/16) = 0.119700; twice their sum 4.185990
# sigma 2, distances 0 to 3:           1, exp(-1/8) = 0.882497, exp(-1/2) = 0.606531, exp(-9/8) = 0.324652; sum of the
#                                      seven 4.627360
# sigma 0.5, distances 0, 1:           1, exp(-2) = 0.135335; sum of the three 1.270671
# gain 0.3 at 1/8, distances 0.5-5.5:  sigma = 4 sqrt(-2 ln 0.3) / pi = 1.975757
BLOCK_4 = (0.218912, 0.281088, 0.281088, 0.218912)
FWHM_4 = (0.028595, 0.080880, 0.161761, 0.228764, 0.228764, 0.161761, 0.080880, 0.028595)
LTTR = (0.070159, 0.131075, 0.190713, 0.216106, 0.190713, 0.131075, 0.070159)
GAUSS_3 = (0.106507, 0.786986, 0.106507)
MTF_4 = (0.004201, 0.015124, 0.042138, 0.090874, 0.151687, 0.195976)
MTF_4 = (*MTF_4, *reversed(MTF_4))
TAPS = {
    ("block-gauss-s2/1", 2): (0.5, 0.5),
    ("block-gauss-s2/1", 3): (0.319168, 0.361664, 0.319168),
    ("block-gauss-s2/1", 4): BLOCK_4,
    ("block-gauss-s2/1", 8): (0.045090, 0.095455, 0.157379, 0.202077, 0.202077, 0.157379, 0.095455, 0.045090),
    ("paper-wdcm/1", 4): BLOCK_4,
    ("fwhm/1", 4): FWHM_4,
    ("shifted-gauss/1", 4): (0, 0, *BLOCK_4),
    ("lttr/1", 4): (*LTTR, 0, 0, 0),
    ("lttr/1", 8): (*LTTR, 0, 0, 0, 0, 0, 0, 0),
    ("gauss3-s05/1", 4): (*GAUSS_3, 0, 0, 0),
    ("mtf-gauss/1", 4): MTF_4,
}


def random_image(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(sum(shape)).random(shape)).to(dtype)


def direct_sum(scene: np.ndarray, psf: np.ndarray, ratio: int, border: str) -> np.ndarray:
    """Pixel by pixel, as the convention reads."""
    margin = (len(psf) - ratio) // 2
    own = psf[margin : margin + ratio, margin : margin + ratio]
    height, width = (side // ratio for side in scene.shape[-2:])
    pad = max(0, margin)
    padded = np.pad(scene, ((0, 0), (pad, pad), (pad, pad)), MODES.get(border, "edge"))
    out = np.empty((len(scene), height, width))
    for i in range(height):
        for j in range(width):
            row, column = i * ratio - margin + pad, j * ratio - margin + pad
            window = padded[:, row : row + len(psf), column : column + len(psf)]
            out[:, i, j] = (window * psf).sum(axis=(1, 2))
            if border == "own-block" and (i in (0, height - 1) or j in (0, width - 1)):
                block = scene[:, i * ratio : (i + 1) * ratio, j * ratio : (j + 1) * ratio]
                out[:, i, j] = (block * own).sum(axis=(1, 2)) / own.sum()
    return out


def kernels() -> list:
    """Every preset at every ratio, every border, and kernels that no protocol has: skewed, smaller than the block."""
    cases = [
        pytest.param(PROTOCOLS[id].psf(ratio), ratio, PROTOCOLS[id].border, id=f"{id}-x{ratio}")
        for id in PRESETS
        for ratio in RATIOS
    ]
    skewed = np.random.default_rng(0).random((6, 6)) * 10.0 ** -np.arange(6)[:, None]
    cases += [pytest.param(skewed / skewed.sum(), 4, border, id=f"skewed-{border}") for border in BORDERS]
    return [*cases, pytest.param(np.full((2, 2), 0.25), 4, "reflect", id="mean-of-the-middle-pixels")]


@pytest.mark.parametrize(("id", "ratio"), TAPS)
def test_weights_worked_out_by_hand(id, ratio):
    taps = np.array(TAPS[id, ratio])
    np.testing.assert_allclose(PROTOCOLS[id].psf(ratio), np.outer(taps, taps), atol=5e-7)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("id", PRESETS)
def test_psf_is_what_a_problem_accepts(id, ratio):
    psf = PROTOCOLS[id].psf(ratio)
    FusionProblem(3, 1, ratio, psf=psf)
    assert psf.dtype == np.float64
    assert psf.min() >= 0
    assert psf.sum() == pytest.approx(1, abs=1e-14)


@pytest.mark.parametrize("ratio", [4, 8])
def test_fwhm_has_half_its_height_at_half_the_ratio(ratio):
    protocol = dataclasses.replace(PROTOCOLS["fwhm/1"], size=2 * ratio + 1, shift=0.5)
    taps = protocol.psf(ratio).sum(axis=0)
    middle = taps.argmax()
    assert taps[middle + ratio // 2] / taps[middle] == pytest.approx(0.5, abs=1e-12)


def test_infinite_sigma_is_the_plain_mean():
    np.testing.assert_allclose(Protocol("mean/1", sigma=math.inf).psf(4), np.full((4, 4), 1 / 16), atol=1e-16)


# What an impulse at HR row 9 and the given column leaves, by LR index, at ratio 4. Block: block 2 is rows 8-11, so row
# 9 has its second weight. FWHM: LR 1 sees rows 2-9, LR 2 rows 6-13, LR 3 columns 10-17. Shifted: LR 2 sees rows 9-12,
# LR 1 columns 5-8. LTTR: LR 2 is centred on pixel 8, LR 3 on 12.
IMPULSES = {
    "block-gauss-s2/1": (6, {2: BLOCK_4[1]}, {1: BLOCK_4[2]}),
    "paper-wdcm/1": (6, {2: BLOCK_4[1]}, {1: BLOCK_4[2]}),
    "fwhm/1": (10, {1: FWHM_4[7], 2: FWHM_4[3]}, {2: FWHM_4[4], 3: FWHM_4[0]}),
    "shifted-gauss/1": (8, {2: BLOCK_4[0]}, {1: BLOCK_4[3]}),
    "lttr/1": (8, {2: LTTR[4], 3: LTTR[0]}, {2: LTTR[3]}),
    "gauss3-s05/1": (8, {2: GAUSS_3[2]}, {2: GAUSS_3[1]}),
    "mtf-gauss/1": (
        8,
        {1: MTF_4[9], 2: MTF_4[5], 3: MTF_4[1]},
        {1: MTF_4[8], 2: MTF_4[4], 3: MTF_4[0]},
    ),
}
"""Of presets whose kernels are products of rows and columns; `test_radial_kernels_by_their_definition` has others."""


@pytest.mark.parametrize("id", IMPULSES)
def test_impulse_shows_the_phase(id):
    column, rows, columns = IMPULSES[id]
    scene = torch.zeros(1, 24, 20, dtype=torch.float64)
    scene[0, 9, column] = 1
    expected = np.zeros((6, 5))
    for i, row_weight in rows.items():
        for j, column_weight in columns.items():
            expected[i, j] = row_weight * column_weight
    lr = blur_decimate(scene, PROTOCOLS[id].psf(4), 4, PROTOCOLS[id].border)[0].numpy()
    np.testing.assert_allclose(lr, expected, atol=1e-6)
    assert np.array_equal(lr != 0, expected != 0)


def test_first_pixel_phase_holds_at_every_ratio():
    for ratio in RATIOS:
        scene = torch.zeros(1, 4 * ratio, 4 * ratio, dtype=torch.float64)
        scene[0, 2 * ratio, ratio] = 1
        lr = blur_decimate(scene, PROTOCOLS["lttr/1"].psf(ratio), ratio, "circular")[0]
        assert divmod(int(lr.argmax()), 4) == (2, 1)
        assert float(lr.max()) == pytest.approx(LTTR[3] ** 2, abs=1e-6)


def test_circular_border_wraps_and_own_block_does_not():
    scene = torch.zeros(1, 16, 16, dtype=torch.float64)
    scene[0, 15, 15] = 1  # the pixel before row 0 and column 0 once the scene is wrapped
    wrapped = blur_decimate(scene, PROTOCOLS["lttr/1"].psf(4), 4, PROTOCOLS["lttr/1"].border)[0]
    assert float(wrapped[0, 0]) == pytest.approx(LTTR[2] ** 2, abs=1e-6)
    own = blur_decimate(scene, PROTOCOLS["fwhm/1"].psf(4), 4, PROTOCOLS["fwhm/1"].border)[0]
    # On its own block FWHM 4 weighs 0.677128, 0.957603, ... over 3.269462.
    assert float(own[3, 3]) == pytest.approx(0.207107**2, abs=1e-6)
    assert int(torch.count_nonzero(own)) == 1
    assert PROTOCOLS["shifted-gauss/1"].border == "circular"


@pytest.mark.parametrize(("psf", "ratio", "border"), kernels())
def test_operator_equals_the_direct_sum(psf, ratio, border):
    for height, width in ((5, 3), (1, 1), (2, 4)):
        scene = random_image(2, height * ratio, width * ratio)
        expected = direct_sum(scene.numpy(), psf, ratio, border)
        np.testing.assert_allclose(blur_decimate(scene, psf, ratio, border), expected, rtol=0, atol=1e-14)
        single = blur_decimate(scene.float(), psf, ratio, border)
        assert single.dtype == torch.float32
        np.testing.assert_allclose(single, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("psf", "ratio", "border"), kernels())
def test_adjoint_identity(psf, ratio, border):
    for height, width in ((5, 3), (1, 1), (2, 4)):
        x, y = random_image(2, 3, height * ratio, width * ratio), random_image(2, 3, height, width)
        forward = (blur_decimate(x, psf, ratio, border) * y).sum()
        backward = blur_decimate_adjoint(y, psf, ratio, border)
        assert backward.shape == x.shape
        assert float((x * backward).sum()) == pytest.approx(float(forward), rel=1e-13)


@pytest.mark.parametrize("id", PRESETS)
def test_gradient_is_the_adjoint(id):
    psf, border = PROTOCOLS[id].psf(4), PROTOCOLS[id].border
    x, y = random_image(2, 12, 16).requires_grad_(), random_image(2, 3, 4).requires_grad_()
    adjoint = blur_decimate_adjoint(y, psf, 4, border)
    (gradient,) = torch.autograd.grad(blur_decimate(x, psf, 4, border), x, y.detach())
    torch.testing.assert_close(gradient, adjoint.detach(), rtol=0, atol=1e-15)
    (gradient,) = torch.autograd.grad(adjoint, y, x.detach())
    torch.testing.assert_close(gradient, blur_decimate(x, psf, 4, border).detach(), rtol=0, atol=1e-14)


def test_adjoint_keeps_single_precision():
    lr = random_image(2, 3, 5, dtype=torch.float32)
    for id in PRESETS:
        assert blur_decimate_adjoint(lr, PROTOCOLS[id].psf(4), 4, PROTOCOLS[id].border).dtype == torch.float32


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("id", [id for id in PRESETS if PROTOCOLS[id].scaling == "none"])
def test_flat_image_stays_flat(id, ratio):
    scene = np.full((4, 4 * ratio, 3 * ratio), 0.7, np.float32)
    protocol = dataclasses.replace(PROTOCOLS[id], misregistration=(0.5, -1))
    made = simulate(scene, ratio, np.full((2, 4), 0.25), protocol)
    np.testing.assert_allclose(made.lr_hsi, 0.7, atol=2e-7)
    np.testing.assert_allclose(made.hr_msi, 0.7, atol=2e-7)


@pytest.mark.parametrize("id", ["block-gauss-s2/1", "paper-wdcm/1"])
@pytest.mark.parametrize("ratio", RATIOS)
def test_patches_of_block_protocols_agree_with_the_whole(id, ratio):
    psf, border = PROTOCOLS[id].psf(ratio), PROTOCOLS[id].border
    scene = random_image(2, 5 * ratio, 6 * ratio)
    patch = blur_decimate(scene[..., ratio : 3 * ratio, 2 * ratio : 5 * ratio], psf, ratio, border)
    torch.testing.assert_close(patch, blur_decimate(scene, psf, ratio, border)[..., 1:3, 2:5], rtol=0, atol=1e-15)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("id", PRESETS)
def test_patches_agree_outside_the_reach(id, ratio):
    psf, border = PROTOCOLS[id].psf(ratio), PROTOCOLS[id].border
    edge = math.ceil(PROTOCOLS[id].reach(ratio) / ratio)
    scene = random_image(1, 10 * ratio, 11 * ratio)
    patch = blur_decimate(scene[..., ratio : 8 * ratio, 2 * ratio : 10 * ratio], psf, ratio, border)[0]
    whole = blur_decimate(scene, psf, ratio, border)[0, 1:8, 2:10]
    inside = slice(edge, 7 - edge), slice(edge, 8 - edge)
    torch.testing.assert_close(patch[inside], whole[inside], rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("id", "misregistration", "reaches"),
    [
        ("block-gauss-s2/1", (0, 0), (0, 0, 0, 0)),
        ("paper-wdcm/1", (0, 0), (0, 0, 0, 0)),
        ("fwhm/1", (0, 0), (1, 1, 2, 4)),
        ("shifted-gauss/1", (0, 0), (1, 1, 1, 1)),
        ("lttr/1", (0, 0), (3, 3, 3, 3)),
        ("block-gauss-s2/1", (1, 0), (1, 1, 1, 1)),
        ("block-gauss-s2/1", (0.5, -2.25), (3, 3, 3, 3)),
        ("shifted-gauss/1", (-1, -1), (0, 0, 0, 0)),
    ],
)
def test_reach_is_as_far_as_an_lr_pixel_sees(id, misregistration, reaches):
    protocol = dataclasses.replace(PROTOCOLS[id], misregistration=misregistration, scaling="none")
    assert tuple(map(protocol.reach, RATIOS)) == reaches
    for ratio, reach in zip(RATIOS, reaches, strict=True):
        for guard, sees_outside in ((reach, False), (reach - 1, True)):
            scene = np.ones((1, 9 * ratio, 9 * ratio))
            guarded = slice(4 * ratio - guard, 5 * ratio + guard)
            scene[:, guarded, guarded] = 0
            assert (simulate(scene, ratio, np.ones((1, 1)), protocol).lr_hsi[0, 4, 4] > 0) == sees_outside


def test_what_lies_under_a_windows_zeros_is_not_seen():
    scene = torch.ones(1, 8, 8)
    scene[0, 0, 0] = math.nan  # the kernel shifted by one pixel starts at row and column 1
    assert bool(torch.isfinite(blur_decimate(scene, PROTOCOLS["shifted-gauss/1"].psf(4), 4, "replicate")).all())


@pytest.mark.parametrize("distance", [(0, 0), (1, 0), (-2, 3), (5, -6)])
def test_misregistration_by_whole_pixels_is_a_shift(distance):
    scene, srf = np.random.default_rng(1).random((2, 16, 24)), np.array([[0.5, 0.5]])
    straight = dataclasses.replace(DEFAULT, id="wrapped/1", border="circular")
    made = simulate(scene, 4, srf, dataclasses.replace(straight, misregistration=distance))
    # Looking d pixels further is seeing the scene moved back by d.
    moved = simulate(np.roll(scene, (-distance[0], -distance[1]), axis=(1, 2)), 4, srf, straight)
    np.testing.assert_allclose(made.lr_hsi, moved.lr_hsi, atol=2e-7)
    np.testing.assert_array_equal(made.hr_msi, simulate(scene, 4, srf).hr_msi)


def test_misregistration_between_pixels_is_linear():
    scene, srf = np.random.default_rng(2).random((1, 16, 16)), np.ones((1, 1))

    def made(distance):
        return simulate(scene, 4, srf, dataclasses.replace(PROTOCOLS["lttr/1"], misregistration=distance)).lr_hsi

    np.testing.assert_allclose(made((0.25, -1)), 0.75 * made((0, -1)) + 0.25 * made((1, -1)), atol=2e-7)


def test_psf_keeps_silent_about_misregistration():
    np.testing.assert_array_equal(dataclasses.replace(DEFAULT, misregistration=(1, 1)).psf(4), DEFAULT.psf(4))


@pytest.mark.parametrize("snr", [20, 35])
def test_noise_reaches_its_snr_in_every_band(snr):
    scene = np.random.default_rng(3).random((3, 256, 256)) * np.array([1, 0.1, 0.01])[:, None, None]
    srf = np.array([[1, 0, 0], [0, 0, 1.0]])
    clean = simulate(scene, 2, srf)
    noisy = simulate(scene, 2, srf, dataclasses.replace(DEFAULT, snr_hsi_db=snr, snr_msi_db=snr + 5))
    for before, after, wanted in ((clean.lr_hsi, noisy.lr_hsi, snr), (clean.hr_msi, noisy.hr_msi, snr + 5)):
        power, error = (np.mean(image.astype(float) ** 2, axis=(1, 2)) for image in (before, after - before))
        np.testing.assert_allclose(10 * np.log10(power / error), wanted, atol=0.2)
    np.testing.assert_array_equal(noisy.hr_hsi, clean.hr_hsi)


def test_noise_follows_the_seed_and_the_two_images_have_their_own():
    scene, srf = np.random.default_rng(4).random((2, 16, 16)), np.eye(2)
    hsi_only, msi_only = (dataclasses.replace(DEFAULT, **{name: 30}) for name in ("snr_hsi_db", "snr_msi_db"))
    both = dataclasses.replace(hsi_only, snr_msi_db=30)
    first, again, other = (simulate(scene, 2, srf, both, seed=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.lr_hsi, again.lr_hsi)
    np.testing.assert_array_equal(first.hr_msi, again.hr_msi)
    assert not np.array_equal(first.lr_hsi, other.lr_hsi)
    assert not np.array_equal(first.hr_msi, other.hr_msi)
    np.testing.assert_array_equal(simulate(scene, 2, srf, hsi_only, seed=5).lr_hsi, first.lr_hsi)
    np.testing.assert_array_equal(simulate(scene, 2, srf, msi_only, seed=5).hr_msi, first.hr_msi)


def test_clip_comes_after_the_noise():
    protocol = dataclasses.replace(DEFAULT, snr_hsi_db=0, snr_msi_db=0, clip=(0.2, 0.9))
    made = simulate(np.random.default_rng(5).random((2, 32, 32)), 2, np.eye(2), protocol)
    for image in (made.lr_hsi, made.hr_msi):
        assert (image.min(), image.max()) == (np.float32(0.2), np.float32(0.9))
    assert made.hr_hsi.max() > 0.9


def test_separate_scalings_by_hand():
    # Blocks of 2 x 2 whose means are 1, 2, 3, 4 in a band that runs from 0 to 8; the second band is flat.
    blocks = np.array([[0, 2, 2, 2], [0, 2, 2, 2], [0, 6, 8, 4], [0, 6, 0, 4.0]])
    made = simulate(np.stack([blocks, np.full((4, 4), 5.0)]), 2, np.array([[0.5, 0.5]]), "paper-wdcm/1")
    np.testing.assert_allclose(made.hr_hsi, [blocks / 8, np.zeros((4, 4))], atol=1e-7)
    np.testing.assert_allclose(made.lr_hsi, [[[0, 1 / 3], [2 / 3, 1]], np.zeros((2, 2))], atol=1e-6)
    np.testing.assert_allclose(made.hr_msi, [blocks / 8], atol=1e-6)


def test_default_leaves_the_units_alone():
    scene = np.random.default_rng(6).integers(0, 60000, (3, 8, 12), dtype=np.uint16)
    scene.flags.writeable = False
    srf = np.array([[0.2, 0.3, 0.5]])
    made = simulate(scene, 4, srf)
    assert [image.dtype for image in made] == [np.float32] * 3
    assert [image.shape for image in made] == [(3, 8, 12), (3, 2, 3), (1, 8, 12)]
    np.testing.assert_array_equal(made.hr_hsi, scene)
    np.testing.assert_allclose(made.lr_hsi, direct_sum(scene.astype(float), DEFAULT.psf(4), 4, "reflect"), rtol=1e-6)
    np.testing.assert_allclose(made.hr_msi, np.tensordot(srf, scene, 1), rtol=1e-6)


def test_simulating_leaves_the_scene_alone():
    scene = np.ones((1, 4, 4), np.float32)
    simulate(scene, 2, np.ones((1, 1))).hr_hsi[:] = 0
    assert scene.min() == 1


def test_response_mixes_bands_of_batches():
    images, srf = random_image(2, 5, 3, 4), np.random.default_rng(7).random((2, 5))
    expected = np.einsum("mc,bchw->bmhw", srf, images.numpy())
    np.testing.assert_allclose(apply_srf(images, srf), expected, atol=1e-15)
    np.testing.assert_allclose(apply_srf(images[0], torch.from_numpy(srf)), expected[0], atol=1e-15)
    assert apply_srf(images.float(), srf).dtype == torch.float32


def test_named_protocols():
    assert DEFAULT is get_protocol("block-gauss-s2/1")
    assert all(id == protocol.id for id, protocol in PROTOCOLS.items())
    with pytest.raises(UserError, match="unknown protocol 'block-gaus/1'; did you mean 'block-gauss-s2/1'"):
        get_protocol("block-gaus/1")
    with pytest.raises(UserError, match="unknown protocol"):
        simulate(np.ones((1, 4, 4)), 2, np.ones((1, 1)), "none/1")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"border": "circula"}, "unknown border 'circula'; did you mean 'circular'"),
        ({"scaling": "minmax"}, "unknown scaling 'minmax'; did you mean 'separate-minmax'"),
        ({"size": 0}, "size must be a number of pixels or 'r' or '2r' or '3r', not 0"),
        ({"size": "5r"}, "size must be"),
        ({"sigma": -1.0}, "sigma must be a number of pixels or 'fwhm=r' or 'mtf=0.3', or two of them, not -1.0"),
        ({"sigma": math.nan}, "sigma must be"),
        ({"shift": math.inf}, "shift must be a number of pixels or 'first-pixel'"),
        ({"misregistration": (1,)}, "misregistration must be"),
        ({"size": True}, "size must be"),
        ({"size": 10**6}, "size is 1000000; state at most 1000"),
        ({"sigma": True}, "sigma must be"),
        ({"sigma": "mtf=1"}, "sigma must be"),
        ({"kernel": "moffat=1"}, "kernel must be 'gauss', 'airy' or 'moffat=3', not 'moffat=1'"),
        ({"kernel": 2}, "kernel must be"),
        ({"motion": (0, 1e9)}, "motion is"),
        ({"snr_hsi_db": 4000}, "snr_hsi_db is 4000; state at most 200"),
        ({"clip": (1, 0)}, r"clip must be \(lowest, highest\) that enclose some of 0 to 1, not \(1, 0\)"),
        ({"clip": (0, math.nan)}, "clip must be"),
        ({"clip": (2, 3)}, "clip must be"),
        ({"clip": (-1, 0)}, "clip must be"),
        ({"response": "nikon_d70"}, "did you mean 'nikon_d700'"),
        ({"response": "nowhere/camera.csv"}, "there is no file nowhere/camera.csv"),
        ({"response_shift_nm": None}, "response_shift_nm must be a number"),
    ],
)
def test_protocol_refuses(change, message):
    with pytest.raises(UserError, match=message):
        dataclasses.replace(DEFAULT, **change)


def test_kernel_between_pixels_is_refused():
    protocol = Protocol("odd/1", size=7)
    assert protocol.psf(3).shape == (7, 7)
    with pytest.raises(UserError, match=r"at ratio 4 a kernel of 7 pixels centred on pixel 1\.5"):
        protocol.psf(4)


def test_scene_of_other_axes_is_refused():
    with pytest.raises(UserError, match=r"shape \(4, 4\); give it three axes: \(bands, height, width\)"):
        simulate(np.ones((4, 4)), 2, np.ones((1, 1)))


def test_side_that_the_ratio_does_not_divide_is_refused():
    for sides in ((145, 144), (144, 145)):
        with pytest.raises(UserError, match=r"ratio 4 does not divide .* 14. x 14. pixels; crop it to 144 x 144"):
            simulate(np.ones((1, *sides)), 4, np.ones((1, 1)))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_counted_and_placed(value):
    scene = np.ones((3, 4, 8))
    scene[1, 2, 5] = scene[2, 0, 0] = value
    with pytest.raises(UserError, match="2 values that are NaN or infinite, the first in band 1, row 2, column 5"):
        simulate(scene, 2, np.ones((1, 3)))


def test_response_of_another_shape_is_refused():
    for srf in (np.ones((3, 5)), np.ones(4)):
        with pytest.raises(UserError, match=r"a scene of 4 bands needs \(msi_bands, 4\)"):
            simulate(np.ones((4, 4, 4)), 2, srf)


@pytest.mark.parametrize("ratio", [0, 2.0, "4"])
def test_ratio_that_is_no_count_is_refused(ratio):
    with pytest.raises(UserError, match="ratio must be a positive integer"):
        simulate(np.ones((1, 4, 4)), ratio, np.ones((1, 1)))


@pytest.mark.parametrize("psf", [np.ones((3, 3)), np.ones((4, 6)), np.ones(4), np.zeros((4, 4))])
def test_psf_of_another_shape_is_refused(psf):
    for operator in (blur_decimate, blur_decimate_adjoint):
        with pytest.raises(UserError, match=r"psf has shape .* even number"):
            operator(torch.ones(1, 8, 8), psf, 4)


def test_own_block_needs_weight_on_the_block():
    protocol = dataclasses.replace(DEFAULT, border="own-block", misregistration=(4, 0))
    with pytest.raises(UserError, match="choose another border"):
        simulate(np.ones((1, 8, 8)), 4, np.ones((1, 1)), protocol)


def test_a_changed_protocol_is_named_by_its_changes():
    id = "fwhm/1+snr_hsi_db=30+sigma=3,1+misregistration=0.5,-2+response=none+size=9"
    changed = get_protocol(id)
    assert changed.id == id
    assert changed == dataclasses.replace(
        PROTOCOLS["fwhm/1"], id=id, snr_hsi_db=30, sigma=(3, 1), misregistration=(0.5, -2), size=9
    )
    assert get_protocol("block-gauss-s2/1+sigma=fwhm=r+size=2r").sigma == "fwhm=r"
    assert get_protocol("block-gauss-s2/1+sigma=inf").psf(4) == pytest.approx(np.full((4, 4), 1 / 16))


@pytest.mark.parametrize(
    ("id", "message"),
    [
        ("block-gauss/1+sigma=3", "did you mean 'block-gauss-s2/1'"),
        ("block-gauss-s2/1+snr_hsi=30", "did you mean 'snr_hsi_db'"),
        ("block-gauss-s2/1+snr_hsi_db", "snr_hsi_db must be a number, not ''"),
        ("block-gauss-s2/1+snr_msi_db=nan", "snr_msi_db must be a number, not nan"),
        ("block-gauss-s2/1+sigma=1,2,3", "sigma must be a number"),
        ("block-gauss-s2/1+sigma=2,0", "sigma must be a number"),
        ("block-gauss-s2/1+motion=3", "motion must be"),
        ("block-gauss-s2/1+misregistration=a,b", "misregistration must be"),
        ("block-gauss-s2/1+id=mine", "unknown field"),
        ("block-gauss-s2/1+clip=0", "clip must be"),
        ("block-gauss-s2/1+clip=1,0", "clip must be"),
        ("block-gauss-s2/1+clip=a,b", "clip must be"),
        ("block-gauss-s2/1+clip=0,1,2", "clip must be"),
        ("block-gauss-s2/1+response=5", "unknown spectral response '5'"),
        ("block-gauss-s2/1+response=1,2", "unknown spectral response '1,2'"),
        ("block-gauss-s2/1+snr_hsi_db=30+snr_hsi_db=20", "changes snr_hsi_db twice; leave one"),
        ("block-gauss-s2/1+kernel=airy=2", "kernel must be"),
        ("block-gauss-s2/1+border=none", "unknown border 'none'"),
    ],
)
def test_a_mistaken_change_is_told(id, message):
    with pytest.raises(UserError, match=re.escape(message)):
        get_protocol(id)


def test_an_anisotropic_kernel_has_its_widths_along_rows_and_columns():
    psf = get_protocol("block-gauss-s2/1+size=12+sigma=1,2").psf(4)
    rows, columns = (
        get_protocol("block-gauss-s2/1+size=12+sigma=1").psf(4),
        get_protocol("block-gauss-s2/1+size=12+sigma=2").psf(4),
    )
    np.testing.assert_allclose(psf, np.outer(rows.sum(1), columns.sum(0)))


@pytest.mark.parametrize("way", [(0, 2), (3, 0), (1.5, -1.5)])
def test_motion_smears_evenly_about_the_same_place(way):
    still, moved = DEFAULT.psf(4), get_protocol(f"block-gauss-s2/1+motion={way[0]},{way[1]}").psf(4)

    def moments(psf):
        steps = np.arange(len(psf)) - (len(psf) - 1) / 2
        row, column = np.meshgrid(steps, steps, indexing="ij")
        return (psf * row).sum(), (psf * column).sum(), (psf * row**2).sum(), (psf * column**2).sum()

    assert moved.sum() == pytest.approx(1)
    assert moments(moved)[:2] == pytest.approx((0, 0), abs=1e-12)
    grown = np.subtract(moments(moved)[2:], moments(still)[2:])
    # An even smear of length L has the variance L^2 / 12; linear interpolation and its steps add up to a sixth.
    assert np.all(grown > np.square(way) / 12 - 1e-9)
    assert np.all(grown <= np.square(way) / 12 + np.where(way, 0.2 + 0.02 * np.square(way), 1e-9))


def test_the_response_of_a_protocol():
    nm = np.array([500.0, 400.0, 450.0, 650.0])
    own = np.array([[0.25, 0.5, 0.25, 0.0]])
    assert DEFAULT.srf(own, nm) is own
    shifted = get_protocol("block-gauss-s2/1+response_shift_nm=25").srf(own, nm)
    # In order of wavelength 0.5, 0.25, 0.25, 0 at 400, 450, 500, 650 nm, looked up 25 nm lower.
    np.testing.assert_allclose(shifted, np.array([[0.25, 0, 0.375, 0.25 / 6]]) / (0.25 + 0.375 + 0.25 / 6))
    named = get_protocol("block-gauss-s2/1+response=nikon_d700").srf(own, np.array([500.0, 400, 600, 700]))
    assert named.shape == (3, 4)
    np.testing.assert_allclose(named.sum(1), 1)


MEASURED = "block-gauss-s2/1+msi=measured"


def test_a_measured_msi_takes_the_place_of_the_simulated_one_alone():
    generator = np.random.default_rng(0)
    scene, msi = generator.random((6, 16, 24)), generator.random((3, 16, 24))
    srf = np.full((3, 6), 1 / 6)
    simulated, measured = simulate(scene, 4, srf), simulate(scene, 4, None, MEASURED, hr_msi=msi)
    np.testing.assert_array_equal(measured.lr_hsi, simulated.lr_hsi)
    np.testing.assert_array_equal(measured.hr_msi, msi.astype(np.float32))
    noisy = simulate(scene, 4, None, f"{MEASURED}+snr_msi_db=20", hr_msi=msi)
    assert 0 < np.abs(noisy.hr_msi - measured.hr_msi).mean() < 0.1


@pytest.mark.parametrize(
    ("protocol", "srf", "msi", "sentence"),
    [
        (MEASURED, None, None, "takes a measured MSI, and there is none"),
        (MEASURED, None, np.zeros((3, 16, 20)), "cut both alike"),
        (MEASURED, None, np.full((3, 16, 24), np.nan), "NaN or infinite"),
        ("block-gauss-s2/1", None, np.zeros((3, 16, 24)), "srf must be given"),
        (f"{MEASURED}+response_shift_nm=5", None, None, "a measured MSI has its own response"),
        ("block-gauss-s2/1+msi=guessed", None, None, "unknown msi 'guessed'"),
    ],
)
def test_what_is_no_measured_msi_is_refused(protocol, srf, msi, sentence):
    with pytest.raises(UserError, match=sentence):
        simulate(np.random.default_rng(0).random((6, 16, 24)), 4, srf, protocol, hr_msi=msi)


def test_every_value_of_a_word_can_be_stated():
    for word in (*BORDERS, "none", "separate-minmax"):
        field = "border" if word in BORDERS else "scaling"
        assert getattr(get_protocol(f"paper-wdcm/1+{field}={word}"), field) == word
    assert get_protocol("block-gauss-s2/1+response=none+snr_hsi_db=none+clip=none").response is None


def test_a_named_response_is_integrated_over_the_widths_of_the_bands_and_shifts_as_a_curve():
    nm = np.arange(450.0, 901, 50)
    wide = get_protocol("block-gauss-s2/1+response=sentinel2a_10m").srf(np.eye(10), nm, np.full(10, 50.0))
    np.testing.assert_array_equal(wide, spectral_response("sentinel2a_10m", nm, 50))
    shifted = get_protocol("block-gauss-s2/1+response=sentinel2a_10m+response_shift_nm=50").srf(
        np.eye(10), nm, np.full(10, 50.0)
    )
    np.testing.assert_allclose(shifted[:3, 1:], wide[:3, :-1], atol=1e-12)


@pytest.mark.parametrize(
    "id", ["response_shift_nm=320", "response_shift_nm=-400", "response=nikon_d700+response_shift_nm=320"]
)
def test_a_shift_off_the_sensor_is_refused(id):
    nm = np.arange(400.0, 701, 10)
    own = spectral_response("nikon_d700", nm)
    with pytest.raises(UserError, match=rf"protocol block-gauss-s2/1\+{re.escape(id)}: .* 31 hyperspectral bands"):
        get_protocol(f"block-gauss-s2/1+{id}").srf(own, nm)


def test_a_shift_keeps_a_flat_scene_and_the_centroid_on_any_grid():
    # Bands of 4 to 12 nm that tile 400-1000 nm, and a response around 700 nm made of their widths.
    widths = np.random.default_rng(0).uniform(4, 12, 75)
    centres = 400 + np.cumsum(widths) - widths / 2
    own = widths * np.exp2(-4 * ((centres - 700) / 60) ** 2)[None]
    own /= own.sum()
    for shift in (7.5, -20):
        moved = get_protocol(f"block-gauss-s2/1+response_shift_nm={shift}").srf(own, centres, widths)
        assert moved.sum() == pytest.approx(1, abs=1e-14)
        assert float((moved @ centres - own @ centres).item()) == pytest.approx(shift, abs=0.3)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("gain", [0.2, 0.3, 0.5])
def test_a_gaussian_by_its_gain_has_that_gain_at_the_nyquist_frequency(gain, ratio):
    psf = get_protocol(f"mtf-gauss/1+sigma=mtf={gain},mtf=0.25+size=3r").psf(ratio)
    wave = np.exp(1j * np.pi / ratio * np.arange(len(psf)))  # half a period in an LR pixel
    assert abs(psf.sum(axis=1) @ wave) == pytest.approx(gain, abs=4e-3)
    assert abs(psf.sum(axis=0) @ wave) == pytest.approx(0.25, abs=4e-3)


def moffat(distance, fwhm, exponent):
    alpha = fwhm / (2 * np.sqrt(2 ** (1 / exponent) - 1))
    return (1 + (distance / alpha) ** 2) ** -exponent


def airy(distance, fwhm):
    """Brute force: the image is the squared transform of a round aperture, cut into strips across x."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, 401)
    strips = np.cos(angle) ** 2
    x = 2 * 1.61633995 * np.asarray(distance)[..., None] / fwhm
    return (np.trapezoid(strips * np.cos(x * np.sin(angle)), angle) / np.trapezoid(strips, angle)) ** 2


@pytest.mark.parametrize(("id", "profile"), [("airy/1", airy), ("moffat/1", lambda d, fwhm: moffat(d, fwhm, 4.765))])
@pytest.mark.parametrize("ratio", RATIOS)
def test_radial_kernels_by_their_definition(id, profile, ratio):
    psf = PROTOCOLS[id].psf(ratio)
    size = 3 * ratio
    assert psf.shape == (size, size)
    rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
    expected = profile(np.hypot(rows, columns), ratio)
    np.testing.assert_allclose(psf, expected / expected.sum(), atol=1e-6)


def test_widths_of_a_radial_kernel():
    psf = get_protocol("airy/1+size=41+shift=0.5+sigma=4,2").psf(4)
    middle = np.unravel_index(psf.argmax(), psf.shape)
    fwhm = 2.354820045 * np.array([4, 2])
    for axis, width in enumerate(fwhm):  # the first dark ring lies at 3.8317 / 1.6163 half widths
        line = np.take(psf, middle[1 - axis], axis=1 - axis)[middle[axis] :] / psf.max()
        dark = 3.831706 / 1.616340 * width / 2
        assert abs(int(line[: int(1.4 * dark)].argmin()) - dark) <= 0.5
    # A star's light within R of a Moffat function: 1 - (1 + R^2/a^2)^(1 - B).
    star = get_protocol("moffat/1+kernel=moffat=3+size=401+shift=0.5").psf(4)
    distance = np.hypot(*(np.mgrid[:401, :401] - 200))
    alpha = 4 / (2 * np.sqrt(2 ** (1 / 3) - 1))
    for radius in (5.5, 10.5):
        inside = float(star[star.shape[0] - 401 :, star.shape[1] - 401 :][distance <= radius].sum())
        assert inside == pytest.approx(1 - (1 + radius**2 / alpha**2) ** -2, abs=0.01)


def test_a_kernel_that_reaches_no_pixel_centre_is_refused():
    with pytest.raises(UserError, match="too narrow to reach the centre of a pixel; raise sigma"):
        get_protocol("block-gauss-s2/1+sigma=0.001").psf(4)
    assert get_protocol("lttr/1+sigma=0.001").psf(4).max() == 1


def test_gauss3_is_the_change_of_lttr_that_it_replaces():
    named, changed = PROTOCOLS["gauss3-s05/1"], get_protocol("lttr/1+size=3+sigma=0.5")
    assert dataclasses.replace(changed, id=named.id) == named
