"""MSST-Net: multiscale spatial-spectral transformer network.

S. Jia, Z. Min, X. Fu, "Multiscale spatial-spectral transformer network for hyperspectral and multispectral image
fusion", Information Fusion 96, 117-129, 2023. Official code: jx-mzc/MSST-Net on GitHub, without a licence, so none of
it is here.

Re-derived from it: layers, their order, initialisation and recipe, among them spectral heads that share out pixels, not
channels, and the last convolutions of the spatial scales that have no bias, unlike those of the spectral scales. Its
last commit does not run: the forward asks for layers by other names than the constructor gives; there is one layer for
each, and that one is meant here.

What differs, and why:

- The authors train the transformer layers beforehand, as encoders of masked autoencoders, and then everything
  together. Here only the second takes place: which of their encoders served which scale cannot be told.
- Their position codes are noise, drawn anew in each forward pass and never learned. Here it is added in training only
  (option `position_noise`), so that a trained network gives one answer; it comes from the device's generator of torch,
  so that a seed decides it.
- The weights of the scales, which were to be learned, are constants in the official code; here they are plain means.
- The official code fails where a side is no multiple of a patch, or the LR pixels none of the heads. Here each spatial
  scale repeats the last row and column up to its own multiple and crops when its patches are put back, and heads
  share the LR pixels unevenly. No input is padded, since that would enter every spectral map.
- Products over pixels keep float32 under autocast, because the logits are sums over a whole image.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from smifbench.errors import UserError
from smifbench.method import FusionMethod, Recipe
from smifbench.options import at_least
from smifbench.problem import FusionProblem


def _conv(inputs: int, outputs: int, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)


class _ShallowFeatures(nn.Module):
    """Convolutional features of two images of one size, brought back to the HSI's bands."""

    def __init__(self, inputs: int, width: int, blocks: int, bands: int) -> None:
        super().__init__()
        self.head = _conv(inputs, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(_conv(width, width), nn.ReLU(inplace=True), _conv(width, width)) for _ in range(blocks)
        )
        self.tail = _conv(width, bands)

    def forward(self, hsi: Tensor, msi: Tensor) -> Tensor:
        head = features = self.head(torch.cat((hsi, msi), dim=1))
        for block in self.blocks:
            features = features + block(features)
        return self.tail(features + head)


