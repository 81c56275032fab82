"""MoG-DCN: model-guided deep convolutional network.

W. Dong, C. Zhou, F. Wu, J. Wu, G. Shi, X. Li, "Model-Guided Deep Hyperspectral Image Super-Resolution", IEEE
Transactions on Image Processing 30:5754-5768, 2021, doi 10.1109/TIP.2021.3078058. Official code:
chengerr/Model-Guided-Deep-Hyperspectral-Image-Super-resolution on GitHub, without a licence, so none of it is here.
Written anew from the architecture of its `network_31.py`; the authors' network served to check outputs, parameter and
operation counts.

An unfolded optimisation: every stage calls one shared U-Net twice as a denoiser and corrects its results by the
observation model, whose four operators are learned convolutions. The known PSF and SRF are not used.

What differs, and why:

- Band counts and ratio are parameters of the problem; the code fixes 31, 3 and 8. Kernels of 13 pixels stay at all
  ratios up to 13, and grow at larger ones, where they would skip pixels.
- Parameters that the authors create but never use (ten scalars, two PReLU slopes, the frozen SRF) are left out.
- The spectral correction of a stage is computed once: both of its updates start from the same image.
- Terms of the two updates are collected. Their signs are the authors', also where gradient descent on the observation
  model would have the opposite ones (the denoised image in the first update, the spatial correction in the second).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from smifbench.errors import UserError
from smifbench.method import FusionMethod, Recipe
from smifbench.options import at_least
from smifbench.problem import FusionProblem


def _conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2)


class _Chain(nn.Module):
    """Four convolutions with one PReLU of one slope between them and none at the end."""

    def __init__(self, inputs: int, width: int, outputs: int, last_kernel: int = 3) -> None:
        super().__init__()
        self.convs = nn.ModuleList([_conv(inputs, width), _conv(width, width), _conv(width, width)])
        self.last = _conv(width, outputs, last_kernel)
        self.act = nn.PReLU()

    def forward(self, features: Tensor) -> Tensor:
        for conv in self.convs:
            features = self.act(conv(features))
        return self.last(features)


class _Encoder(nn.Module):
    """One level down: returns the skip (B, 2*width, h, w) and the next level's (B, width, ceil(h/2), ceil(w/2))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.chain = _Chain(width, width, 2 * width)
        self.down = _conv(2 * width, width, stride=2)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        skip = self.chain(features)
        return skip, self.chain.act(self.down(skip))


