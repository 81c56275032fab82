"""LLA-Net: locally linear attention.

The smifbench authors, "smifbench: a reproducible benchmark of hyperspectral/multispectral image fusion", 2026. A method
of this suite, published nowhere else; no code was consulted.

Every LR pixel j holds predictors of the HSI around it that are linear in the MSI, f_j(m) = l_j + A_j (m - m_j), with
slopes A_j from a regression in a window (as in `methods/local_gsa.py`), one predictor for each of several windows. A
pixel x should follow the predictors of its own material, which interpolation by distance does not see. So attention
mixes those of the LR pixels around:

    y(x) = sum_j w_j(x) f_j(m(x)),  w = softmax_j(q(x) k_j / sqrt(d) - beta |m(x) - m_j|^2 / v + bias[place of x, j])

with q from the MSI and its detail, k from the LR-HSI and the reduced MSI by two convolutions each, and v the MSI's
variance nearby. Then every band may be moved and focused as the LR-HSI has it (`_refocusing.py`), the enlarged residual
is added as in GSA, some convolutions correct what is left, in units of the residual's size nearby, and a projection
makes the result agree with both images where the operators are known.

Untrained, it is an interpolation of predictors whose weights fall with the distance, and near `local_gsa`.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from smifbench.errors import UserError
from smifbench.method import FusionMethod, Recipe
from smifbench.options import at_least
from smifbench.problem import FusionProblem

from ._layers import upsample_bicubic
from ._local_regression import local_mean, regress_locally, window_reach
from ._refocusing import displacement_reach, refocus
from ._resampling import psf_reach, reduce_by_psf, reducing_psf

REACH = 2
"""LR pixels to each side whose predictors a pixel may follow."""

OFFSETS = [(row, column) for row in range(2 * REACH + 1) for column in range(2 * REACH + 1)]
"""Rows and columns of the neighbours, counted from the first one."""

SPREAD = 0.7
"""Standard deviation in LR pixels of the Gaussian weights that an untrained network gives by distance."""

NEARBY = 1.5
"""Standard deviation in LR pixels of the window in which sizes of residuals and variances are taken."""

VARIANCE_FLOOR = 1e-5
"""Variance of the MSI, of images in [0,1], below which its differences say little about materials."""

LEAST_RESIDUAL = 1e-4
"""Size of residuals, of images in [0,1], that the correction takes for its unit where they are smaller."""

FLOOR = 1e-12
"""Square of a value too small to matter, which keeps quotients finite."""


class LLANet(FusionMethod):
    """Attention over locally linear predictors, a few convolutions, and exact agreement with both images.

    Parameters
    ----------
    problem
        Band counts and ratio; a PSF that keeps to its block and an SRF are used where they are known.
    windows
        Standard deviations in LR pixels of the windows of the regressions.
    ridge
        Variance of an MSI band, of images in [0,1], below which a window takes the slopes of the next wider one; the
        widest takes none.
    attention
        Whether queries and keys decide the weights too; else only the place in the block does.
    key_width
        Entries d of queries and keys.
    refocusing
        Whether every band is moved and focused as the LR-HSI has it; gains, which are learnt, say how far.
    blocks, width
        Residual blocks of two 3x3 convolutions and their channels; without blocks there is no correction at all.
    consistency
        Whether the result is made to agree with LR-HSI and HR-MSI, as far as these agree with one another. Without a
        known SRF it is made to agree with the LR-HSI alone, noise included, because nothing then tells noise.
    """

    psf: Tensor
    title = "LLA-Net"
    citation = "smifbench2026"
    recipe = Recipe(
        loss="rmse",
        lr=3e-3,
        batch=8,
        patch=64,
        steps=12_000,
        schedule="cosine",
        warmup=0.03,
        clip_norm=0.1,
        augment=True,
    )

    def __init__(
        self,
        problem: FusionProblem,
        windows: tuple[float, ...] = (0.6, 1.5),
        ridge: float = 3e-6,
        attention: bool = True,
        key_width: int = 16,
        refocusing: bool = False,
        blocks: int = 3,
        width: int = 48,
        consistency: bool = True,
    ) -> None:
        super().__init__(problem)
        for name, least in (("windows", min(windows, default=0)), ("ridge", ridge)):
            if least <= 0:
                raise UserError(f"option {name} of lla_net must be above 0, not {least!r}")
        at_least(1, "lla_net", key_width=key_width, width=width)
        at_least(0, "lla_net", blocks=blocks)
        self.windows, self.ridge = sorted(windows, reverse=True), ridge
        bands, msi_bands, ratio = problem.bands, problem.msi_bands, problem.ratio
        self.register_buffer("psf", reducing_psf(problem), persistent=False)
        self.bias = nn.Parameter(_squared_distances(ratio).div(-2 * SPREAD**2).repeat(len(windows), 1))
        self.attention = _Affinity(bands, msi_bands, key_width, len(windows)) if attention else None
        self.correction = _Correction(bands, msi_bands, width, blocks) if blocks else None
        self.consistency = _Consistency(problem) if consistency else None
        self.gains = nn.Parameter(torch.ones(3, bands)) if refocusing else None
        predictors = 2 * window_reach(max(self.windows)) + 2 * psf_reach(self.psf, ratio)
        predictors += displacement_reach(self.psf, ratio) + 1 if refocusing else 0
        convolutions = 2 + (2 + 2 * blocks if blocks else 0)
        self.halo = predictors + REACH + 2 + 2 * window_reach(NEARBY) - (-convolutions // ratio)

    def forward(self, lr_hsi: Tensor, hr_msi: Tensor) -> Tensor:
        """Fuse (B, C, H/r, W/r) and (B, c, H, W) to (B, C, H, W), not clamped, float32 at least."""
        precision, size = torch.promote_types(lr_hsi.dtype, torch.float32), hr_msi.shape[-2:]
        lr_hsi, hr_msi = lr_hsi.to(precision), hr_msi.to(precision)
        with torch.autocast(hr_msi.device.type, enabled=False):
            lr_msi = reduce_by_psf(hr_msi, self.psf, self.problem.ratio)
            predictors = self._predictors(lr_hsi, lr_msi).to(precision)
            lr_msi = lr_msi.to(precision)
        weights = self._weights(lr_hsi, lr_msi, hr_msi)
        with torch.autocast(hr_msi.device.type, enabled=False):
            estimate = self._mix(predictors, weights.to(precision), hr_msi)
            if self.gains is not None:
                estimate = refocus(estimate, lr_hsi, self.psf, self.problem.ratio, self.gains)
            residual = lr_hsi - reduce_by_psf(estimate, self.psf, self.problem.ratio).to(precision)
            deviation = (local_mean(residual.square().mean(1, keepdim=True), NEARBY) + LEAST_RESIDUAL**2).sqrt()
            residual = upsample_bicubic(residual, size)
            estimate = estimate + residual
        if self.correction is not None:
            estimate = estimate + self.correction(estimate, residual, hr_msi, lr_msi, deviation)
        if self.consistency is not None:
            with torch.autocast(hr_msi.device.type, enabled=False):
                estimate = self.consistency(estimate, lr_hsi, hr_msi, lr_msi)
        return estimate

    def _predictors(self, lr_hsi: Tensor, lr_msi: Tensor) -> Tensor:
        """Slopes and intercepts of every LR pixel's predictors, (B, C, windows, c + 1, h, w)."""
        lr_hsi = lr_hsi.double()
        slopes = lr_hsi.new_zeros(*lr_hsi.shape[:2], lr_msi.shape[1], 1, 1)
        predictors = []
        for window in self.windows:
            slopes = regress_locally(lr_hsi, lr_msi, window, self.ridge, slopes)
            mean = local_mean(slopes.flatten(1, 2), window).view_as(slopes)
            intercepts = lr_hsi - (mean * lr_msi[:, None]).sum(2)
            predictors.append(torch.cat([mean, intercepts[:, :, None]], 2))
        return torch.stack(predictors, 2)

    def _weights(self, lr_hsi: Tensor, lr_msi: Tensor, hr_msi: Tensor) -> Tensor:
        """Weights (B, h, w, windows * neighbours, r^2) of the predictors around, which sum to 1."""
        inside = _neighbours(torch.ones_like(lr_msi[:1, :1])).flatten(3)
        logits = self.bias - 1e4 * (1 - inside.repeat(1, 1, 1, len(self.windows)))[..., None]
        if self.attention is not None:
            logits = logits + self.attention(lr_hsi, lr_msi, hr_msi)
        return torch.softmax(logits, 3)

    def _mix(self, predictors: Tensor, weights: Tensor, hr_msi: Tensor) -> Tensor:
        """Weighted sum (B, C, H, W) of the predictions for every pixel."""
        height, width = predictors.shape[-2:]
        framed = F.pad(predictors.flatten(1, 3), 4 * [REACH]).unflatten(1, (len(predictors[0]), -1))
        framed = framed.permute(0, 3, 4, 1, 2)  # (B, h + 2 REACH, w + 2 REACH, C, windows * (c + 1))
        design = _blocks(torch.cat([hr_msi, torch.ones_like(hr_msi[:, :1])], 1), self.problem.ratio)
        weights = weights.unflatten(3, (len(self.windows), len(OFFSETS)))
        total = hr_msi.new_zeros(())
        for neighbour, (row, column) in enumerate(OFFSETS):  # one after another: all at once are 25 times the memory
            weighted = weights[:, :, :, :, None, neighbour] * design[:, :, :, None]
            total = total + framed[:, row : row + height, column : column + width] @ weighted.flatten(3, 4)
        return _unblock(total, self.problem.ratio)


