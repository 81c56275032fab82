"""PSRT: pyramid shuffle-and-reshuffle transformer.

S.-Q. Deng, L.-J. Deng, X. Wu, R. Ran, D. Hong, G. Vivone, "PSRT: Pyramid Shuffle-and-Reshuffle Transformer for
Multispectral and Hyperspectral Image Fusion", IEEE Transactions on Geoscience and Remote Sensing 61, 2023,
doi 10.1109/TGRS.2023.3244750. Official code: Deng-shangqi/PSRT on GitHub, without a licence, so none of it is here.

Re-derived from it: layers, their order, initialisation and recipe, among them the attention scale of 4 (not
1/sqrt(head width)), the LeakyReLU on the detail before the skip, and a width of 32 at any number of bands.

What differs, and why:

- The bicubic upsampling of the LR-HSI, which the authors read from their data files, is done inside, without clamping.
- Band counts are those of the problem; the official code is fixed at 31 and 3.
- A side that is no multiple of 8 is padded by replication to a multiple of 16, where the official code fails. 16,
  because the shuffle then keeps every window within one cell of 16 x 16 pixels.
- Pixels are ordered once, at the entrance, such that the windows of all three sizes are runs of consecutive tokens.
  Changing the window size then moves nothing, and a shuffle is one transposition of quarter windows. Attention does not
  depend on the order of windows or of tokens in a window, so the result is the same.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from smifbench.errors import UserError
from smifbench.method import FusionMethod, Recipe
from smifbench.options import at_least
from smifbench.problem import FusionProblem

_WINDOWS = (8, 4, 2)
_SCALE = 4.0
_FUSED_FROM = 8


def _nest(image: Tensor, side: int) -> Tensor:
    """Order pixels cell by cell and, in a cell of `side` (a power of 2), quarter by quarter down to single pixels.

    (B, C, H, W) -> (B, H*W, C); every aligned square whose side is a power of 2 up to `side` is a run of tokens.
    """
    batch, channels, height, width = image.shape
    halvings = side.bit_length() - 1
    split = image.reshape(batch, channels, height // side, *[2] * halvings, width // side, *[2] * halvings)
    rows, columns = range(2, 3 + halvings), range(3 + halvings, 4 + 2 * halvings)
    order = [axis for pair in zip(rows, columns, strict=True) for axis in pair]
    return split.permute(0, *order, 1).reshape(batch, height * width, channels)


def _unnest(tokens: Tensor, side: int, height: int, width: int) -> Tensor:
    """Inverse of `_nest`: (B, H*W, C) -> (B, C, H, W)."""
    batch, _, channels = tokens.shape
    halvings = side.bit_length() - 1
    split = tokens.reshape(batch, height // side, width // side, *[2] * (2 * halvings), channels)
    last = 3 + 2 * halvings
    return split.permute(0, last, *range(1, last, 2), *range(2, last, 2)).reshape(batch, channels, height, width)


def _shuffle(tokens: Tensor, window: int, grid: tuple[int, int]) -> Tensor:
    """Give each window one quarter of each of four windows, so that these four exchange information.

    Along either axis the half windows are reordered to 0, 2, 4, ..., 1, 3, 5, ... and then paired anew.

    Parameters
    ----------
    tokens
        (B, H*W, C), windows row by row in each `grid`, their quarters row by row.
    window
        Side of the window in pixels.
    grid
        Rows and columns of windows that are shuffled together.
    """
    rows, columns = grid
    quarters = tokens.reshape(-1, rows, columns, 2, 2, window * window // 4 * tokens.shape[-1])
    image = quarters.permute(0, 3, 1, 4, 2, 5).reshape(-1, rows, 2, columns, 2, quarters.shape[-1])
    return image.transpose(2, 3).reshape(tokens.shape)


def _reshuffle(tokens: Tensor, window: int, grid: tuple[int, int]) -> Tensor:
    """Inverse of `_shuffle`."""
    rows, columns = grid
    quarters = tokens.reshape(-1, rows, columns, 2, 2, window * window // 4 * tokens.shape[-1])
    image = quarters.transpose(2, 3).reshape(-1, 2, rows, 2, columns, quarters.shape[-1])
    return image.permute(0, 2, 4, 1, 3, 5).reshape(tokens.shape)


def _attend_by_products(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention in many small windows, (windows * heads, channels of a head, tokens of a window) each."""
    weights = (key.transpose(1, 2) @ (_SCALE * query)).softmax(dim=1)
    return value @ weights


