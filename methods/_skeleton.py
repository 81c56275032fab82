"""Skeleton: one sentence on what the method does.

Authors, "Title", venue, year, doi. Official code: OWNER/NAME on GitHub, LICENCE; say here what differs from it. Without
that: "No code was consulted", or "The authors published no code".
"""

import torch
from torch import Tensor, nn

from smifbench.method import FusionMethod, Recipe
from smifbench.options import at_least
from smifbench.problem import FusionProblem

from ._layers import upsample_bicubic


class Skeleton(FusionMethod):
    """Predicts the residual to the bicubic image by a few convolutions; replace it by your network.

    Parameters
    ----------
    problem
        Band counts and ratio; `problem.psf` and `problem.srf` are there for methods that use them.
    width
        Feature channels.
    """

    title = "Skeleton"
    citation = "author2026skeleton"
    recipe = Recipe(loss="l1", lr=4e-4, batch=16, patch=64, epochs=500)

    def __init__(self, problem: FusionProblem, width: int = 64) -> None:
        super().__init__(problem)
        at_least(1, "skeleton", width=width)
        self.body = nn.Sequential(
            nn.Conv2d(problem.msi_bands + problem.bands, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, problem.bands, 3, padding=1),
        )

    def forward(self, lr_hsi: Tensor, hr_msi: Tensor) -> Tensor:
        """Fuse (B, C, H/r, W/r) and (B, c, H, W) to (B, C, H, W)."""
        enlarged = upsample_bicubic(lr_hsi, hr_msi.shape[-2:])
        return enlarged + self.body(torch.cat([hr_msi, enlarged], 1))
