"""DHIF-Net: deep hyperspectral image fusion network with iterative spatio-spectral regularisation.

T. Huang, W. Dong, J. Wu, L. Li, X. Li, G. Shi, "Deep Hyperspectral Image Fusion Network With Iterative
Spatio-Spectral Regularization", IEEE Transactions on Computational Imaging 8, 201-214, 2022,
doi 10.1109/TCI.2022.3152700. Official code: TaoHuang95/DHIF-Net on GitHub, without a licence, so none of it is here.

Gradient descent with learned operators, unrolled over four stages. The regulariser pulls towards a filtered estimate:
a U-Net predicts for every pixel and band three filters of seven taps, along columns, rows and bands.

Re-derived from the code: layers, initialisation and recipe, among them a LeakyReLU inside each learned operator, taps
of unit L2 norm (not unit sum), borders replicated in space but zero along the bands, and weights shared by all stages.

What differs, and why:

- Band counts are those of the problem; the official code is fixed at 3 MSI bands.
- The official code knows ratios 8 and 16. Elsewhere the operators have kernels of r + 2 at stride r and padding 1: at
  ratio 4 that is one half of the two layers of ratio 16, and it yields the published FLOPs.
- Sides that are no multiple of 16 are padded by replication for the U-Net only, where the official code fails.
- Taps are normalised after filtering, by one division a pixel, and each filter is predicted only when the one before
  has been applied: no shifted copies of the image, and one set of taps at a time.
"""

import math
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from smifbench.errors import UserError
from smifbench.method import FusionMethod, Recipe
from smifbench.options import at_least
from smifbench.problem import FusionProblem

_COLUMNS, _ROWS, _BANDS = -1, -2, -3


def _convolutions(*widths: int) -> nn.Sequential:
    """3x3 convolutions from each width to the next, every one followed by a ReLU."""
    layers = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _resampling(layer: type[nn.Conv2d] | type[nn.ConvTranspose2d], bands: int, ratio: int) -> nn.Sequential:
    """Strided convolutions by `ratio` in all, down or up, each with kernel - 2 * padding = stride."""
    geometry = {8: [(12, 8, 2)], 16: [(6, 4, 1), (6, 4, 1)]}.get(ratio, [(ratio + 2, ratio, 1)])
    layers = []
    for kernel, stride, padding in geometry:
        layers += [layer(bands, bands, kernel, stride, padding), nn.LeakyReLU(inplace=True)]
    return nn.Sequential(*layers)


def _upsample(image: Tensor, ratio: int) -> Tensor:
    return F.interpolate(image, scale_factor=ratio, mode="bicubic", align_corners=False)


def _double(features: Tensor) -> Tensor:
    """Double the size as `_upsample` does.

    On a GPU by products with a fixed matrix: the gradient of torch's own is scattered by atomic additions there, whose
    order changes the last digits, and which take long.
    """
    return _double_by_products(features) if features.is_cuda else _upsample(features, 2)


def _double_by_products(features: Tensor) -> Tensor:
    """Double (B, C, H, W) in height and width, in float32 at least; both are in channels_last order."""
    batch, channels, height, width = features.shape
    with torch.autocast(features.device.type, enabled=False):  # as for torch's own bicubic resizing
        precise = features.to(torch.promote_types(features.dtype, torch.float32))
        down, across = (_doubling(side, precise) for side in (height, width))
        rows = precise.permute(0, 2, 3, 1).reshape(batch, height, width * channels)
        pixels = (down.expand(batch, -1, -1) @ rows).reshape(batch * 2 * height, width, channels)
        pixels = across.expand(len(pixels), -1, -1) @ pixels
    return pixels.reshape(batch, 2 * height, 2 * width, channels).permute(0, 3, 1, 2)


def _doubling(side: int, like: Tensor) -> Tensor:
    """Matrix (2n, n) that doubles a column of n pixels; its entries are multiples of 1/256 that TF32 has, too."""
    columns = torch.eye(side, dtype=torch.float32, device=like.device)[None, None]
    return F.interpolate(columns, size=(2 * side, side), mode="bicubic", align_corners=False)[0, 0].to(like.dtype)


