"""MSST-Net against the authors' network, and the laws of its parts."""

import importlib

import goldens
import pytest
import shape_keyed
import torch
from goldens import relative_error
from torch import nn
from torch.nn import functional as F

from smifbench.errors import UserError
from smifbench.evaluation.cost import count_macs, count_macs_thop, count_parameters
from smifbench.plugins import method_class

NARROW = {
    "features": 8,
    "blocks": 1,
    "spectral_widths": [8, 4],
    "patches": [4, 8],
    "spatial_width": 8,
    "heads": 2,
    "layers": 1,
    "mlp_ratio": 1.5,
}


def network(bands=5, msi_bands=2, ratio=4, **options):
    return goldens.network("msst_net", bands, msi_bands, ratio, **options)


def parts():
    """The module of the plug-in, for its private blocks."""
    return importlib.import_module(method_class("msst_net").__module__)


@pytest.mark.parametrize("case", ["31-3-64-4", "31-3-64-8", "191-10-32-4"])
def test_equals_the_authors_network(golden, case):
    bands, msi_bands, size, ratio = map(int, case.split("-"))
    reference = golden("msst_net")
    with torch.device("meta"):
        model = network(bands, msi_bands, ratio)
    model = shape_keyed.fill(model.to_empty(device="cpu").double()).eval()
    expected = torch.from_numpy(reference[case]).double()
    with torch.no_grad():
        output = model(*shape_keyed.inputs(bands, msi_bands, size, ratio, expected.shape[0]))
    assert relative_error(output, expected) <= 1e-7
    assert count_parameters(model) == reference[f"params-{case}"]


@pytest.mark.parametrize(("bands", "msi_bands", "ratio"), [(31, 3, 4), (102, 4, 2), (7, 1, 16)])
def test_number_of_parameters(bands, msi_bands, ratio):
    with torch.device("meta"):
        model = network(bands, msi_bands, ratio)
    expected = 10_484_208 + 693_549 * bands + 54 * bands**2 + 1152 * msi_bands + 36_928 * ratio**2
    assert count_parameters(model) == expected


def test_attention_between_patches_alone_grows_faster_than_the_image():
    with torch.device("meta"):
        model = network(31, 3)
    sizes = 64, 128, 256
    excess = [count_macs(model, size, size) / size**2 for size in sizes]
    # Two products of width 256, in 4 layers, over (1 / 16^2)^2 + (1 / 8^2)^2 + (1 / 32^2)^2 pairs for a squared pixel.
    pairs = sum(patch**-4 for patch in (16, 8, 32))
    slope = 2 * 4 * 256 * pairs
    assert excess[1] - excess[0] == pytest.approx(slope * (sizes[1] ** 2 - sizes[0] ** 2), rel=1e-9)
    assert excess[2] - excess[1] == pytest.approx(slope * (sizes[2] ** 2 - sizes[1] ** 2), rel=1e-9)


def test_thop_would_count_the_patch_convolutions_alike():
    bands, patch, width = 5, 4, 8
    scale = parts()._SpatialScale(bands, patch, width, parts()._Settings(heads=2, layers=1, mlp_ratio=1.0, noise=0.0))
    image = torch.rand(1, bands, 8, 12)
    tokens = scale.embed(image)
    assert scale.embed.thop_macs(image, output=tokens) == 6 * width * bands * patch**2
    restored = scale.unembed(tokens, 2, 3)
    assert scale.unembed.thop_macs(tokens, 2, 3, output=restored) == 8 * 12 * bands * width * patch**2


