"""The base class of every method, `FusionMethod`, and the `Recipe` by which a network is trained."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from smifbench.errors import UserError
from smifbench.problem import FusionProblem

# Means, written as sums: the gradient of torch's mean loses the images' memory order, and then a step of a network in
# channels_last order takes a tenth longer.
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": lambda estimate, truth: (estimate - truth).abs().sum() / truth.numel(),
    "mse": lambda estimate, truth: (estimate - truth).square().sum() / truth.numel(),
    "rmse": lambda estimate, truth: (_patch_mse(estimate, truth) + LEAST_MSE).sqrt().sum() / len(truth),
}

LEAST_MSE = 1e-12
"""Mean square of an error too small to matter, at which the root still has a gradient."""


def _patch_mse(estimate: Tensor, truth: Tensor) -> Tensor:
    """Mean squared error (B,) of every patch."""
    return (estimate - truth).square().sum((1, 2, 3)) / truth[0].numel()


OPTIMIZERS = ("adam", "adamw", "muon")
SCHEDULES = ("constant", "cosine", "step")
SCALINGS = ("none", "standard")
PRECISIONS = ("bf16", "bf16-anywhere", "float32")


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. The budget is `seconds` where given, else `steps` where given, else `epochs`.

    Parameters
    ----------
    loss
        `"l1"` or `"mse"`, the mean over all values; `"rmse"`, the root of the mean square over a patch, averaged over
        patches, so that scenes with small errors count as decibels count them; or a name that the method adds in its
        `losses`.
    optimizer
        `"adam"` (weight decay in Adam's L2 form), `"adamw"` (decoupled) or `"muon"`, which steps equally far in all
        directions of a kernel and takes AdamW for biases.
    lr, betas, weight_decay
        The optimizer's settings.
    batch, patch
        Patches in a batch, and the side of an HR patch in pixels (a multiple of the ratio).
    epochs, steps, seconds
        Budget. An epoch is as many patches as tile the training scenes without overlap. Seconds count steps alone, over
        all parts of an interrupted training: validation, saving and, on a GPU, compiling (with the step that waits for
        it) stop the clock. What is trained for a number of seconds depends on the machine and does not repeat to the
        bit.
    schedule
        `"constant"`, `"cosine"` (to zero at the end of the budget) or `"step"`: times `gamma` at each fraction of
        the budget in `milestones`.
    warmup
        Fraction of the budget over which the learning rate rises linearly from zero.
    clip_norm
        Largest norm of the gradient, or None.
    augment
        Random quarter turns and flips of every patch.
    cover_borders
        Whether pixels at the borders of scenes are in as many patches as those in the middle. Otherwise positions of
        patches are drawn uniformly, and the outermost pixels are in few.
    ema
        Decay of an exponential moving average of the weights, which is then kept in their place; None for no average.
        After n steps it is at most (1 + n) / (10 + n), so that an average soon forgets what training began with.
    scaling
        `"none"` gives the network the images as they are, in [0,1]. `"standard"` maps every band of both images by a
        shift and a factor, which are fitted to the training images, and maps the network's output back: a band is
        divided by the geometric mean of its own standard deviation and that of all bands, and its mean is then two
        deviations above 0.
    precision
        Precision of products in training: `"bf16"` on a GPU and float32 on a CPU, `"bf16-anywhere"` on both, which
        is faster on CPUs that know bfloat16 and slower on others, or `"float32"` (see `smifbench.system.precision`).
    rollbacks
        How many times a loss that is not finite is answered by going back to the last point of the validation curve
        and on at half the learning rate. One more such loss ends the training.

    Raises
    ------
    UserError
        For an unknown optimizer, schedule, scaling or precision. `FusionMethod.check_recipe` checks the loss.
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
    cover_borders: bool = False
    ema: float | None = None
    scaling: str = "none"
    precision: str = "bf16"
    rollbacks: int = 0

    def __post_init__(self) -> None:
        for field, known in (
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
            ("scaling", SCALINGS),
            ("precision", PRECISIONS),
        ):
            if getattr(self, field) not in known:
                raise UserError(f"unknown {field} '{getattr(self, field)}' in a recipe; known: {', '.join(known)}")


PAPER_RECIPE = Recipe(patch=128)
"""The SMIF-NET paper's recipe for all networks: L1, Adam at 4e-4, batches of 64, 2000 epochs. The paper states no size
of patches; 128 is that of its authors' earlier code."""