class _Affinity(nn.Module):
    """Logits (B, h, w, windows * neighbours, r^2): how well the predictors around suit every pixel of a block."""

    def __init__(self, bands: int, msi_bands: int, width: int, windows: int) -> None:
        super().__init__()
        self.windows = windows
        self.query = _features(2 * msi_bands, width)
        self.key = _features(bands + msi_bands, windows * width)
        self.beta = nn.Parameter(torch.full((windows,), 0.1))
        _scale(self.query[-1], 0.1)  # not by zero, or keys would get no gradient

    def forward(self, lr_hsi: Tensor, lr_msi: Tensor, hr_msi: Tensor) -> Tensor:
        ratio = hr_msi.shape[-1] // lr_msi.shape[-1]
        query = self.query(torch.cat([hr_msi, hr_msi - upsample_bicubic(lr_msi, hr_msi.shape[-2:])], 1))
        key = _neighbours(self.key(torch.cat([lr_hsi, lr_msi], 1)))
        key = key.unflatten(3, (self.windows, -1)).transpose(4, 5).flatten(3, 4)
        logits = key @ _blocks(query, ratio) / query.shape[1] ** 0.5
        with torch.autocast(hr_msi.device.type, enabled=False):  # distances are differences of products
            return logits.to(hr_msi.dtype) - self._distances(lr_msi, hr_msi, ratio)

    def _distances(self, lr_msi: Tensor, hr_msi: Tensor, ratio: int) -> Tensor:
        """The terms beta |m(x) - m_j|^2 / v, less what all neighbours have in common."""
        variance = _local_variance(lr_msi)[:, 0, :, :, None, None]
        own = lr_msi.permute(0, 2, 3, 1)
        around = _neighbours(lr_msi).transpose(3, 4) - own[:, :, :, None]  # (B, h, w, neighbours, c)
        detail = _blocks(hr_msi, ratio) - own[..., None]
        distances = (around.square().sum(4, keepdim=True) - 2 * around @ detail) / variance
        return (self.beta.view(-1, 1, 1) * distances[:, :, :, None]).flatten(3, 4)