def _aligned(convolutions: nn.Sequential, features: Tensor) -> Tensor:
    """Apply convolutions and ReLUs; on a GPU with channels filled up by zeros to multiples of 8.

    217 channels, which are 7 taps of 31 bands, leave a GPU's convolutions in bfloat16 without their widest loads.
    """
    return _filled_up(convolutions, features) if features.is_cuda else convolutions(features)


def _filled_up(convolutions: nn.Sequential, features: Tensor) -> Tensor:
    """Apply convolutions and ReLUs with channels filled up by zeros, which stay zero from layer to layer."""
    channels = features.shape[1]
    features = F.pad(features, (0, 0, 0, 0, 0, -channels % 8))
    for layer in convolutions:
        if isinstance(layer, nn.Conv2d):
            channels = layer.out_channels
            more = -channels % 8
            weight = F.pad(layer.weight, (0, 0, 0, 0, 0, -layer.in_channels % 8, 0, more))
            bias = None if layer.bias is None else F.pad(layer.bias, (0, more))
            features = F.conv2d(features, weight, bias, padding=layer.padding)
        else:
            features = layer(features)
    return features[:, :channels]


def _extend(image: Tensor, axis: int, reach: int) -> Tensor:
    """Add `reach` elements at both ends of `axis`: the border's in space, zeros along the bands."""
    if axis == _BANDS:
        return F.pad(image, (0, 0, 0, 0, reach, reach))
    return F.pad(image, (reach, reach, 0, 0) if axis == _COLUMNS else (0, 0, reach, reach), mode="replicate")


