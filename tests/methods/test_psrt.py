"""PSRT against the authors' network, and the laws of its shuffles."""

import sys
from functools import partial

import goldens
import numpy as np
import pytest
import shape_keyed
import torch
from goldens import parameters, relative_error
from torch.nn import functional as F

from smifbench.errors import UserError
from smifbench.evaluation import cost
from smifbench.plugins import method_class

NARROW = {"width": 8, "heads": 2, "mlp_ratio": 2.0, "pyramids": 1}
network = partial(goldens.network, "psrt")
psrt = sys.modules[method_class("psrt").__module__]


def narrow(*problem):
    torch.manual_seed(0)
    return network(*problem, **NARROW).double().eval()


def fused(model, *images):
    with torch.no_grad():
        return model(*images)


def windows_of(image, window):
    """Set of the windows of a (H, W) image, each a sorted tuple of its values."""
    height, width = image.shape
    cut = image.reshape(height // window, window, width // window, window).swapaxes(1, 2).reshape(-1, window**2)
    return set(map(tuple, np.sort(cut, axis=1).tolist()))


def shuffled_indices(height, width, window):
    """Index ramp whose rows and columns of half windows are in the order 0, 2, 4, ..., 1, 3, 5, ..."""

    def order(length):
        blocks = np.arange(length).reshape(-1, window // 2)
        return np.concatenate((blocks[::2], blocks[1::2])).ravel()

    return np.arange(height * width).reshape(height, width)[order(height)][:, order(width)]


def nested_ramp(height, width):
    """Ramp 0, 1, 2, ... in the network's order, the side of its cells, and its grid for windows of 8."""
    side = 8 if height % 16 or width % 16 else 16
    ramp = torch.arange(height * width).reshape(1, 1, height, width)
    return psrt._nest(ramp, side), side, (height // side, width // side)


def grid_of(window, side, cells):
    return cells if window == side else (2, 2)


def windows_after_shuffle(height, width, window):
    tokens, side, cells = nested_ramp(height, width)
    shuffled = psrt._shuffle(tokens, window, grid_of(window, side, cells))
    return set(map(tuple, shuffled.reshape(-1, window**2).sort(dim=1).values.tolist()))


@pytest.mark.parametrize("case", ["31-3-64-4", "31-3-64-8", "191-10-32-4"])
def test_equals_the_authors_network(golden, case):
    bands, msi_bands, size, ratio = map(int, case.split("-"))
    reference = golden("psrt")
    model = shape_keyed.fill(network(bands, msi_bands, ratio).double())
    seen = {}

    def keep(name, module):
        def hook(_, __, output):
            seen[name] = output if output.ndim == 4 else psrt._unnest(output, 16, size, size)

        module.register_forward_hook(hook)

    keep("embed", model.embed)
    keep("first-attn-win8", model.pyramids[0][0].before)
    keep("first-w2w-win8", model.pyramids[0][0])
    keep("pyramid1", model.pyramids[0][-1])
    keep("pyramid2", model.pyramids[1][-1])
    output = fused(model, *shape_keyed.inputs(bands, msi_bands, size, ratio, len(reference[case])))
    assert relative_error(output, reference[case]) <= 1e-6
    for name, features in seen.items():
        assert relative_error(features[:, ::8], reference[f"{case}/{name}"]) <= 1e-6, name
    assert len(seen) == 5
    assert parameters(model) == reference[f"params-{case}"]


@pytest.mark.parametrize("window", [8, 4, 2])
def test_shuffle_fills_windows_as_the_authors(golden, window):
    reference = golden("psrt")[f"shuffle-win{window}-16x32"]
    assert windows_after_shuffle(16, 32, window) == windows_of(reference, window)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (8, 16), (16, 32), (24, 40), (24, 16), (32, 56)])
@pytest.mark.parametrize("window", [8, 4, 2])
def test_shuffle_reorders_rows_and_columns_of_half_windows(window, height, width):
    assert windows_after_shuffle(height, width, window) == windows_of(shuffled_indices(height, width, window), window)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (16, 32), (24, 40), (24, 16)])
@pytest.mark.parametrize("window", [8, 4, 2])
def test_reshuffle_undoes_shuffle(window, height, width):
    tokens, side, cells = nested_ramp(height, width)
    grid = grid_of(window, side, cells)
    assert torch.equal(psrt._reshuffle(psrt._shuffle(tokens, window, grid), window, grid), tokens)


@pytest.mark.parametrize("window", [16, 8, 4, 2])
def test_windows_of_every_size_are_runs_of_tokens(window):
    ramp = torch.arange(16 * 48).reshape(1, 1, 16, 48)
    tokens = psrt._nest(ramp, 16)
    runs = set(map(tuple, tokens.reshape(-1, window**2).sort(dim=1).values.tolist()))
    assert runs == windows_of(ramp[0, 0].numpy(), window)
    assert torch.equal(psrt._unnest(tokens, 16, 16, 48), ramp)


@pytest.mark.parametrize("window", [8, 2])
def test_attention_is_that_of_a_plain_formula(window):
    """Softmax of four times the products of queries and keys, per window and head."""
    torch.manual_seed(0)
    layer = psrt._WindowAttention(8, 2, 2.0, window).double()
    qkv = torch.randn(2, 2 * window**2, 24, dtype=torch.float64)
    query, key, value = qkv.reshape(4, window**2, 3, 2, 4).unbind(2)
    weights = torch.einsum("wihc,wjhc->whij", 4 * query, key).softmax(-1)
    expected = torch.einsum("whij,wjhc->wihc", weights, value).reshape(2, 2 * window**2, 8)
    torch.testing.assert_close(layer._attend(qkv), expected)


