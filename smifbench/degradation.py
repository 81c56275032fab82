"""Wald's protocol: how a reference HR-HSI becomes the LR-HSI and HR-MSI that a method fuses.

A protocol is a value (`Protocol`) with a versioned name; one linear operator, `blur_decimate`, and its adjoint serve
them all. The convention is that of `FusionProblem.psf`: LR pixel (i, j) weighs a k x k window of the HR scene that is
centred on HR block (i, j), and a kernel out of phase is a window whose weights lie off its centre.

A changed protocol is named by what changes: `block-gauss-s2/1+snr_hsi_db=30+misregistration=0.5,0.5`.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from smifbench.errors import UserError, unknown
from smifbench.spectral import spectral_response

FWHM_PER_SIGMA = 2 * math.sqrt(2 * math.log(2))
BORDERS = ("circular", "reflect", "replicate", "own-block")
SCALINGS = ("none", "separate-minmax")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_width(value: object) -> bool:
    return value == "fwhm=r" or (isinstance(value, int | float) and value > 0)


@dataclass(frozen=True)
class Protocol:
    """A named, versioned degradation with a Gaussian blur; lengths are in HR pixels.

    A changed copy is another protocol with another id: `get_protocol("block-gauss-s2/1+snr_hsi_db=30")`.

    Parameters
    ----------
    id
        Name and version, such as `block-gauss-s2/1`; every result row carries it.
    size
        Side of the kernel: a number of pixels, `"r"` for the ratio, or `"2r"` for twice the ratio (less one where the
        ratio is odd, so that the kernel stays centred on its block).
    sigma
        Standard deviation in pixels (`math.inf` weighs all pixels alike), or `"fwhm=r"` for a full width at half
        maximum equal to the ratio; or a pair of them, along rows and columns of the kernel.
    shift
        How far the kernel's centre lies below and to the right of the block's centre, in pixels, or `"first-pixel"`
        for a kernel centred on the block's first pixel.
    motion
        (row, column) way in pixels by which the kernel is smeared evenly, as if the sensor moved while it looked.
    border
        What a window sees beyond the scene: `"circular"`, `"reflect"` (without repeating the edge), `"replicate"`; or
        `"own-block"`, where LR pixels along the border weigh only their own block, by the same kernel normalised anew.
    misregistration
        (row, column) distance in pixels by which the LR-HSI looks too far down and right. The HR-MSI stays on the grid
        of the reference and `psf` keeps silent about it. Fractions interpolate linearly.
    response, response_shift_nm
        Name or path of a spectral response (`smifbench.spectral`) in place of the data set's, and how far either lies
        towards longer wavelengths; a shift interpolates linearly between the bands.
    snr_hsi_db, snr_msi_db
        Signal-to-noise ratio 10 log10(mean(signal^2) / variance) of white Gaussian noise, reached in every band; None
        adds none.
    clip
        (lowest, highest) value of LR-HSI and HR-MSI, enforced after the noise; None leaves them.
    scaling
        `"none"`, or `"separate-minmax"`: reference, LR-HSI and HR-MSI are at last stretched to [0,1] each on its own,
        band by band over the image that is degraded (a region, where a scene is cut into regions), after which the
        LR-HSI is no longer the blurred reference nor the MSI a mixture of its bands.

    Raises
    ------
    UserError
        For a value that is not among those listed.
    """

    id: str
    size: int | str = "r"
    sigma: float | str | tuple[float | str, float | str] = 2.0
    shift: float | str = 0.0
    motion: tuple[float, float] = (0.0, 0.0)
    border: str = "reflect"
    misregistration: tuple[float, float] = (0.0, 0.0)
    response: str | None = None
    response_shift_nm: float = 0.0
    snr_hsi_db: float | None = None
    snr_msi_db: float | None = None
    clip: tuple[float, float] | None = None
    scaling: str = "none"

    def __post_init__(self) -> None:
        if self.border not in BORDERS:
            raise unknown("border", self.border, BORDERS)
        if self.scaling not in SCALINGS:
            raise unknown("scaling", self.scaling, SCALINGS)
        for name, words, valid in (
            ("size", ("r", "2r"), isinstance(self.size, int) and self.size >= 1),
            ("sigma", ("fwhm=r",), all(map(_is_width, self._sigmas))),
            ("shift", ("first-pixel",), _is_number(self.shift)),
        ):
            value = getattr(self, name)
            if not valid and value not in words:
                words = " or ".join(map(repr, words))
                raise UserError(f"protocol {self.id}: {name} must be a number of pixels or {words}, not {value!r}")
        for name in ("misregistration", "motion"):
            value = getattr(self, name)
            if not isinstance(value, tuple) or len(value) != 2 or not all(map(_is_number, value)):
                raise UserError(f"protocol {self.id}: {name} must be (row, column), not {value!r}")
        for name in ("snr_hsi_db", "snr_msi_db", "response_shift_nm"):
            value = getattr(self, name)
            if value is not None and not _is_number(value):
                raise UserError(f"protocol {self.id}: {name} must be a number, not {value!r}")

    def psf(self, ratio: int) -> np.ndarray:
        """Blur kernel (k, k) float64 at `ratio`, sum 1, in the convention of `FusionProblem.psf`.

        Raises UserError where the kernel's taps would fall between pixels.
        """
        _check_ratio(ratio)
        size = {"r": ratio, "2r": 2 * ratio - ratio % 2}.get(self.size, self.size)
        centre = 0.0 if self.shift == "first-pixel" else (ratio - 1) / 2 + self.shift
        first = centre - (size - 1) / 2
        if first != int(first):
            raise UserError(
                f"protocol {self.id}: at ratio {ratio} a kernel of {size} pixels centred on pixel {centre:g} of its "
                "block has its taps between pixels; change its size by one or its shift by half a pixel"
            )
        first = int(first)
        reach = max(0, -first, first + size - ratio)
        taps = np.zeros((2, ratio + 2 * reach))
        for axis, sigma in enumerate(self._sigmas):
            sigma = ratio / FWHM_PER_SIGMA if sigma == "fwhm=r" else sigma
            taps[axis, first + reach : first + reach + size] = np.exp(
                -0.5 * ((first + np.arange(size) - centre) / sigma) ** 2
            )
        return _smear(np.outer(*(taps / taps.sum(axis=1, keepdims=True))), self.motion)

    def srf(self, srf: np.ndarray, wavelengths_nm: np.ndarray) -> np.ndarray:
        """Return the response (c, C) that makes the MSI of a data set whose own is `srf`; rows sum to 1."""
        if self.response is not None:
            srf = spectral_response(self.response, wavelengths_nm)
        if not self.response_shift_nm:
            return srf
        order = np.argsort(wavelengths_nm)
        bands = np.asarray(wavelengths_nm)[order]
        shifted = np.empty_like(srf)
        shifted[:, order] = [np.interp(bands - self.response_shift_nm, bands, row[order], 0, 0) for row in srf]
        return shifted / shifted.sum(axis=1, keepdims=True)

    @property
    def _sigmas(self) -> tuple:
        return self.sigma if isinstance(self.sigma, tuple) and len(self.sigma) == 2 else (self.sigma, self.sigma)

    def reach(self, ratio: int) -> int:
        """HR pixels that an LR pixel sees beyond its own block, misregistration included: a split's guard band."""
        return _overhang(_displace(self.psf(ratio), self.misregistration), ratio)