class FusionMethod(nn.Module):
    """Base of every method: subclass it once in `methods/<name>.py`.

    A subclass sets `title` and `citation` (a BibTeX key of `methods/references.bib`), takes `(problem, **options)`
    with defaults for all options, calls `super().__init__(problem)` and defines `forward`. A network also states its
    authors' `recipe`; a method that solves instead of learning sets `trainable = False`.
    """

    title: str
    citation: str
    recipe: ClassVar[Recipe] = PAPER_RECIPE
    trainable: ClassVar[bool] = True
    losses: ClassVar[tuple[str, ...]] = tuple(LOSSES)
    """Names that `Recipe.loss` may have. A method that adds one computes it in its own `training_loss`."""
    dead_parameters: ClassVar[dict[str, str]] = {}
    """Parameters that never receive a gradient: name -> reason."""
    halo: int | None = None
    """LR pixels around its own one on which a fused pixel depends; None where it depends on the whole scene. A method
    with a halo can fuse large scenes in tiles; the constructor may set it by the options."""
    grid: int = 1
    """Number of HR pixels of which a tile's origin and sides must be multiples, so that pooling or windows inside the
    method fall on the same pixels as in the whole scene."""
    channels_last: ClassVar[bool] = True
    """Whether training on a CPU is faster with images and kernels in channels_last order; a GPU always uses it."""

    def __init__(self, problem: FusionProblem) -> None:
        super().__init__()
        self.problem = problem
        self.register_forward_pre_hook(_check_inputs)

    def forward(self, lr_hsi: Tensor, hr_msi: Tensor) -> Tensor:
        """Fuse a batch: (B, C, H/r, W/r) and (B, c, H, W), values in [0,1], to the HR-HSI (B, C, H, W)."""
        raise TypeError(f"{type(self).__name__} must define forward(lr_hsi, hr_msi)")

    def training_loss(self, lr_hsi: Tensor, hr_msi: Tensor, hr_hsi: Tensor, loss: str = "l1") -> Tensor:
        """Scalar loss of a batch against `hr_hsi` (B, C, H, W); `loss` is the recipe's name for it."""
        estimate = self(lr_hsi, hr_msi)
        check_estimate(estimate, tuple(hr_hsi.shape))
        return LOSSES[loss](estimate, hr_hsi)

    def for_scene(self, lr_hsi: Tensor, hr_msi: Tensor) -> "FusionMethod":
        """Return a method with a halo that fuses tiles of one scene to what this method makes of the whole scene.

        For methods that depend on the whole scene through a few statistics only: they compute these here, from the
        scene's images (1, C, H/r, W/r) and (1, c, H, W). By default the method itself is returned.
        """
        return self

    @classmethod
    def check_recipe(cls, recipe: Recipe) -> None:
        """Raise UserError for a recipe whose loss this method does not know."""
        if recipe.loss not in cls.losses:
            name = cls.__module__.rpartition(".")[2]
            raise UserError(
                f"unknown loss '{recipe.loss}' in a recipe of {name}; known: {', '.join(cls.losses)} (a method "
                "names its own ones in its attribute losses)"
            )

    @classmethod
    def skip(cls, problem: FusionProblem) -> str | None:
        """Return the reason why this method cannot take `problem`, or None."""
        return None


def _check_inputs(method: FusionMethod, images: tuple[Tensor, Tensor]) -> None:
    """Raise UserError for images that do not fit the method's problem."""
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


def check_estimate(estimate: object, shape: tuple[int, ...]) -> None:
    """Raise UserError for an estimate of another shape, which a loss or a scaling might broadcast to the right one."""
    if torch.jit.is_tracing():
        return
    if not isinstance(estimate, Tensor):
        raise UserError(f"forward returned {type(estimate).__name__} instead of a tensor of shape {shape}")
    if tuple(estimate.shape) != shape:
        raise UserError(f"forward returned shape {tuple(estimate.shape)} instead of {shape}")
