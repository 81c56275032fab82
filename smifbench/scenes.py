"""Prepared scenes and simulated pairs on disk: the files through which the stages of the DAG talk.

A prepared scene is `<scene>.npy`, the HR-HSI (C, H, W) as float32 in [0,1]; `<scene>.json` beside it says what it is.
A folder of pairs holds what one protocol makes of the scenes at one ratio: `<scene>.lr_hsi.npy`, `<scene>.hr_msi.npy`,
`<scene>.hr_hsi.npy` where the protocol rescales the reference, and `problem.npz` with the responses.
"""

import hashlib
import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smifbench.dataset import DataSet
from smifbench.errors import UserError
from smifbench.files import array_hash, read_json, replacing, replacing_folder, write_json
from smifbench.problem import FusionProblem


@dataclass(frozen=True)
class Pair:
    """One scene as a method meets it: arrays (C, H, W), (C, H/r, W/r), (c, H, W), with its name, split and hash."""

    scene: str
    split: str
    hr_hsi: np.ndarray
    lr_hsi: np.ndarray
    hr_msi: np.ndarray
    data: str


def prepare(dataset: DataSet, name: str, scene: str, raw: Path, target: Path) -> None:
    """Read `scene` of the data set called `name` from `raw` and write it as the prepared scene `target` (.npy).

    Raises
    ------
    UserError
        When the cube is not (C, H, W) float32, holds NaN or infinite values or leaves [0,1].
    """
    wavelengths_nm, srf = dataset.wavelengths_nm(raw), dataset.srf(raw)
    cube = dataset.read(raw, scene)
    _check_cube(cube, f"{name}/{scene}", len(wavelengths_nm))
    with replacing(target) as temporary, temporary.open("wb") as file:
        np.save(file, cube)
    sidecar = {
        "name": scene,
        "dataset": name,
        "split": dataset.scenes()[scene],
        "shape": list(cube.shape),
        "sha256": array_hash(cube),
        "wavelengths_nm": [round(float(value), 6) for value in wavelengths_nm],
        "srf": srf.tolist(),
    }
    write_json(target.with_suffix(".json"), sidecar)


def degrade(prepared: Iterable[Path], protocol_id: str, ratio: int, target: Path) -> None:
    """Simulate LR-HSI and HR-MSI of the prepared scenes (.npy) and write them as the folder of pairs `target`."""
    from smifbench.degradation import get_protocol, simulate

    protocol = get_protocol(protocol_id)
    scenes = {}
    with replacing_folder(target) as folder:
        for path in prepared:
            sidecar = read_json(path.with_suffix(".json"))
            hr_hsi, srf = np.load(path, mmap_mode="r"), np.array(sidecar["srf"])
            try:
                # A scene draws noise of its own, the same whatever other scenes there are.
                simulated = simulate(hr_hsi, ratio, srf, protocol, seed=zlib.crc32(path.stem.encode()))
            except UserError as error:
                raise UserError(f"{path}: {error}") from error
            for image in ("lr_hsi", "hr_msi"):
                np.save(folder / f"{path.stem}.{image}.npy", getattr(simulated, image))
            rescaled = protocol.scaling != "none"
            if rescaled:
                np.save(folder / f"{path.stem}.hr_hsi.npy", simulated.hr_hsi)
            reference = f"{path.stem}.hr_hsi.npy" if rescaled else os.path.relpath(path, target)
            scenes[path.stem] = {"split": sidecar["split"], "data": _pair_id(simulated), "hr_hsi": reference}
        np.savez(folder / "problem.npz", psf=protocol.psf(ratio), srf=srf, wavelengths_nm=sidecar["wavelengths_nm"])
        write_json(folder / "pairs.json", {"protocol": protocol_id, "ratio": ratio, "scenes": scenes})


def load_problem(folder: Path) -> FusionProblem:
    """Return the fusion problem of a folder of pairs."""
    with np.load(folder / "problem.npz") as operators:
        psf, srf, wavelengths_nm = operators["psf"], operators["srf"], operators["wavelengths_nm"]
    ratio = read_json(folder / "pairs.json")["ratio"]
    return FusionProblem(srf.shape[1], srf.shape[0], ratio, psf, srf, wavelengths_nm)


def load_pairs(folder: Path, split: str) -> list[Pair]:
    """Return the pairs of one split ("train", "val" or "test"), arrays memory-mapped."""
    scenes = read_json(folder / "pairs.json")["scenes"]
    return [_load_pair(folder, name, about) for name, about in scenes.items() if about["split"] == split]


def _pair_id(images: Iterable[np.ndarray]) -> str:
    """Short name of a pair's values: twelve digits that change when any of its images does."""
    return hashlib.sha256("".join(map(array_hash, images)).encode()).hexdigest()[:12]


def _load_pair(folder: Path, name: str, about: dict) -> Pair:
    lr_hsi, hr_msi = (np.load(folder / f"{name}.{image}.npy", mmap_mode="r") for image in ("lr_hsi", "hr_msi"))
    hr_hsi = np.load(folder / about["hr_hsi"], mmap_mode="r")
    return Pair(name, about["split"], hr_hsi, lr_hsi, hr_msi, about["data"])


def _check_cube(cube: np.ndarray, name: str, bands: int) -> None:
    if cube.ndim != 3 or len(cube) != bands:
        raise UserError(
            f"scene {name} was read with shape {cube.shape}, but its data set states {bands} wavelengths; "
            "the band axis must come first"
        )
    if cube.dtype != np.float32:
        raise UserError(f"scene {name} was read as {cube.dtype}; read() must return float32 in [0,1]")
    if not np.isfinite(cube).all():
        raise UserError(
            f"scene {name} holds {np.count_nonzero(~np.isfinite(cube))} NaN or infinite values; mask or repair them in "
            "the source file"
        )
    if cube.min() < 0 or cube.max() > 1:
        raise UserError(f"scene {name} ranges over {cube.min():.4g}..{cube.max():.4g}; scale it into [0,1]")
