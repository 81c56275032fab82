"""Fusing one image pair with a method, checked: whole, or in tiles where the memory is too small for that.

A tile is fused with a frame as wide as the method's halo, and the frame is thrown away: what is kept saw all that it
sees in the whole scene. What a method needs for a pixel is measured on a corner of the scene.
"""

import logging
import math
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import nn

from smifbench.errors import UserError
from smifbench.method import FusionMethod
from smifbench.system.memory import peak_bytes

logger = logging.getLogger(__name__)

PROBE = 128
"""Side in HR pixels of the corner on which the memory for a pixel is measured."""
HEADROOM = 1.5
"""By how much a process may outgrow the tensors that were measured: libraries' scratch space, gaps between tensors."""

Window = tuple[slice, slice]
"""Rows and columns of an image."""


@torch.inference_mode()
def fuse(
    model: nn.Module,
    lr_hsi: np.ndarray,
    hr_msi: np.ndarray,
    device: torch.device | str = "cpu",
    memory_gb: float | None = None,
    target: Path | None = None,
) -> np.ndarray:
    """Fuse one image pair.

    The scene is fused whole, unless that takes more than `memory_gb` or a GPU runs out of memory; then in tiles, where
    the method's `halo` allows it. Both give the same but for rounding.

    Parameters
    ----------
    model
        A method, or a `ScaledNetwork` around one; it is moved to `device` and put into evaluation mode.
    lr_hsi, hr_msi
        (C, H/r, W/r) and (c, H, W), float32 in [0,1]; memory-mapped ones are read tile by tile.
    device
        Where to fuse.
    memory_gb
        Memory in 10^9 bytes that images, weights and intermediate results may take, the program itself (about 0.5)
        aside; None for no bound.
    target
        A `.npy` file to write the estimate to, memory-mapped; None to hold it in memory.

    Returns
    -------
    numpy.ndarray
        The estimate (C, H, W), float32, as the method gives it (not clamped); memory-mapped where there is a `target`.

    Raises
    ------
    UserError
        When the method returns another shape, or NaN or infinite values, or when the scene does not fit into the memory
        and the method cannot fuse tiles that do.
    """
    device = torch.device(device)
    model.to(device).eval()
    whole = math.prod(hr_msi.shape[1:])
    most = whole if memory_gb is None else _pixels_that_fit(model, lr_hsi, hr_msi, device, memory_gb)
    while True:
        if most < whole and model.halo is None and isinstance(model, FusionMethod):
            model = model.for_scene(*_batch(lr_hsi, hr_msi, device))
        windows = _windows(model, lr_hsi.shape, hr_msi.shape, most)
        try:
            return _fuse_windows(model, lr_hsi, hr_msi, device, windows, target)
        except torch.OutOfMemoryError:
            logger.warning("out of memory with %d tiles of at most %d pixels; trying smaller ones", len(windows), most)
        most = min(most, whole) // 2  # outside of the handler, whose traceback holds the tensors
        torch.cuda.empty_cache()


