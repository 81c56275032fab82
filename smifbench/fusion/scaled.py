"""A network behind per-band affine maps: what the shared training set-up may do to every network's images alike."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from smifbench.errors import UserError
from smifbench.method import FusionMethod

MEAN_IN_DEVIATIONS = 2.0
"""Deviations by which a band's mean lies above 0, because networks that end in a ReLU output no negative values."""


class ScaledNetwork(nn.Module):
    """Feeds `network` with (image - shift) / scale, band by band, and undoes it on the output.

    `hsi_shift`, `hsi_scale` (C, 1, 1) and `msi_shift`, `msi_scale` (c, 1, 1) are saved with the weights; with
    the initial 0 and 1 the network sees the images as they are.
    """

    def __init__(self, network: FusionMethod) -> None:
        super().__init__()
        self.network = network
        for image, channels in (("hsi", network.problem.bands), ("msi", network.problem.msi_bands)):
            self.register_buffer(f"{image}_shift", torch.zeros(channels, 1, 1))
            self.register_buffer(f"{image}_scale", torch.ones(channels, 1, 1))

    @property
    def halo(self) -> int | None:
        """The network's halo, which maps of single pixels do not widen."""
        return self.network.halo

    @property
    def grid(self) -> int:
        """The network's grid."""
        return self.network.grid

    def fit(self, scaling: str, lr_hsi: Sequence[Tensor], hr_msi: Sequence[Tensor]) -> None:
        """Set the maps from the training images, lists of (C, h, w) and (c, H, W); `scaling` as in `Recipe`."""
        if scaling == "none":
            return
        if scaling != "standard":
            raise UserError(f"unknown scaling '{scaling}' in a recipe; known: none, standard")
        for image, cubes in (("hsi", lr_hsi), ("msi", hr_msi)):
            pixels = torch.cat([cube.flatten(1) for cube in cubes], 1).double()
            deviation = pixels.std(1).clamp_min(1e-4)
            # Halfway between bands of equal weight, which train fast, and bands as they are, which PSNR weighs.
            scale = (deviation * deviation.square().mean().sqrt()).sqrt()
            shift = pixels.mean(1) - MEAN_IN_DEVIATIONS * deviation
            getattr(self, f"{image}_scale").copy_(scale[:, None, None])
            getattr(self, f"{image}_shift").copy_(shift[:, None, None])

    def forward(self, lr_hsi: Tensor, hr_msi: Tensor) -> Tensor:
        """Fuse a batch in [0,1] as `FusionMethod.forward` does."""
        estimate = self.network((lr_hsi - self.hsi_shift) / self.hsi_scale, (hr_msi - self.msi_shift) / self.msi_scale)
        return estimate * self.hsi_scale + self.hsi_shift

    def scale(self, hr_hsi: Tensor, lr_hsi: Tensor, hr_msi: Tensor) -> None:
        """Map pixels (N, bands), in place, to what the network sees, so that no batch of them need be mapped."""
        hsi, msi = (self.hsi_shift, self.hsi_scale), (self.msi_shift, self.msi_scale)
        for pixels, (shift, scale) in ((hr_hsi, hsi), (lr_hsi, hsi), (hr_msi, msi)):
            pixels.sub_(shift.flatten()).div_(scale.flatten())
