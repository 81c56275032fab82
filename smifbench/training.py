"""The one training loop that all networks share."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from smifbench import metrics
from smifbench.errors import UserError
from smifbench.files import replacing
from smifbench.inference import fuse
from smifbench.method import Recipe
from smifbench.scaling import ScaledNetwork
from smifbench.scenes import Pair

VALIDATIONS = 20
"""Points of the validation curve in a budget."""

SAVE_SECONDS = 60.0
"""Time between two saved states of a half-trained network."""

HISTORY_COLUMNS = ["step", "loss", "lr", "val_psnr", "val_sam", "seconds", "patches_per_second"]


@dataclass(frozen=True)
class Patches:
    """Training scenes on the device, cut into random patches.

    `hr_hsi`, `lr_hsi` and `hr_msi` list one tensor (channels, height, width) for each scene.
    """

    hr_hsi: list[Tensor]
    lr_hsi: list[Tensor]
    hr_msi: list[Tensor]
    ratio: int

    @classmethod
    def load(cls, pairs: Sequence[Pair], ratio: int, device: torch.device) -> "Patches":
        """Copy the pairs of the training split to `device`."""
        images = {
            image: [torch.from_numpy(np.array(getattr(pair, image))).to(device) for pair in pairs]
            for image in ("hr_hsi", "lr_hsi", "hr_msi")
        }
        return cls(**images, ratio=ratio)

    def per_epoch(self, patch: int) -> int:
        """Return the number of patches that tile the scenes without overlap."""
        return sum((cube.shape[1] // patch) * (cube.shape[2] // patch) for cube in self.hr_hsi)

    def sample(self, count: int, patch: int, augment: bool, generator: torch.Generator) -> list[Tensor]:
        """Draw `count` patches: batches of lr_hsi, hr_msi and hr_hsi, each (count, channels, height, width).

        Scenes are drawn in proportion to their area, positions uniformly on the LR grid. `augment` applies one random
        symmetry of the square to each patch.
        """
        areas = torch.tensor([cube.shape[1] * cube.shape[2] for cube in self.lr_hsi], dtype=torch.float64)
        draws = torch.rand(count, 4, generator=generator, dtype=torch.float64)
        scenes = torch.searchsorted(areas.cumsum(0) / areas.sum(), draws[:, 0].contiguous()).tolist()
        side = patch // self.ratio
        batch = []
        for scene, (_, row, column, symmetry) in zip(scenes, draws.tolist(), strict=True):
            height, width = self.lr_hsi[scene].shape[1:]
            top, left = int(row * (height - side + 1)), int(column * (width - side + 1))
            cuts = [
                cube[scene][:, top * step : (top + side) * step, left * step : (left + side) * step]
                for cube, step in ((self.lr_hsi, 1), (self.hr_msi, self.ratio), (self.hr_hsi, self.ratio))
            ]
            batch.append([_symmetry(cut, int(symmetry * 8)) for cut in cuts] if augment else cuts)
        return [torch.stack(cuts) for cuts in zip(*batch, strict=True)]


def _symmetry(image: Tensor, which: int) -> Tensor:
    turned = torch.rot90(image, which % 4, (1, 2))
    return turned.flip(2) if which >= 4 else turned


def steps_of(recipe: Recipe, patches_per_epoch: int) -> int:
    """Return the recipe's budget in steps."""
    return recipe.steps or math.ceil(recipe.epochs * patches_per_epoch / recipe.batch)


def learning_rate_factor(recipe: Recipe, done: float) -> float:
    """Return what the recipe's learning rate is multiplied by when the fraction `done` of the budget is spent."""
    if done < recipe.warmup:
        return done / recipe.warmup
    if recipe.schedule == "constant":
        return 1.0
    if recipe.schedule == "cosine":
        return 0.5 + 0.5 * math.cos(math.pi * (done - recipe.warmup) / (1 - recipe.warmup))
    if recipe.schedule == "step":
        return recipe.gamma ** sum(done >= milestone for milestone in recipe.milestones)
    raise UserError(f"unknown schedule '{recipe.schedule}' in a recipe; known: constant, cosine, step")


def _optimizer(recipe: Recipe, model: ScaledNetwork) -> torch.optim.Optimizer:
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    if recipe.optimizer not in kinds:
        raise UserError(f"unknown optimizer '{recipe.optimizer}' in a recipe; known: {', '.join(kinds)}")
    return kinds[recipe.optimizer](
        model.parameters(), lr=recipe.lr, betas=tuple(recipe.betas), weight_decay=recipe.weight_decay, foreach=True
    )


