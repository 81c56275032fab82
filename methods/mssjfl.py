"""MSSJFL: multiscale spatial-spectral joint feature learning.

Z. Min, Y. Wang, S. Jia, "Multiscale Spatial-spectral Joint Feature Learning for Multispectral and Hyperspectral Image
Fusion", IEEE HPCC/DSS/SmartCity/DependSys 2021, pp. 1265-1270. Official code: jx-mzc/MSSJFL on GitHub, without a
licence, so none of it is here. Written anew from the architecture; the authors' network served to check it: outputs,
parameter count and operation count are the same.

What differs, and why:

- The blocks' activation. The authors draw a leaky ReLU between the two 3x3 convolutions of a block, but their call
  passes `True` where the negative slope is expected, so that it does nothing. `slope=1.0` (default) is what they
  trained; `slope=0.01` is what they drew.
- Both poolings of a channel attention pass through its MLP in one call, and where a maximum is attained more than once
  its gradient is shared evenly.
- The reduction by 16 in the channel attention leaves at least one hidden unit, for widths below 16.
- The authors neither shuffle their training patches nor degrade images themselves; both are the benchmark's matter.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from smifbench.method import FusionMethod, Recipe
from smifbench.options import at_least
from smifbench.problem import FusionProblem


def _conv(inputs: int, outputs: int, kernel: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)


def _activation(slope: float = 0.01) -> nn.Module:
    return nn.Identity() if slope == 1 else nn.LeakyReLU(slope, inplace=True)


def _enlarge(width: int, ratio: int) -> tuple[nn.Module, nn.Module]:
    return _conv(width, ratio**2 * width, 1), nn.PixelShuffle(ratio)


class _ChannelAttention(nn.Module):
    """Gate (B, n, 1, 1) in (0, 1) from every channel's mean and maximum."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = max(1, width // 16)
        self.mean = nn.AdaptiveAvgPool2d(1)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, width))

    def forward(self, features: Tensor) -> Tensor:
        pooled = torch.stack((self.mean(features).flatten(1), features.amax((2, 3))))
        return self.mlp(pooled).sum(0).sigmoid()[..., None, None]


