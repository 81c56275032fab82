"""From prepared scenes to a folder of simulated pairs, under one protocol and ratio."""

import os
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from smifbench.data.missing import blocks_with_missing
from smifbench.data.scenes import missing_of
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
            for path in prepared:
                reference = folder / f"{path.stem}.hr_hsi.npy" if stretched else path
                images = ["lr_hsi", "hr_msi", *(["missing"] if path.stem in masks else [])]
                files = [reference, *(folder / f"{path.stem}.{image}.npy" for image in images)]
                scenes[path.stem] |= {
                    "data": data_id(np.load(file, mmap_mode="r") for file in files),
                    "hr_hsi": reference.name if stretched else os.path.relpath(path, target),
                }
            wavelengths_nm = sidecars[-1]["wavelengths_nm"]
            srf = protocol.srf(np.array(sidecars[-1]["srf"]), wavelengths_nm)
            np.savez(folder / "problem.npz", psf=protocol.psf(ratio), srf=srf, wavelengths_nm=wavelengths_nm)
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
        srf = protocol.srf(np.array(sidecar["srf"]), sidecar["wavelengths_nm"])
        seed = zlib.crc32(path.stem.encode())
        return simulate(np.load(path, mmap_mode="r"), ratio, srf, replace(protocol, scaling="none"), seed)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _check_prepared(path: Path, sidecar: dict) -> None:
    with whole(path, path):
        if array_hash(np.load(path, mmap_mode="r")) != sidecar["sha256"]:
            raise ValueError("its values are not those that were written")


def _stretch(prepared: Sequence[Path], folder: Path) -> None:
    """Stretch every band of references, LR-HSIs and HR-MSIs, each by its extremes over all scenes."""
    from smifbench.degradation.simulation import band_extremes, stretch

    for image in ("hr_hsi", "lr_hsi", "hr_msi"):
        files = [folder / f"{path.stem}.{image}.npy" for path in prepared]
        sources = prepared if image == "hr_hsi" else files
        lowest, highest = band_extremes(np.load(source, mmap_mode="r") for source in sources)
        for source, file in zip(sources, files, strict=True):
            np.save(file, stretch(np.load(source), lowest, highest))
