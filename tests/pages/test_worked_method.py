"""The page's own method is trained by the DAG's steps exactly as it is printed there."""

import re
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

import smifbench
from smifbench import Recipe, plugins
from smifbench.data.scenes import prepare
from smifbench.degradation.degrade import degrade
from smifbench.experiment.config import check_experiment
from smifbench.fusion.build import RunMethod
from smifbench.steps.fuse import fuse
from smifbench.steps.train import train
from smifbench.system.files import read_json
from smifbench.tools.scaffold import new_method

PAGE = (plugins.ROOT / "docs" / "add_method.md").read_text()
METHOD = re.search(r"```python\n(class MyNet.*?)```", PAGE, re.DOTALL).group(1)
CONFIG = yaml.safe_load(re.search(r"```yaml\n(experiment: mine\n.*?)```", PAGE, re.DOTALL).group(1))
NAME = "net_of_a_test"
"""The page's name may be taken by a user's method."""


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    """The page's experiment, in a folder with the page's method."""
    head = (plugins.ROOT / "methods" / "_skeleton.py").read_text().split("class Skeleton")[0]
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / f"{NAME}.py").write_text(head + METHOD)
    monkeypatch.chdir(tmp_path)
    methods = {NAME if name == "my_net" else name: about for name, about in CONFIG["methods"].items()}
    return check_experiment(CONFIG | {"methods": methods})


def test_the_method_is_trained_by_the_recipe_that_is_printed(experiment, tmp_path):
    stated = re.search(r"recipe = (Recipe\(.*?\))", METHOD).group(1)
    recipe = experiment.recipe_of(NAME)
    assert recipe == eval(stated, {"Recipe": Recipe})
    dataset = experiment.build_dataset("indian_pines")
    scenes = [Path("scenes") / f"{scene}.npy" for scene in dataset.scenes()]
    for path in scenes:
        prepare(dataset, "indian_pines", path.stem, tmp_path, path)
    (run,) = [run for run in experiment.runs() if run.method == NAME]
    degrade(scenes, run.protocol, run.ratio, Path("pairs"))
    trained = Path("results/mine/runs") / run.folder / "trained"
    train(RunMethod(run, {}), Path("pairs"), recipe, Path("state"), trained)
    facts = read_json(trained / "facts.json")
    assert facts["status"] == "ok", facts["message"]
    assert facts["recipe"] == {
        key: [*value] if isinstance(value, tuple) else value for key, value in asdict(recipe).items()
    }
    assert facts["train_steps"] == 63  # 500 epochs of the 2 patches that tile the training scene, 16 at a time
    assert "+" in facts["code"], "the code id names a method that is not the suite's"
    fuse(RunMethod(run, {}, trained), Path("pairs"), Path("fused"))
    assert read_json("fused/facts.json")["status"] == "ok"
    assert smifbench.load_method("results/mine", NAME).network.title == "My Net"


def test_the_page_prints_what_new_method_writes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written = set(new_method("my_net").read_text().splitlines())
    printed = [line.partition("  #")[0] for line in METHOD.splitlines()]
    assert [line for line in printed if line not in written] == []