class Simulated(NamedTuple):
    """One degraded scene, float32: reference (C, H, W), LR-HSI (C, H/r, W/r) and HR-MSI (c, H, W)."""

    hr_hsi: np.ndarray
    lr_hsi: np.ndarray
    hr_msi: np.ndarray


PROTOCOLS: dict[str, Protocol] = {
    protocol.id: protocol
    for protocol in (
        # DHIF-Net (Huang et al., IEEE TCI 2022): the window is the block itself, so no border exists and patches agree
        # with the whole scene.
        Protocol("block-gauss-s2/1"),
        # The toolbox of Yokoya, Grohnfeldt and Chanussot's review (IEEE GRSM 2017), used by CNMF.
        Protocol("fwhm/1", size="2r", sigma="fwhm=r", border="own-block"),
        # MoG-DCN (Dong et al., IEEE TIP 2021): DHIF-Net's kernel, sampled one pixel late.
        Protocol("shifted-gauss/1", shift=1.0, border="circular"),
        # LTTR (Dian, Li and Fang, IEEE TNNLS 2019) and its successors LTMR and CNN-FUS.
        Protocol("lttr/1", size=7, shift="first-pixel", border="circular"),
        # After the loader of MSST-Net (Jia, Min and Fu, Information Fusion 2023) for Washington DC Mall. Its blur is
        # not public; the extremes are those of the whole image, test region included, so that the stretching of the
        # training region knows the test region's brightest and darkest pixels.
        Protocol("paper-wdcm/1", scaling="separate-minmax"),
    )
}
"""The named protocols by id."""

DEFAULT = PROTOCOLS["block-gauss-s2/1"]


