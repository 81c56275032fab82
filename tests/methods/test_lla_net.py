import sys

import numpy as np
import pytest
import torch

from smifbench import FusionProblem, UserError, build_method
from smifbench.fusion.tiles import fuse
from smifbench.plugins import method_class

BANDS, MSI_BANDS = 6, 2

method_class("lla_net")  # loads the package that the next line looks into
reduce_by_psf = sys.modules["_smifbench_methods._resampling"].reduce_by_psf


def random_psf(side, block=None):
    """A kernel without symmetry; `block` weights in its middle, zeros around."""
    psf = np.random.default_rng(1).random((side, side)) + 0.1
    if block:
        margin = (side - block) // 2
        psf = np.pad(psf[margin : margin + block, margin : margin + block], margin)
    return psf / psf.sum()


def random_srf(msi_bands=MSI_BANDS, bands=BANDS):
    srf = np.random.default_rng(2).random((msi_bands, bands)) + 0.05
    return srf / srf.sum(1, keepdims=True)


def problem(ratio=4, bands=BANDS, msi_bands=MSI_BANDS, psf="block", srf="random"):
    psf = random_psf(ratio) if isinstance(psf, str) else psf
    return FusionProblem(bands, msi_bands, ratio, psf, random_srf(msi_bands, bands) if isinstance(srf, str) else srf)


def scene(problem, height=10, width=12, seed=0, dtype=torch.float32):
    """A scene of random values seen through the problem's operators: lr_hsi, hr_msi, hr_hsi."""
    generator = torch.Generator().manual_seed(seed)
    size = height * problem.ratio, width * problem.ratio
    hr_hsi = torch.rand(1, problem.bands, *size, generator=generator, dtype=torch.float64)
    return (*seen(problem, hr_hsi, dtype), hr_hsi.to(dtype))


def seen(problem, hr_hsi, dtype=torch.float32):
    ratio = problem.ratio
    margin = (len(problem.psf) - ratio) // 2
    psf = torch.from_numpy(problem.psf[margin : margin + ratio, margin : margin + ratio])
    blocks = hr_hsi.double().unflatten(3, (-1, ratio)).unflatten(2, (-1, ratio))
    lr_hsi = torch.einsum("nbiujv,uv->nbij", blocks, psf)
    return lr_hsi.to(dtype), torch.einsum("mb,nbhw->nmhw", torch.from_numpy(problem.srf), hr_hsi.double()).to(dtype)


def build(problem, seed=0, **options):
    torch.manual_seed(seed)
    return build_method("lla_net", problem, **options).eval().requires_grad_(requires_grad=False)


@pytest.mark.parametrize("ratio", [2, 3, 4, 8])
@pytest.mark.parametrize("windows", [(0.6,), (0.6, 1.5)])
@pytest.mark.parametrize("attention", [True, False])
def test_weights_sum_to_one_and_none_lies_beyond_the_border(ratio, attention, windows):
    here = problem(ratio)
    lr_hsi, hr_msi, _ = scene(here, 6, 6)
    lr_msi = seen(here, hr_msi[:, :1].expand(-1, BANDS, -1, -1))[0][:, :MSI_BANDS]
    weights = build(here, attention=attention, windows=windows)._weights(lr_hsi, lr_msi, hr_msi)
    torch.testing.assert_close(weights.sum(3), torch.ones(1, 6, 6, ratio**2))
    around = weights.unflatten(3, (len(windows), 5, 5))
    assert around[:, 0, :, :, :2].max() == 0  # two rows above the first
    assert around[:, :, -1, :, :, 3:].max() == 0
    assert around[:, 2:-2, 2:-2].amin() > 0


@pytest.mark.parametrize("windows", [(0.7,), (1.5, 0.6)])
def test_mixture_is_the_sum_of_predictions_by_the_weights(windows):
    """Pixel by pixel, neighbour by neighbour."""
    here = problem(2, 3)
    _, hr_msi, _ = scene(here, 5, 6, dtype=torch.float64)
    network = build(here, windows=windows).double()
    generator = torch.Generator().manual_seed(4)
    predictors = torch.rand(1, 3, len(windows), MSI_BANDS + 1, 5, 6, generator=generator, dtype=torch.float64)
    weights = torch.rand(1, 5, 6, 25 * len(windows), 4, generator=generator, dtype=torch.float64)
    mixture = network._mix(predictors, weights, hr_msi)
    for y, x in [(0, 0), (4, 5), (5, 4), (9, 11)]:
        row, column, place = y // 2, x // 2, y % 2 * 2 + x % 2
        expected = torch.zeros(3, dtype=torch.float64)
        for window in range(len(windows)):
            for neighbour in range(25):
                there = row + neighbour // 5 - 2, column + neighbour % 5 - 2
                if 0 <= there[0] < 5 and 0 <= there[1] < 6:
                    *slopes, intercept = predictors[0, :, window, :, *there].unbind(1)
                    prediction = intercept + sum(a * m for a, m in zip(slopes, hr_msi[0, :, y, x], strict=True))
                    expected += weights[0, row, column, 25 * window + neighbour, place] * prediction
        torch.testing.assert_close(mixture[0, :, y, x], expected)