class _Correction(nn.Module):
    """What is left (B, C, H, W), by convolutions, in units of the residual's `deviation` (B, 1, h, w)."""

    def __init__(self, bands: int, msi_bands: int, width: int, blocks: int) -> None:
        super().__init__()
        self.head = _conv(2 * (bands + msi_bands), width)
        self.blocks = nn.ModuleList(
            nn.Sequential(_conv(width, width), nn.ReLU(), _conv(width, width)) for _ in range(blocks)
        )
        self.tail = _conv(width, bands)
        _scale(self.tail, 0.03)  # not by zero, or the layers before would get no gradient

    def forward(self, estimate: Tensor, residual: Tensor, hr_msi: Tensor, lr_msi: Tensor, deviation: Tensor) -> Tensor:
        size = hr_msi.shape[-2:]
        unit = F.interpolate(deviation, size=size, mode="bilinear", align_corners=False)
        detail = hr_msi - upsample_bicubic(lr_msi, size)
        features = self.head(torch.cat([estimate, residual / unit, hr_msi, detail / unit], 1))
        for block in self.blocks:
            features = features + block(features)
        return self.tail(features) * unit


class _Consistency(nn.Module):
    """Projects an image x to D x = l and R x = m, with the PSF D and the SRF R of the problem, where they are known.

    A PSF that keeps to its block gives both at once, in closed form, because one acts on space and the other on
    spectra: x += D' (D D')^-1 (l - D x), then x += R^+ (m - R x). Without noise D m = R l. What these two differ by is
    noise, or images that are not what the operators say (rescaled ones, say), so each step is weighted by the share
    of l - D x, or of m - R x, that this difference does not explain, measured nearby.
    """

    psf: Tensor
    srf: Tensor
    inverse: Tensor

    def __init__(self, problem: FusionProblem) -> None:
        super().__init__()
        self.ratio = problem.ratio
        psf = reducing_psf(problem)
        margin = (len(psf) - problem.ratio) // 2
        block = psf[margin : margin + problem.ratio, margin : margin + problem.ratio]
        self.spatial = problem.psf is not None and bool(block.sum() > psf.sum() * (1 - 1e-9))
        self.spectral = problem.srf is not None
        srf = torch.as_tensor(problem.srf if self.spectral else torch.zeros(problem.msi_bands, problem.bands)).double()
        for name, matrix in (("psf", block), ("srf", srf), ("inverse", torch.linalg.pinv(srf))):
            self.register_buffer(name, matrix, persistent=False)

    def forward(self, estimate: Tensor, lr_hsi: Tensor, hr_msi: Tensor, lr_msi: Tensor) -> Tensor:
        psf, srf, inverse = (matrix.to(estimate.dtype) for matrix in (self.psf, self.srf, self.inverse))
        conflict = _local_power(lr_msi - _spectrally(srf, lr_hsi)) if self.spectral else torch.zeros_like(lr_msi)
        if self.spatial:
            gap = lr_hsi - reduce_by_psf(estimate, psf, self.ratio).to(estimate.dtype)
            noise = conflict.sum(1, keepdim=True) / (srf.square().sum() + FLOOR)
            step = gap * _share(_local_power(gap).mean(1, keepdim=True), noise)
            estimate = estimate + _repeat(step, self.ratio) * (psf / psf.square().sum()).repeat(*lr_hsi.shape[-2:])
        if self.spectral:
            gap = hr_msi - _spectrally(srf, estimate)
            noise = conflict / psf.square().sum()
            share = _share(_local_power(F.avg_pool2d(gap.square(), self.ratio), square=False), noise)
            estimate = estimate + _spectrally(inverse, gap * _repeat(share, self.ratio))
        return estimate