def _attend_by_sums(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The same as sums, which a compiler fuses; a GPU's products would take a thread block for a window of 4 x 4."""
    logits = (key[:, :, :, None] * (_SCALE * query)[:, :, None]).to(_precise(query)).sum(1)
    weights = logits.softmax(dim=1).to(query.dtype)
    return (value[:, :, :, None] * weights[:, None]).to(_precise(query)).sum(2).to(query.dtype)


def _precise(tensor: Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)


class _WindowAttention(nn.Module):
    """Pre-norm transformer layer whose attention stays inside windows of `window` x `window` consecutive tokens."""

    def __init__(self, width: int, heads: int, mlp_ratio: float, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.window = window
        hidden = int(width * mlp_ratio)
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.project(self._attend(self.qkv(self.norm1(tokens))))
        return tokens + self.mlp(self.norm2(tokens))

    def _attend(self, qkv: Tensor) -> Tensor:
        batch, count, width = qkv.shape
        split = qkv.reshape(-1, self.window**2, 3, self.heads, width // (3 * self.heads))
        if self.window >= _FUSED_FROM:
            query, key, value = split.permute(2, 0, 3, 1, 4)
            mixed = F.scaled_dot_product_attention(query, key, value, scale=_SCALE).transpose(1, 2)
        else:
            # The fused kernel's cost per window dwarfs a small window. With tokens on the last axis, and keys not on
            # it, all of these products and the softmax run over long rows: half the time of the usual layout.
            query, key, value = split.permute(2, 0, 3, 4, 1).flatten(1, 2).unbind()
            attend = _attend_by_sums if qkv.is_cuda and torch.compiler.is_compiling() else _attend_by_products
            mixed = attend(query, key, value).reshape(-1, width // 3, self.window**2).transpose(1, 2)
        return mixed.reshape(batch, count, width // 3)

    def thop_macs(self, tokens: Tensor, *, output: Tensor) -> float:
        """Operations that thop counts for a softmax module: 3n - 1 per row of n keys."""
        rows = self.heads * tokens.shape[0] * tokens.shape[1]
        return float(rows * (3 * self.window**2 - 1))


class _WindowToWindow(nn.Module):
    """Attention in windows, in shuffled windows, and in windows again, with a skip around the three."""

    def __init__(self, width: int, heads: int, mlp_ratio: float, window: int) -> None:
        super().__init__()
        self.window = window
        self.before, self.between, self.after = (_WindowAttention(width, heads, mlp_ratio, window) for _ in range(3))

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        mixed = self.between(_shuffle(self.before(tokens), self.window, grid))
        return self.after(_reshuffle(mixed, self.window, grid)) + tokens


class PSRT(FusionMethod):
    """Pyramid shuffle-and-reshuffle transformer.

    Parameters
    ----------
    problem
        Band counts and ratio.
    width
        Channels of the embedding.
    heads
        Attention heads; must divide `width`.
    mlp_ratio
        Hidden channels of the MLPs in units of `width`.
    pyramids
        Pyramid blocks in series; each runs through windows of 8, 4 and 2 pixels.

    Raises
    ------
    UserError
        When `heads` does not divide `width`, or an option leaves no channel, head or pyramid.
    """

    title = "PSRT"
    citation = "deng2023psrt"
    recipe = Recipe(
        loss="l1", optimizer="adamw", lr=1e-4, weight_decay=1e-4, batch=32, patch=64, epochs=2000, clip_norm=10.0
    )

    def __init__(
        self, problem: FusionProblem, width: int = 32, heads: int = 8, mlp_ratio: float = 4.0, pyramids: int = 2
    ) -> None:
        super().__init__(problem)
        at_least(1, "psrt", width=width, heads=heads, pyramids=pyramids)
        if width % heads:
            raise UserError(f"psrt's width {width} is no multiple of its {heads} heads; choose heads that divide it")
        if int(width * mlp_ratio) < 1:
            raise UserError(f"psrt's mlp_ratio {mlp_ratio} leaves no hidden channel at width {width}; raise it")
        # Bicubic enlargement; windows and shuffles stay within a cell of 16 x 16 pixels, where these tile the scene; a
        # convolution before and one after.
        self.grid, self.halo = 16, 2 + math.ceil((16 + 1) / problem.ratio)
        self.embed = nn.Conv2d(problem.bands + problem.msi_bands, width, 3, padding=1)
        self.pyramids = nn.ModuleList(
            nn.ModuleList(_WindowToWindow(width, heads, mlp_ratio, window) for window in _WINDOWS)
            for _ in range(pyramids)
        )
        self.detail = nn.Conv2d(width, problem.bands, 3, padding=1)
        self.apply(_initialise)

    def forward(self, lr_hsi: Tensor, hr_msi: Tensor) -> Tensor:
        """Fuse a batch: (B, C, H/r, W/r) and (B, c, H, W), values in [0,1], to (B, C, H, W), not clamped."""
        height, width = hr_msi.shape[-2:]
        upsampled = F.interpolate(lr_hsi, size=(height, width), mode="bicubic", align_corners=False)
        images = torch.cat((upsampled, hr_msi), dim=1)
        below, beside = _padding(height), _padding(width)
        if below or beside:
            images = F.pad(images, (0, beside, 0, below), mode="replicate")
        # The residual stream keeps the precision of the images under autocast.
        features = self._transform(self.embed(images).to(upsampled.dtype))
        detail = F.leaky_relu(self.detail(features), 0.2)
        return detail[..., :height, :width] + upsampled

    def _transform(self, features: Tensor) -> Tensor:
        height, width = features.shape[-2:]
        side = 8 if height % 16 or width % 16 else 16
        tokens = _nest(features, side)
        for pyramid in self.pyramids:
            for block in pyramid.children():
                across_cells = block.window == side
                tokens = block(tokens, (height // side, width // side) if across_cells else (2, 2))
        return _unnest(tokens, side, height, width)


def _padding(length: int) -> int:
    """Pixels to add to a side: none to a multiple of 8, else up to the next multiple of 16."""
    return -length % 16 if length % 8 else 0


def _initialise(module: nn.Module) -> None:
    """Draw linear weights from N(0, 0.01^2) and zero the convolutions' biases, as the authors do."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
    elif isinstance(module, nn.Conv2d) and module.bias is not None:
        nn.init.zeros_(module.bias)