def _fuse_windows(
    model: nn.Module,
    lr_hsi: np.ndarray,
    hr_msi: np.ndarray,
    device: torch.device,
    windows: list[tuple[Window, Window]],
    target: Path | None,
) -> np.ndarray:
    shape, ratio = (len(lr_hsi), *hr_msi.shape[1:]), hr_msi.shape[1] // lr_hsi.shape[1]
    if target is None:
        estimate = np.empty(shape, np.float32)
    else:
        _write_zeros(target, shape)
    for kept, framed in windows:
        lr_window = tuple(slice(side.start // ratio, side.stop // ratio) for side in framed)
        fused = _forward(model, lr_hsi[:, *lr_window], hr_msi[:, *framed], device)
        inner = tuple(slice(k.start - f.start, k.stop - f.start) for k, f in zip(kept, framed, strict=True))
        if target is None:
            estimate[:, *kept] = fused[:, *inner]
        else:  # mapped for one tile only, so that no written page stays in this process's memory
            np.load(target, mmap_mode="r+")[:, *kept] = fused[:, *inner]
        del fused  # before the next tile needs its memory
    return estimate if target is None else np.load(target, mmap_mode="r")


def _forward(model: nn.Module, lr_hsi: np.ndarray, hr_msi: np.ndarray, device: torch.device) -> np.ndarray:
    estimate = model(*_batch(lr_hsi, hr_msi, device))
    expected = (1, len(lr_hsi), *hr_msi.shape[1:])
    if tuple(estimate.shape) != expected:
        raise UserError(f"forward returned shape {tuple(estimate.shape)} instead of {expected}")
    if not torch.isfinite(estimate).all():
        raise UserError(f"forward returned {int((~torch.isfinite(estimate)).sum())} NaN or infinite values")
    return estimate[0].float().cpu().numpy()


def _batch(lr_hsi: np.ndarray, hr_msi: np.ndarray, device: torch.device) -> list[torch.Tensor]:
    return [torch.from_numpy(np.array(image)).to(device)[None] for image in (lr_hsi, hr_msi)]


def _write_zeros(target: Path, shape: tuple[int, ...]) -> None:
    """Write an image of zeros, not a sparse file: where the disk is full, this says so; writing to a map is killed."""
    with target.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        band = np.zeros(shape[1:], np.float32)
        for _ in range(shape[0]):
            file.write(band)


def _pixels_that_fit(
    model: nn.Module, lr_hsi: np.ndarray, hr_msi: np.ndarray, device: torch.device, memory_gb: float
) -> int:
    """HR pixels that can be fused at once; memory is taken to grow with them as on a corner of the scene."""
    ratio = hr_msi.shape[1] // lr_hsi.shape[1]
    side = _to_multiple(PROBE, math.lcm(ratio, model.grid))
    corner = lr_hsi[:, : side // ratio, : side // ratio], hr_msi[:, :side, :side]
    pixels = math.prod(corner[1].shape[1:])
    images = sum(image.nbytes for image in corner) + 4 * len(lr_hsi) * pixels
    per_pixel = (peak_bytes(lambda: _forward(model, *corner, device), device) + images) / pixels
    held = lr_hsi.nbytes + hr_msi.nbytes + sum(tensor.nbytes for tensor in model.state_dict().values())
    most = int(max(0.0, 1e9 * memory_gb - held) / (HEADROOM * per_pixel))
    logger.info("%.0f bytes a pixel: %d pixels at once fit into %g GB", per_pixel, most, memory_gb)
    return most


def _windows(
    model: nn.Module, lr_shape: tuple[int, ...], hr_shape: tuple[int, ...], most: int
) -> list[tuple[Window, Window]]:
    """Tiles of at most `most` HR pixels, frame included: the windows that they yield, and those with their frames."""
    height, width = hr_shape[1:]
    if height * width <= most:
        whole = slice(0, height), slice(0, width)
        return [(whole, whole)]
    ratio = height // lr_shape[1]
    step = math.lcm(ratio, model.grid)
    refusal = f"the scene of {height} x {width} pixels does not fit into the memory at once, and {{}}"
    if model.halo is None:
        raise UserError(
            refusal.format("the method sees all of it at once; give it more memory (memory_gb) or a smaller scene")
        )
    if height % step or width % step:
        raise UserError(refusal.format(f"tiles need sides that are multiples of {step}; crop it"))
    frame = _to_multiple(model.halo * ratio, step)
    side = math.isqrt(most)
    columns = min(width, side if height > side else most // height)
    across = _cut(width, columns, frame, step)
    widest = max((framed.stop - framed.start for _, framed in across), default=1)
    down = _cut(height, most // widest, frame, step)
    if not across or not down:
        raise UserError(
            refusal.format(
                f"the smallest tile, {step} pixels with a frame of {frame} around them, does not fit either; give it "
                "more memory (memory_gb)"
            )
        )
    pairs = [tuple(zip(*rows_and_columns, strict=True)) for rows_and_columns in product(down, across)]
    logger.info("fusing in %d tiles with a frame of %d pixels", len(pairs), frame)
    return pairs


def _cut(length: int, most: int, frame: int, step: int) -> list[tuple[slice, slice]]:
    """Cut a side into equal runs, alone and with their frames of at most `most` pixels; empty where none fits."""
    if length <= most:
        return [(slice(0, length), slice(0, length))]
    longest = (most - 2 * frame) // step * step
    if longest <= 0:
        return []
    run = _to_multiple(math.ceil(length / math.ceil(length / longest)), step)
    kept = [slice(start, min(start + run, length)) for start in range(0, length, run)]
    return [(part, slice(max(0, part.start - frame), min(part.stop + frame, length))) for part in kept]


def _to_multiple(pixels: int, step: int) -> int:
    """Round up to a multiple of `step`."""
    return -(-pixels // step) * step