class _SpectralAttention(nn.Module):
    """Attention between channels: a (width, width) map for each head, summed over every `heads`-th pixel."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        batch, pixels, width = tokens.shape
        qkv = self.qkv(tokens)
        missing = -pixels % self.heads
        if missing:  # zeros that fill up the last round of heads add nothing to the maps
            qkv = F.pad(qkv, (0, 0, 0, missing))
        with torch.autocast(qkv.device.type, enabled=False):
            precise = qkv.to(torch.promote_types(qkv.dtype, torch.float32))
            query, key, value = precise.reshape(batch, -1, self.heads, 3, width).permute(3, 0, 2, 1, 4)
            attention = ((width**-0.5 * query).transpose(2, 3) @ key).softmax(dim=-1)
            mixed = (value @ attention.transpose(2, 3)).transpose(1, 2).reshape(batch, -1, width)
        return self.project(mixed[:, :pixels].to(qkv.dtype))


class _SpatialAttention(nn.Module):
    """Multi-head attention between all patches of the image."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        batch, patches, width = tokens.shape
        qkv = self.qkv(tokens).reshape(batch, patches, 3, self.heads, width // self.heads)
        mixed = F.scaled_dot_product_attention(*qkv.permute(2, 0, 3, 1, 4))
        return self.project(mixed.transpose(1, 2).reshape(batch, patches, width))


class _TransformerLayer(nn.Module):
    def __init__(self, attention: nn.Module, width: int, mlp_ratio: float) -> None:
        super().__init__()
        hidden = int(width * mlp_ratio)
        self.norm_1 = nn.LayerNorm(width)
        self.attention = attention
        self.norm_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attention(self.norm_1(tokens))
        return tokens + self.mlp(self.norm_2(tokens))


@dataclass(frozen=True)
class _Settings:
    """Options of `MSSTNet` that the transformers of all scales share."""

    heads: int
    layers: int
    mlp_ratio: float
    noise: float


class _Transformer(nn.Module):
    """Normalised tokens through layers of one kind of attention, with noise for position codes in training."""

    def __init__(
        self, attention: type[_SpectralAttention | _SpatialAttention], width: int, settings: _Settings
    ) -> None:
        super().__init__()
        self.noise = settings.noise
        self.norm_in = nn.LayerNorm(width)
        self.layers = nn.Sequential(
            *(
                _TransformerLayer(attention(width, settings.heads), width, settings.mlp_ratio)
                for _ in range(settings.layers)
            )
        )
        self.norm_out = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = self.norm_in(tokens)
        if self.training and self.noise:
            # Drawn where it is needed: a copy from the CPU would make the host wait for a GPU's step before.
            tokens = tokens + self.noise * torch.randn(tokens.shape[1:], device=tokens.device).to(tokens)
        return self.norm_out(self.layers(tokens))


class _SpectralScale(nn.Module):
    """Spectral transformer on the pixels of an LR image, at one number of channels."""

    def __init__(self, bands: int, width: int, settings: _Settings) -> None:
        super().__init__()
        self.embed = nn.Linear(bands, width)
        self.transformer = _Transformer(_SpectralAttention, width, settings)
        self.unembed = nn.Linear(width, bands)
        self.tail = _conv(bands, bands)

    def forward(self, image: Tensor) -> Tensor:
        tokens = image.flatten(2).transpose(1, 2)
        tokens = self.unembed(self.transformer(self.embed(tokens)))
        return self.tail(tokens.transpose(1, 2).reshape(image.shape))


class _Patches(nn.Conv2d):
    """Convolution that makes a token of each patch, as a reordering of pixels and a matrix product."""

    def forward(self, image: Tensor) -> Tensor:
        """(B, S, rows * p, columns * p) -> (B, rows * columns, width)."""
        side = self.kernel_size[0]
        blocks = image.unflatten(3, (-1, side)).unflatten(2, (-1, side)).permute(0, 2, 4, 1, 3, 5)
        return F.linear(blocks.flatten(3).flatten(1, 2), self.weight.flatten(1), self.bias)

    def thop_macs(self, image: Tensor, *, output: Tensor) -> float:
        """What thop counts for the convolution."""
        return float(output.shape[:2].numel() * self.weight.numel())


class _Unpatches(nn.ConvTranspose2d):
    """Transposed convolution that makes a patch of each token, as a matrix product and a reordering of pixels."""

    bias: Tensor

    # Other arguments than the transposed convolution takes, because tokens do not say how they lie in the image.
    def forward(self, tokens: Tensor, rows: int, columns: int) -> Tensor:  # type: ignore[override]
        """(B, rows * columns, width) -> (B, S, rows * p, columns * p)."""
        side = self.kernel_size[0]
        blocks = (tokens @ self.weight.flatten(1)).reshape(-1, rows, columns, self.out_channels, side, side)
        image = blocks.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)
        return image + self.bias[:, None, None]

    def thop_macs(self, tokens: Tensor, rows: int, columns: int, *, output: Tensor) -> float:
        """What thop counts for the transposed convolution: the whole kernel for each pixel of its output."""
        return float(output.numel() * self.in_channels * self.weight[0, 0].numel())


