"""A folder of small pairs for tests of steps: one training and one test scene of noise."""

import json

import numpy as np

from smifbench.degradation.degrade import degrade
from smifbench.system.identity import array_hash

SRF = [[0.5, 0.5, 0, 0, 0, 0], [0, 0, 0, 0, 0.5, 0.5]]


def make_pairs(folder, srf=SRF, names=("first", "second")):
    """Write two scenes of 6 bands (train, test) and their pairs at ratio 4; returns the folder of the pairs."""
    generator = np.random.default_rng(0)
    paths = []
    for scene, split in zip(names, ("train", "test"), strict=True):
        path = folder / "scenes" / f"{scene}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        cube = generator.random((6, 32, 32), dtype=np.float32)
        np.save(path, cube)
        about = {"split": split, "srf": srf, "wavelengths_nm": [0] * 6, "sha256": array_hash(cube)}
        path.with_suffix(".json").write_text(json.dumps(about))
        paths.append(path)
    degrade(paths, "block-gauss-s2/1", 4, folder / "pairs")
    return folder / "pairs"