@pytest.mark.parametrize(("bands", "msi_bands", "size", "tera"), [(31, 3, 512, 0.06723), (191, 10, 128, 0.005745)])
def test_thop_count_includes_the_softmax(bands, msi_bands, size, tera):
    assert cost.count_macs_thop(network(bands, msi_bands), size, size) / 1e12 == pytest.approx(tera, rel=1e-4)


@pytest.mark.parametrize(
    ("bands", "msi_bands", "ratio", "height", "width"),
    [(1, 1, 2, 2, 2), (5, 4, 4, 4, 12), (3, 2, 8, 24, 8), (4, 3, 16, 32, 16), (7, 1, 1, 9, 5), (300, 2, 2, 6, 40)],
)
def test_sizes_and_bands(bands, msi_bands, ratio, height, width):
    model = network(bands, msi_bands, ratio)
    output = model(torch.rand(2, bands, height // ratio, width // ratio), torch.rand(2, msi_bands, height, width))
    assert output.shape == (2, bands, height, width)
    assert output.isfinite().all()
    output.square().mean().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(("length", "padded"), [(8, 8), (24, 24), (16, 16), (2, 16), (12, 16), (20, 32), (36, 48)])
def test_odd_sides_are_extended_by_their_border(length, padded):
    """At ratio 1 nothing is upsampled, so that extended images must give the same, cropped."""
    model = narrow(3, 2, 1)
    images = torch.rand(1, 3, 8, length).double(), torch.rand(1, 2, 8, length).double()
    extended = (F.pad(image, (0, padded - length, 0, 0), mode="replicate") for image in images)
    torch.testing.assert_close(fused(model, *images), fused(model, *extended)[..., :length])


def test_a_pixel_reaches_no_farther_than_its_cell():
    """Tiles cut on multiples of 16 with a margin of 32 pixels equal the whole image; with 16 they do not."""
    model = narrow(3, 2, 1)
    images = torch.rand(1, 3, 64, 16).double(), torch.rand(1, 2, 64, 16).double()
    whole = fused(model, *images)[..., :16, :]
    torch.testing.assert_close(fused(model, *(image[..., :48, :] for image in images))[..., :16, :], whole)
    assert relative_error(fused(model, *(image[..., :32, :] for image in images))[..., :16, :], whole) > 1e-9


def test_detail_is_added_to_the_bicubic_image():
    model = narrow(5, 2, 4)
    lr_hsi, hr_msi = torch.rand(1, 5, 4, 8).double(), torch.rand(1, 2, 16, 32).double()
    bicubic = F.interpolate(lr_hsi, scale_factor=4, mode="bicubic", align_corners=False)
    with torch.no_grad():
        model.detail.weight.zero_()
        for bias, detail in ((0.0, 0.0), (1.0, 1.0), (-1.0, -0.2)):
            model.detail.bias.fill_(bias)
            torch.testing.assert_close(fused(model, lr_hsi, hr_msi), bicubic + detail)


def test_starts_as_the_authors_do():
    torch.manual_seed(0)
    model = network()
    kernels = torch.cat([p.flatten() for p in model.pyramids.parameters() if p.ndim == 2]).detach()
    assert kernels.std() == pytest.approx(0.01, rel=0.02)
    assert not any(convolution.bias.any() for convolution in (model.embed, model.detail))


def test_every_parameter_learns():
    model = network(5, 2, **NARROW)
    model(torch.rand(1, 5, 4, 4), torch.rand(1, 2, 16, 16)).square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_options_make_it_smaller():
    full = parameters(network())
    assert parameters(network(width=16)) < full / 3
    assert parameters(network(mlp_ratio=1)) < full / 1.8
    assert parameters(network(pyramids=1)) < full / 1.8
    assert parameters(network(heads=4)) == full


@pytest.mark.parametrize("options", [{"heads": 5}, {"width": 0}, {"heads": 0}, {"pyramids": 0}, {"mlp_ratio": 0}])
def test_refuses_options_out_of_range(options):
    with pytest.raises(UserError, match=next(iter(options))):
        network(**options)


def test_autocast_keeps_the_residual_stream_in_float32():
    torch.manual_seed(0)
    model = network()
    seen = []
    for block in (block for pyramid in model.pyramids for block in pyramid):
        block.register_forward_hook(lambda _, __, output: seen.append(output.dtype))
    images = torch.rand(1, 31, 8, 8), torch.rand(1, 3, 32, 32)
    exact = fused(model, *images)
    seen.clear()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = fused(model, *images)
    assert {*seen, rounded.dtype} == {torch.float32}
    assert relative_error(rounded, exact) < 0.02


@pytest.mark.parametrize("window", [2, 4])
def test_sums_for_a_gpu_attend_like_products(window):
    torch.manual_seed(0)
    results = []
    for attend in (psrt._attend_by_products, psrt._attend_by_sums):
        torch.manual_seed(0)
        parts = [torch.randn(50, 4, window**2, dtype=torch.float64, requires_grad=True) for _ in range(3)]
        mixed = attend(*parts)
        mixed.square().sum().backward()
        results.append([mixed, *(part.grad for part in parts)])
    for product, total in zip(*results, strict=True):
        torch.testing.assert_close(total, product, rtol=0, atol=1e-12)
