"""MoG-DCN against the authors' network, and the laws of its unfolding."""

from functools import partial

import goldens
import pytest
import shape_keyed
import thop
import torch
from goldens import parameters, relative_error
from torch import nn
from torch.nn import functional as F

from smifbench.errors import UserError

NARROW = {"width": 4, "kernel": 5}
network = partial(goldens.network, "mog_dcn")


def filled(*problem):
    return shape_keyed.fill(network(*problem).double()).eval()


def head_inputs(model, *images):
    """Output of `model`, and the image that enters each of its denoiser calls."""
    seen = []
    model.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        return model(*images), seen


@pytest.mark.parametrize(
    "case", [*(pytest.param(f"31-3-64-{ratio}", marks=pytest.mark.slow) for ratio in (4, 8)), "191-10-32-4"]
)
def test_equals_the_authors_network(golden, case):
    bands, msi_bands, size, ratio = map(int, case.split("-"))
    reference = golden("mog_dcn")
    model = filled(bands, msi_bands, ratio)
    batch = len(reference[case])
    output, seen = head_inputs(model, *shape_keyed.inputs(bands, msi_bands, size, ratio, batch))
    # Stage 1 enters the U-Net with the bicubic image and with z1, stage 2 with x1.
    for key, image in ((case, output), (f"z1-{case}", seen[1]), (f"x1-{case}", seen[2])):
        if key in reference:
            assert relative_error(image, reference[key]) <= 1e-6, key
    assert parameters(model) == reference[f"params_used-{case}"]


def test_step_sizes_and_penalties_act_as_the_authors(golden):
    """The filled step sizes are tiny and equal; these differ."""
    reference = golden("mog_dcn")["alt-31-3-64-8"]
    model = filled(31, 3, 8)
    with torch.no_grad():
        for name, value in (("delta_first", 0.05), ("eta_first", 0.9), ("delta_second", 0.2), ("eta_second", 0.6)):
            getattr(model, name).fill_(value)
        output = model(*shape_keyed.inputs(31, 3, 64, 8))
    assert relative_error(output, reference) <= 1e-6


def test_counts_of_the_published_table():
    with torch.device("meta"):
        model = network(191, 10).eval()
    assert parameters(model) == 19_386_417
    images = torch.empty(1, 191, 32, 32, device="meta"), torch.empty(1, 10, 128, 128, device="meta")
    macs, _ = thop.profile(model, images, verbose=False)
    macs += model.thop_macs(*images, images[1].new_empty(1, 191, 128, 128))
    assert macs / 1e12 == pytest.approx(0.62824, abs=5e-6)  # printed as 0.628


@pytest.mark.parametrize(
    ("bands", "msi_bands", "ratio", "height", "width"),
    [(1, 1, 2, 2, 2), (5, 4, 4, 4, 12), (3, 2, 8, 24, 8), (4, 3, 16, 32, 16), (7, 1, 1, 9, 5), (300, 2, 2, 6, 10)],
)
def test_sizes_and_bands(bands, msi_bands, ratio, height, width):
    model = network(bands, msi_bands, ratio, width=4)
    output = model(torch.rand(2, bands, height // ratio, width // ratio), torch.rand(2, msi_bands, height, width))
    assert output.shape == (2, bands, height, width)
    assert output.isfinite().all()


def test_without_steps_only_the_last_denoiser_call_is_left():
    model = network(5, 2, **NARROW)
    lr_hsi, hr_msi = torch.rand(1, 5, 4, 8), torch.rand(1, 2, 16, 32)
    with torch.no_grad():
        model.delta_first.zero_()
        model.delta_second.zero_()
        nn.init.zeros_(model.denoiser.decoders[-1].chain.last.weight)
        nn.init.zeros_(model.denoiser.decoders[-1].chain.last.bias)
    output, seen = head_inputs(model, lr_hsi, hr_msi)
    bicubic = F.interpolate(lr_hsi, scale_factor=4, mode="bicubic", align_corners=False)
    assert len(seen) == 8
    for image in (*seen, output):
        torch.testing.assert_close(image, bicubic)


def test_every_parameter_learns():
    model = network(5, 2, **NARROW, stages=3)
    model(torch.rand(1, 5, 8, 8), torch.rand(1, 2, 32, 32)).square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_operators_are_shared_by_the_stages():
    sizes = [parameters(network(5, 2, **NARROW, stages=stages)) for stages in (2, 3, 4)]
    mix = [(4 + 8 * skips) * 4 * 9 + 4 for skips in range(4)]  # convolutions from 4 + 8 * skips channels to 4
    assert sizes[1] - sizes[0] == mix[2] + mix[1]
    assert sizes[2] - sizes[1] == mix[3] + mix[1]


def test_options_make_it_smaller():
    full = parameters(network())
    assert parameters(network(width=16)) < full / 8
    assert parameters(network(levels=2)) < full / 1.7
    assert parameters(network(kernel=5)) < full - 250_000


@pytest.mark.parametrize(("ratio", "kernel"), [(2, 13), (8, 13), (14, 15), (16, 17)])
def test_the_blur_covers_every_pixel(ratio, kernel):
    assert network(2, 1, ratio, width=4).blur.kernel_size == (kernel, kernel)


@pytest.mark.parametrize("options", [{"kernel": 6}, {"kernel": 3}, {"stages": 1}, {"levels": 0}, {"width": 0}])
def test_refuses_options_out_of_range(options):
    with pytest.raises(UserError, match=next(iter(options))):
        network(**options)


def test_autocast_keeps_the_image_in_float32():
    torch.manual_seed(0)
    model = network(31, 3, 4, width=16)
    images = torch.rand(1, 31, 8, 8), torch.rand(1, 3, 32, 32)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        rounded, seen = head_inputs(model, *images)
    assert {image.dtype for image in (*seen, rounded)} == {torch.float32}
    with torch.no_grad():
        assert relative_error(rounded, model(*images)) < 0.01
