"""The affine maps around a network: undone exactly, and the same for the scenes that it is trained on."""

import torch

from smifbench import FusionProblem, build_method
from smifbench.degradation.pairs import Pair
from smifbench.fusion.scaled import ScaledNetwork
from smifbench.training.patches import Patches


def images(seed=0):
    generator = torch.Generator().manual_seed(seed)
    lr_hsi = torch.rand(1, 6, 8, 8, generator=generator) * torch.linspace(0.1, 1, 6)[:, None, None]
    return lr_hsi, torch.rand(1, 2, 32, 32, generator=generator)


def pixels(images):
    """Pixels (N, C) of a batch of one image."""
    return images[0].flatten(1).T


class Enlarge(torch.nn.Module):
    """Linear in the HSI with weights that sum to 1, so that it commutes with every affine map of a band."""

    def __init__(self):
        super().__init__()
        self.problem = FusionProblem(6, 2, 4)

    def forward(self, lr_hsi, hr_msi):
        return torch.nn.functional.interpolate(lr_hsi, scale_factor=4, mode="bilinear")


def test_without_scaling_the_network_sees_the_images():
    torch.manual_seed(0)
    network = build_method("ssr_net", FusionProblem(6, 2, 4)).eval()
    lr_hsi, hr_msi = images()
    with torch.no_grad():
        assert torch.equal(ScaledNetwork(network)(lr_hsi, hr_msi), network(lr_hsi, hr_msi))


def test_the_maps_are_undone_on_the_output():
    lr_hsi, hr_msi = images()
    model = ScaledNetwork(Enlarge())
    model.fit("standard", *map(pixels, (lr_hsi, hr_msi)))
    torch.testing.assert_close(model(lr_hsi, hr_msi), Enlarge()(lr_hsi, hr_msi))


def test_standard_scaling_puts_means_two_deviations_above_zero():
    lr_hsi, hr_msi = images()
    model = ScaledNetwork(Enlarge())
    model.fit("standard", *map(pixels, (lr_hsi, hr_msi)))
    scaled = ((lr_hsi - model.hsi_shift) / model.hsi_scale)[0].flatten(1)
    torch.testing.assert_close(scaled.mean(1), 2 * scaled.std(1), rtol=1e-4, atol=1e-4)
    deviation = lr_hsi[0].flatten(1).std(1)
    spread, before = scaled.std(1).max() / scaled.std(1).min(), deviation.max() / deviation.min()
    torch.testing.assert_close(spread, before.sqrt(), rtol=1e-4, atol=1e-4)


def test_scenes_are_mapped_once_as_every_batch_would_be():
    lr_hsi, hr_msi = images()
    pair = Pair("toy", "train", Enlarge()(lr_hsi, hr_msi)[0].numpy(), lr_hsi[0].numpy(), hr_msi[0].numpy(), "")
    model = ScaledNetwork(Enlarge())
    model.fit("standard", *map(pixels, (lr_hsi, hr_msi)))
    patches = Patches.load([pair], 4, torch.device("cpu"))
    model.scale(patches.hr_hsi, patches.lr_hsi, patches.hr_msi)
    seen = []
    model.network.register_forward_pre_hook(lambda network, batch: seen.extend(batch))
    model(lr_hsi, hr_msi)
    assert torch.equal(patches.lr_hsi, seen[0][0].flatten(1).T)
    assert torch.equal(patches.hr_msi, seen[1][0].flatten(1).T)
    back = patches.hr_hsi.T * model.hsi_scale[..., 0] + model.hsi_shift[..., 0]
    torch.testing.assert_close(back, torch.from_numpy(pair.hr_hsi).flatten(1))


def test_a_flat_band_does_not_divide_by_zero():
    model = ScaledNetwork(Enlarge())
    model.fit("standard", torch.full((64, 6), 0.5), torch.full((1024, 2), 0.5))
    lr_hsi, hr_msi = images()
    assert torch.isfinite(model(lr_hsi, hr_msi)).all()


def test_the_maps_travel_with_the_weights():
    lr_hsi, hr_msi = images()
    model, fresh = ScaledNetwork(Enlarge()), ScaledNetwork(Enlarge())
    model.fit("standard", *map(pixels, (lr_hsi, hr_msi)))
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(fresh.hsi_scale, model.hsi_scale)
    assert torch.equal(fresh.msi_shift, model.msi_shift)


def test_the_fit_has_the_bits_of_one_to_whole_images():
    generator = torch.Generator().manual_seed(0)
    pairs = [
        Pair(
            name,
            "train",
            torch.rand(6, 4 * height, 4 * width, generator=generator).numpy(),
            torch.rand(6, height, width, generator=generator).numpy(),
            torch.rand(2, 4 * height, 4 * width, generator=generator).numpy(),
            "",
        )
        for name, height, width in (("first", 37, 51), ("second", 8, 90))
    ]
    patches = Patches.load(pairs, 4, torch.device("cpu"))
    model = ScaledNetwork(Enlarge())
    model.fit("standard", patches.lr_hsi, patches.hr_msi)
    for image, scale, shift in (
        ("lr_hsi", model.hsi_scale, model.hsi_shift),
        ("hr_msi", model.msi_scale, model.msi_shift),
    ):
        bands = torch.cat([torch.tensor(getattr(pair, image)).flatten(1) for pair in pairs], 1).double()
        deviation = bands.std(1)
        geometric_mean = (deviation * deviation.square().mean().sqrt()).sqrt()
        assert torch.equal(scale.flatten(), geometric_mean.float())
        assert torch.equal(shift.flatten(), (bands.mean(1) - 2 * deviation).float())


def test_without_scaling_the_fit_leaves_the_images_as_they_are():
    model = ScaledNetwork(Enlarge())
    model.fit("none", *map(pixels, images()))
    assert torch.equal(model.hsi_scale, torch.ones(6, 1, 1))
    assert torch.equal(model.msi_shift, torch.zeros(2, 1, 1))
