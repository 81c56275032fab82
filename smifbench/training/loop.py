"""The training loop, the same for all networks.

Scenes, batches and losses stay on the device. Of every step the loss and the norm of its gradient are noted there. On
a GPU the notes are looked at only every `LOOK_STEPS` steps, because a look waits until the GPU has computed them; on a
CPU at each step, which costs nothing there. Before weights are kept for whatever use, they are looked at themselves.
"""

import copy
import logging
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import get_ema_multi_avg_fn
from tqdm import tqdm

from smifbench import metrics
from smifbench.degradation.pairs import Pair
from smifbench.errors import MachineError, UserError, first_line
from smifbench.fusion.scaled import ScaledNetwork
from smifbench.fusion.tiles import fuse
from smifbench.method import Recipe
from smifbench.system.devices import device_name
from smifbench.system.files import write_csv
from smifbench.system.memory import memory_ran_out
from smifbench.system.precision import fast_on_gpu
from smifbench.system.signals import interruption
from smifbench.training.checkpoint import Checkpoint
from smifbench.training.muon import Muon
from smifbench.training.patches import Batch, Patches

logger = logging.getLogger(__name__)

VALIDATIONS = 20
"""Points of the validation curve in a budget."""

SAVE_SECONDS = 60.0
"""Time between two saved states of a half-trained network."""

LOOK_STEPS = 50
"""Steps between two looks at losses and gradients on a GPU; a look pauses training for well under one step."""

PIECE_PIXELS = 4 * 128 * 128
"""HR pixels that pass through a network at once on a CPU. With larger pieces, feature maps of tens of MB do not stay in
the caches, which halves the speed of SSR-NET."""

HISTORY_COLUMNS = ["step", "loss", "lr", "val_psnr", "val_sam", "seconds", "patches_per_second", "memory_mb"]


def steps_of(recipe: Recipe, patches_per_epoch: int) -> int:
    """Return the recipe's budget in steps, where it is not one in seconds."""
    return recipe.steps or math.ceil(recipe.epochs * patches_per_epoch / recipe.batch)


def learning_rate_factor(recipe: Recipe, done: float) -> float:
    """Return what the recipe's learning rate is multiplied by when the fraction `done` of the budget is spent."""
    if done < recipe.warmup:
        return done / recipe.warmup
    if recipe.schedule == "constant":
        return 1.0
    if recipe.schedule == "cosine":
        return 0.5 + 0.5 * math.cos(math.pi * (done - recipe.warmup) / (1 - recipe.warmup))
    return recipe.gamma ** sum(done >= milestone for milestone in recipe.milestones)


def _optimizer(recipe: Recipe, model: ScaledNetwork) -> torch.optim.Optimizer:
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "muon": Muon}[recipe.optimizer]
    first, second = recipe.betas
    return kind(model.parameters(), lr=recipe.lr, betas=(first, second), weight_decay=recipe.weight_decay, fused=True)


def _couples_patches(model: ScaledNetwork) -> bool:
    """Tell whether the network normalises over all patches that pass through it at once."""
    return any(isinstance(layer, _BatchNorm) for layer in model.modules())