class _SpatialAttention(nn.Module):
    """Gate (B, 1, H, W) in (0, 1) from every pixel's mean and maximum over the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = _conv(2, 1, 7)

    def forward(self, features: Tensor) -> Tensor:
        pooled = torch.cat((features.mean(1, keepdim=True), features.amax(1, keepdim=True)), 1)
        return self.conv(pooled).sigmoid()


class _Block(nn.Module):
    """Residual block of two 3x3 convolutions and one or two gates, the spatial one after the other."""

    def __init__(self, width: int, slope: float, channel: bool, spatial: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(width, width, 3), _activation(slope), _conv(width, width, 3))
        gates = [_ChannelAttention(width)] if channel else []
        self.gates = nn.ModuleList([*gates, _SpatialAttention()] if spatial else gates)

    def forward(self, features: Tensor) -> Tensor:
        residual = self.body(features)
        for gate in self.gates[:-1]:
            residual = residual * gate(residual)
        return torch.addcmul(features, residual, self.gates[-1](residual))


class _Branch(nn.Module):
    """1x1 convolution into features, then residual blocks bridged by a skip: (B, inputs, h, w) -> (B, width, h, w)."""

    def __init__(self, inputs: int, width: int, blocks: int, slope: float, channel: bool, spatial: bool) -> None:
        super().__init__()
        self.head = nn.Sequential(_conv(inputs, width, 1), _activation())
        self.blocks = nn.Sequential(*(_Block(width, slope, channel, spatial) for _ in range(blocks)))

    def forward(self, image: Tensor) -> Tensor:
        features = self.head(image)
        return features + self.blocks(features)


class MSSJFL(FusionMethod):
    """Joint and separate features at both scales, followed by one correction against each input image.

    Parameters
    ----------
    problem
        Band counts and ratio; the known PSF and SRF are not used.
    fh, fm
        Widths of the LR and of the HR branches, at least 1 (channel attention has max(1, width // 16) hidden units).
    blocks
        Residual blocks in each of the four branches.
    slope
        Negative slope of the activation inside the blocks: 1.0 (none) as the authors' code, 0.01 as their figure.

    Raises
    ------
    UserError
        When a width or the number of blocks is below 1.
    """

    title = "MSSJFL"
    citation = "min2021mssjfl"
    halo = None  # channel attention pools over the whole scene
    # CAVE at ratio 8: 10 000 epochs of 20 images of 100 patches (overlapping ones, hence steps); the learning rate
    # falls after 20, 500 and 2000 epochs.
    recipe = Recipe(
        lr=1e-3,
        weight_decay=2e-5,
        batch=16,
        patch=80,
        steps=1_250_000,
        schedule="step",
        milestones=(0.002, 0.05, 0.2),
        gamma=0.1,
    )

    def __init__(
        self, problem: FusionProblem, fh: int = 256, fm: int = 32, blocks: int = 5, slope: float = 1.0
    ) -> None:
        super().__init__(problem)
        at_least(1, "mssjfl", fh=fh, fm=fm, blocks=blocks)
        bands, msi_bands, ratio = problem.bands, problem.msi_bands, problem.ratio
        joint = bands + msi_bands
        self.joint_lr = _Branch(joint, fh, blocks, slope, channel=True, spatial=True)
        self.joint_lr_tail = nn.Sequential(*_enlarge(fh, ratio), _conv(fh, bands, 1))
        self.joint_hr = _Branch(joint, fm, blocks, slope, channel=True, spatial=True)
        self.joint_hr_tail = nn.Sequential(_conv(fm, bands, 1), _activation())
        self.spectral = _Branch(bands, fh, blocks, slope, channel=True, spatial=False)
        self.spectral_tail = nn.Sequential(*_enlarge(fh, ratio))
        self.spatial = _Branch(msi_bands, fm, blocks, slope, channel=False, spatial=True)
        self.separate_tail = nn.Sequential(_conv(fh + fm, bands, 3), _activation())
        self.degrade = nn.Sequential(nn.Conv2d(bands, bands, ratio, ratio), _activation())
        self.lift = nn.ConvTranspose2d(bands, bands, ratio, ratio)
        self.respond = nn.Sequential(_conv(bands, msi_bands, 1), _activation())
        self.unmix = _conv(msi_bands, bands, 1)
        self.apply(_initialise)

    def forward(self, lr_hsi: Tensor, hr_msi: Tensor) -> Tensor:
        """Fuse a batch: (B, C, H/r, W/r) and (B, c, H, W), values in [0,1], to (B, C, H, W), not clamped."""
        hsi_up = F.interpolate(lr_hsi, size=hr_msi.shape[-2:], mode="bilinear", align_corners=False)
        msi_down = F.interpolate(hr_msi, size=lr_hsi.shape[-2:], mode="bicubic", align_corners=False)
        separate = torch.cat((self.spectral_tail(self.spectral(lr_hsi)), self.spatial(hr_msi)), 1)
        image = self.joint_lr_tail(self.joint_lr(torch.cat((lr_hsi, msi_down), 1)))
        image = image + self.joint_hr_tail(self.joint_hr(torch.cat((hr_msi, hsi_up), 1)))
        image = image + self.separate_tail(separate)
        spatial_error = lr_hsi - self.degrade(image)
        spectral_error = hr_msi - self.respond(image)
        return image + self.lift(spatial_error) + self.unmix(spectral_error)


def _initialise(module: nn.Module) -> None:
    """Draw weights from N(0, 0.05^2) and zero the biases; the transposed convolution keeps torch's own start."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.normal_(module.weight, std=0.05)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
