import itertools

import pytest
import torch
from goldens import parameters, relative_error
from shape_keyed import fill, inputs
from torch import nn
from torch.nn import functional as F

from smifbench import FusionProblem, UserError, build_method
from smifbench.evaluation import cost

NARROW = {"width": 8, "layers": 1, "blocks": 1, "stages": 2}
MODULES = ("csca", "msfe", "is2f2")


def build(bands=5, msi_bands=2, ratio=4, **options):
    torch.manual_seed(0)
    return build_method("smif_net", FusionProblem(bands, msi_bands, ratio), **(NARROW | options))


def build_paper(bands, msi_bands, ratio):
    return build_method("smif_net", FusionProblem(bands, msi_bands, ratio))


def images(bands=5, msi_bands=2, ratio=4, height=2, width=3, batch=2):
    generator = torch.Generator().manual_seed(1)
    shapes = (batch, bands, height, width), (batch, msi_bands, height * ratio, width * ratio)
    return [torch.rand(*shape, generator=generator) for shape in shapes]


def conv(inputs, outputs, kernel):
    return (inputs * kernel**2 + 1) * outputs


# The reference network of these numbers was written from the same text, apart from this one.


@pytest.mark.parametrize("case", ["31-3-64-4", "31-3-64-8", "191-10-32-4"])
@torch.no_grad()
def test_equals_the_reference_network(golden, case):
    bands, msi_bands, size, ratio = map(int, case.split("-"))
    numbers = golden("smif_net")
    model = fill(build_paper(bands, msi_bands, ratio).double()).eval()
    assert parameters(model) == numbers[f"params-{case}"]

    lr_hsi, hr_msi = inputs(bands, msi_bands, size, ratio, len(numbers[case]))
    assert_close_to_golden(model(lr_hsi[-1:], hr_msi[-1:]), numbers[case][-1:])
    # A high temperature sharpens the attention maps, which are nearly uniform otherwise.
    for name, parameter in model.named_parameters():
        if name.endswith("temperature"):
            parameter.fill_(30)
    assert_close_to_golden(model(lr_hsi[:1], hr_msi[:1]), numbers[f"{case}/scaled"][:1])


def assert_close_to_golden(result, every_eighth_band):
    assert relative_error(result[:, ::8], every_eighth_band) <= 1e-6


def test_costs_what_the_reference_network_costs():
    assert round(cost.count_macs(build_paper(31, 3, 4), 128, 128) / 128**2) == 4_620_585


@pytest.mark.parametrize(("bands", "msi_bands", "size", "published"), [(31, 3, 512, 1.200), (191, 10, 128, 0.079)])
def test_costs_what_the_paper_prints(bands, msi_bands, size, published):
    macs = cost.count_macs_thop(build_paper(bands, msi_bands, 4), size, size)
    assert int(macs / 1e9) / 1e3 == published


