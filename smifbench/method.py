"""What a fusion method is: one `FusionMethod` class, and the `Recipe` by which its authors train it."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from smifbench.errors import UserError
from smifbench.problem import FusionProblem

# Means, written as sums because the gradient of torch's mean comes without the images' memory order, which costs
# networks in channels_last order a tenth of a step.
LOSSES = {
    "l1": lambda estimate, truth: (estimate - truth).abs().sum() / truth.numel(),
    "mse": lambda estimate, truth: (estimate - truth).square().sum() / truth.numel(),
}


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; the budget is `epochs`, or `steps` where that is given, or `seconds` where that is.

    Parameters
    ----------
    loss
        `"l1"` or `"mse"`, the mean over everything; a method's own `training_loss` may go beyond it.
    optimizer
        `"adam"` (weight decay in Adam's L2 form) or `"adamw"` (decoupled).
    lr, betas, weight_decay
        The optimizer's settings.
    batch, patch
        Patches in a batch, and the side of an HR patch in pixels (a multiple of the ratio).
    epochs, steps, seconds
        Budget. An epoch is one pass over as many patches as tile the training scenes without overlap. Seconds are
        those that training takes, validation included and summed over interruptions; results of a budget in seconds
        depend on the machine and do not repeat to the bit.
    schedule
        `"constant"`, `"cosine"` (to zero at the end of the budget) or `"step"`: times `gamma` at each fraction of
        the budget in `milestones`.
    warmup
        Fraction of the budget over which the learning rate rises linearly from zero.
    clip_norm
        Largest norm of the gradient, or None.
    augment
        Random quarter turns and flips of every patch.
    ema
        Decay of an exponential moving average of the weights, which is then what is kept; None for none.
    scaling
        `"none"` feeds images as they are in [0,1]. `"standard"` maps every band of both inputs affinely, outside the
        network, by the training images' statistics, and maps the output back: a band is divided by the geometric mean
        of its own standard deviation and that of all bands, and its mean comes to lie two deviations above 0.
    precision
        Of products on a GPU: `"bf16"` (see `smifbench.numerics`) or `"float32"`. On a CPU all is float32.
    rollbacks
        How often a loss that is not finite sends training back to the last point of its curve, from where it goes on
        at half the learning rate; the next such loss stops it.
    """

    loss: str = "l1"
    optimizer: str = "adam"
    lr: float = 4e-4
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    batch: int = 64
    patch: int = 64
    epochs: float = 2000
    steps: int | None = None
    seconds: float | None = None
    schedule: str = "constant"
    milestones: tuple[float, ...] = ()
    gamma: float = 0.1
    warmup: float = 0.0
    clip_norm: float | None = None
    augment: bool = False
    ema: float | None = None
    scaling: str = "none"
    precision: str = "bf16"
    rollbacks: int = 0


PAPER_RECIPE = Recipe(patch=128)
"""The SMIF-NET paper's recipe for all networks: L1, Adam at 4e-4, batch 64, 2000 epochs; its group's patches of 128."""


class FusionMethod(nn.Module):
    """Base of every method: subclass it once in `methods/<name>.py`.

    A subclass sets `title` and `citation` (a BibTeX key of `methods/references.bib`), takes `(problem, **options)`
    with defaults for all options, calls `super().__init__(problem)` and defines `forward`. A network also states its
    authors' `recipe`; a method that solves instead of learning sets `trainable = False`.
    """

    title: ClassVar[str]
    citation: ClassVar[str]
    recipe: ClassVar[Recipe] = PAPER_RECIPE
    trainable: ClassVar[bool] = True
    dead_parameters: ClassVar[dict[str, str]] = {}
    """Parameters that never receive a gradient: name -> reason."""
    halo: int | None = None
    """How far a fused pixel sees: LR pixels around its own LR pixel; None: over the whole scene. Options may set it.
    A method that declares it can fuse large scenes in tiles."""
    grid: int = 1
    """HR pixels of which the origin and the sides of a tile must be multiples, for its pooling or windows to fall as in
    the whole scene."""
    channels_last: ClassVar[bool] = True
    """Whether a CPU trains faster with images and kernels in channels_last order; a GPU always gets that order."""

    def __init__(self, problem: FusionProblem) -> None:
        super().__init__()
        self.problem = problem
        self.register_forward_pre_hook(_check_inputs)

    def forward(self, lr_hsi: Tensor, hr_msi: Tensor) -> Tensor:
        """Fuse a batch: (B, C, H/r, W/r) and (B, c, H, W), values in [0,1], to the HR-HSI (B, C, H, W)."""
        raise TypeError(f"{type(self).__name__} must define forward(lr_hsi, hr_msi)")

    def training_loss(self, lr_hsi: Tensor, hr_msi: Tensor, hr_hsi: Tensor, loss: str = "l1") -> Tensor:
        """Scalar loss of a batch against `hr_hsi` (B, C, H, W); `loss` is the recipe's name for it."""
        return LOSSES[loss](self(lr_hsi, hr_msi), hr_hsi)

    def for_scene(self, lr_hsi: Tensor, hr_msi: Tensor) -> "FusionMethod":
        """Return a method that fuses tiles of this one scene as this method fuses all of it.

        A solver whose only view of the whole scene is a few statistics takes them here, from (1, C, H/r, W/r) and
        (1, c, H, W), and returns what is then to be done, with its halo.
        """
        return self

    @classmethod
    def skip(cls, problem: FusionProblem) -> str | None:
        """Return the reason why this method cannot take `problem`, or None."""
        return None


def _check_inputs(method: FusionMethod, images: tuple[Tensor, Tensor]) -> None:
    """Refuse images that do not fit the method's problem, in one sentence."""
    if torch.jit.is_tracing():
        return
    lr_hsi, hr_msi = images
    problem = method.problem
    for name, image, channels in (("lr_hsi", lr_hsi, problem.bands), ("hr_msi", hr_msi, problem.msi_bands)):
        if image.ndim != 4 or image.shape[1] != channels:
            raise UserError(f"{name} has shape {tuple(image.shape)}; expected (batch, {channels}, height, width)")
    expected = (lr_hsi.shape[0], lr_hsi.shape[2] * problem.ratio, lr_hsi.shape[3] * problem.ratio)
    if (hr_msi.shape[0], *hr_msi.shape[2:]) != expected:
        raise UserError(
            f"hr_msi has shape {tuple(hr_msi.shape)}; at ratio {problem.ratio} an lr_hsi of {tuple(lr_hsi.shape)} "
            f"needs ({expected[0]}, {problem.msi_bands}, {expected[1]}, {expected[2]})"
        )
