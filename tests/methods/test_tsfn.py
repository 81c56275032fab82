import pytest
import torch
from shape_keyed import fill, inputs
from torch import nn

from smifbench import FusionProblem, build_method

CASES = {
    "31-3-64-4": {"batch": 2},
    "31-3-64-8": {},
    "n6-31-3-64-8": {"blocks": 6},
    "191-10-32-4": {},
}


def build(bands=5, msi_bands=2, ratio=4, **options):
    return build_method("tsfn", FusionProblem(bands, msi_bands, ratio), **options)


def batch(seed):
    generator = torch.Generator().manual_seed(seed)
    shapes = (3, 5, 2, 3), (3, 2, 8, 12), (3, 5, 8, 12)
    return [torch.rand(*shape, generator=generator) for shape in shapes]


def statistics(model):
    return [buffer.clone() for name, buffer in model.named_buffers() if "running" in name]


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_equals_the_official_network(golden, case):
    expected = torch.from_numpy(golden("tsfn")[case]).double()
    bands, msi_bands, size, ratio = map(int, case.removeprefix("n6-").split("-"))
    model = fill(build(bands, msi_bands, ratio, blocks=CASES[case].get("blocks", 12)).double()).eval()
    result = model(*inputs(bands, msi_bands, size, ratio, CASES[case].get("batch", 1)))
    assert (result - expected).abs().max() <= 1e-6 * expected.abs().max()


@pytest.mark.parametrize("key", ["31-3-64-4", "n6-31-3-64-4", "191-10-32-4", "n6-191-10-32-4"])
def test_has_the_official_number_of_parameters(golden, key):
    bands, msi_bands, _, ratio = map(int, key.removeprefix("n6-").split("-"))
    model = build(bands, msi_bands, ratio, blocks=6 if key.startswith("n6") else 12)
    assert sum(parameter.numel() for parameter in model.parameters()) == golden("tsfn")[f"params-{key}"]


@torch.no_grad()
def test_corrects_the_bicubic_image():
    model = build(blocks=1, width=4)
    nn.init.zeros_(model.fusion[-1].weight)
    lr_hsi, hr_msi, _ = batch(0)
    bicubic = build_method("bicubic", FusionProblem(5, 2, 4))
    assert torch.equal(model(lr_hsi, hr_msi), bicubic(lr_hsi, hr_msi))


def test_starts_like_the_official_network():
    torch.manual_seed(0)
    convolution, _, *_, norm = build(bands=40).hsi_branch
    assert convolution.weight.std().item() == pytest.approx((2 / (9 * 40)) ** 0.5, rel=0.05)
    assert not convolution.bias.any()
    assert norm.weight.mean().item() == pytest.approx(1, abs=0.01)
    assert norm.weight.std().item() == pytest.approx(0.02, rel=0.4)
    assert not norm.bias.any()


def test_batchnorm_is_trained_throughout_by_default():
    model = build(blocks=1, width=4)
    for seed in range(3):
        before = statistics(model)
        model.training_loss(*batch(seed))
        assert not any(map(torch.equal, before, statistics(model)))


def test_batchnorm_freezes_after_the_given_number_of_batches():
    model = build(blocks=1, width=4, freeze_bn_after=2)
    for seed in range(2):
        before = statistics(model)
        model.train().training_loss(*batch(seed))
        assert not any(map(torch.equal, before, statistics(model)))

    resumed = build(blocks=1, width=4, freeze_bn_after=2)
    resumed.load_state_dict(model.state_dict())
    for network in (model, resumed):
        before = statistics(network)
        loss = network.train().training_loss(*batch(2))
        assert all(map(torch.equal, before, statistics(network)))
        torch.testing.assert_close(loss, network.eval().training_loss(*batch(2)))
        loss.backward()
        assert all(parameter.grad.abs().max() > 0 for parameter in network.parameters())


@pytest.mark.parametrize(
    ("bands", "msi_bands", "ratio", "size"), [(1, 1, 2, (2, 6)), (300, 4, 16, (16, 16)), (3, 300, 8, (16, 8))]
)
@torch.no_grad()
def test_any_size_and_bands(bands, msi_bands, ratio, size):
    model = build(bands, msi_bands, ratio, blocks=2, width=8).eval()
    result = model(torch.rand(2, bands, size[0] // ratio, size[1] // ratio), torch.rand(2, msi_bands, *size))
    assert result.shape == (2, bands, *size)
    assert result.isfinite().all()


@torch.no_grad()
def test_final_sum_is_in_float32_under_autocast():
    model = build(blocks=1, width=8).eval()
    lr_hsi, hr_msi, _ = batch(0)
    expected = model(lr_hsi, hr_msi)
    with torch.autocast("cpu", torch.bfloat16):
        result = model(lr_hsi, hr_msi)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, expected, rtol=0, atol=0.03 * expected.abs().max().item())
