"""A made-up data set of files, and results of an experiment that has trained a network on it for two steps."""

from pathlib import Path

import numpy as np
import pandas as pd

from smifbench import Recipe, plugins
from smifbench.data.scenes import prepare
from smifbench.degradation.degrade import degrade
from smifbench.experiment.config import check_experiment
from smifbench.fusion.build import RunMethod
from smifbench.run import Run
from smifbench.steps.describe import describe
from smifbench.steps.fuse import fuse
from smifbench.steps.score import score
from smifbench.steps.train import train
from smifbench.system.files import read_json, write_json

RUN = Run("toy", "block-gauss-s2/1", 4, "ssr_net", "default", 0)
NAME = "ssr_net-toy-x4"
COMMIT = "v9.9"
"""Stands for the code that made the results: while a test is being written, the real one is dirty."""

SCENES = {"one": "train", "two": "test", "three": "test"}
DATA_SET = f'''"""Toy: noise in three files."""

import numpy as np

from ._files import FileDataSet

SPLITS = {SCENES}


class Toy(FileDataSet):
    """Noise."""

    title = "Toy"
    citation = "nobody2026toy"
    licence = "none stated"
    homepage = "https://example.org/toy"
    archives = ()
    by_hand = "its files"

    def __init__(self, folder: str | None = None, scenes: list[str] | None = None, darker: float = 1.0) -> None:
        super().__init__(folder)
        self.wanted, self.darker = scenes or list(SPLITS), darker

    def scenes(self):
        return {{scene: SPLITS[scene] for scene in self.wanted}}

    def size(self, scene):
        return 32, 32

    def wavelengths_nm(self, folder):
        return np.linspace(400, 700, 6)

    def srf(self, folder):
        return np.kron(np.eye(2), np.full(3, 1 / 3))

    def lacking(self, files):
        return [f"{{scene}}.npy" for scene in self.wanted if f"{{scene}}.npy" not in files]

    def scene_files(self, folder, scene):
        return [self.complete_files(folder)[f"{{scene}}.npy"]]

    def read(self, folder, scene):
        return np.load(*self.scene_files(folder, scene)) * np.float32(self.darker)
'''


def make_results(desk: Path) -> Path:
    """Write `datasets/toy.py`, its files in `files` and finished results in `results/tiny` to `desk`, which is the
    current directory; returns the results.
    """
    (desk / "datasets").mkdir()
    (desk / "datasets" / "toy.py").write_text(DATA_SET)
    (desk / "files").mkdir()
    random = np.random.default_rng(0)
    for scene in SCENES:
        np.save(desk / "files" / f"{scene}.npy", random.random((6, 32, 32), dtype=np.float32))
    options = {"folder": "files", "darker": 0.5}
    scenes, pairs, results = desk / "scenes", desk / "pairs", desk / "results" / "tiny"
    for scene in SCENES:
        prepare(plugins.build_dataset("toy", **options), "toy", scene, desk / "raw", scenes / f"{scene}.npy")
    degrade([scenes / f"{scene}.npy" for scene in SCENES], RUN.protocol, RUN.ratio, pairs)
    place = results / "runs" / RUN.folder
    recipe = Recipe(lr=1e-3, batch=1, patch=16, steps=2, scaling="standard")
    train(RunMethod(RUN, {}), pairs, recipe, desk / "state", place / "trained")
    fuse(RunMethod(RUN, {}, place / "trained"), pairs, place / "fused")
    score("tiny", RUN, pairs, place / "fused", results / "metrics.csv")
    config = {"experiment": "tiny", "datasets": {"toy": options}, "ratios": [4], "methods": {"ssr_net": {}}}
    write_json(results / "experiment.json", describe(check_experiment(config | {"training": {"patch": 16}})))
    state_code(results, COMMIT)
    return results


def state_code(results: Path, code: str) -> None:
    """Let the results say that `code` has made them."""
    facts = results / "runs" / RUN.folder / "trained" / "facts.json"
    write_json(facts, read_json(facts) | {"code": code})
    table = pd.read_csv(results / "metrics.csv", dtype=str, keep_default_na=False)
    table.assign(code=code).to_csv(results / "metrics.csv", index=False)
