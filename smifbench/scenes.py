"""Prepared scenes and simulated pairs on disk: the files through which the stages of the DAG talk.

A prepared scene is `<scene>.npy`, the HR-HSI (C, H, W) as float32 in [0,1]; `<scene>.json` beside it says what it is.
A folder of pairs holds what one protocol makes of the scenes at one ratio: `<scene>.lr_hsi.npy`, `<scene>.hr_msi.npy`,
`<scene>.hr_hsi.npy` where the protocol rescales the reference, and `problem.npz` with the responses.
"""

import hashlib
import os
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from smifbench import plugins
from smifbench.dataset import DataSet, File
from smifbench.errors import DamagedFile, UserError
from smifbench.files import array_hash, file_hash, read_json, replacing, replacing_folder, whole, write_json
from smifbench.problem import FusionProblem

if TYPE_CHECKING:
    from smifbench.degradation import Protocol, Simulated


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
    sidecar = _identity(dataset, name, scene) | {
        "shape": list(cube.shape),
        "sha256": array_hash(cube),
        "full_scale": np.asarray(dataset.full_scale(raw, scene)).tolist(),
        "sources": {file.name: _content_hash(file) for file in dataset.scene_files(raw, scene)},
        "wavelengths_nm": [round(float(value), 6) for value in wavelengths_nm],
        "srf": srf.tolist(),
    }
    write_json(target.with_suffix(".json"), sidecar)


def prepare_missing(dataset: DataSet, name: str, scene: str, reason: str, target: Path) -> None:
    """Write an empty array as the prepared scene of a data set that could not be had, and the reason beside it."""
    with replacing(target) as temporary, temporary.open("wb") as file:
        np.save(file, np.empty((0, 0, 0), np.float32))
    write_json(target.with_suffix(".json"), _identity(dataset, name, scene) | {"unavailable": reason})


def degrade(prepared: Sequence[Path], protocol_id: str, ratio: int, target: Path) -> None:
    """Simulate LR-HSI and HR-MSI of the prepared scenes (.npy) and write them as the folder of pairs `target`.

    A protocol that stretches the images does so by the extremes of all scenes: they are regions of one image then.
    """
    from smifbench.degradation import get_protocol

    protocol = get_protocol(protocol_id)
    sidecars = [read_json(path.with_suffix(".json")) for path in prepared]
    about = {"protocol": protocol_id, "ratio": ratio, "unavailable": sidecars[0].get("unavailable", "")}
    scenes = {path.stem: {"split": sidecar["split"]} for path, sidecar in zip(prepared, sidecars, strict=True)}
    with replacing_folder(target) as folder:
        if not about["unavailable"]:
            for path in prepared:
                simulated = simulate_prepared(path, protocol, ratio)
                for image in ("lr_hsi", "hr_msi"):
                    np.save(folder / f"{path.stem}.{image}.npy", getattr(simulated, image))
            stretched = protocol.scaling == "separate-minmax"
            if stretched:
                _stretch(prepared, folder)
            for path in prepared:
                reference = folder / f"{path.stem}.hr_hsi.npy" if stretched else path
                files = [reference, *(folder / f"{path.stem}.{image}.npy" for image in ("lr_hsi", "hr_msi"))]
                scenes[path.stem] |= {
                    "data": data_id(np.load(file, mmap_mode="r") for file in files),
                    "hr_hsi": reference.name if stretched else os.path.relpath(path, target),
                }
            wavelengths_nm = sidecars[-1]["wavelengths_nm"]
            srf = protocol.srf(np.array(sidecars[-1]["srf"]), wavelengths_nm)
            np.savez(folder / "problem.npz", psf=protocol.psf(ratio), srf=srf, wavelengths_nm=wavelengths_nm)
        write_json(folder / "pairs.json", about | {"scenes": scenes})


def simulate_prepared(path: Path, protocol: "Protocol", ratio: int) -> "Simulated":
    """Simulate the pair of a prepared scene (.npy), not stretched; the noise is the scene's own."""
    from smifbench.degradation import simulate

    sidecar = read_json(path.with_suffix(".json"))
    _check_prepared(path, sidecar)
    try:
        srf = protocol.srf(np.array(sidecar["srf"]), sidecar["wavelengths_nm"])
        seed = zlib.crc32(path.stem.encode())
        return simulate(np.load(path, mmap_mode="r"), ratio, srf, replace(protocol, scaling="none"), seed)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def unavailable(folder: Path) -> str:
    """Return why there are no pairs in a folder of pairs: the reason why its data set could not be had, else ""."""
    return _about(folder)["unavailable"]