def test_untrained_weights_fall_with_the_distance_alone():
    here = problem()
    _, hr_msi, _ = scene(here)
    lr_msi = hr_msi[..., ::4, ::4]
    weights = build(here, attention=False, windows=(1.0,))._weights(None, lr_msi, hr_msi)[0, 5, 6]
    centre = torch.stack(torch.meshgrid(torch.arange(4), torch.arange(4), indexing="ij")).flatten(1).T / 4 - 0.375
    offsets = torch.stack(torch.meshgrid(torch.arange(-2, 3), torch.arange(-2, 3), indexing="ij")).flatten(1).T
    expected = torch.softmax(-(offsets[:, None] - centre).square().sum(2) / 2 / 0.7**2, 0)
    torch.testing.assert_close(weights, expected)


def test_a_scene_that_is_affine_in_its_msi_comes_back_without_training():
    here = problem(srf=None)
    _, hr_msi, _ = scene(problem())
    mixing = torch.rand(BANDS, MSI_BANDS, generator=torch.Generator().manual_seed(3)) - 0.3
    hr_hsi = torch.einsum("bm,nmhw->nbhw", mixing, hr_msi) + 0.2
    lr_hsi, _ = seen(problem(), hr_hsi)
    torch.testing.assert_close(build(here, ridge=1e-10, blocks=0)(lr_hsi, hr_msi), hr_hsi, rtol=0, atol=1e-4)


def test_queries_that_know_the_material_mix_none_across_an_edge():
    """Two materials beside each other, with laws of their own, told apart by the first MSI band alone."""
    generator = torch.Generator().manual_seed(3)
    hr_msi = 0.1 * torch.rand(1, MSI_BANDS, 40, 96, generator=generator)
    hr_msi[:, 0, :, 48:] += 0.5
    laws = torch.rand(2, BANDS, MSI_BANDS, generator=generator)
    left, right = (
        torch.einsum("bm,nmhw->nbhw", law, part) for law, part in zip(laws, hr_msi.split(48, 3), strict=True)
    )
    hr_hsi = torch.cat([left, 0.3 + right], 3)
    lr_hsi, _ = seen(problem(), hr_hsi)
    here = problem(srf=None)
    # Windows of 2 to each side, twice, are of one material from the fifth LR pixel on; so weights are looked at.
    network = build(here, blocks=0)
    lr_msi = seen(problem(msi_bands=MSI_BANDS), hr_msi[:, [0, 1, 0, 0, 0, 0]])[0][:, :MSI_BANDS]
    network.attention.beta.fill_(0.0)
    plain = network._weights(lr_hsi, lr_msi, hr_msi)
    network.attention.beta.fill_(50.0)
    told = network._weights(lr_hsi, lr_msi, hr_msi)

    def across(weights):
        return weights.unflatten(3, (2, 5, 5))[:, 3:-3, 11, :, :, 3:].sum((2, 3, 4))

    assert across(plain).max() > 0.1
    assert across(told).max() < 1e-3


