"""DHIF-Net against the authors' network, and the laws of its filters."""

import sys
from functools import partial

import goldens
import pytest
import shape_keyed
import torch
from goldens import parameters, relative_error
from torch.nn import functional as F

from smifbench.errors import UserError
from smifbench.plugins import method_class

NARROW = {"width": 4, "stages": 2, "taps": 3, "filter_width": 8}
network = partial(goldens.network, "dhif_net")
dhif_net = sys.modules[method_class("dhif_net").__module__]
CASES = pytest.mark.parametrize(
    "case", ["31-3-64-8", *(pytest.param(case, marks=pytest.mark.slow) for case in ("31-3-64-4", "191-10-32-4"))]
)
AXES = (dhif_net._COLUMNS, dhif_net._ROWS, dhif_net._BANDS)


def fused(model, *images):
    with torch.no_grad():
        return model(*images)


@CASES
def test_equals_the_authors_network(golden, case):
    bands, msi_bands, size, ratio = map(int, case.split("-"))
    reference = golden("dhif_net")
    model = shape_keyed.fill(network(bands, msi_bands, ratio).double())
    images = shape_keyed.inputs(bands, msi_bands, size, ratio, len(reference[case]))
    entered, filtered = [], []
    model.embed.register_forward_pre_hook(lambda _, inputs: entered.append(inputs[0][:, :bands]))
    model.regulariser.register_forward_hook(lambda _, __, output: filtered.append(output))
    assert relative_error(fused(model, *images), reference[case]) <= 1e-6
    for stage in (1, 2, 3):
        assert relative_error(entered[stage][:, ::8], reference[f"{case}/stage{stage}"]) <= 1e-6, stage
    assert relative_error(filtered[0][:, ::8], reference[f"{case}/U1"]) <= 1e-6
    assert parameters(model) == reference[f"params-{case}"]


@CASES
def test_regulariser_acts_as_the_authors(golden, case):
    """The filled step sizes and weights are so small that the regulariser hardly shows; these are not."""
    bands, msi_bands, size, ratio = map(int, case.split("-"))
    reference = golden("dhif_net")[f"{case}/eta0.1-lamda1"]
    model = shape_keyed.fill(network(bands, msi_bands, ratio).double())
    with torch.no_grad():
        for eta, lamda in zip(model.eta, model.lamda, strict=True):
            eta.fill_(0.1)
            lamda.fill_(1.0)
    output = fused(model, *shape_keyed.inputs(bands, msi_bands, size, ratio, len(reference)))
    assert relative_error(output, reference) <= 1e-6


@pytest.mark.parametrize(("ratio", "kernel", "layers"), [(2, 4, 1), (4, 6, 1), (8, 12, 1), (16, 6, 2)])
@pytest.mark.parametrize(("bands", "msi_bands"), [(31, 3), (5, 2)])
def test_number_of_parameters(bands, msi_bands, ratio, kernel, layers):
    with torch.device("meta"):
        model = network(bands, msi_bands, ratio)
    heads = 1470 * bands**2 + 24255 * bands
    embedding = 576 * (bands + msi_bands) + 64
    response = 18 * bands * msi_bands + bands + msi_bands
    blur = 2 * layers * (kernel**2 * bands**2 + bands)
    assert parameters(model) == 20_206_720 + heads + embedding + response + blur + 8


@pytest.mark.parametrize("ratio", [1, 2, 3, 4, 8, 16, 32])
def test_operators_change_the_size_by_the_ratio_exactly(ratio):
    model = network(2, 1, ratio, **NARROW)
    coarse = torch.rand(1, 2, 2, 3)
    fine = model.blur_back(coarse)
    assert fine.shape == (1, 2, 2 * ratio, 3 * ratio)
    assert model.blur(fine).shape == coarse.shape


@pytest.mark.parametrize("axis", AXES)
def test_filter_is_that_of_a_plain_formula(axis):
    """Normalise the taps first, then sum shifted copies."""
    torch.manual_seed(0)
    image, taps = torch.randn(2, 5, 6, 4).double(), torch.randn(2, 35, 6, 4).double()
    shifted = []
    for shift in range(-3, 4):
        position = torch.arange(image.shape[axis]) + shift
        inside = position.clamp(0, image.shape[axis] - 1)
        copy = image.index_select(axis, inside)
        if axis == dhif_net._BANDS:
            copy = copy * (inside == position)[:, None, None]
        shifted.append(copy)
    normal = F.normalize(taps.reshape(2, 7, 5, 6, 4), dim=1)
    expected = (torch.stack(shifted, dim=1) * normal).sum(dim=1)
    torch.testing.assert_close(dhif_net._filter(image, taps, axis), expected)