def _share(power: Tensor, noise: Tensor) -> Tensor:
    """Part of `power` that noise does not explain, 0..1."""
    return (1 - noise / (power + FLOOR)).clamp(0, 1)


def _local_power(image: Tensor, square: bool = True) -> Tensor:
    return local_mean(image.square() if square else image, NEARBY)


def _local_variance(lr_msi: Tensor) -> Tensor:
    """Variance nearby (B, 1, h, w), summed over bands; where the image is flat, `VARIANCE_FLOOR`."""
    variance = local_mean(lr_msi.square(), NEARBY) - local_mean(lr_msi, NEARBY).square()
    return variance.sum(1, keepdim=True).clamp_min(0) + VARIANCE_FLOOR


def _spectrally(matrix: Tensor, image: Tensor) -> Tensor:
    """Apply (C, c) to every pixel of (B, c, H, W)."""
    return F.conv2d(image, matrix[:, :, None, None])


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def _features(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(_conv(inputs, 32), nn.ReLU(), _conv(32, outputs))


@torch.no_grad()
def _scale(layer: nn.Module, factor: float) -> None:
    """Multiply a layer's initial parameters."""
    for parameter in layer.parameters():
        parameter.mul_(factor)


def _repeat(image: Tensor, ratio: int) -> Tensor:
    """Every pixel as a block of r x r."""
    return image.repeat_interleave(ratio, 2).repeat_interleave(ratio, 3)


def _blocks(image: Tensor, ratio: int) -> Tensor:
    """(B, C, H, W) as blocks (B, h, w, C, r^2)."""
    return image.unflatten(3, (-1, ratio)).unflatten(2, (-1, ratio)).permute(0, 2, 4, 1, 3, 5).flatten(4)


def _unblock(blocks: Tensor, ratio: int) -> Tensor:
    """Blocks (B, h, w, C, r^2) as (B, C, H, W)."""
    return blocks.unflatten(4, (ratio, ratio)).permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)


def _neighbours(image: Tensor) -> Tensor:
    """Values (B, h, w, C, neighbours) around every pixel of (B, C, h, w), 0 beyond the border."""
    around = F.unfold(image, 2 * REACH + 1, padding=REACH).unflatten(1, (image.shape[1], -1))
    return around.unflatten(3, image.shape[2:]).permute(0, 3, 4, 1, 2)


def _squared_distances(ratio: int) -> Tensor:
    """Squared distances (neighbours, r^2) in LR pixels from the neighbours to the places in a block."""
    places = (torch.arange(ratio) + 0.5) / ratio - 0.5
    centres = torch.arange(-REACH, REACH + 1.0)
    squares = (centres[:, None] - places) ** 2
    return (squares[:, None, :, None] + squares[None, :, None, :]).flatten(2).flatten(0, 1)
