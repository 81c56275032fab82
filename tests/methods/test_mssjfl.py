"""MSSJFL against the authors' network, and the laws of its parts."""

from functools import partial

import goldens
import pytest
import shape_keyed
import thop
import torch
from goldens import parameters, relative_error
from torch import nn

from smifbench.errors import UserError

NARROW = {"fh": 16, "fm": 8, "blocks": 1}
network = partial(goldens.network, "mssjfl")


@pytest.mark.parametrize("case", ["31-3-64-4", "31-3-64-8", "191-10-32-4"])
def test_equals_the_authors_network(golden, case):
    bands, msi_bands, size, ratio = map(int, case.split("-"))
    reference = golden("mssjfl")
    expected = torch.from_numpy(reference[case]).double()
    model = shape_keyed.fill(network(bands, msi_bands, ratio).double()).eval()
    with torch.no_grad():
        output = model(*shape_keyed.inputs(bands, msi_bands, size, ratio, expected.shape[0]))
    assert relative_error(output, expected) <= 1e-6
    assert parameters(model) == reference[f"params-{case}"]


@pytest.mark.parametrize(
    ("bands", "msi_bands", "size", "published"), [(31, 3, 512, 0.304), (31, 3, 1024, 1.218), (191, 10, 128, 0.036)]
)
def test_operations_of_the_published_table(bands, msi_bands, size, published):
    with torch.device("meta"):
        model = network(bands, msi_bands).eval()
    images = (torch.empty(1, c, s, s, device="meta") for c, s in ((bands, size // 4), (msi_bands, size)))
    macs, _ = thop.profile(model, tuple(images), verbose=False)
    assert macs // 1e9 / 1e3 == published  # printed cut, not rounded


@pytest.mark.parametrize(
    ("bands", "msi_bands", "ratio", "height", "width"),
    [(1, 1, 2, 2, 2), (5, 4, 4, 4, 12), (3, 2, 8, 24, 8), (4, 3, 16, 32, 16), (7, 1, 1, 9, 5), (300, 2, 2, 6, 10)],
)
def test_sizes_and_bands(bands, msi_bands, ratio, height, width):
    model = network(bands, msi_bands, ratio, **NARROW)
    output = model(torch.rand(2, bands, height // ratio, width // ratio), torch.rand(2, msi_bands, height, width))
    assert output.shape == (2, bands, height, width)
    assert output.isfinite().all()


def test_gates_pool_means_and_maxima():
    block = shape_keyed.fill(network(**NARROW).double()).joint_hr.blocks[0]
    features = torch.randn(2, 8, 6, 5, dtype=torch.float64)
    channel, spatial = block.gates
    pools = features.mean((2, 3)), features.flatten(2).sort(2).values[..., -1]
    by_channel = torch.sigmoid(channel.mlp(pools[0]) + channel.mlp(pools[1]))
    torch.testing.assert_close(channel(features), by_channel[..., None, None])
    pools = features.mean(1, keepdim=True), features.sort(1).values[:, -1:]
    torch.testing.assert_close(spatial(features), torch.sigmoid(spatial.conv(torch.cat(pools, 1))))


def test_only_the_restoration_is_left_of_a_silent_network():
    model = network(3, 2, 2, **NARROW).double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith(("lift", "unmix")):
                parameter.zero_()
    lr_hsi, hr_msi = torch.rand(1, 3, 3, 4, dtype=torch.float64), torch.rand(1, 2, 6, 8, dtype=torch.float64)
    torch.testing.assert_close(model(lr_hsi, hr_msi), model.lift(lr_hsi) + model.unmix(hr_msi))


def test_the_authors_blocks_have_no_activation():
    features = torch.randn(1, 8, 6, 5, dtype=torch.float64)
    faithful, drawn = (
        shape_keyed.fill(network(slope=slope, **NARROW).double()).spatial.blocks[0].body for slope in (1.0, 0.01)
    )
    first, _, second = faithful
    torch.testing.assert_close(faithful(features), second(first(features)))
    rectified = torch.where(first(features) > 0, first(features), 0.01 * first(features))
    torch.testing.assert_close(drawn(features), second(rectified))


def test_slope_changes_the_output_but_not_the_size():
    faithful, drawn = (shape_keyed.fill(network(slope=slope, **NARROW)) for slope in (1.0, 0.01))
    images = torch.rand(1, 31, 4, 4), torch.rand(1, 3, 16, 16)
    assert parameters(faithful) == parameters(drawn)
    assert not torch.allclose(faithful(*images), drawn(*images))


def test_options_make_it_smaller():
    full = parameters(network())
    assert parameters(network(fh=64)) < full / 8
    assert parameters(network(blocks=1)) < full / 2.5
    assert parameters(network(fm=4)) < full


def test_every_parameter_learns():
    torch.manual_seed(0)
    model = network(5, 2, fh=32, fm=32, blocks=1)
    model(torch.rand(4, 5, 8, 8), torch.rand(4, 2, 32, 32)).square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_initial_weights():
    torch.manual_seed(0)
    model = network()
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            assert not module.bias.any()
    assert model.joint_lr_tail[0].weight.std().item() == pytest.approx(0.05, rel=0.01)
    assert model.lift.bias.any()


@pytest.mark.parametrize("options", [{"fh": 0}, {"fm": 0}, {"blocks": 0}])
def test_refuses_options_out_of_range(options):
    with pytest.raises(UserError, match=next(iter(options))):
        network(**options)