@pytest.mark.parametrize("axis", AXES)
def test_filter_ignores_the_scale_of_its_taps_and_survives_zero(axis):
    image = torch.rand(1, 4, 3, 3)
    taps = torch.randn(1, 12, 3, 3)
    torch.testing.assert_close(dhif_net._filter(image, 1e-3 * taps, axis), dhif_net._filter(image, taps, axis))
    taps.zero_().requires_grad_()
    dhif_net._filter(image, taps, axis).sum().backward()
    assert taps.grad.isfinite().all()


def test_filters_run_along_columns_rows_and_bands():
    """Heads that always predict the tap after the middle move the image by one pixel, row and band."""
    model = network(3, 2, 2, **NARROW)
    with torch.no_grad():
        for head in model.regulariser.heads:
            head[-1].weight.zero_()
            head[-1].bias.copy_(torch.tensor([0.0, 0.0, 5.0]).repeat_interleave(3))
    image = torch.rand(1, 3, 6, 8)
    moved = torch.zeros_like(image)
    rows, columns = torch.arange(1, 7).clamp_max(5), torch.arange(1, 9).clamp_max(7)
    moved[:, :2] = image[:, 1:, rows][..., columns]
    with torch.no_grad():
        torch.testing.assert_close(model.regulariser(torch.rand(1, 4, 6, 8), image), moved)


@pytest.mark.parametrize(("height", "width"), [(2, 2), (16, 20), (24, 48), (33, 7)])
def test_unet_extends_odd_sides_by_their_border(height, width):
    unet = network(3, 2, **NARROW).regulariser.unet
    features = torch.rand(1, 4, height, width)
    extended = F.pad(features, (0, -width % 16, 0, -height % 16), mode="replicate")
    with torch.no_grad():
        torch.testing.assert_close(unet(features), unet(extended)[..., :height, :width])