@pytest.mark.parametrize(
    ("bands", "msi_bands", "ratio", "height", "width"),
    [(1, 1, 2, 2, 2), (5, 4, 4, 4, 12), (3, 2, 8, 24, 8), (4, 3, 16, 32, 16), (7, 1, 1, 9, 5), (300, 2, 3, 6, 15)],
)
def test_sizes_and_bands(bands, msi_bands, ratio, height, width):
    model = network(bands, msi_bands, ratio, **NARROW)
    output = model(torch.rand(2, bands, height // ratio, width // ratio), torch.rand(2, msi_bands, height, width))
    assert output.shape == (2, bands, height, width)
    assert output.isfinite().all()


def test_full_network_on_less_than_a_patch():
    model = network(3, 2, 4).eval()
    with torch.no_grad():
        output = model(torch.rand(1, 3, 1, 3), torch.rand(1, 2, 4, 12))
    assert output.shape == (1, 3, 4, 12)
    assert output.isfinite().all()


@pytest.mark.parametrize("pixels", [1, 3, 4, 5, 12, 15])
def test_spectral_heads_share_out_the_pixels(pixels):
    width, heads = 6, 4
    attention = shape_keyed.fill(parts()._SpectralAttention(width, heads).double())
    tokens = torch.randn(2, pixels, width, dtype=torch.float64)
    query, key, value = attention.qkv(tokens).chunk(3, dim=-1)
    mixed = torch.zeros_like(value)
    for head in range(min(heads, pixels)):
        chosen = slice(head, None, heads)
        logits = torch.einsum("btq,btk->bqk", query[:, chosen], key[:, chosen]) / width**0.5
        mixed[:, chosen] = torch.einsum("bqk,btk->btq", logits.softmax(-1), value[:, chosen])
    torch.testing.assert_close(attention(tokens), attention.project(mixed))


def test_spectral_attention_is_precise_under_autocast():
    attention = shape_keyed.fill(parts()._SpectralAttention(16, 4))
    # Identical pixels have identical values, whatever the map; only a map that is a distribution keeps them.
    with torch.no_grad():
        attention.qkv.bias.zero_()
        attention.qkv.weight[32:] = 1.0
        attention.project.weight.copy_(torch.eye(16))
        attention.project.bias.zero_()
        with torch.autocast("cpu", torch.bfloat16):
            output = attention(torch.full((1, 4096, 16), 0.5))
    torch.testing.assert_close(output.float(), torch.full((1, 4096, 16), 8.0))


def test_spatial_attention_is_ordinary_attention():
    attention = shape_keyed.fill(parts()._SpatialAttention(8, 2).double())
    reference = nn.MultiheadAttention(8, 2, batch_first=True).double()
    with torch.no_grad():
        reference.in_proj_weight.copy_(attention.qkv.weight)
        reference.in_proj_bias.copy_(attention.qkv.bias)
        reference.out_proj.load_state_dict(attention.project.state_dict())
    tokens = torch.randn(2, 7, 8, dtype=torch.float64)
    torch.testing.assert_close(attention(tokens), reference(tokens, tokens, tokens)[0])


def test_patches_are_convolutions_whose_stride_is_their_kernel():
    embed, unembed = parts()._Patches(3, 6, 4, 4).double(), parts()._Unpatches(6, 3, 4, 4).double()
    image = torch.randn(2, 3, 8, 12, dtype=torch.float64)
    expected = F.conv2d(image, embed.weight, embed.bias, stride=4)
    tokens = embed(image)
    torch.testing.assert_close(tokens.transpose(1, 2).unflatten(2, (2, 3)), expected)
    torch.testing.assert_close(embed(image.contiguous(memory_format=torch.channels_last)), tokens)
    torch.testing.assert_close(
        unembed(tokens, 2, 3), F.conv_transpose2d(expected, unembed.weight, unembed.bias, stride=4)
    )


def test_a_side_that_is_no_multiple_of_a_patch_is_filled_up_by_its_edge():
    scale = parts()._SpatialScale(3, 8, 6, parts()._Settings(heads=2, layers=2, mlp_ratio=2.0, noise=0.0)).double()
    image = torch.randn(2, 3, 13, 6, dtype=torch.float64)
    filled = F.pad(image, (0, 2, 0, 3), mode="replicate")
    # The last convolution sees the crop's border as zeros, hence one pixel less.
    torch.testing.assert_close(scale(image)[..., :12, :5], scale(filled)[..., :12, :5])
    assert scale(image).shape == image.shape


def test_position_noise_in_training_only():
    model = network(**NARROW)
    images = torch.rand(2, 5, 8, 8), torch.rand(2, 2, 32, 32)
    silent = network(**NARROW, position_noise=0.0)
    silent.load_state_dict(model.state_dict())
    plain = silent.train()(*images)
    torch.testing.assert_close(model.eval()(*images), plain)
    model.train()
    torch.manual_seed(1)
    noisy = model(*images)
    assert not torch.allclose(noisy, plain)
    assert not torch.equal(model(*images), noisy)
    torch.manual_seed(1)
    torch.testing.assert_close(model(*images), noisy, rtol=0, atol=0)
    assert 1e-5 < float((noisy - plain).detach().std()) < 0.3 * float(plain.detach().std())


def test_noise_is_shared_in_a_batch():
    model = network(**NARROW, position_noise=0.5).train()
    lr_hsi, hr_msi = torch.rand(1, 5, 8, 8), torch.rand(1, 2, 32, 32)
    output = model(lr_hsi.expand(3, -1, -1, -1), hr_msi.expand(3, -1, -1, -1))
    torch.testing.assert_close(output, output[:1].expand_as(output))


def test_options_make_it_smaller():
    full, narrow = (count_parameters(network(31, 3, **options)) for options in ({}, NARROW))
    assert narrow < full / 250


@pytest.mark.parametrize(
    ("options", "name"),
    [({"spatial_width": 30}, "spatial_width"), ({"patches": []}, "patches"), ({"spectral_widths": []}, "spectral")],
)
def test_refuses_options_that_make_no_network(options, name):
    with pytest.raises(UserError, match=name):
        network(**options)


def test_initial_weights():
    torch.manual_seed(0)
    model = network(31, 3)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            assert not module.bias.any()
    layer = model.spatial[0].transformer.layers[0]
    assert layer.attention.qkv.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert layer.mlp[0].weight.std().item() == pytest.approx((2 / (256 + 1024)) ** 0.5, rel=0.02)
    embed = model.spatial[0].embed.weight
    assert embed.std().item() == pytest.approx((2 / (31 * 256 + 256 * 256)) ** 0.5, rel=0.02)
    unembed = model.spatial[0].unembed
    assert unembed.weight.abs().max().item() == pytest.approx((31 * 256) ** -0.5, rel=0.02)
    assert unembed.bias.any()


def test_traces():
    model = network(**NARROW).eval()
    images = torch.rand(1, 5, 5, 7), torch.rand(1, 2, 20, 28)
    with torch.no_grad():
        torch.testing.assert_close(torch.jit.trace(model, images)(*images), model(*images))


def test_bfloat16_weights():
    model = shape_keyed.fill(network(**NARROW)).eval()
    images = torch.rand(1, 5, 8, 8), torch.rand(1, 2, 32, 32)
    with torch.no_grad():
        exact = model(*images)
        rounded = model.bfloat16()(*(image.bfloat16() for image in images))
    assert rounded.dtype == torch.bfloat16
    assert (rounded.float() - exact).abs().max() < 0.05 * exact.abs().max()


def test_a_training_step_reaches_every_parameter():
    model = network(**NARROW).train()
    model.training_loss(torch.rand(2, 5, 4, 4), torch.rand(2, 2, 16, 16), torch.rand(2, 5, 16, 16)).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
    assert count_macs_thop(model, 16, 16) > 0