class _Decoder(nn.Module):
    """One level up, to the size of the skip, which is also what brings odd sizes back."""

    def __init__(self, inputs: int, skip: int, outputs: int, last_kernel: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(inputs, skip, 3, stride=2, padding=1)
        self.chain = _Chain(2 * skip, skip, outputs, last_kernel)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        return self.chain(torch.cat((self.up(features, output_size=skip.shape[-2:]), skip), 1))


class _UNet(nn.Module):
    """Denoiser: features (B, width, H, W) to an image (B, bands, H, W) and the first skip (B, 2*width, H, W)."""

    def __init__(self, bands: int, width: int, levels: int) -> None:
        super().__init__()
        skip, deep = 2 * width, 8 * width
        self.encoders = nn.ModuleList(_Encoder(width) for _ in range(levels))
        self.bottom = _Chain(width, width, skip)
        widths = [skip] + [deep] * (levels - 1)
        self.decoders = nn.ModuleList(_Decoder(inputs, skip, deep, last_kernel=1) for inputs in widths[:-1])
        self.decoders.append(_Decoder(widths[-1], skip, bands, last_kernel=3))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        skips = []
        for encoder in self.encoders:
            skip, features = encoder(features)
            skips.append(skip)
        features = self.bottom(features)
        for decoder, skip in zip(self.decoders, reversed(skips), strict=True):
            features = decoder(features, skip)
        return features, skips[0]


class MoGDCN(FusionMethod):
    """Unfolded stages of two denoiser calls, each followed by a correction against the two input images.

    Parameters
    ----------
    problem
        Band counts and ratio.
    width
        Channels of the encoder; skips have twice, the decoder's inner outputs eight times as many.
    stages
        Unfolded stages, at least 2.
    levels
        Halvings of size inside the U-Net, at least 1.
    kernel
        Side of the learned blur and of its adjoint, odd and not below the ratio; None for 13 or, above that, the
        smallest that covers the ratio.

    Raises
    ------
    UserError
        When an option is out of its range.
    """

    title = "MoG-DCN"
    citation = "dong2021mogdcn"
    # The checkpoint that the authors test is that of epoch 100 500; an epoch is one crop of each image, hence five
    # steps with the usual 20 training images of CAVE.
    recipe = Recipe(lr=1e-4, weight_decay=1e-8, batch=4, patch=96, steps=502_500)

    def __init__(
        self, problem: FusionProblem, width: int = 64, stages: int = 4, levels: int = 4, kernel: int | None = None
    ) -> None:
        super().__init__(problem)
        bands, msi_bands, ratio = problem.bands, problem.msi_bands, problem.ratio
        kernel = max(13, ratio | 1) if kernel is None else kernel
        at_least(1, "mog_dcn", width=width, levels=levels)
        at_least(2, "mog_dcn", stages=stages)
        if kernel < ratio or kernel % 2 == 0:
            raise UserError(
                f"option kernel of method mog_dcn is {kernel}; at ratio {ratio} it must be odd and at least {ratio}"
            )
        # A U-Net sees 5 pixels of each level on the way down, 4 at the bottom and 4 on the way up, and 1 at its end. A
        # stage runs through two U-Nets, each behind two convolutions, or through the blur and its adjoint.
        unet = 5 * (2**levels - 1) + 4 * 2**levels + 4 * (2**levels - 1) + 1
        self.grid, self.halo = 2**levels, 2 + math.ceil(stages * max(2 * (2 + unet), kernel) / ratio)
        self.blur = _conv(bands, bands, kernel, stride=ratio)
        self.blur_adjoint = nn.ConvTranspose2d(
            bands, bands, kernel, ratio, padding=kernel // 2, output_padding=ratio - 1
        )
        self.respond = _conv(bands, msi_bands)
        self.respond_adjoint = _conv(msi_bands, bands)
        self.head = _conv(bands, width)
        # First calls mix in the skips of all earlier stages (in the first stage there are none), second calls that of
        # their own stage.
        self.first_mix = nn.ModuleList(_conv(width + 2 * width * stage, width) for stage in range(1, stages))
        self.second_mix = nn.ModuleList(_conv(3 * width, width) for _ in range(stages))
        self.denoiser = _UNet(bands, width, levels)
        # Step sizes and penalties of the two updates, the same at all stages.
        self.delta_first, self.delta_second = (nn.Parameter(torch.tensor([0.1])) for _ in range(2))
        self.eta_first, self.eta_second = (nn.Parameter(torch.tensor([0.9])) for _ in range(2))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_normal_(module.weight)

    def forward(self, lr_hsi: Tensor, hr_msi: Tensor) -> Tensor:
        """Fuse a batch: (B, C, H/r, W/r) and (B, c, H, W), values in [0,1], to (B, C, H, W), not clamped."""
        image = F.interpolate(lr_hsi, size=hr_msi.shape[-2:], mode="bicubic", align_corners=False)
        skips: list[Tensor] = []
        for stage, second_mix in enumerate(self.second_mix):
            features = self.head(image)
            if stage:
                features = self.first_mix[stage - 1](torch.cat((features, *skips), 1))
            residual, skip = self.denoiser(features)
            skips.append(skip)
            denoised = image + residual
            spectral = self.respond_adjoint(hr_msi - self.respond(image))
            # All terms of both updates join one of the image's precision: autocast must not round the image itself.
            latent = image + self.delta_first * (spectral - self.eta_first * (image + denoised))
            residual, _ = self.denoiser(second_mix(torch.cat((self.head(latent), skip), 1)))
            denoised = latent + residual
            if stage + 1 < len(self.second_mix):
                spatial = self.blur_adjoint(self.blur(image) - lr_hsi)
                image = image + self.delta_second * (self.eta_second * (denoised - image) + spectral + spatial)
        return denoised

    def thop_macs(self, lr_hsi: Tensor, hr_msi: Tensor, output: Tensor) -> float:
        """Count the spectral corrections that the authors compute a second time in all stages but the last."""
        pixels = output.numel() / output.shape[1]
        repeats = len(self.second_mix) - 1
        return repeats * pixels * (self.respond.weight.numel() + self.respond_adjoint.weight.numel())