@pytest.mark.parametrize(
    ("bands", "msi_bands", "ratio", "height", "width"),
    [(1, 1, 2, 2, 2), (5, 4, 4, 4, 12), (3, 2, 8, 24, 8), (4, 3, 16, 32, 16), (7, 1, 1, 9, 5), (300, 2, 2, 6, 10)],
)
def test_sizes_and_bands(bands, msi_bands, ratio, height, width):
    model = network(bands, msi_bands, ratio, width=4, stages=2, filter_width=8)
    output = model(torch.rand(2, bands, height // ratio, width // ratio), torch.rand(2, msi_bands, height, width))
    assert output.shape == (2, bands, height, width)
    assert output.isfinite().all()
    output.square().mean().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_black_images_have_finite_gradients():
    """Biases start at zero, so that black images give taps that are all zero."""
    model = network(3, 2, **NARROW)
    with torch.no_grad():
        model.blur_back[0].bias.zero_()
    model(torch.zeros(1, 3, 4, 4), torch.zeros(1, 2, 16, 16)).sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_without_steps_the_bicubic_image_is_left():
    model = network(5, 2, **NARROW)
    lr_hsi, hr_msi = torch.rand(1, 5, 4, 8), torch.rand(1, 2, 16, 32)
    with torch.no_grad():
        for eta in model.eta:
            eta.zero_()
    bicubic = F.interpolate(lr_hsi, scale_factor=4, mode="bicubic", align_corners=False)
    torch.testing.assert_close(fused(model, lr_hsi, hr_msi), bicubic)


def test_starts_as_the_authors_do():
    torch.manual_seed(0)
    model = network(5, 2, width=1, stages=400, taps=3, filter_width=8)
    for layer in (model.blur[0], model.blur_back[0]):
        fan = layer.weight[0].numel() + layer.weight[:, 0].numel()
        bound = (6 / fan) ** 0.5
        assert 0.95 * bound < layer.weight.abs().max() <= bound
    assert not model.blur[0].bias.any()
    assert model.blur_back[0].bias.all()
    for steps, mean in ((model.eta, 0.1), (model.lamda, 1.0)):
        values = torch.cat(list(steps)).detach()
        assert values.mean() == pytest.approx(mean, abs=0.002)
        assert values.std() == pytest.approx(0.01, rel=0.15)


def test_learning_rate_falls_thirty_times_to_a_fifth():
    recipe = dhif_net.DHIFNet.recipe
    assert recipe.lr * recipe.gamma ** len(recipe.milestones) == pytest.approx(6.4e-5, rel=0.01)
    assert (recipe.milestones[0], recipe.milestones[-1]) == (1 / 500, 146 / 500)


def test_every_parameter_learns():
    torch.manual_seed(0)
    model = network(5, 2, **NARROW)
    model(torch.rand(1, 5, 8, 8), torch.rand(1, 2, 32, 32)).square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_all_but_gathering_and_steps_is_shared_by_the_stages():
    sizes = [parameters(network(5, 2, **{**NARROW, "stages": stages})) for stages in (1, 2, 3)]
    gather = [9 * 4 * 4 * stage + 4 for stage in (2, 3)]  # 3x3 convolutions from 4 * stage channels to 4
    assert [sizes[1] - sizes[0], sizes[2] - sizes[1]] == [count + 2 for count in gather]


def test_options_make_it_smaller():
    with torch.device("meta"):
        full = parameters(network())
        assert parameters(network(width=16, filter_width=64)) < full / 10
        assert parameters(network(filter_width=31)) < full - 1_900_000
        assert parameters(network(taps=3)) < full - 1_500_000


@pytest.mark.parametrize(
    "options", [{"taps": 4}, {"taps": -1}, {"stages": 0}, {"width": 0}, {"filter_width": 0}, {"filter_width": -1}]
)
def test_refuses_options_out_of_range(options):
    with pytest.raises(UserError, match=next(iter(options))):
        network(**options)


def test_autocast_keeps_the_image_in_float32():
    torch.manual_seed(0)
    model = network(width=16, filter_width=64)
    seen = []
    model.regulariser.register_forward_hook(lambda _, __, output: seen.append(output.dtype))
    images = torch.rand(1, 31, 8, 8), torch.rand(1, 3, 32, 32)
    exact = fused(model, *images)
    seen.clear()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = fused(model, *images)
    assert {*seen, rounded.dtype} == {torch.float32}
    assert relative_error(rounded, exact) < 0.03


def with_gradients(work, *tensors):
    """Result of `work` and the gradients of its sum of squares."""
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    result = work(*leaves)
    result.square().sum().backward()
    return [result, *(leaf.grad for leaf in leaves)]


@pytest.mark.parametrize("size", [(4, 4), (8, 6), (1, 3)])
def test_doubling_for_a_gpu_equals_torchs(size):
    torch.manual_seed(0)
    features = torch.randn(2, 5, *size, dtype=torch.float64)
    found, expected = (
        with_gradients(double, features)
        for double in (dhif_net._double_by_products, lambda image: dhif_net._upsample(image, 2))
    )
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-13)
    assert dhif_net._double_by_products(features).is_contiguous(memory_format=torch.channels_last)


def test_the_matrix_that_doubles_is_exact_in_the_precision_that_a_gpu_may_take():
    matrix = dhif_net._doubling(9, torch.empty(0))
    digits, _ = torch.frexp(matrix)
    assert torch.equal(digits * 2**11, (digits * 2**11).round())  # TF32 has 11 binary digits


def test_doubling_keeps_float32_under_autocast():
    features = torch.randn(1, 3, 6, 6)
    with torch.autocast("cpu", torch.bfloat16):
        doubled = dhif_net._double_by_products(features)
    torch.testing.assert_close(doubled, dhif_net._upsample(features, 2), rtol=0, atol=1e-5)


def test_channels_filled_up_for_a_gpu_change_nothing():
    torch.manual_seed(0)
    head = dhif_net._convolutions(6, 13, 21).append(torch.nn.Conv2d(21, 9, 1)).double()
    features, kernels = torch.randn(2, 6, 5, 7, dtype=torch.float64), list(head.parameters())
    results = []
    for work in (head, lambda image: dhif_net._filled_up(head, image)):
        head.zero_grad()
        results.append([*with_gradients(work, features), *(kernel.grad for kernel in kernels)])
    for plain, filled in zip(*results, strict=True):
        torch.testing.assert_close(filled, plain, rtol=0, atol=1e-12)