def _filter(image: Tensor, taps: Tensor, axis: int) -> Tensor:
    """Filter along `axis` by taps that differ for every pixel and band, scaled to unit L2 norm.

    Parameters
    ----------
    image
        (B, C, H, W), any values.
    taps
        (B, K*C, H, W) with K odd; channel k*C + c holds tap k of band c, the weight of the neighbour k - K//2 away.
    axis
        `_COLUMNS`, `_ROWS` or `_BANDS`.

    Returns
    -------
    Tensor
        (B, C, H, W) in the image's precision.
    """
    length = image.shape[axis]
    taps = taps.to(image.dtype).unflatten(1, (-1, image.shape[1])).unbind(1)
    neighbours = _extend(image, axis, len(taps) // 2)
    filtered, energy = taps[0] * neighbours.narrow(axis, 0, length), taps[0].square()
    for offset, tap in enumerate(taps[1:], 1):
        filtered = torch.addcmul(filtered, tap, neighbours.narrow(axis, offset, length))
        energy = torch.addcmul(energy, tap, tap)
    # The norm is at least 1e-12; flooring its square keeps the root's gradient finite where all taps are zero.
    # (A library norm over this axis takes four times as long as all the rest.)
    return filtered / energy.clamp_min(1e-24).sqrt()


class _UNet(nn.Module):
    """Four 2x average poolings down, four bicubic doublings up: (B, w, H, W) -> (B, 2w, H, W)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        down = pairwise(width * factor for factor in (1, 1, 2, 4, 8, 8))
        up = ((width * skip_and_below, width * out) for skip_and_below, out in ((16, 8), (12, 4), (6, 2), (3, 2)))
        self.encoders = nn.ModuleList(_convolutions(inputs, outputs, outputs) for inputs, outputs in down)
        self.decoders = nn.ModuleList(_convolutions(inputs, outputs, outputs) for inputs, outputs in up)

    def forward(self, features: Tensor) -> Tensor:
        height, width = features.shape[-2:]
        below, beside = -height % 16, -width % 16
        if below or beside:
            features = F.pad(features, (0, beside, 0, below), mode="replicate")
        features = self.encoders[0](features)
        skips = []
        for encoder in self.encoders[1:]:
            skips.append(features)
            features = encoder(F.avg_pool2d(features, 2))
        for decoder in self.decoders:
            features = decoder(torch.cat((skips.pop(), _double(features)), dim=1))
        return features[..., :height, :width]


class _Regulariser(nn.Module):
    """Filters an image by taps predicted from features: (B, w, H, W), (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, bands: int, width: int, taps: int, filter_width: int) -> None:
        super().__init__()
        self.unet = _UNet(width)
        self.heads = nn.ModuleList(
            _convolutions(2 * width, filter_width, filter_width).append(nn.Conv2d(filter_width, taps * bands, 1))
            for _ in range(3)
        )

    def forward(self, features: Tensor, image: Tensor) -> Tensor:
        features = self.unet(features)
        for head, axis in zip(self.heads, (_COLUMNS, _ROWS, _BANDS), strict=True):
            image = _filter(image, _aligned(cast(nn.Sequential, head), features), axis)
        return image


class DHIFNet(FusionMethod):
    """Deep hyperspectral image fusion network.

    Parameters
    ----------
    problem
        Band counts and ratio.
    width
        Channels of the U-Net at full resolution; eight times as many at the bottom.
    stages
        Gradient steps.
    taps
        Length of the predicted filters, odd.
    filter_width
        Hidden channels of the heads that predict the filters; `taps * bands` where None, as in the authors' network.

    Raises
    ------
    UserError
        When `taps` is even or another option is below 1.
    """

    title = "DHIF-Net"
    citation = "huang2022dhifnet"
    # 500 epochs of 20 000 random patches; the rate drops at the start of epochs 1, 6, ..., 146.
    recipe = Recipe(
        loss="l1",
        optimizer="adam",
        lr=3e-4,
        batch=4,
        patch=96,
        steps=2_500_000,
        schedule="step",
        milestones=tuple(epoch / 500 for epoch in range(1, 147, 5)),
        gamma=0.95,
        augment=True,
    )

    def __init__(
        self, problem: FusionProblem, width: int = 64, stages: int = 4, taps: int = 7, filter_width: int | None = None
    ) -> None:
        super().__init__(problem)
        if taps < 1 or taps % 2 == 0:
            raise UserError(f"dhif_net's taps must be odd, so that a filter has a middle; give 5 or 7, not {taps}")
        if filter_width is None:
            filter_width = taps * problem.bands
        at_least(1, "dhif_net", width=width, stages=stages, filter_width=filter_width)
        bands, msi_bands = problem.bands, problem.msi_bands
        # Convolutions of a stage: 2 before the U-Net, 62 down its five levels, 30 up, 2 in a head. Doublings in the
        # U-Net see 60 pixels, its poolings up to 16, a filter half its taps; the first image is a bicubic one.
        self.grid, self.halo = 16, 2 + math.ceil(stages * (2 + 62 + 30 + 2 + 60 + 16 + taps // 2) / problem.ratio)
        self.respond = nn.Sequential(nn.Conv2d(bands, msi_bands, 3, padding=1), nn.LeakyReLU(inplace=True))
        self.respond_back = nn.Sequential(nn.Conv2d(msi_bands, bands, 3, padding=1), nn.LeakyReLU(inplace=True))
        self.blur = _resampling(nn.Conv2d, bands, problem.ratio)
        self.blur_back = _resampling(nn.ConvTranspose2d, bands, problem.ratio)
        self.embed = nn.Conv2d(bands + msi_bands, width, 3, padding=1)
        self.gather = nn.ModuleList(nn.Conv2d(width * (stage + 1), width, 3, padding=1) for stage in range(stages))
        self.regulariser = _Regulariser(bands, width, taps, filter_width)
        self.eta = nn.ParameterList(nn.Parameter(torch.normal(0.1, 0.01, (1,))) for _ in range(stages))
        self.lamda = nn.ParameterList(nn.Parameter(torch.normal(1.0, 0.01, (1,))) for _ in range(stages))
        self.apply(_initialise)

    def forward(self, lr_hsi: Tensor, hr_msi: Tensor) -> Tensor:
        """Fuse a batch: (B, C, H/r, W/r) and (B, c, H, W), values in [0,1], to (B, C, H, W), not clamped."""
        image = _upsample(lr_hsi, self.problem.ratio)
        seen = []
        for gather, eta, lamda in zip(self.gather, self.eta, self.lamda, strict=True):
            seen.append(self.embed(torch.cat((image, hr_msi), dim=1)))
            filtered = self.regulariser(gather(torch.cat(seen, dim=1)), image)
            misfit = self.respond_back(self.respond(image) - hr_msi) + self.blur_back(self.blur(image) - lr_hsi)
            image = image - 2 * eta * (misfit + lamda * (image - filtered))
        return image


def _initialise(module: nn.Module) -> None:
    """Draw all kernels Xavier-uniform and zero the biases, but for the transposed convolutions', as the authors do."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.xavier_uniform_(module.weight)
    if isinstance(module, nn.Conv2d) and module.bias is not None:
        nn.init.zeros_(module.bias)