def attend_directly(attention, hsi, msi):
    """Eq. 1-6 for one image (pixels, width), a run of pixels after the other, without any filling."""
    runs = attention.issa.temperature.numel()
    length = -(-len(hsi) // runs)
    query, hsi_key, value = attention.hsi_query(hsi), attention.hsi_key(hsi), attention.value(hsi + msi)
    branches = [(attention.issa, hsi_key, value)]
    if attention.csca is not None:
        branches.append((attention.csca, attention.msi_key(msi), attention.msi_value(msi)))
    heads = torch.zeros_like(hsi)
    for run in range(runs):
        pixels = slice(run * length, (run + 1) * length)
        for branch, key, value in branches:
            scores = torch.einsum("pk,pq->kq", key[pixels], query[pixels]) * branch.temperature[run] / length
            heads[pixels] += value[pixels] @ (scores.exp() / scores.exp().sum(dim=0))
    return attention.project(heads)


@pytest.mark.parametrize("csca", [True, False])
@pytest.mark.parametrize(("heads", "pixels"), [(8, 1), (8, 9), (8, 21), (3, 10), (4, 12), (1, 7)])
@torch.no_grad()
def test_attention_equals_a_direct_loop_over_runs_of_pixels(heads, pixels, csca):
    attention = build(heads=heads, csca=csca).double().smat[0].attention
    for name, parameter in attention.named_parameters():
        if name.endswith("temperature"):
            parameter.copy_(torch.linspace(5, 40, heads).reshape(heads, 1, 1) + name.startswith("csca"))
    hsi, msi = torch.randn(2, 2, pixels, 8, dtype=torch.float64)
    expected = torch.stack([attend_directly(attention, *tokens) for tokens in zip(hsi, msi, strict=True)])
    torch.testing.assert_close(attention(hsi, msi), expected, rtol=1e-10, atol=1e-12)


@torch.no_grad()
def test_attention_is_the_same_for_a_larger_image_of_the_same_statistics():
    attention = build(heads=1).double().smat[0].attention
    hsi, msi = torch.randn(2, 1, 6, 8, dtype=torch.float64)
    once = attention(hsi, msi)
    torch.testing.assert_close(attention(hsi.repeat(1, 5, 1), msi.repeat(1, 5, 1)), once.repeat(1, 5, 1))


@torch.no_grad()
def test_attention_maps_are_made_in_float32():
    attention = build(heads=1).smat[0].attention.issa
    attention.temperature.fill_(30)
    query, value = torch.randn(2, 1, 1, 4096, 8).bfloat16()
    key = (query + query.roll(1, dims=-1)).bfloat16()
    exact = attention.double()(query.double(), key.double(), value.double())
    with torch.autocast("cpu", torch.bfloat16):
        rounded = attention.float()(query, key, value)
    assert rounded.dtype == torch.bfloat16
    assert (rounded - exact).abs().max() < 0.01 * exact.abs().max()


@torch.no_grad()
def test_corrects_the_bicubic_image_in_full_precision():
    model = build().eval()
    for parameter in model.tail.parameters():
        parameter.zero_()
    lr_hsi, hr_msi = images()
    bicubic = F.interpolate(lr_hsi, scale_factor=4, mode="bicubic", align_corners=False)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(model(lr_hsi, hr_msi), bicubic)


@torch.no_grad()
def test_bfloat16_autocast_costs_a_thousandth():
    model, (lr_hsi, hr_msi) = build(width=32, layers=2).eval(), images(height=8, width=8)
    exact = model(lr_hsi, hr_msi)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model(lr_hsi, hr_msi)
    assert (rounded - exact).abs().max() < 3e-3 * exact.abs().max()


@pytest.mark.parametrize("cross_excitation", [False, True])
@torch.no_grad()
def test_which_modality_an_excitation_acts_on(cross_excitation):
    fusion = build(cross_excitation=cross_excitation).fuse[0]
    fusion.spatial_excitation.bias.fill_(-1e4)  # sigmoid(-1e4) = 0 shuts off whatever the spatial excitation acts on
    features = torch.randn(2, 1, 8, 6, 6)
    before = fusion(*features)
    fusion.sse.weight.add_(1)
    spatial_features_pass = not torch.equal(fusion(*features), before)
    assert spatial_features_pass == cross_excitation


def test_parameters_of_the_ablations():
    width, layers, blocks, stages, heads = 12, 2, 3, 4, 5
    sizes = {"width": width, "layers": layers, "blocks": blocks, "stages": stages, "heads": heads}
    full = parameters(build(**sizes))
    csca = layers * blocks * (2 * conv(width, width, 1) + heads)
    msfe = sum(conv(width, width, 2 * j - 1) + conv(width, width, 3) for j in range(1, stages))
    msfe = stages * (msfe + conv((stages - 1) * width, width, 1))
    excitations = conv(width, width // 4, 1) + conv(width // 4, width, 1) + conv(2, 1, 7)
    is2f2 = stages * (excitations + 6 * conv(width, width, 1) + 4 * conv(width, width, 3))
    for module, share in (("csca", csca), ("msfe", msfe), ("is2f2", is2f2)):
        assert full - parameters(build(**sizes, **{module: False})) == share, module
    assert full - parameters(build(**sizes, csca=False, msfe=False, is2f2=False)) == csca + msfe + is2f2
    assert parameters(build(**sizes, cross_excitation=True)) == full


@pytest.mark.parametrize(
    "options",
    [
        *(dict(zip(MODULES, kept, strict=True)) for kept in itertools.product([False, True], repeat=3)),
        {"cross_excitation": True},
        {"width": 4, "stages": 5},
        {"width": 6, "layers": 2, "blocks": 2, "heads": 3},
        {"width": 24, "stages": 3, "expansion": 1},
        {"width": 7, "reduction": 7, "spatial_kernel": 3},
    ],
)
def test_every_form_trains_all_its_parameters(options):
    model = build(**options)
    for name, parameter in model.named_parameters():
        if name.endswith("squeeze.bias"):  # one or two ReLUs could all be off by chance
            nn.init.ones_(parameter)
    lr_hsi, hr_msi = images(height=4)
    estimate = model(lr_hsi, hr_msi)
    assert estimate.shape == (2, 5, 16, 12)
    (estimate - 0.5).abs().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize(
    ("bands", "msi_bands", "ratio", "height", "width"),
    [(1, 1, 2, 1, 1), (3, 9, 16, 1, 2), (300, 4, 8, 2, 1), (12, 300, 4, 3, 5), (6, 3, 1, 4, 4)],
)
@torch.no_grad()
def test_any_bands_ratio_and_size(bands, msi_bands, ratio, height, width):
    estimate = build(bands, msi_bands, ratio)(*images(bands, msi_bands, ratio, height, width))
    assert estimate.shape == (2, bands, height * ratio, width * ratio)
    assert estimate.isfinite().all()


@torch.no_grad()
def test_traces():
    model = build().eval()
    lr_hsi, hr_msi = images(height=3)
    traced = torch.jit.trace(model, (lr_hsi, hr_msi))
    torch.testing.assert_close(traced(lr_hsi, hr_msi), model(lr_hsi, hr_msi))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 3}, "width of method smif_net must be at least 4"),
        ({"width": 8, "reduction": 9}, "width of method smif_net must be at least 9"),
        ({"stages": 1}, "stages of method smif_net must be at least 2"),
        ({"heads": 0}, "heads of method smif_net must be at least 1"),
        ({"blocks": 2.0}, "blocks of method smif_net must be a whole number"),
        ({"spatial_kernel": 4}, "spatial_kernel of smif_net must be an odd number"),
    ],
)
def test_impossible_sizes_are_told(options, message):
    with pytest.raises(UserError, match=message):
        build(**options)
