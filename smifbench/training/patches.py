"""Training scenes on the device, from which batches of random patches are cut there."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor

from smifbench.degradation.pairs import Pair


class Batch(NamedTuple):
    """Patches (B, C, h, w), (B, c, H, W) and (B, C, H, W) in channels_last order; on the CPU, their scenes (B,)."""

    lr_hsi: Tensor
    hr_msi: Tensor
    hr_hsi: Tensor
    scenes: Tensor


@dataclass(frozen=True)
class Patches:
    """Training scenes as lists of pixels. A batch is one look-up by pixel numbers, whatever sizes the scenes have.

    `hr_hsi` (N, C), `hr_msi` (N, c) and `lr_hsi` (N/r^2, C) hold the pixels of all scenes, one scene after another and
    row by row. `lr_sizes` (scenes, 2) are heights and widths of the LR images, on the CPU; `names` are the scenes'.
    `lr_missing` are masks (H/r, W/r) of LR pixels that no patch may touch, one for each scene, or none at all; `places`
    remembers `whole_places`.

    Values stay float32: half precision would save a tenth of the look-up, which is a few hundredths of a step, and the
    largest data set here fits into a GPU several times. LR patches are cut from the scene's LR image, not simulated
    from the HR patch: where the PSF stays within its block both are the same, and elsewhere only the cut knows the
    pixels around the patch.
    """

    hr_hsi: Tensor
    lr_hsi: Tensor
    hr_msi: Tensor
    lr_sizes: Tensor
    names: tuple[str, ...]
    ratio: int
    lr_missing: tuple[np.ndarray, ...] = ()
    places: dict[int, Tensor] = field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, pairs: Sequence[Pair], ratio: int, device: torch.device) -> "Patches":
        """Copy the pairs of the training split to `device`."""
        hr_hsi, lr_hsi, hr_msi = (
            _pixels([getattr(pair, image) for pair in pairs], device) for image in ("hr_hsi", "lr_hsi", "hr_msi")
        )
        sizes = torch.tensor([pair.lr_hsi.shape[1:] for pair in pairs])
        masks: tuple[np.ndarray, ...] = ()
        if any(pair.lr_missing is not None for pair in pairs):
            whole = (np.zeros(pair.lr_hsi.shape[1:], bool) for pair in pairs)
            masks = tuple(
                none if pair.lr_missing is None else np.array(pair.lr_missing)
                for none, pair in zip(whole, pairs, strict=True)
            )
        names = tuple(pair.scene for pair in pairs)
        return cls(hr_hsi, lr_hsi, hr_msi, sizes, names, ratio, masks)

    @property
    def smallest_side(self) -> int:
        """Length in pixels of the shortest side of an HR image."""
        return int(self.lr_sizes.min()) * self.ratio

    def per_epoch(self, patch: int) -> int:
        """Return the number of patches that tile the scenes without overlap."""
        return int((self.lr_sizes * self.ratio // patch).prod(1).sum())

    def valid_pixels(self) -> tuple[Tensor, Tensor]:
        """Pixels (n, C) of the LR-HSIs and (N, c) of the HR-MSIs, without missing LR pixels and their blocks."""
        if not self.lr_missing:
            return self.lr_hsi, self.hr_msi
        valid = [~missing for missing in self.lr_missing]
        lr, hr = (
            torch.from_numpy(np.concatenate([mask.repeat(times, 0).repeat(times, 1).ravel() for mask in valid]))
            for times in (1, self.ratio)
        )
        return self.lr_hsi[lr.to(self.lr_hsi.device)], self.hr_msi[hr.to(self.hr_msi.device)]

    def whole_places(self, side: int) -> Tensor:
        """Scene, top and left (n, 3) of all squares of `side` LR pixels that touch no missing one."""
        if side not in self.places:
            self.places[side] = self._find_whole_places(side)
        return self.places[side]

    def _find_whole_places(self, side: int) -> Tensor:
        found = [torch.empty(0, 3, dtype=torch.int64)]
        for scene, missing in enumerate(self.lr_missing):
            if side > min(missing.shape):
                continue
            touched = sliding_window_view(missing, (side, side)).any((2, 3))
            places = torch.from_numpy(np.argwhere(~touched))
            found.append(torch.cat((torch.full((len(places), 1), scene), places), 1))
        return torch.cat(found)

    def sample(
        self, count: int, patch: int, augment: bool, generator: torch.Generator, cover_borders: bool = False
    ) -> Batch:
        """Draw a batch of `count` patches with HR sides of `patch`, a multiple of the ratio.

        Scenes are drawn in proportion to their area, positions uniformly on the LR grid; where pixels are missing, from
        all places of all scenes at which a patch touches none. With `cover_borders`, positions are drawn from beyond
        the borders too and moved inside, so that border pixels are in as many patches as others; among missing pixels
        it changes nothing. `augment` applies one random symmetry of the square to each patch. The CPU's `generator`
        decides, so that all devices cut the same patches.
        """
        draws = torch.rand(count, 4, generator=generator, dtype=torch.float64)
        areas = self.lr_sizes.prod(1).double().cumsum(0)
        side = patch // self.ratio
        if self.lr_missing:
            places = self.whole_places(side)
            drawn = places[(draws[:, 0] * len(places)).long()]
            scenes, corners = drawn[:, 0], drawn[:, 1:]
        else:
            scenes = torch.searchsorted(areas[:-1] / areas[-1], draws[:, 0].contiguous())
            room, beyond = self.lr_sizes[scenes] - side, (side - 1) * cover_borders
            corners = (draws[:, 1:3] * (room + 1 + 2 * beyond)).long() - beyond
            corners = corners.clamp_min(0).minimum(room)
        symmetries = (draws[:, 3] * 8).long() * augment
        starts = torch.cat((areas.new_zeros(1), areas[:-1])).long()[scenes]
        cut = starts, self.lr_sizes[scenes, 1], corners[:, 0], corners[:, 1]
        cuts = torch.stack((*_cut(*cut, step=1), *_cut(*cut, step=self.ratio), symmetries))
        cuts = cuts.to(self.hr_hsi.device, non_blocking=True)  # a copy that blocks would wait for the step before
        lr_first, lr_width, hr_first, hr_width, symmetry = cuts
        lr_numbers = _numbers(lr_first, lr_width, symmetry, side)
        hr_numbers = _numbers(hr_first, hr_width, symmetry, patch)
        images = self.lr_hsi[lr_numbers], self.hr_msi[hr_numbers], self.hr_hsi[hr_numbers]
        lr_hsi, hr_msi, hr_hsi = (image.permute(0, 3, 1, 2) for image in images)
        return Batch(lr_hsi, hr_msi, hr_hsi, scenes)


def _pixels(images: Sequence[np.ndarray], device: torch.device) -> Tensor:
    """Join images (C, H, W) to one list of pixels (N, C)."""
    counts = [image[0].size for image in images]
    pixels = torch.empty(sum(counts), len(images[0]), device=device)
    for part, image in zip(pixels.split(counts), images, strict=True):
        part.copy_(torch.from_numpy(np.array(image)).flatten(1).T)
    return pixels


def _cut(start: Tensor, width: Tensor, top: Tensor, left: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """First pixel number and scene width (B,) of cuts at `step` times the LR grid, on which they are given."""
    return step * (step * (start + top * width) + left), width * step


@cache
def _symmetries(side: int, device: torch.device) -> Tensor:
    """Rows and columns (2, 8, side, side) of a square's pixels under its eight symmetries, kept for later batches."""
    square = torch.arange(side * side, device=device).view(side, side)
    turned = torch.stack([torch.rot90(square, turns) for turns in range(4)])
    numbers = torch.cat((turned, turned.flip(2)))
    return torch.stack((numbers // side, numbers % side))


def _numbers(first: Tensor, width: Tensor, symmetry: Tensor, side: int) -> Tensor:
    """Pixel numbers (B, side, side) of square cuts, in the order of their symmetry.

    Of each cut (B,): its first pixel, the width of its scene and the number of its symmetry. All else is computed on
    the CPU before, because what a GPU does for a small network takes less time than its launch.
    """
    rows, columns = _symmetries(side, first.device)[:, symmetry]
    return torch.addcmul(first[:, None, None], rows, width[:, None, None]) + columns
