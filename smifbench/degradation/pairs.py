"""Folders of simulated pairs, read: each holds a data set's scenes as one protocol degrades them at one ratio.

A folder holds `<scene>.lr_hsi.npy`, `<scene>.hr_msi.npy`, `<scene>.hr_hsi.npy` where the protocol rescales the
reference, `problem.npz` with the operators, and `pairs.json`. A scene with missing pixels has `<scene>.missing.npy` and
`<scene>.lr_missing.npy` besides.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smifbench.errors import DamagedFile
from smifbench.problem import FusionProblem
from smifbench.system.files import read_json, whole
from smifbench.system.identity import array_hash


@dataclass(frozen=True)
class Pair:
    """One scene: its name, its split, reference (C, H, W), LR-HSI (C, H/r, W/r), HR-MSI (c, H, W) and their hash.

    `missing` (H, W) marks pixels without a value, which hold those of their neighbours, and `lr_missing` (H/r, W/r) the
    LR pixels whose blur saw one of them; both are None for a scene that is whole.
    """

    scene: str
    split: str
    hr_hsi: np.ndarray
    lr_hsi: np.ndarray
    hr_msi: np.ndarray
    data: str
    missing: np.ndarray | None = None
    lr_missing: np.ndarray | None = None

    @property
    def images(self) -> list[np.ndarray]:
        """What decides the data id: the three images, and the mask where there is one."""
        return [self.hr_hsi, self.lr_hsi, self.hr_msi, *([] if self.missing is None else [self.missing])]

    @property
    def pixels_missing(self) -> int:
        """Number of HR pixels without a value."""
        return 0 if self.missing is None else int(self.missing.sum())


def unavailable(folder: Path) -> str:
    """Return the reason why a folder of pairs holds none, because its data set could not be had; "" where it does."""
    return _about(folder)["unavailable"]


def scene_names(folder: Path, split: str) -> list[str]:
    """Return the names of a split's scenes, whether or not their data could be had."""
    return [name for name, about in _about(folder)["scenes"].items() if about["split"] == split]


def load_problem(folder: Path) -> FusionProblem:
    """Return the fusion problem of a folder of pairs; its `srf` is None where the MSI was measured."""
    path = folder / "problem.npz"
    with whole(path, folder), np.load(path) as operators:
        psf, wavelengths_nm, srf = operators["psf"], operators["wavelengths_nm"], operators.get("srf")
        msi_bands = int(operators["msi_bands"])
    return FusionProblem(len(wavelengths_nm), msi_bands, _about(folder)["ratio"], psf, srf, wavelengths_nm)


def load_pairs(folder: Path, split: str) -> list[Pair]:
    """Return the pairs of one split ("train", "val" or "test"), arrays memory-mapped.

    Raises DamagedFile where a file is missing, cut off or of another shape; `check_pair` looks at every value.
    """
    about = _about(folder)
    return [_load_pair(folder, name, about["scenes"][name], about["ratio"]) for name in scene_names(folder, split)]


def _about(folder: Path) -> dict:
    """Return `pairs.json` as `degrade` wrote it."""
    return read_json(folder / "pairs.json", folder)


def data_id(images: Iterable[np.ndarray]) -> str:
    """Short hash of a pair's images: twelve digits that change when any value does."""
    return hashlib.sha256("".join(map(array_hash, images)).encode()).hexdigest()[:12]


def _load_pair(folder: Path, name: str, about: dict, ratio: int) -> Pair:
    files = [folder / about["hr_hsi"], *(folder / f"{name}.{image}.npy" for image in ("lr_hsi", "hr_msi"))]
    masked = about.get("pixels_missing", 0) > 0
    files += [folder / f"{name}.{mask}.npy" for mask in ("missing", "lr_missing")] * masked
    images = []
    for file in files:
        with whole(file, folder if file.parent == folder else file):
            images.append(np.load(file, mmap_mode="r"))
    images[0] = images[0][: len(images[1])]  # the bands of a measured MSI follow in a prepared scene
    hr_hsi, lr_hsi, hr_msi = images[:3]
    masks = images[3:]
    shapes = [(len(hr_hsi), *(side // ratio for side in hr_hsi.shape[1:])), (len(hr_msi), *hr_hsi.shape[1:])]
    fitting = [lr_hsi.shape, hr_msi.shape] == shapes
    fitting = fitting and [mask.shape for mask in masks] == [hr_hsi.shape[1:], lr_hsi.shape[1:]] * masked
    if not fitting or {image.dtype for image in images[:3]} != {np.dtype(np.float32)}:
        raise DamagedFile(f"the images of scene {name} in {folder} do not fit together; delete it and run snakemake")
    return Pair(name, about["split"], hr_hsi, lr_hsi, hr_msi, about["data"], *masks)