def get_protocol(id: str) -> Protocol:
    """Return the named protocol, or one with changes such as `block-gauss-s2/1+sigma=3,1+size=2r`.

    A change is a field of `Protocol` and its value: a number, a word, `none`, or a pair with a comma.

    Raises UserError with the nearest name for an unknown protocol or field, and for a value that a field does not take.
    """
    name, *changes = id.split("+")
    if name not in PROTOCOLS:
        raise unknown("protocol", name, PROTOCOLS)
    if not changes:
        return PROTOCOLS[name]
    known = [field.name for field in fields(Protocol) if field.name != "id"]
    values = dict(change.partition("=")[::2] for change in changes)
    for field in values:
        if field not in known:
            raise unknown(f"field in protocol {id}", field, known)
    return replace(PROTOCOLS[name], id=id, **{field: _parsed(text) for field, text in values.items()})


def simulate(
    hr_hsi: np.ndarray, ratio: int, srf: np.ndarray, protocol: Protocol | str = DEFAULT, seed: int = 0
) -> Simulated:
    """Degrade one scene to the pair of images that a method fuses.

    The order is blur and decimate, spectral response, noise, clipping, scaling.

    Parameters
    ----------
    hr_hsi
        Reference (C, H, W) of any real type; H and W are multiples of `ratio`. It is copied, never changed.
    ratio
        Spatial ratio r, at least 1.
    srf
        Spectral response (c, C) of the multispectral sensor, rows sum to 1.
    protocol
        A protocol or the id of a named one.
    seed
        Seed of the noise. The two images draw from independent streams, so noise on one does not change the other's.

    Returns
    -------
    Simulated
        Reference, LR-HSI and HR-MSI as float32, in the units of `hr_hsi` unless the protocol scales them.

    Raises
    ------
    UserError
        For another number of axes, sides that are no multiples of the ratio, values that are not finite, or a response
        of another shape.
    """
    if isinstance(protocol, str):
        protocol = get_protocol(protocol)
    reference = _checked_scene(hr_hsi)
    scene = torch.from_numpy(reference)
    psf = _displace(protocol.psf(ratio), protocol.misregistration)
    hsi_seed, msi_seed = np.random.SeedSequence(seed).spawn(2)
    lr_hsi = _add_noise(blur_decimate(scene, psf, ratio, protocol.border).numpy(), protocol.snr_hsi_db, hsi_seed)
    hr_msi = _add_noise(apply_srf(scene, srf).numpy(), protocol.snr_msi_db, msi_seed)
    if protocol.clip is not None:
        lr_hsi, hr_msi = lr_hsi.clip(*protocol.clip), hr_msi.clip(*protocol.clip)
    if protocol.scaling == "separate-minmax":
        reference, lr_hsi, hr_msi = (stretch(image, *band_extremes([image])) for image in (reference, lr_hsi, hr_msi))
    return Simulated(reference, lr_hsi, hr_msi)


