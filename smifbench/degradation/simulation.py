"""Simulation by Wald's protocol: a reference HR-HSI becomes the LR-HSI and HR-MSI that a method fuses."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch

from smifbench.degradation.operators import apply_srf, blur_decimate, displace
from smifbench.degradation.protocol import DEFAULT, Protocol, get_protocol
from smifbench.errors import UserError


class Simulated(NamedTuple):
    """One degraded scene, float32: reference (C, H, W), LR-HSI (C, H/r, W/r) and HR-MSI (c, H, W)."""

    hr_hsi: np.ndarray
    lr_hsi: np.ndarray
    hr_msi: np.ndarray


def simulate(
    hr_hsi: np.ndarray,
    ratio: int,
    srf: np.ndarray | None,
    protocol: Protocol | str = DEFAULT,
    seed: int = 0,
    hr_msi: np.ndarray | None = None,
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
        Spectral response (c, C) of the multispectral sensor, rows sum to 1; not looked at where the MSI is measured.
    protocol
        A protocol or the id of a named one.
    seed
        Seed of the noise. The two images draw from independent streams, so the noise of one does not depend on whether
        the other has any.
    hr_msi
        Measured MSI (c, H, W), for a protocol with `msi=measured`: it takes the place of the simulated one, and noise,
        clipping and scaling are as for that.

    Returns
    -------
    Simulated
        Reference, LR-HSI and HR-MSI as float32, in the units of `hr_hsi` unless the protocol scales them.

    Raises
    ------
    UserError
        For another number of axes, sides that are no multiples of the ratio, values that are not finite, a response
        of another shape, or a measured MSI that is not there or has another size.
    """
    if isinstance(protocol, str):
        protocol = get_protocol(protocol)
    reference = _checked_scene(hr_hsi)
    scene = torch.from_numpy(reference)
    psf = displace(protocol.psf(ratio), protocol.misregistration)
    hsi_seed, msi_seed = np.random.SeedSequence(seed).spawn(2)
    lr_hsi = _add_noise(blur_decimate(scene, psf, ratio, protocol.border).numpy(), protocol.snr_hsi_db, hsi_seed)
    if protocol.msi == "measured":
        hr_msi = _measured(hr_msi, reference.shape)
    elif srf is None:
        raise UserError("the protocol simulates the MSI, for which srf must be given")
    else:
        hr_msi = apply_srf(scene, srf).numpy()
    hr_msi = _add_noise(hr_msi, protocol.snr_msi_db, msi_seed)
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


def _add_noise(image: np.ndarray, snr_db: float | None, seed: np.random.SeedSequence) -> np.ndarray:
    """Add white Gaussian noise to (bands, H, W) so that every band has the given SNR."""
    if snr_db is None:
        return image
    power = np.mean(image**2, axis=(1, 2), keepdims=True, dtype=np.float64)
    deviation = np.sqrt(power / 10 ** (snr_db / 10)).astype(np.float32)
    return image + deviation * np.random.default_rng(seed).standard_normal(image.shape, dtype=np.float32)


def _measured(hr_msi: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    """Copy a measured MSI (c, H, W) to float32 and refuse what is none of the scene of that shape."""
    if hr_msi is None:
        raise UserError("the protocol takes a measured MSI, and there is none; leave out msi=measured")
    msi = _checked_scene(hr_msi)
    if msi.shape[1:] != shape[1:]:
        raise UserError(f"the measured MSI has {msi.shape[1:]} pixels and the scene {shape[1:]}; cut both alike")
    return msi


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