def scene_names(folder: Path, split: str) -> list[str]:
    """Return the names of a split's scenes, whether or not their data could be had."""
    return [name for name, about in _about(folder)["scenes"].items() if about["split"] == split]


def load_problem(folder: Path) -> FusionProblem:
    """Return the fusion problem of a folder of pairs."""
    path = folder / "problem.npz"
    with whole(path, folder), np.load(path) as operators:
        psf, srf, wavelengths_nm = operators["psf"], operators["srf"], operators["wavelengths_nm"]
    ratio = _about(folder)["ratio"]
    return FusionProblem(srf.shape[1], srf.shape[0], ratio, psf, srf, wavelengths_nm)


def load_pairs(folder: Path, split: str) -> list[Pair]:
    """Return the pairs of one split ("train", "val" or "test"), arrays memory-mapped.

    Raises DamagedFile where a file is missing, cut off or of another shape; `check_pair` looks at every value.
    """
    about = _about(folder)
    return [_load_pair(folder, name, about["scenes"][name], about["ratio"]) for name in scene_names(folder, split)]


def check_pair(pair: Pair) -> None:
    """Hash a pair's values; raises DamagedFile where they are not those that were simulated."""
    found = data_id([pair.hr_hsi, pair.lr_hsi, pair.hr_msi])
    if found != pair.data:
        raise DamagedFile(
            f"the images of scene {pair.scene} have the hash {found} and not {pair.data}, with which they were "
            "simulated; delete their folder under data/pairs and their file under data/scenes, and run snakemake"
        )


def _about(folder: Path) -> dict:
    """Return what `degrade` wrote down of a folder of pairs."""
    return read_json(folder / "pairs.json", folder)


def _check_prepared(path: Path, sidecar: dict) -> None:
    with whole(path, path):
        if array_hash(np.load(path, mmap_mode="r")) != sidecar["sha256"]:
            raise ValueError("its values are not those that were written")


def _identity(dataset: DataSet, name: str, scene: str) -> dict:
    """What a prepared scene is, apart from its values."""
    reader = type(dataset).__module__.rpartition(".")[2]
    version = hashlib.sha256("".join(map(file_hash, plugins.sources("datasets", reader))).encode()).hexdigest()[:12]
    return {"name": scene, "dataset": name, "split": dataset.scenes()[scene], "reader": f"{reader} {version}"}


def _content_hash(file: File) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _stretch(prepared: Sequence[Path], folder: Path) -> None:
    """Stretch every band of references, LR-HSIs and HR-MSIs, each by its extremes over all scenes."""
    from smifbench.degradation import band_extremes, stretch

    for image in ("hr_hsi", "lr_hsi", "hr_msi"):
        files = [folder / f"{path.stem}.{image}.npy" for path in prepared]
        sources = prepared if image == "hr_hsi" else files
        lowest, highest = band_extremes(np.load(source, mmap_mode="r") for source in sources)
        for source, file in zip(sources, files, strict=True):
            np.save(file, stretch(np.load(source), lowest, highest))


def data_id(images: Iterable[np.ndarray]) -> str:
    """Short name of a pair's values: twelve digits that change when any of its images does."""
    return hashlib.sha256("".join(map(array_hash, images)).encode()).hexdigest()[:12]


def _load_pair(folder: Path, name: str, about: dict, ratio: int) -> Pair:
    files = [folder / about["hr_hsi"], *(folder / f"{name}.{image}.npy" for image in ("lr_hsi", "hr_msi"))]
    images = []
    for file in files:
        with whole(file, folder if file.parent == folder else file):
            images.append(np.load(file, mmap_mode="r"))
    hr_hsi, lr_hsi, hr_msi = images
    shapes = [(len(hr_hsi), *(side // ratio for side in hr_hsi.shape[1:])), (len(hr_msi), *hr_hsi.shape[1:])]
    if [lr_hsi.shape, hr_msi.shape] != shapes or {image.dtype for image in images} != {np.dtype(np.float32)}:
        raise DamagedFile(f"the images of scene {name} in {folder} do not fit together; delete it and run snakemake")
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
