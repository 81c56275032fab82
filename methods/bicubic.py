"""Bicubic enlargement of the hyperspectral image alone: the floor that every fusion method must clear.

R. Keys, "Cubic convolution interpolation for digital image processing", IEEE Transactions on Acoustics, Speech, and
Signal Processing 29(6):1153-1160, 1981, doi:10.1109/TASSP.1981.1163711. Torch computes it; no code was
consulted. The multispectral image gives nothing but its size.
"""

from torch import Tensor

from smifbench.method import FusionMethod

from ._layers import upsample_bicubic


class Bicubic(FusionMethod):
    """Cubic convolution (a = -0.5) of every band; the multispectral image is not used."""

    title = "Bicubic"
    citation = "keys1981bicubic"
    trainable = False
    halo = 2  # the kernel spans four LR pixels

    def forward(self, lr_hsi: Tensor, hr_msi: Tensor) -> Tensor:
        """Enlarge (B, C, H/r, W/r) to (B, C, H, W); cubic weights may overshoot the input's range."""
        return upsample_bicubic(lr_hsi, hr_msi.shape[-2:])