def _piece(recipe: Recipe, model: ScaledNetwork, device: torch.device) -> int:
    """Return how many patches are to pass through the network at once, as long as memory does not run out."""
    if device.type != "cpu" or _couples_patches(model):
        return recipe.batch
    return min(recipe.batch, max(1, PIECE_PIXELS // recipe.patch**2))


class Training:
    """A network being trained: everything that a saved state must hold, and the loop.

    Parameters
    ----------
    model
        The network on its device. Its scaling is fitted to the training pairs, and its kernels are put into the memory
        order that trains fastest.
    train, validation
        Pairs to train on, and pairs on which the validation curve is measured. The curve is only reported.
    recipe
        Loss, optimizer, schedule, budget.
    seed
        Seed of the random patches.
    state
        Folder for the half-trained state and the history so far, or None to keep none.
    fingerprint
        Names all that decides the training, so that a state of another one is refused.
    """

    def __init__(
        self,
        model: ScaledNetwork,
        train: Sequence[Pair],
        validation: Sequence[Pair],
        recipe: Recipe,
        seed: int,
        state: Path | None = None,
        fingerprint: str = "",
    ) -> None:
        self.device = next(model.parameters()).device
        patches = Patches.load(train, model.network.problem.ratio, self.device)
        if recipe.patch % patches.ratio or recipe.patch > patches.smallest_side:
            raise UserError(
                f"recipe.patch is {recipe.patch}; it must be a multiple of ratio {patches.ratio} and at most "
                f"{patches.smallest_side}, the smallest side of a training scene"
            )
        if patches.lr_missing and not len(patches.whole_places(recipe.patch // patches.ratio)):
            raise UserError(
                f"recipe.patch is {recipe.patch}, but no square of that size in the training scenes is free of missing "
                "pixels; lower it"
            )
        model.network.check_recipe(recipe)
        model.fit(recipe.scaling, *patches.valid_pixels())
        model.scale(patches.hr_hsi, patches.lr_hsi, patches.hr_msi)
        self.model, self.patches, self.validation, self.recipe = model, patches, validation, recipe
        on_gpu = self.device.type == "cuda"
        self.bf16 = recipe.precision == "bf16-anywhere" or (on_gpu and recipe.precision == "bf16")
        self.channels_last = on_gpu or model.network.channels_last
        if self.channels_last:
            for weight in model.parameters():
                if weight.ndim == 4:
                    weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        self._eager_loss = model.network.training_loss
        # Compiling takes a minute or more, which is won back on a GPU but not on a CPU. CUDA graphs would spare small
        # networks the time of launching kernels; docs/performance.md says why they are not used.
        self.loss = torch.compile(self._eager_loss, dynamic=False) if on_gpu else self._eager_loss
        self.warm = not on_gpu
        """False until the kernels of `loss` for batches of this size are compiled."""
        self.steps = steps_of(recipe, patches.per_epoch(recipe.patch))
        self.optimizer = _optimizer(recipe, model)
        self.average = copy.deepcopy(model) if recipe.ema else None
        self.generator = torch.Generator().manual_seed(seed)
        self.checkpoint = Checkpoint(state, fingerprint) if state else None
        self.piece = _piece(recipe, model, self.device)
        """Patches that pass through the network at once; gradients of a batch's pieces add up."""
        self.smallest_piece = self.piece
        self.step, self.seconds, self.rollbacks = 0, 0.0, 0
        """Steps taken, the time that they took, and how often training went back."""
        self.since = time.monotonic()
        """Until when the time of steps is counted in `seconds`."""
        self.history: list[dict] = []
        self.losses: list[float] = []
        """Losses that were looked at since the last row of the history."""
        self.unseen: list[tuple[int, Tensor, Tensor]] = []
        """Step, loss with norm of the gradient (2,), and scenes of the batches that are not looked at yet."""
        self.good: dict | None = None
        """State to roll back to, where the recipe allows it."""

    def run(self, progress: Callable[..., tqdm] = tqdm) -> None:
        """Train to the end of the budget, from the saved state on where there is one.

        Raises
        ------
        UserError
            When the loss, the gradient or the weights become NaN or infinite.
        MachineError
            When one patch does not fit into memory, or SIGTERM or SIGINT came; then the state has been saved.
        """
        self._restore()
        self.model.train()
        if broken := self._overflow():
            raise UserError(f"{broken}; check the values that the method starts with")
        if self.recipe.rollbacks and self.good is None:
            self.good = copy.deepcopy(self._state())
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        spent, budget, unit = self._spent()
        self.since = saved = time.monotonic()
        with (
            interruption() if self.checkpoint else nullcontext(lambda: None) as signal,
            progress(total=int(budget), initial=int(spent), unit=unit) as bar,
        ):
            logger.info("training starts at %.0f of %.0f %s on %s", spent, budget, unit, self.device)
            while spent < budget:
                self.one_step()
                self._count_time()
                before, (spent, budget, _) = spent, self._spent()
                bar.update(int(min(spent, budget)) - bar.n)
                records = VALIDATIONS * spent // budget > VALIDATIONS * before // budget
                stopped_by = signal()
                saves = stopped_by is not None or time.monotonic() - saved > SAVE_SECONDS
                if not self.healthy(now=records or saves):
                    spent = self._spent()[0]
                    continue
                with self._stopped_clock():
                    if records:
                        self._record()
                        last = self.history[-1]
                        bar.set_postfix(loss=f"{last['loss']:.3g}", psnr=f"{last['val_psnr']:.2f}")
                    if saves:
                        self._save()
                        saved = time.monotonic()
                if stopped_by and self.checkpoint:
                    raise MachineError(
                        f"training was stopped by {stopped_by} after step {self.step}; run the same command again to "
                        f"go on from the state in {self.checkpoint.folder}"
                    )

    def _count_time(self) -> None:
        now = time.monotonic()
        self.seconds, self.since = self.seconds + now - self.since, now

    @contextmanager
    def _stopped_clock(self) -> Iterator[None]:
        """Leave the time inside the block out of `seconds`."""
        self._count_time()
        yield
        self.since = time.monotonic()

    def remark(self) -> str:
        """Say what in this training depended on the machine's memory, for the rows of its results; "" for nothing."""
        if self.smallest_piece == self.recipe.batch or not _couples_patches(self.model):
            return ""
        return (
            f"batch normalisation saw {self.smallest_piece} of {self.recipe.batch} patches at once, because more did "
            "not fit into the memory"
        )

    def finished(self) -> ScaledNetwork:
        """Return the trained network, with its kernels in torch's usual memory order, which files have too."""
        for weight in self._kept.parameters():
            weight.data = weight.data.contiguous()
        return self._kept

    def one_step(self) -> None:
        """Take one step on a batch of patches."""
        recipe = self.recipe
        spent, budget, _ = self._spent()
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.lr * learning_rate_factor(recipe, spent / budget) / 2**self.rollbacks
        batch = self.patches.sample(recipe.batch, recipe.patch, recipe.augment, self.generator, recipe.cover_borders)
        if not self.channels_last:
            batch = Batch(*(part.contiguous() for part in batch))
        with fast_on_gpu(self.bf16 and self.device.type == "cuda"):
            loss = self._gradients(batch)
        self.smallest_piece = min(self.smallest_piece, self.piece)
        if not self.warm:
            self._finish_compiling()
        weights = [weight for weight in self.model.parameters() if weight.grad is not None]
        norm = torch.nn.utils.get_total_norm([cast(Tensor, weight.grad) for weight in weights])
        if recipe.clip_norm:
            torch.nn.utils.clip_grads_with_norm_(weights, recipe.clip_norm, norm)
        self.optimizer.step()
        if self.average:
            self._update_average()
        self.step += 1
        self.unseen.append((self.step, torch.stack([loss, norm]), batch.scenes))

    def healthy(self, now: bool = True) -> bool:
        """Look at losses and gradients since the last look, if `now` is true or enough steps have passed.

        With `now`, the weights are looked at too, which alone may leave a step of finite gradients for infinity.

        Returns False when something was not finite and training went back; raises UserError where the recipe does not
        allow that.
        """
        if not self.unseen or not (now or self.device.type == "cpu" or len(self.unseen) >= LOOK_STEPS):
            return True
        noted = torch.stack([values for _, values, _ in self.unseen]).tolist()
        sentence = self._mishap(noted) or (self._overflow() if now else "")
        if not sentence:
            self.losses += [loss for loss, _ in noted]
            self.unseen = []
            return True
        if self.good is None or self.rollbacks == self.recipe.rollbacks:
            raise UserError(f"{sentence}; lower recipe.lr, set recipe.clip_norm, or allow recipe.rollbacks")
        rollbacks, seconds = self.rollbacks + 1, self.seconds
        self._take(copy.deepcopy(self.good))  # a copy, because the optimizer works on the tensors that it is given
        self.rollbacks, self.seconds = rollbacks, seconds
        logger.warning("%s; training goes back to step %d, at half the learning rate", sentence, self.step)
        return False

    def _mishap(self, noted: list[list[float]]) -> str:
        """Say at which of the steps not looked at yet a loss or gradient was not finite first, and on what; or ""."""
        for (step, _, scenes), (loss, norm) in zip(self.unseen, noted, strict=True):
            if not (math.isfinite(loss) and math.isfinite(norm)):
                what = f"norm of the gradient became {norm}" if math.isfinite(loss) else f"loss became {loss}"
                names = ", ".join(self.patches.names[scene] for scene in scenes.unique().tolist())
                return f"the {what} at step {step}, on patches of {names}"
        return ""

    def _overflow(self) -> str:
        """Name a weight, a running mean or a memory of the optimizer that is not finite; "" where all are."""
        tensors: dict[str, Tensor] = dict(self.model.named_parameters())
        tensors |= {name: buffer for name, buffer in self.model.named_buffers() if "running_" in name}
        if self.average:
            tensors |= {f"average of {name}": tensor for name, tensor in self._kept.named_parameters()}
        for name, weight in self.model.named_parameters():
            tensors |= {f"{key} of {name}": value for key, value in self.optimizer.state.get(weight, {}).items()}
        finite = torch.stack([tensor.isfinite().all().to(self.device) for tensor in tensors.values()]).tolist()
        broken = [name for name, whole in zip(tensors, finite, strict=True) if not whole]
        return f"{broken[0]} is no longer finite after step {self.step}" if broken else ""

    @property
    def _kept(self) -> ScaledNetwork:
        """The averaged network where the recipe asks for it, else the trained one."""
        return self.average or self.model

    def _spent(self) -> tuple[float, float, str]:
        """Return how much of the budget is spent, the budget, and the unit of both."""
        if self.recipe.seconds:
            return self.seconds, self.recipe.seconds, "s"
        return self.step, self.steps, "step"

    def _gradients(self, batch: Batch) -> Tensor:
        """Compute the loss of a batch and its gradients; after a failure, try again in smaller pieces or uncompiled."""
        while True:
            try:
                return self._accumulate(batch)
            except Exception as error:
                remedy = self._remedy(error)
            # After the handler, because the error holds tensors of the failed attempt as long as it is handled.
            logger.warning("step %d: %s", self.step + 1, remedy)
            self.warm = False
            if self.device.type == "cuda":
                torch.cuda.empty_cache()  # for what allocates past torch: kernels to be loaded, workspaces
                torch.cuda.reset_peak_memory_stats(self.device)

    def _finish_compiling(self) -> None:
        """Leave the step so far out of `seconds`: it went to compiling, or to attempts that failed."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.since, self.warm = time.monotonic(), True

    @torch.no_grad()
    def _update_average(self) -> None:
        """Move the average towards the weights: fast at first, so that it soon forgets what training began with."""
        average = cast(ScaledNetwork, self.average)
        decay = min(cast(float, self.recipe.ema), (1 + self.step) / (10 + self.step))
        get_ema_multi_avg_fn(decay)(list(average.parameters()), list(self.model.parameters()), self.step)
        for kept, now in zip(average.buffers(), self.model.buffers(), strict=True):
            kept.copy_(now)

    def _accumulate(self, batch: Batch) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        for lr_hsi, hr_msi, hr_hsi in zip(*(image.split(self.piece) for image in batch[:3]), strict=True):
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                loss = self.loss(lr_hsi, hr_msi, hr_hsi, self.recipe.loss) * (len(lr_hsi) / self.recipe.batch)
            loss.backward()
            total += loss.detach()
        return total

    def _remedy(self, error: Exception) -> str:
        """Change what may help against an error and describe the change; raise the error where nothing helps."""
        out_of_memory = memory_ran_out(error)
        if out_of_memory and self.piece > 1:
            self.piece = (self.piece + 1) // 2
            return f"out of memory; from now on the network gets at most {self.piece} patches of a batch at once"
        if out_of_memory:
            raise MachineError(
                f"not even one patch of {self.recipe.patch} x {self.recipe.patch} pixels fits into the memory of "
                f"{self.device}; lower recipe.patch or take a device with more"
            ) from error
        if self.loss != self._eager_loss:
            self.loss = self._eager_loss
            return f"torch.compile failed, so the network runs uncompiled ({first_line(error)})"
        raise error

    def _record(self) -> None:
        loss = float(torch.tensor(self.losses).mean())
        self.losses = []
        scores = []
        for pair in self.validation:
            estimate = fuse(self._kept, pair.lr_hsi, pair.hr_msi, self.device).clip(0, 1)
            images = [metrics.valid_pixels(image, pair.missing) for image in (pair.hr_hsi, estimate)]
            scores.append((metrics.psnr(*images), metrics.sam(*images)))
        self.model.train()
        psnr, sam = np.mean(scores, axis=0) if scores else (math.nan, math.nan)
        rate = self.optimizer.param_groups[0]["lr"]
        speed = self.step * self.recipe.batch / self.seconds if self.seconds else math.nan
        values = (self.step, loss, rate, float(psnr), float(sam), self.seconds, speed, _peak_memory_mb(self.device))
        self.history.append(dict(zip(HISTORY_COLUMNS, values, strict=True)))
        if self.recipe.rollbacks:
            self.good = copy.deepcopy(self._state())
        if self.checkpoint:
            write_csv(self.checkpoint.folder / "history.csv", self.history, HISTORY_COLUMNS)

    def _state(self) -> dict:
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "optimizer": self.optimizer.state_dict(),
            "patches": self.generator.get_state(),
            "random": torch.get_rng_state(),
            "random_on_gpu": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
            "piece": self.piece,
            "smallest_piece": self.smallest_piece,
            "device": device_name(self.device),
            "step": self.step,
            "seconds": self.seconds,
            "rollbacks": self.rollbacks,
            "history": list(self.history),
            "losses": list(self.losses),
        }

    def _take(self, state: dict) -> None:
        """Continue from `state`."""
        self.model.load_state_dict(state["model"])
        if self.average:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["patches"].cpu())
        torch.set_rng_state(state["random"].cpu())
        if state["random_on_gpu"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["random_on_gpu"].cpu(), self.device)
        if state["device"] == device_name(self.device):  # what one device has memory for says nothing about another
            self.piece = min(self.piece, state["piece"])
        self.smallest_piece = min(self.smallest_piece, state["smallest_piece"])
        self.step, self.seconds, self.rollbacks = state["step"], state["seconds"], state["rollbacks"]
        self.history, self.losses = state["history"], state["losses"]
        self.unseen = []

    def _save(self) -> None:
        if self.checkpoint:
            self.checkpoint.save({**self._state(), "good": self.good})

    def _restore(self) -> None:
        state = self.checkpoint.load(self.device) if self.checkpoint else None
        if state:
            self.good = state["good"]
            self._take(state)


def _peak_memory_mb(device: torch.device) -> float:
    """Return the most memory in MB (10^6 bytes) that torch held on a GPU, or this process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    try:
        import resource
    except ModuleNotFoundError:  # only Unix has it; the column is for reading, no number depends on it
        return math.nan
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
