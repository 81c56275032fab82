"""The linear operators of degradation: blur with decimation, its exact transpose, and the spectral response.

The convention is that of `FusionProblem.psf`: LR pixel (i, j) weighs a k x k window of the HR scene that is centred on
HR block (i, j), and a kernel out of phase is a window whose weights lie off its centre.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from smifbench.errors import UserError, unknown

BORDERS = ("circular", "reflect", "replicate", "own-block")


def blur_decimate(hr_hsi: Tensor, psf: np.ndarray, ratio: int, border: str = "reflect") -> Tensor:
    """Blur and decimate: every LR pixel is the psf-weighted sum of its window.

    The cost is linear in the pixels: a separable psf takes one pass over the rows and one over the columns, any other a
    sum of such pairs.

    Parameters
    ----------
    hr_hsi
        Images (..., H, W), float32 or float64, H and W multiples of `ratio`.
    psf
        Kernel (k, k), k - ratio even.
    ratio
        Spatial ratio r.
    border
        One of `BORDERS`, explained at `Protocol`; without effect where no weight lies beyond the block.

    Returns
    -------
    Tensor
        LR images (..., H/r, W/r).

    Raises
    ------
    UserError
        For sides that the ratio does not divide, another shape of psf, or an unknown border.
    """
    _check_operator(psf, ratio, border)
    height, width = hr_hsi.shape[-2:]
    if height % ratio or width % ratio:
        fitting = f"{height - height % ratio} x {width - width % ratio}"
        raise UserError(f"ratio {ratio} does not divide the scene's {height} x {width} pixels; crop it to {fitting}")
    if border == "own-block":
        wide = blur_decimate(hr_hsi, psf, ratio, "replicate")
        if not overhang(psf, ratio):
            return wide
        own = blur_decimate(hr_hsi, _own_block(psf, ratio), ratio, "replicate")
        return torch.where(_interior(wide, psf, ratio), wide, own)
    return _sum(
        _gather(_gather(hr_hsi, -2, rows, ratio, border), -1, columns, ratio, border)
        for rows, columns in _separable_terms(psf)
    )


def blur_decimate_adjoint(lr_hsi: Tensor, psf: np.ndarray, ratio: int, border: str = "reflect") -> Tensor:
    """Exact transpose of `blur_decimate`: spread LR images (..., h, w) over HR images (..., h*r, w*r)."""
    _check_operator(psf, ratio, border)
    if border == "own-block":
        if not overhang(psf, ratio):
            return blur_decimate_adjoint(lr_hsi, psf, ratio, "replicate")
        wide = torch.where(_interior(lr_hsi, psf, ratio), lr_hsi, 0)
        return blur_decimate_adjoint(wide, psf, ratio, "replicate") + blur_decimate_adjoint(
            lr_hsi - wide, _own_block(psf, ratio), ratio, "replicate"
        )
    return _sum(
        _scatter(_scatter(lr_hsi, -1, columns, ratio, border), -2, rows, ratio, border)
        for rows, columns in _separable_terms(psf)
    )


def apply_srf(hr_hsi: Tensor, srf: np.ndarray | Tensor) -> Tensor:
    """Mix the bands of (..., C, H, W) by a response (c, C) into the MSI (..., c, H, W)."""
    srf = torch.as_tensor(srf, dtype=hr_hsi.dtype, device=hr_hsi.device)
    bands, *sides = hr_hsi.shape[-3:]
    if srf.ndim != 2 or srf.shape[1] != bands:
        raise UserError(f"srf has shape {tuple(srf.shape)}; a scene of {bands} bands needs (msi_bands, {bands})")
    return (srf @ hr_hsi.flatten(-2)).unflatten(-1, sides)


def _sum(terms: Iterator[Tensor]) -> Tensor:
    """Add up tensors, at least one."""
    total = next(terms)
    for term in terms:
        total = total + term
    return total


def _gather(image: Tensor, dim: int, taps: list[float], ratio: int, border: str) -> Tensor:
    """Weigh every LR pixel's window along `dim`: the product with a banded matrix whose rows move on by `ratio`."""
    length = image.shape[dim]
    total = image.new_zeros(_resized(image, dim, length // ratio))
    for lr, hr, weight in _entries(dim, length, taps, ratio, border):
        total[lr].add_(image[hr], alpha=weight)
    return total


def _scatter(image: Tensor, dim: int, taps: list[float], ratio: int, border: str) -> Tensor:
    """Transpose of `_gather`."""
    length = image.shape[dim] * ratio
    total = image.new_zeros(_resized(image, dim, length))
    for lr, hr, weight in _entries(dim, length, taps, ratio, border):
        total[hr].add_(image[lr], alpha=weight)
    return total


def _resized(image: Tensor, dim: int, length: int) -> list[int]:
    shape = list(image.shape)
    shape[dim] = length
    return shape


def _entries(dim: int, length: int, taps: list[float], ratio: int, border: str) -> Iterator[tuple[tuple, tuple, float]]:
    """Yield the nonzero entries of the banded matrix, one tap at a time: indices of LR pixels, of HR pixels, weight.

    LR pixels whose HR pixel lies beyond the scene come one by one, because padding a copy of the scene for them would
    take longer than the blur.
    """
    others = [slice(None)] * (-1 - dim)
    count = length // ratio
    for offset, weight in enumerate(taps, (ratio - len(taps)) // 2):
        if not weight:  # so that pixels under a window's zeros cannot matter, even where they are NaN
            continue
        first = min(count, max(0, -(offset // ratio)))
        last = max(first, min(count, -((offset - length) // ratio)))
        yield (
            (..., slice(first, last), *others),
            (..., slice(offset + first * ratio, offset + last * ratio, ratio), *others),
            weight,
        )
        for lr in (*range(first), *range(last, count)):
            hr = _stand_in(offset + lr * ratio, length, border)
            yield (..., slice(lr, lr + 1), *others), (..., slice(hr, hr + 1), *others), weight


def _stand_in(pixel: int, length: int, border: str) -> int:
    """Index of the pixel of the scene that `border` puts in the place of one beyond it."""
    if border == "circular":
        return pixel % length
    if border == "replicate":
        return min(max(pixel, 0), length - 1)
    return length - 1 - abs(pixel % max(1, 2 * length - 2) - (length - 1))


def _separable_terms(psf: np.ndarray) -> list[tuple[list[float], list[float]]]:
    """Split psf into outer products of row and column weights: one for a Gaussian, at most k.

    Elimination on the largest remaining weight is used rather than a singular value decomposition because it keeps the
    zeros of the window exactly zero.
    """
    rest = np.array(psf, dtype=np.float64)
    least = 1e-14 * np.abs(rest).max()
    terms = []
    for _ in range(len(rest)):
        row, column = np.unravel_index(np.abs(rest).argmax(), rest.shape)
        pivot = rest[row, column]
        if abs(pivot) <= least:
            break
        rows, columns = rest[:, column] / pivot, rest[row].copy()
        terms.append((rows.tolist(), columns.tolist()))
        rest -= np.outer(rows, columns)
    return terms


def _own_block(psf: np.ndarray, ratio: int) -> np.ndarray:
    """Cut out the (r, r) weights of a larger psf that lie on the LR pixel's own block, scaled to sum 1."""
    margin = (len(psf) - ratio) // 2
    inner = psf[margin : margin + ratio, margin : margin + ratio]
    if not inner.sum() > 0:
        raise UserError("border 'own-block' needs a psf with weight on its own block; choose another border")
    return inner / inner.sum()


def _interior(lr_hsi: Tensor, psf: np.ndarray, ratio: int) -> Tensor:
    """Mask (h, w) of the LR pixels whose windows lie inside the scene."""
    margin = math.ceil(overhang(psf, ratio) / ratio)
    rows, columns = (torch.arange(side, device=lr_hsi.device) for side in lr_hsi.shape[-2:])
    inside = [(axis >= margin) & (axis < len(axis) - margin) for axis in (rows, columns)]
    return inside[0][:, None] & inside[1]


def overhang(psf: np.ndarray, ratio: int) -> int:
    """Return how many pixels the nonzero weights reach beyond the block, on the side where that is most."""
    margin = (len(psf) - ratio) // 2
    used = np.flatnonzero(np.any(psf, axis=0) | np.any(psf, axis=1))
    return max(0, margin - int(used[0]), int(used[-1]) + 1 - ratio - margin)


def displace(psf: np.ndarray, distance: tuple[float, float]) -> np.ndarray:
    """Move a kernel by (row, column) pixels within a larger window; fractions interpolate linearly."""
    moved = np.pad(psf, math.ceil(max(map(abs, distance))))
    for axis, pixels in enumerate(distance):
        whole = math.floor(pixels)
        part = pixels - whole
        moved = (1 - part) * np.roll(moved, whole, axis) + part * np.roll(moved, whole + 1, axis)
    return moved


def smear(psf: np.ndarray, way: tuple[float, float]) -> np.ndarray:
    """Smear a kernel evenly along a (row, column) way, centred on its place, in steps of a quarter pixel or less."""
    if not any(way):
        return psf
    reach = math.ceil(max(map(abs, way)) / 2)
    count = 8 * reach + 1
    total = np.zeros(tuple(side + 2 * reach for side in psf.shape))
    for place in np.linspace(-0.5, 0.5, count):
        moved = displace(psf, (place * way[0], place * way[1]))
        total += np.pad(moved, (len(psf) - len(moved)) // 2 + reach)
    return total / count


def _check_operator(psf: np.ndarray, ratio: int, border: str) -> None:
    check_ratio(ratio)
    if border not in BORDERS:
        raise unknown("border", border, BORDERS)
    shape = np.shape(psf)
    if len(shape) != 2 or shape[0] != shape[1] or (shape[0] - ratio) % 2 or not np.any(psf):
        raise UserError(
            f"psf has shape {shape}; it must be square and not all zero, with a side that differs from ratio {ratio} "
            "by an even number (pad it with zeros)"
        )


def check_ratio(ratio: int) -> None:
    """Raise UserError for a ratio that is no positive integer."""
    if not isinstance(ratio, int | np.integer) or ratio < 1:
        raise UserError(f"ratio must be a positive integer, not {ratio!r}")
