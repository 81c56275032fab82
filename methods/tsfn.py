"""TSFN, the two-stream fusion network.

X. Wang, J. Chen, Q. Wei, C. Richard, "Hyperspectral Image Super-Resolution via Deep Prior Regularization with
Parameter Estimation", IEEE Transactions on Circuits and Systems for Video Technology 32(4):1708-1723, 2022. Official
code: xiuheng-wang/Sylvester_TSFN_MDC_HSI_superresolution on GitHub, MIT licence; network, initialisation, bicubic
enlargement and training were re-derived from it.

Differences:

- Only the network, the first stage of the publication. The second one solves a Sylvester equation around the network's
  output; fusion benchmarks report the first.
- 12 residual blocks in a branch, the class's default and what benchmarks count; the official scripts ask for 6
  (`blocks=6`).
- The official training enters evaluation mode for its first validation and never leaves it, so that BatchNorm keeps
  the statistics of the first epoch of 125 batches. Here BatchNorm is trained throughout; `freeze_bn_after=125` gives
  the official behaviour.
- The official training draws ratio and blur (8 to 32) anew for each patch. Here the data decide: one network for each
  degradation.
- The enlargement is a part of `forward`. Outputs are not clipped.
"""

import math

import torch
from torch import Tensor, nn

from smifbench.method import FusionMethod, Recipe
from smifbench.options import at_least
from smifbench.problem import FusionProblem

from ._layers import upsample_bicubic


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, outputs, 3, padding=1)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


def _norm(width: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(width)
    nn.init.normal_(norm.weight, 1.0, 0.02)
    return norm


class _ResidualBlock(nn.Module):
    """Two normalised convolutions beside an identity; nothing after the sum."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(width, width), _norm(width), nn.PReLU(), _conv(width, width), _norm(width))

    def forward(self, features: Tensor) -> Tensor:
        return features + self.body(features)


def _branch(inputs: int, width: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(
        _conv(inputs, width),
        nn.PReLU(),
        *(_ResidualBlock(width) for _ in range(blocks)),
        _conv(width, width),
        _norm(width),
    )


class TSFN(FusionMethod):
    """One residual branch for the bicubic HSI, one for the MSI; their fused features correct the bicubic HSI.

    In training mode BatchNorm couples the images of a batch.

    Parameters
    ----------
    problem
        Bands and ratio; the network itself does not depend on the ratio.
    blocks
        Residual blocks in each branch.
    width
        Channels of all features.
    freeze_bn_after
        Number of training batches after which BatchNorm normalises by the running statistics gathered until then,
        also while training; its scale and offset are trained on. None: never.
    """

    title = "TSFN"
    citation = "wang2022tsfn"
    recipe = Recipe(lr=2e-4, batch=16, patch=128, steps=62_500, augment=True)

    def __init__(
        self, problem: FusionProblem, blocks: int = 12, width: int = 64, freeze_bn_after: int | None = None
    ) -> None:
        super().__init__(problem)
        at_least(1, "tsfn", blocks=blocks, width=width)
        at_least(0, "tsfn", freeze_bn_after=freeze_bn_after or 0)
        # Bicubic enlargement, then 3x3 convolutions: two in a block, two around the blocks, two to fuse.
        self.halo = 2 + math.ceil((2 * blocks + 4) / problem.ratio)
        self.freeze_bn_after = freeze_bn_after
        self.hsi_branch = _branch(problem.bands, width, blocks)
        self.msi_branch = _branch(problem.msi_bands, width, blocks)
        self.fusion = nn.Sequential(_conv(2 * width, width), _norm(width), nn.PReLU(), _conv(width, problem.bands))

    def forward(self, lr_hsi: Tensor, hr_msi: Tensor) -> Tensor:
        """Fuse (B, C, H/r, W/r) and (B, c, H, W) to (B, C, H, W), not clamped, float32 at least."""
        enlarged = upsample_bicubic(lr_hsi, hr_msi.shape[-2:])
        features = torch.cat([self.hsi_branch(enlarged.to(hr_msi.dtype)), self.msi_branch(hr_msi)], 1)
        return enlarged + self.fusion(features)

    def training_loss(self, lr_hsi: Tensor, hr_msi: Tensor, hr_hsi: Tensor, loss: str = "l1") -> Tensor:
        """Scalar loss of a batch; freezes BatchNorm after `freeze_bn_after` batches."""
        norms = [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]
        limit, batches = self.freeze_bn_after, norms[0].num_batches_tracked
        # Frozen ones are not asked again: the number of batches lies on the device, and to read it is to wait for it.
        if limit is not None and batches is not None and norms[0].training and batches >= limit:
            for norm in norms:
                norm.eval()
        return super().training_loss(lr_hsi, hr_msi, hr_hsi, loss)