class Training:
    """A network being trained: everything that a saved state must hold, and the loop.

    Parameters
    ----------
    model
        The network; its scaling must be fitted.
    patches, validation
        Training scenes on the device, and pairs on which a curve is reported. The curve decides nothing.
    recipe
        Loss, optimizer, schedule, budget.
    seed
        Decides the order of the patches.
    state
        File of the half-trained state, or None to keep none.
    """

    def __init__(
        self,
        model: ScaledNetwork,
        patches: Patches,
        validation: Sequence[Pair],
        recipe: Recipe,
        seed: int,
        state: Path | None = None,
        fingerprint: str = "",
    ) -> None:
        smallest = min(min(cube.shape[1:]) for cube in patches.hr_hsi)
        if recipe.patch % patches.ratio or recipe.patch > smallest:
            raise UserError(
                f"recipe.patch is {recipe.patch}; it must be a multiple of ratio {patches.ratio} and at most "
                f"{smallest}, the smallest side of a training scene"
            )
        self.model, self.patches, self.validation, self.recipe = model, patches, validation, recipe
        self.steps = steps_of(recipe, patches.per_epoch(recipe.patch))
        self.optimizer = _optimizer(recipe, model)
        self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema)) if recipe.ema else None
        self.generator = torch.Generator().manual_seed(seed)
        self.state, self.fingerprint = state, fingerprint
        self.device = patches.hr_hsi[0].device
        self.step, self.seconds = 0, 0.0
        self.history: list[dict] = []
        self.losses: list[Tensor] = []
        """Losses since the last row of the history."""

    def run(self, progress: Callable[..., tqdm] = tqdm) -> None:
        """Train to the end of the budget, going on from the saved state where there is one."""
        self._restore()
        validate_every = max(1, self.steps // VALIDATIONS)
        started, saved = time.monotonic() - self.seconds, time.monotonic()
        with progress(total=self.steps, initial=self.step) as bar:
            while self.step < self.steps:
                self.losses.append(self._one_step())
                self.step += 1
                self.seconds = time.monotonic() - started
                bar.update()
                if self.step % validate_every == 0 or self.step == self.steps:
                    self._record()
                    bar.set_postfix(loss=f"{self.history[-1]['loss']:.3g}", psnr=f"{self.history[-1]['val_psnr']:.2f}")
                if time.monotonic() - saved > SAVE_SECONDS:
                    self._save()
                    saved = time.monotonic()

    def finished(self) -> ScaledNetwork:
        """Return the network to be kept: the averaged one where the recipe asks for it."""
        return self.average.module if self.average else self.model

    def _one_step(self) -> Tensor:
        recipe = self.recipe
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.lr * learning_rate_factor(recipe, self.step / self.steps)
        lr_hsi, hr_msi, hr_hsi = self.patches.sample(recipe.batch, recipe.patch, recipe.augment, self.generator)
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.model.training_loss(lr_hsi, hr_msi, hr_hsi, recipe.loss)
        loss.backward()
        if recipe.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip_norm)
        self.optimizer.step()
        if self.average:
            self.average.update_parameters(self.model)
        return loss.detach()

    def _record(self) -> None:
        loss = float(torch.stack(self.losses).mean())
        self.losses = []
        if not math.isfinite(loss):
            raise UserError(
                f"the loss became {loss} by step {self.step}; lower recipe.lr or set recipe.clip_norm for this method"
            )
        scores = []
        for pair in self.validation:
            estimate = fuse(self.finished(), pair.lr_hsi, pair.hr_msi, self.device).clip(0, 1)
            scores.append((metrics.psnr(pair.hr_hsi, estimate), metrics.sam(pair.hr_hsi, estimate)))
        psnr, sam = np.mean(scores, axis=0) if scores else (math.nan, math.nan)
        rate = self.optimizer.param_groups[0]["lr"]
        speed = self.step * self.recipe.batch / self.seconds
        values = (self.step, loss, rate, float(psnr), float(sam), self.seconds, speed)
        self.history.append(dict(zip(HISTORY_COLUMNS, values, strict=True)))

    def _save(self) -> None:
        if self.state is None:
            return
        state = {
            "fingerprint": self.fingerprint,
            "model": self.model.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "optimizer": self.optimizer.state_dict(),
            "patches": self.generator.get_state(),
            "torch": torch.get_rng_state(),
            "step": self.step,
            "seconds": self.seconds,
            "history": self.history,
            "losses": self.losses,
        }
        with replacing(self.state) as temporary:
            torch.save(state, temporary)

    def _restore(self) -> None:
        if self.state is None or not self.state.exists():
            return
        state = torch.load(self.state, weights_only=True)
        if state["fingerprint"] != self.fingerprint:
            return
        self.model.load_state_dict(state["model"])
        if self.average:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["patches"])
        torch.set_rng_state(state["torch"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.history, self.losses = state["history"], state["losses"]