def band_extremes(images: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the largest value of every band over images (bands, H, W), each (bands, 1, 1)."""
    extremes = [(image.min(axis=(1, 2), keepdims=True), image.max(axis=(1, 2), keepdims=True)) for image in images]
    lowest, highest = zip(*extremes, strict=True)
    return np.minimum.reduce(lowest), np.maximum.reduce(highest)


def stretch(image: np.ndarray, lowest: np.ndarray, highest: np.ndarray) -> np.ndarray:
    """Map every band of (bands, H, W) so that `lowest` becomes 0 and `highest` 1; a flat band becomes 0."""
    return (image - lowest) / np.where(highest > lowest, highest - lowest, 1)


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
        if not _overhang(psf, ratio):
            return wide
        own = blur_decimate(hr_hsi, _own_block(psf, ratio), ratio, "replicate")
        return torch.where(_interior(wide, psf, ratio), wide, own)
    return sum(
        _gather(_gather(hr_hsi, -2, rows, ratio, border), -1, columns, ratio, border)
        for rows, columns in _separable_terms(psf)
    )


def blur_decimate_adjoint(lr_hsi: Tensor, psf: np.ndarray, ratio: int, border: str = "reflect") -> Tensor:
    """Exact transpose of `blur_decimate`: spread LR images (..., h, w) over HR images (..., h*r, w*r)."""
    _check_operator(psf, ratio, border)
    if border == "own-block":
        if not _overhang(psf, ratio):
            return blur_decimate_adjoint(lr_hsi, psf, ratio, "replicate")
        wide = torch.where(_interior(lr_hsi, psf, ratio), lr_hsi, 0)
        return blur_decimate_adjoint(wide, psf, ratio, "replicate") + blur_decimate_adjoint(
            lr_hsi - wide, _own_block(psf, ratio), ratio, "replicate"
        )
    return sum(
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
    """Nonzero entries of the banded matrix, one tap at a time: indices of LR pixels and of the HR pixels they weigh.

    Copying a scene to pad it would cost more than the blur, so the LR pixels that look beyond it come one by one.
    """
    others = [slice(None)] * (-1 - dim)
    count = length // ratio
    for offset, weight in enumerate(taps, (ratio - len(taps)) // 2):
        if not weight:  # a zero-padded window must not see what lies under its zeros
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
    """Which pixel of the scene is seen in the place of one beyond it."""
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
    """The part (r, r) of a larger psf on its own block, normalised to sum 1."""
    margin = (len(psf) - ratio) // 2
    inner = psf[margin : margin + ratio, margin : margin + ratio]
    if not inner.sum() > 0:
        raise UserError("border 'own-block' needs a psf with weight on its own block; choose another border")
    return inner / inner.sum()


def _interior(lr_hsi: Tensor, psf: np.ndarray, ratio: int) -> Tensor:
    """Mask (h, w) of the LR pixels that see nothing beyond the scene."""
    margin = math.ceil(_overhang(psf, ratio) / ratio)
    rows, columns = (torch.arange(side, device=lr_hsi.device) for side in lr_hsi.shape[-2:])
    inside = [(axis >= margin) & (axis < len(axis) - margin) for axis in (rows, columns)]
    return inside[0][:, None] & inside[1]


def _overhang(psf: np.ndarray, ratio: int) -> int:
    """Pixels by which the weights that are not zero reach beyond the block, on the side where that is farthest."""
    margin = (len(psf) - ratio) // 2
    used = np.flatnonzero(np.any(psf, axis=0) | np.any(psf, axis=1))
    return max(0, margin - int(used[0]), int(used[-1]) + 1 - ratio - margin)


def _displace(psf: np.ndarray, distance: tuple[float, float]) -> np.ndarray:
    """Move a kernel by (row, column) pixels within a larger window; fractions interpolate linearly."""
    moved = np.pad(psf, math.ceil(max(map(abs, distance))))
    for axis, pixels in enumerate(distance):
        whole = math.floor(pixels)
        part = pixels - whole
        moved = (1 - part) * np.roll(moved, whole, axis) + part * np.roll(moved, whole + 1, axis)
    return moved


def _smear(psf: np.ndarray, way: tuple[float, float]) -> np.ndarray:
    """Mean of a kernel displaced along a (row, column) way about its place, in steps of a quarter pixel or less."""
    if not any(way):
        return psf
    reach = math.ceil(max(map(abs, way)) / 2)
    count = 8 * reach + 1
    moved = [_displace(psf, (place * way[0], place * way[1])) for place in np.linspace(-0.5, 0.5, count)]
    return sum(np.pad(kernel, (len(psf) - len(kernel)) // 2 + reach) for kernel in moved) / count


def _parsed(text: str) -> float | str | tuple | None:
    """Value of a field as an id writes it."""
    if "," in text:
        return tuple(map(_parsed, text.split(",")))
    if text == "none":
        return None
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def _add_noise(image: np.ndarray, snr_db: float | None, seed: np.random.SeedSequence) -> np.ndarray:
    """Add white Gaussian noise to (bands, H, W) so that every band has the given SNR."""
    if snr_db is None:
        return image
    power = np.mean(image**2, axis=(1, 2), keepdims=True, dtype=np.float64)
    deviation = np.sqrt(power / 10 ** (snr_db / 10)).astype(np.float32)
    return image + deviation * np.random.default_rng(seed).standard_normal(image.shape, dtype=np.float32)


def _checked_scene(hr_hsi: np.ndarray) -> np.ndarray:
    """Copy a scene to float32 (C, H, W) and refuse what no method could fuse."""
    scene = np.array(hr_hsi, dtype=np.float32)
    if scene.ndim != 3:
        raise UserError(f"the scene has shape {scene.shape}; give it three axes: (bands, height, width)")
    finite = np.isfinite(scene)
    if not finite.all():
        band, row, column = np.argwhere(~finite)[0].tolist()
        raise UserError(
            f"the scene holds {finite.size - np.count_nonzero(finite)} values that are NaN or infinite, the first in "
            f"band {band}, row {row}, column {column} (counted from 0); crop them away or fill them in"
        )
    return scene


def _check_operator(psf: np.ndarray, ratio: int, border: str) -> None:
    _check_ratio(ratio)
    if border not in BORDERS:
        raise unknown("border", border, BORDERS)
    shape = np.shape(psf)
    if len(shape) != 2 or shape[0] != shape[1] or (shape[0] - ratio) % 2 or not np.any(psf):
        raise UserError(
            f"psf has shape {shape}; it must be square and not all zero, with a side that differs from ratio {ratio} "
            "by an even number (pad it with zeros)"
        )


def _check_ratio(ratio: int) -> None:
    if not isinstance(ratio, int) or ratio < 1:
        raise UserError(f"ratio must be a positive integer, not {ratio!r}")
