"""Fusion of one image pair with a method: whole, or in tiles where the memory is too small for the whole.

A tile is fused together with a frame around it as wide as the method's halo, and the frame's result is thrown away.
So every pixel that is kept depends on the same input pixels as in the whole scene. The memory that a method takes for
a pixel is measured on a corner of the scene.
"""

import logging
import math
from itertools import product
from pathlib import Path

import numpy as np
import torch

from smifbench.errors import UserError
from smifbench.fusion.scaled import ScaledNetwork
from smifbench.method import FusionMethod, check_estimate
from smifbench.problem import FusionProblem
from smifbench.system.memory import memory_ran_out, peak_bytes

logger = logging.getLogger(__name__)

PROBE = 128
"""Side in HR pixels of the corner on which the memory for a pixel is measured."""
HEADROOM = 1.5
"""Factor between the memory of a process and that of the measured tensors: scratch space of libraries, gaps."""
BRIGHTEST = 10.0
"""Value that no image in [0,1] has, glints included; beyond it an image has not been scaled."""

Window = tuple[slice, slice]
"""Rows and columns of an image."""


@torch.inference_mode()
def fuse(
    model: FusionMethod | ScaledNetwork,
    lr_hsi: np.ndarray,
    hr_msi: np.ndarray,
    device: torch.device | str = "cpu",
    memory_gb: float | None = None,
    target: Path | None = None,
) -> np.ndarray:
    """Fuse one image pair.

    The scene is fused whole, unless that takes more than `memory_gb` or a GPU runs out of memory; then it is fused in
    tiles, where the method's `halo` allows it. Both give the same result but for rounding.

    Parameters
    ----------
    model
        A method, or a `ScaledNetwork` around one; it is moved to `device` and put into evaluation mode.
    lr_hsi, hr_msi
        (C, H/r, W/r) and (c, H, W), values in [0,1], fused as float32; memory-mapped ones are read tile by tile.
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
        When the two images are not of one scene, not of the bands and ratio that the method was built for, of integers,
        NaN or, for a network, far above 1; when the method returns another shape or values that are NaN or infinite; or
        when the scene does not fit into the memory and the method cannot fuse tiles that do.
    """
    _check_images(model.problem, lr_hsi, hr_msi)
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
        except Exception as error:
            if not memory_ran_out(error):
                raise
            logger.warning("out of memory with %d tiles of at most %d pixels; trying smaller ones", len(windows), most)
        most = min(most, whole) // 2  # outside of the handler, whose traceback holds the tensors
        torch.cuda.empty_cache()


def _check_images(problem: FusionProblem, lr_hsi: np.ndarray, hr_msi: np.ndarray) -> None:
    for name, image in (("lr_hsi", lr_hsi), ("hr_msi", hr_msi)):
        if not np.issubdtype(image.dtype, np.floating):
            raise UserError(f"{name} holds values of type {image.dtype}; divide it by the value that is 1")
    if lr_hsi.ndim == hr_msi.ndim == 3 and all(lr_hsi.shape[1:]):
        height, width = (hr // lr for lr, hr in zip(lr_hsi.shape[1:], hr_msi.shape[1:], strict=True))
        if height == width > 0 and hr_msi.shape[1:] == (lr_hsi.shape[1] * height, lr_hsi.shape[2] * width):
            given, known = (len(lr_hsi), len(hr_msi), height), (problem.bands, problem.msi_bands, problem.ratio)
            if given != known:
                words = ("{} bands with {} at ratio {}".format(*numbers) for numbers in (known, given))
                raise UserError("the method was built to fuse {}, and these images have {}".format(*words))
            return
    raise UserError(
        f"lr_hsi has shape {lr_hsi.shape} and hr_msi {hr_msi.shape}; give lr_hsi first, as (bands, height, width), and "
        "an hr_msi whose height and width are the same whole multiple of these"
    )


def _fuse_windows(
    model: FusionMethod | ScaledNetwork,
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


def _forward(
    model: FusionMethod | ScaledNetwork, lr_hsi: np.ndarray, hr_msi: np.ndarray, device: torch.device
) -> np.ndarray:
    if isinstance(model, ScaledNetwork) and (brightest := max(lr_hsi.max(), hr_msi.max())) > BRIGHTEST:
        raise UserError(f"values reach {brightest:g}, and a network takes images in [0,1]; divide both by what is 1")
    images = _batch(lr_hsi, hr_msi, device)
    estimate = model(*images)
    check_estimate(estimate, (1, len(lr_hsi), *hr_msi.shape[1:]))
    if not torch.isfinite(estimate).all():
        for name, image in zip(("lr_hsi", "hr_msi"), images, strict=True):
            if not image.isfinite().all():
                raise UserError(f"{name} holds NaN or infinite values; fill them before it is fused")
        raise UserError(f"forward returned {int((~torch.isfinite(estimate)).sum())} NaN or infinite values")
    return estimate[0].float().cpu().numpy()


def _batch(lr_hsi: np.ndarray, hr_msi: np.ndarray, device: torch.device) -> list[torch.Tensor]:
    return [torch.from_numpy(np.array(image, np.float32)).to(device)[None] for image in (lr_hsi, hr_msi)]


def _write_zeros(target: Path, shape: tuple[int, ...]) -> None:
    """Write a file of zeros. It is not sparse, because writing to the map of a sparse one is fatal on a full disk."""
    with target.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        band = np.zeros(shape[1:], np.float32)
        for _ in range(shape[0]):
            file.write(band.data)


def _pixels_that_fit(
    model: FusionMethod | ScaledNetwork,
    lr_hsi: np.ndarray,
    hr_msi: np.ndarray,
    device: torch.device,
    memory_gb: float,
) -> int:
    """Return how many HR pixels can be fused at once, each taking as much memory as on a corner of the scene."""
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
    model: FusionMethod | ScaledNetwork, lr_shape: tuple[int, ...], hr_shape: tuple[int, ...], most: int
) -> list[tuple[Window, Window]]:
    """Cut the scene into tiles of at most `most` HR pixels, frame included; returns each without and with its frame."""
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
    tiles = [
        ((rows, columns), (framed_rows, framed_columns))
        for (rows, framed_rows), (columns, framed_columns) in product(down, across)
    ]
    logger.info("fusing in %d tiles with a frame of %d pixels", len(tiles), frame)
    return tiles


def _cut(length: int, most: int, frame: int, step: int) -> list[tuple[slice, slice]]:
    """Cut a side into equal runs of at most `most` pixels, frames included; returns each without and with its frame.

    Where no run fits, the list is empty.
    """
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