class _SpatialScale(nn.Module):
    """Spatial transformer on the patches of an HR image, at one size of patches."""

    def __init__(self, bands: int, patch: int, width: int, settings: _Settings) -> None:
        super().__init__()
        self.patch = patch
        self.embed = _Patches(bands, width, patch, patch)
        self.transformer = _Transformer(_SpatialAttention, width, settings)
        self.unembed = _Unpatches(width, bands, patch, patch)
        self.tail = _conv(bands, bands, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[2:]
        below, beside = -height % self.patch, -width % self.patch
        if below or beside:
            image = F.pad(image, (0, beside, 0, below), mode="replicate")
        rows, columns = (side // self.patch for side in image.shape[2:])
        image = self.unembed(self.transformer(self.embed(image)), rows, columns)
        return self.tail(image[..., :height, :width])


class MSSTNet(FusionMethod):
    """Spectral transformers at low and spatial transformers at high resolution, each at three scales.

    Both images enter both branches, resized bilinearly to each other. The output is reconstructed from the branches'
    images without a skip from the enlarged HSI.

    Parameters
    ----------
    problem
        Any band counts and ratio; its responses are not used.
    features
        Channels of the convolutions.
    blocks
        Residual blocks in the shallow part of a branch.
    spectral_widths
        Channels of each spectral scale.
    patches
        Side in pixels of the patches of each spatial scale.
    spatial_width
        Channels of every spatial scale, a multiple of `heads`.
    heads
        Heads of every attention; spectral ones share out the pixels, spatial ones the channels.
    layers
        Transformer layers of every scale.
    mlp_ratio
        Hidden channels of a layer's perceptron over its channels.
    position_noise
        Standard deviation of the noise that stands for position codes in training; 0 for none.

    Raises
    ------
    UserError
        When the heads do not divide `spatial_width`, a branch has no scale, or a size is below 1.
    """

    title = "MSST-Net"
    citation = "jia2023msstnet"
    halo = None  # attention, between bands and between patches, runs over the whole scene
    channels_last = False
    # The authors' 5000 epochs of 1782 overlapping patches of CAVE (ratio 8), falling rates after the 200th and 2000th.
    recipe = Recipe(
        optimizer="adamw",
        lr=1e-3,
        weight_decay=2e-5,
        batch=32,
        patch=128,
        steps=280_000,
        schedule="step",
        milestones=(0.04, 0.4),
    )

    def __init__(
        self,
        problem: FusionProblem,
        features: int = 64,
        blocks: int = 5,
        spectral_widths: Sequence[int] = (32, 16, 64),
        patches: Sequence[int] = (16, 8, 32),
        spatial_width: int = 256,
        heads: int = 4,
        layers: int = 4,
        mlp_ratio: float = 4.0,
        position_noise: float = 0.02,
    ) -> None:
        super().__init__(problem)
        at_least(
            1, "msst_net", features=features, blocks=blocks, spatial_width=spatial_width, heads=heads, layers=layers
        )
        at_least(1, "msst_net", spectral_widths=min(spectral_widths, default=1), patches=min(patches, default=1))
        at_least(0, "msst_net", mlp_ratio=mlp_ratio, position_noise=position_noise)
        if spatial_width % heads:
            raise UserError(f"msst_net needs a spatial_width that {heads} heads divide, not {spatial_width}")
        if not spectral_widths or not patches:
            raise UserError("msst_net needs a scale in each branch: name some spectral_widths and some patches")
        bands, ratio = problem.bands, problem.ratio
        settings = _Settings(heads, layers, mlp_ratio, position_noise)
        self.lr_shallow = _ShallowFeatures(bands + problem.msi_bands, features, blocks, bands)
        self.hr_shallow = _ShallowFeatures(bands + problem.msi_bands, features, blocks, bands)
        self.spectral = nn.ModuleList(_SpectralScale(bands, width, settings) for width in spectral_widths)
        self.enlarge = nn.Sequential(
            _conv(bands, features),
            nn.GELU(),
            _conv(features, ratio**2 * features),
            nn.PixelShuffle(ratio),
            _conv(features, bands),
        )
        self.spatial = nn.ModuleList(_SpatialScale(bands, patch, spatial_width, settings) for patch in patches)
        self.reconstruct = nn.Sequential(_conv(2 * bands, features), nn.GELU(), _conv(features, bands))
        self.apply(_initialise)

    def forward(self, lr_hsi: Tensor, hr_msi: Tensor) -> Tensor:
        """Fuse (B, C, H/r, W/r) and (B, c, H, W) to (B, C, H, W), not clamped."""
        spectral = self.lr_shallow(lr_hsi, _resize(hr_msi, lr_hsi))
        spectral = self.enlarge(_add_mean(spectral, self.spectral))
        spatial = _add_mean(self.hr_shallow(_resize(lr_hsi, hr_msi), hr_msi), self.spatial)
        return self.reconstruct(torch.cat((spectral, spatial), dim=1))


def _resize(image: Tensor, other: Tensor) -> Tensor:
    """Resize bilinearly to the size of `other`, without antialiasing."""
    return F.interpolate(image, size=other.shape[-2:], mode="bilinear", align_corners=False)


def _add_mean(image: Tensor, scales: nn.ModuleList) -> Tensor:
    total = image
    for scale in scales:
        total = torch.add(total, scale(image), alpha=1 / len(scales))
    return total


def _initialise(module: nn.Module) -> None:
    """Initialise as the authors do; transposed convolutions keep torch's default."""
    if isinstance(module, _SpectralAttention | _SpatialAttention):
        for linear in (module.qkv, module.project):
            nn.init.trunc_normal_(linear.weight, std=0.02)
    # Other linear layers are the authors' 1 x 1 convolutions.
    elif isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