@pytest.mark.parametrize(
    ("ratio", "psf"), [(2, None), (3, None), (4, None), (8, None), (4, random_psf(2)), (4, random_psf(8, 4))]
)
@pytest.mark.parametrize("msi_bands", [1, 2, 5])
def test_projected_images_agree_with_both_images(ratio, psf, msi_bands):
    here = problem(ratio, msi_bands=msi_bands, psf=random_psf(ratio) if psf is None else psf)
    if len(here.psf) < ratio:
        here = problem(ratio, msi_bands=msi_bands, psf=np.pad(here.psf, (ratio - len(here.psf)) // 2))
    lr_hsi, hr_msi, hr_hsi = scene(here, 5, 6)
    network = build(here)
    with_noise = torch.rand(hr_hsi.shape, generator=torch.Generator().manual_seed(5))
    lr_msi = torch.einsum("mb,nbhw->nmhw", torch.from_numpy(here.srf).float(), lr_hsi)
    projected = network.consistency(with_noise, lr_hsi, hr_msi, lr_msi)
    again = seen(here, projected)
    torch.testing.assert_close(again[0], lr_hsi, rtol=0, atol=1e-5)
    torch.testing.assert_close(again[1], hr_msi, rtol=0, atol=1e-5)
    kept = network.consistency(hr_hsi, lr_hsi, hr_msi, lr_msi)
    torch.testing.assert_close(kept, hr_hsi, rtol=0, atol=1e-5)
    estimate = network(lr_hsi, hr_msi)
    for mine, given in zip(seen(here, estimate), (lr_hsi, hr_msi), strict=True):
        torch.testing.assert_close(mine, given, rtol=0, atol=1e-4)


def test_agrees_with_what_is_known_alone():
    mean = np.full((4, 4), 1 / 16)
    both = problem(psf=mean)
    lr_hsi, hr_msi, _ = scene(both)
    for known, image in ((problem(psf=mean, srf=None), 0), (problem(psf=None), 1)):
        estimate = build(known)(lr_hsi, hr_msi)
        torch.testing.assert_close(seen(both, estimate)[image], (lr_hsi, hr_msi)[image], rtol=0, atol=1e-4)


def test_a_psf_beyond_its_block_has_no_closed_form():
    known = problem(psf=random_psf(8), srf=None)
    lr_hsi, hr_msi, _ = scene(problem())
    estimate, free = (build(known, consistency=given)(lr_hsi, hr_msi) for given in (True, False))
    assert torch.equal(estimate, free)


def smooth(here, size=64):
    """A smooth scene with edges, its pair, and a generator for noise."""
    generator = torch.Generator().manual_seed(7)
    coarse = torch.rand(1, here.bands, 8, 8, generator=generator)
    hr_hsi = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")
    return *seen(here, hr_hsi), hr_hsi, generator


@pytest.mark.parametrize("noisy", [0, 1])
def test_noise_is_not_copied(noisy):
    """Of a perfect estimate, whose every difference from the images is noise."""
    here = problem()
    *pair, hr_hsi, generator = smooth(here)
    pair[noisy] += 0.05 * torch.randn(pair[noisy].shape, generator=generator)
    lr_msi = reduce_by_psf(pair[1], torch.from_numpy(here.psf), 4).float()
    consistency = build(here).consistency
    weighted = consistency(hr_hsi, *pair, lr_msi)
    agreeing = torch.einsum("mb,nbhw->nmhw", torch.from_numpy(here.srf).float(), pair[0])
    copied = consistency(hr_hsi, *pair, agreeing)  # as if nothing spoke of noise
    assert (weighted - hr_hsi).square().mean() < 0.3 * (copied - hr_hsi).square().mean()


def test_images_that_were_rescaled_do_not_break_it():
    """Bands mapped affinely, as the training set-up may do, fit the SRF no more; the MSI then has less to say."""
    here = problem()
    lr_hsi, hr_msi, hr_hsi, _ = smooth(here)
    network = build(here)
    gain = torch.linspace(1, 3, MSI_BANDS)[:, None, None]
    error, rescaled = ((network(lr_hsi, image) - hr_hsi).square().mean() for image in (hr_msi, gain * hr_msi + 1))
    assert rescaled < 10 * error + 1e-4


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"attention": False},
        {"blocks": 0},
        {"windows": (0.6,)},
        {"windows": (0.6,), "refocusing": True},
        {"blocks": 1},
    ],
)
@pytest.mark.parametrize("consistency", [True, False])
def test_tiles_equal_the_whole_scene(options, consistency):
    here = problem()
    lr_hsi, hr_msi, _ = (image[0].numpy() for image in scene(here, 120, 16))
    network = build(here, consistency=consistency, **options)
    whole = fuse(network, lr_hsi, hr_msi)
    tiles = [
        fuse(network, lr_hsi[:, rows], hr_msi[:, slice(4 * rows.start, 4 * rows.stop)])
        for rows in (slice(0, 60 + network.halo), slice(60 - network.halo, 120))
    ]
    np.testing.assert_allclose(tiles[0][:, :240], whole[:, :240], atol=2e-5)
    np.testing.assert_allclose(tiles[1][:, 4 * network.halo :], whole[:, 240:], atol=2e-5)


@pytest.mark.parametrize("operators", [{}, {"psf": None}, {"srf": None}, {"psf": None, "srf": None}])
@pytest.mark.parametrize(("ratio", "bands", "msi_bands"), [(2, 1, 1), (3, 4, 6), (8, 17, 4)])
def test_any_bands_ratio_and_operators(operators, ratio, bands, msi_bands):
    lr_hsi, hr_msi, _ = scene(problem(ratio, bands, msi_bands), 3, 4)
    estimate = build(problem(ratio, bands, msi_bands, **operators))(lr_hsi, hr_msi)
    assert estimate.shape == (1, bands, 3 * ratio, 4 * ratio)
    assert estimate.isfinite().all()


def test_a_few_steps_go_below_the_untrained():
    here = problem()
    lr_hsi, hr_msi, hr_hsi, generator = smooth(here, 32)
    hr_hsi = (hr_hsi + 0.1 * torch.rand(hr_hsi.shape, generator=generator) * (hr_hsi > 0.5)).clamp(0, 1)
    lr_hsi, hr_msi = seen(here, hr_hsi)
    network = build(here, width=16, blocks=1).requires_grad_().train()
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    losses = []
    for _ in range(15):
        optimizer.zero_grad()
        losses.append(network.training_loss(lr_hsi, hr_msi, hr_hsi))
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.95 * losses[0]


@pytest.mark.parametrize("options", [{"windows": ()}, {"windows": (0.6, 0)}, {"ridge": 0}])
def test_refuses_options_without_meaning(options):
    with pytest.raises(UserError, match=f"option {min(options)} of lla_net must be above 0"):
        build_method("lla_net", problem(), **options)
