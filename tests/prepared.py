"""Prepared scenes and folders of pairs on disk, as the steps write them, for tests."""

import numpy as np

from smifbench.degradation.degrade import degrade
from smifbench.system.files import write_json
from smifbench.system.identity import array_hash

SRF = [[0.5, 0.5, 0, 0, 0, 0], [0, 0, 0, 0, 0.5, 0.5]]


def write_scene(path, cube, split="test", srf=SRF, wavelengths_nm=None):
    """Write a cube (C, H, W) and its sidecar as the prepared scene `path` (.npy), and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, cube)
    wavelengths_nm = np.zeros(len(cube)) if wavelengths_nm is None else wavelengths_nm
    sidecar = {
        "split": split,
        "srf": np.asarray(srf).tolist(),
        "wavelengths_nm": np.asarray(wavelengths_nm).tolist(),
        "sha256": array_hash(cube),
    }
    write_json(path.with_suffix(".json"), sidecar)
    return path


def make_pairs(folder, srf=SRF, names=("first", "second")):
    """Write two scenes of 6 bands (train, test) and their pairs at ratio 4; returns the folder of the pairs."""
    generator = np.random.default_rng(0)
    paths = [
        write_scene(folder / "scenes" / f"{scene}.npy", generator.random((6, 32, 32), dtype=np.float32), split, srf)
        for scene, split in zip(names, ("train", "test"), strict=True)
    ]
    degrade(paths, "block-gauss-s2/1", 4, folder / "pairs")
    return folder / "pairs"
