"""From prepared scenes to a folder of simulated pairs, under one protocol and ratio."""

import os
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from smifbench.data.missing import blocks_with_missing
from smifbench.data.scenes import images_of, missing_of
from smifbench.degradation.pairs import data_id
from smifbench.errors import UserError
from smifbench.system.files import read_json, replacing_folder, whole, write_json
from smifbench.system.identity import array_hash

if TYPE_CHECKING:
    from smifbench.degradation.protocol import Protocol
    from smifbench.degradation.simulation import Simulated


def degrade(prepared: Sequence[Path], protocol_id: str, ratio: int, target: Path) -> None:
    """Simulate LR-HSI and HR-MSI of the prepared scenes (.npy) and write them as the folder of pairs `target`.

    Where the protocol stretches images, the extremes are those of all scenes together, which are regions of one image.
    """
    from smifbench.degradation.operators import displace
    from smifbench.degradation.protocol import get_protocol

    protocol = get_protocol(protocol_id)
    sidecars = [read_json(path.with_suffix(".json")) for path in prepared]
    about = {"protocol": protocol_id, "ratio": ratio, "unavailable": sidecars[0].get("unavailable", "")}
    scenes = {path.stem: {"split": sidecar["split"]} for path, sidecar in zip(prepared, sidecars, strict=True)}
    with replacing_folder(target) as folder:
        if not about["unavailable"]:
            masks = {}
            for path, sidecar in zip(prepared, sidecars, strict=True):
                simulated = simulate_prepared(path, protocol, ratio)
                for image in ("lr_hsi", "hr_msi"):
                    np.save(folder / f"{path.stem}.{image}.npy", getattr(simulated, image))
                missing = missing_of(sidecar)
                if missing is not None:
                    masks[path.stem] = missing
                    np.save(folder / f"{path.stem}.missing.npy", missing)
                    psf = displace(protocol.psf(ratio), protocol.misregistration)
                    lr_missing = blurred_from(missing, psf, ratio, protocol.border)
                    np.save(folder / f"{path.stem}.lr_missing.npy", lr_missing)
                    scenes[path.stem]["pixels_missing"] = int(missing.sum())
            stretched = protocol.scaling == "separate-minmax"
            if stretched:
                _stretch(prepared, folder)
            for path, sidecar in zip(prepared, sidecars, strict=True):
                reference = folder / f"{path.stem}.hr_hsi.npy" if stretched else path
                names = ["lr_hsi", "hr_msi", *(["missing"] if path.stem in masks else [])]
                images = (np.load(folder / f"{path.stem}.{name}.npy", mmap_mode="r") for name in names)
                scenes[path.stem] |= {
                    "data": data_id([images_of(np.load(reference, mmap_mode="r"), sidecar)[0], *images]),
                    "hr_hsi": reference.name if stretched else os.path.relpath(path, target),
                }
            operators: dict[str, Any] = {
                "psf": protocol.psf(ratio),
                "srf": response_under(protocol, sidecars[-1]),
                "msi_bands": len(simulated.hr_msi),
                "wavelengths_nm": sidecars[-1]["wavelengths_nm"],
            }
            np.savez(folder / "problem.npz", **{key: value for key, value in operators.items() if value is not None})
        write_json(folder / "pairs.json", about | {"scenes": scenes})


def blurred_from(missing: np.ndarray, psf: np.ndarray, ratio: int, border: str = "reflect") -> np.ndarray:
    """Which LR pixels (H/r, W/r) stand on or were blurred from a `missing` one of the HR pixels (H, W)."""
    import torch

    from smifbench.degradation.operators import blur_decimate

    seen = np.where(psf != 0, 1.0, 0.0)
    reached = blur_decimate(torch.from_numpy(missing.astype(np.float32)), seen, ratio, border).numpy() > 0
    return reached | blocks_with_missing(missing, ratio)


def simulate_prepared(path: Path, protocol: "Protocol", ratio: int) -> "Simulated":
    """Simulate the pair of a prepared scene (.npy) without stretching it; the scene's name seeds the noise."""
    from smifbench.degradation.simulation import simulate

    sidecar = read_json(path.with_suffix(".json"))
    _check_prepared(path, sidecar)
    try:
        srf, seed = response_under(protocol, sidecar), zlib.crc32(path.stem.encode())
        hr_hsi, msi = images_of(np.load(path, mmap_mode="r"), sidecar)
        return simulate(hr_hsi, ratio, srf, replace(protocol, scaling="none"), seed, msi)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def response_under(protocol: "Protocol", sidecar: dict) -> np.ndarray | None:
    """Response (c, C) of a prepared scene's MSI under a protocol; None where the MSI is a measured one."""
    own = None if sidecar["srf"] is None else np.array(sidecar["srf"])
    return protocol.srf(own, sidecar["wavelengths_nm"], sidecar.get("bandwidths_nm"))


def _check_prepared(path: Path, sidecar: dict) -> None:
    with whole(path, path):
        if array_hash(np.load(path, mmap_mode="r")) != sidecar["sha256"]:
            raise ValueError("its values are not those that were written")


def _stretch(prepared: Sequence[Path], folder: Path) -> None:
    """Stretch every band of references, LR-HSIs and HR-MSIs, each by its extremes over all scenes."""
    from smifbench.degradation.simulation import band_extremes, stretch

    for path in prepared:
        reference, _ = images_of(np.load(path, mmap_mode="r"), read_json(path.with_suffix(".json")))
        np.save(folder / f"{path.stem}.hr_hsi.npy", reference)
    for image in ("hr_hsi", "lr_hsi", "hr_msi"):
        files = [folder / f"{path.stem}.{image}.npy" for path in prepared]
        lowest, highest = band_extremes(np.load(file, mmap_mode="r") for file in files)
        for file in files:
            np.save(file, stretch(np.load(file), lowest, highest))
