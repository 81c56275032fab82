"""A network with its scaling: every band of its input is shifted and divided, and its output is mapped back."""

import torch
from torch import Tensor, nn

from smifbench.method import FusionMethod, check_estimate
from smifbench.problem import FusionProblem

MEAN_IN_DEVIATIONS = 2.0
"""Standard deviations by which a scaled band's mean lies above 0: some networks cannot output negative values."""


class ScaledNetwork(nn.Module):
    """Gives `network` each band as (band - shift) / scale, and maps its output back by band * scale + shift.

    `hsi_shift`, `hsi_scale` (C, 1, 1) and `msi_shift`, `msi_scale` (c, 1, 1) are saved with the weights. They start as
    0 and 1, with which the network gets the images as they are.
    """

    hsi_shift: Tensor
    hsi_scale: Tensor
    msi_shift: Tensor
    msi_scale: Tensor

    def __init__(self, network: FusionMethod) -> None:
        super().__init__()
        self.network = network
        for image, channels in (("hsi", network.problem.bands), ("msi", network.problem.msi_bands)):
            self.register_buffer(f"{image}_shift", torch.zeros(channels, 1, 1))
            self.register_buffer(f"{image}_scale", torch.ones(channels, 1, 1))

    @property
    def problem(self) -> FusionProblem:
        """The problem that the network was built for."""
        return self.network.problem

    @property
    def halo(self) -> int | None:
        """The network's halo; the scaling, which maps each pixel by itself, does not widen it."""
        return self.network.halo

    @property
    def grid(self) -> int:
        """The network's grid."""
        return self.network.grid

    def fit(self, scaling: str, lr_hsi: Tensor, hr_msi: Tensor) -> None:
        """Set shifts and scales from the pixels (n, C) and (N, c) of all training images; `scaling` as in `Recipe`."""
        if scaling == "none":
            return
        for image, pixels in (("hsi", lr_hsi), ("msi", hr_msi)):
            # On the CPU and with a band's pixels side by side, so that every device sums them up in one order.
            bands = pixels.T.to("cpu", torch.float64, memory_format=torch.contiguous_format)
            deviation = bands.std(1).clamp_min(1e-4)
            # Halfway between bands of equal weight, which train fast, and bands as they are, which PSNR weighs.
            scale = (deviation * deviation.square().mean().sqrt()).sqrt()
            shift = bands.mean(1) - MEAN_IN_DEVIATIONS * deviation
            getattr(self, f"{image}_scale").copy_(scale[:, None, None])
            getattr(self, f"{image}_shift").copy_(shift[:, None, None])

    def forward(self, lr_hsi: Tensor, hr_msi: Tensor) -> Tensor:
        """Fuse a batch in [0,1] as `FusionMethod.forward` does."""
        estimate = self.network((lr_hsi - self.hsi_shift) / self.hsi_scale, (hr_msi - self.msi_shift) / self.msi_scale)
        check_estimate(estimate, (len(hr_msi), self.problem.bands, *hr_msi.shape[2:]))
        return estimate * self.hsi_scale + self.hsi_shift

    def scale(self, hr_hsi: Tensor, lr_hsi: Tensor, hr_msi: Tensor) -> None:
        """Scale pixels (N, C), (n, C) and (N, c) of training scenes in place, once, instead of every batch of them."""
        hsi, msi = (self.hsi_shift, self.hsi_scale), (self.msi_shift, self.msi_scale)
        for pixels, (shift, scale) in ((hr_hsi, hsi), (lr_hsi, hsi), (hr_msi, msi)):
            pixels.sub_(shift.flatten()).div_(scale.flatten())
