import pytest
import torch
from goldens import parameters, relative_error
from shape_keyed import fill, inputs
from torch.nn import functional as F

from smifbench import FusionProblem, build_method

CASES = {"31-3-64-4": 2, "31-3-64-8": 1, "191-10-32-4": 1}


def network(bands, msi_bands, ratio):
    return fill(build_method("ssr_net", FusionProblem(bands, msi_bands, ratio)).double())


def stages(model, images):
    """Return the inputs of the three convolutions and the output."""
    seen = []
    hooks = [
        getattr(model, name).register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].clone()))
        for name in ("fusion", "spatial", "spectral")
    ]
    output = model(*images)
    for hook in hooks:
        hook.remove()
    return *seen, output


def differences(image, dim):
    return image.narrow(dim, 0, image.shape[dim] - 1) - image.narrow(dim, 1, image.shape[dim] - 1)


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_equals_the_official_network(golden, case):
    expected = golden("ssr_net")
    bands, msi_bands, size, ratio = map(int, case.split("-"))
    model = network(bands, msi_bands, ratio)
    # The official network owns one more scalar, which nothing reads.
    assert parameters(model) == expected[f"params-{case}"] - 1
    *_, sharpened, output = stages(model, inputs(bands, msi_bands, size, ratio, CASES[case]))
    results = {
        case: output,
        f"{case}/x_spat": sharpened[:, ::8],
        f"{case}/x_spec": output[:, ::8],
        f"{case}/spat_edge1": differences(sharpened, 2)[:, ::8],
        f"{case}/spat_edge2": differences(sharpened, 3)[:, ::8],
        f"{case}/spec_edge": differences(output, 1)[:, ::8],
    }
    for key, result in results.items():
        assert relative_error(result, expected[key]) <= 1e-6, key


@pytest.mark.parametrize(
    ("bands", "positions"),
    [
        (31, {0: 0, 15: 1, 30: 2}),
        (191, dict(zip([0, 21, 42, 63, 84, 106, 127, 148, 169, 190], range(10), strict=True))),
        (102, {0: 0, 34: 1, 68: 2, 101: 3}),
        (5, {4: 0}),
        (1, {0: 3}),
        (2, {0: 1, 1: 4}),
    ],
)
@torch.no_grad()
def test_msi_bands_overwrite_hsi_bands(bands, positions):
    msi_bands = {1: 4, 2: 5, 5: 1}.get(bands, len(positions))
    lr_hsi, hr_msi = inputs(bands, msi_bands, 8, 4)
    mixed = stages(network(bands, msi_bands, 4), (lr_hsi, hr_msi))[0]
    enlarged = F.interpolate(lr_hsi, scale_factor=4, mode="bilinear")
    for band in range(bands):
        expected = hr_msi[:, positions[band]] if band in positions else enlarged[:, band]
        torch.testing.assert_close(mixed[:, band], expected)


@torch.no_grad()
def test_positions_round_like_the_official_code():
    # 102 / 42 * 21 is 51, but 50.99... in double precision.
    lr_hsi, hr_msi = inputs(102, 43, 4, 4)
    mixed = stages(network(102, 43, 4), (lr_hsi, hr_msi))[0]
    torch.testing.assert_close(mixed[:, 50], hr_msi[:, 21])


def test_authors_loss_adds_the_edges():
    model = network(6, 3, 4)
    lr_hsi, hr_msi = inputs(6, 3, 8, 4, 2)
    truth = torch.rand(2, 6, 8, 8, dtype=torch.float64)
    *_, sharpened, output = stages(model, (lr_hsi, hr_msi))
    expected = (
        F.mse_loss(output, truth)
        + 0.5 * F.mse_loss(differences(sharpened, 2), differences(truth, 2))
        + 0.5 * F.mse_loss(differences(sharpened, 3), differences(truth, 3))
        + F.mse_loss(differences(output, 1), differences(truth, 1))
    )
    torch.testing.assert_close(model.training_loss(lr_hsi, hr_msi, truth, "authors"), expected)
    torch.testing.assert_close(model.training_loss(lr_hsi, hr_msi, truth, "l1"), F.l1_loss(output, truth))
    torch.testing.assert_close(model.training_loss(lr_hsi, hr_msi, truth, "mse"), F.mse_loss(output, truth))
    assert model.recipe.loss == "authors"


def test_authors_loss_of_one_band_has_no_spectral_edge():
    model = network(1, 2, 4)
    loss = model.training_loss(*inputs(1, 2, 8, 4), torch.rand(1, 1, 8, 8, dtype=torch.float64), "authors")
    assert loss.isfinite()


@pytest.mark.parametrize("loss", ["l1", "authors"])
def test_every_parameter_learns(loss):
    model = network(7, 3, 2)
    model.training_loss(*inputs(7, 3, 8, 2), torch.rand(1, 7, 8, 8, dtype=torch.float64), loss).backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in model.parameters())


@pytest.mark.parametrize(
    ("bands", "msi_bands", "ratio", "size"), [(1, 1, 2, (4, 6)), (300, 20, 16, (16, 32)), (3, 300, 8, (8, 8))]
)
@torch.no_grad()
def test_any_size_and_bands(bands, msi_bands, ratio, size):
    model = build_method("ssr_net", FusionProblem(bands, msi_bands, ratio))
    output = model(torch.rand(2, bands, size[0] // ratio, size[1] // ratio), torch.rand(2, msi_bands, *size))
    assert output.shape == (2, bands, *size)
    assert output.isfinite().all()
    assert output.min() >= 0
