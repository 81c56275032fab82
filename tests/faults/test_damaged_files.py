"""What a disk or a hand has damaged since it was written ends in one sentence, never in a number or a traceback."""

import os
import pickle

import numpy as np
import pytest
from safetensors.torch import load, save

from smifbench import Recipe, UserError, plugins
from smifbench.data import scenes
from smifbench.degradation import degrade as degradation
from smifbench.errors import DamagedFile
from smifbench.fusion.build import RunMethod
from smifbench.run import Run
from smifbench.steps import fuse as fusing
from smifbench.steps import score as scoring
from smifbench.steps import train as training
from smifbench.steps.__main__ import main

RUN = Run("indian_pines", "block-gauss-s2/1", 4, "ssr_net", "default", 0)
RECIPE = Recipe(batch=1, patch=16, steps=1)
PREPARED = [f"data/scenes/indian_pines_{split}.npy" for split in ("train", "val", "test")]


class Trap:
    """Pickled, it makes a folder when it is loaded."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Every kind of file that a run leaves, by a trained network of one step."""
    folder = tmp_path_factory.mktemp("whole")
    dataset = plugins.build_dataset("indian_pines")
    for path in PREPARED:
        scenes.prepare(dataset, "indian_pines", (folder / path).stem, folder, folder / path)
    degradation.degrade([folder / path for path in PREPARED], RUN.protocol, 4, folder / "pairs")
    training.train(RunMethod(RUN, {}), folder / "pairs", RECIPE, folder / "state", folder / "trained")
    fusing.fuse(RunMethod(RUN, {}, folder / "trained"), folder / "pairs", folder / "fused")
    return folder


def degrade(folder):
    degradation.degrade([folder / path for path in PREPARED], RUN.protocol, 4, folder / "again")


def train(folder):
    training.train(RunMethod(RUN, {}), folder / "pairs", RECIPE, folder / "state", folder / "again")


def fuse(folder):
    fusing.fuse(RunMethod(RUN, {}, folder / "trained"), folder / "pairs", folder / "again")


def score(folder):
    scoring.score("tiny", RUN, folder / "pairs", folder / "fused", folder / "again")


def cut(content):
    return content[: len(content) // 2]


def flip(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]


def empty(content):
    return b""


STEPS = {
    "degrade": (degrade, [PREPARED[0], PREPARED[0].replace("npy", "json")]),
    "train": (train, [PREPARED[0], "pairs/indian_pines_train.lr_hsi.npy", "pairs/problem.npz", "pairs/pairs.json"]),
    "fuse": (fuse, ["trained/weights.safetensors", "trained/facts.json", "pairs/indian_pines_test.hr_msi.npy"]),
    "score": (score, ["fused/indian_pines_test.npy", "fused/facts.json", PREPARED[2], "pairs/pairs.json"]),
}
SHORT = [(step, file) for step, (_, files) in STEPS.items() for file in files]


def assert_refused(folder, step, file, content):
    """The step tells the file in one sentence and leaves nothing."""
    path = folder / file
    before = path.read_bytes()
    try:
        path.write_bytes(content)
        with pytest.raises(DamagedFile) as error:
            STEPS[step][0](folder)
    finally:
        path.write_bytes(before)
    assert str(path) in str(error.value) or path.stem.split(".")[0] in str(error.value)
    assert "delete " in str(error.value)
    assert "\n" not in str(error.value)
    assert not [name for name in os.listdir(folder) if "again" in name]


@pytest.mark.parametrize("damage", [cut, empty])
@pytest.mark.parametrize(("step", "file"), SHORT)
def test_a_file_cut_off_is_named(whole, step, file, damage):
    assert_refused(whole, step, file, damage((whole / file).read_bytes()))


@pytest.mark.parametrize(
    ("step", "file"),
    [
        ("degrade", PREPARED[0]),
        ("train", "pairs/problem.npz"),
        ("fuse", "trained/weights.safetensors"),
        ("score", "pairs/indian_pines_test.lr_hsi.npy"),
        ("score", PREPARED[2]),
    ],
)
def test_a_flipped_bit_is_found_where_a_hash_is_kept(whole, step, file):
    assert_refused(whole, step, file, flip((whole / file).read_bytes()))


@pytest.mark.parametrize(
    ("step", "file"), [("fuse", "trained/weights.safetensors"), ("score", "fused/indian_pines_test.npy")]
)
def test_a_pickle_in_the_place_of_numbers_is_not_loaded(whole, step, file, tmp_path):
    assert_refused(whole, step, file, pickle.dumps(Trap(tmp_path / "sprung")))
    assert not (tmp_path / "sprung").exists()


def test_weights_of_another_training_are_refused_although_they_are_tensors(whole):
    weights = load((whole / "trained" / "weights.safetensors").read_bytes())
    other = save({name: weight + 1 for name, weight in weights.items()})
    assert_refused(whole, "fuse", "trained/weights.safetensors", other)


def test_images_that_do_not_fit_together_are_refused(whole):
    path = whole / "pairs" / "indian_pines_train.hr_msi.npy"
    before = path.read_bytes()
    try:
        np.save(path, np.load(path)[:, :-4])
        with pytest.raises(UserError, match=r"scene indian_pines_train .* do not fit together"):
            train(whole)
    finally:
        path.write_bytes(before)


def test_the_command_ends_with_one_line_and_status_2(whole, tmp_path, capsys):
    prepared = tmp_path / "scene.npy"
    prepared.write_bytes(cut((whole / PREPARED[0]).read_bytes()))
    prepared.with_suffix(".json").write_bytes((whole / PREPARED[0]).with_suffix(".json").read_bytes())
    arguments = ["--protocol", RUN.protocol, "--ratio", "4", "--output", str(tmp_path / "pairs")]
    assert main(["degrade", "--prepared", str(prepared), *arguments]) == 2
    told = capsys.readouterr().err
    assert told.startswith(
        f"smifbench: {prepared} is damaged (mmap length is greater than file size); delete {prepared}"
    )
    assert told.count("\n") == 1
    assert not (tmp_path / "pairs").exists()
