"""The estimate of what an experiment takes: against what its stages then write and do."""

import re
from pathlib import Path

import pytest
from configs import EXPERIMENTS

from smifbench import UserError, plugins
from smifbench.__main__ import main
from smifbench.data import scenes
from smifbench.degradation import degrade
from smifbench.experiment.config import check_experiment, load_experiment
from smifbench.experiment.plan import disk_plan, summary, training_plan

CONFIG = {
    "experiment": "tiny",
    "datasets": {"indian_pines": {}},
    "ratios": [4],
    "seeds": [0, 1],
    "training": {"patch": 16, "batch": 4, "epochs": 2},
    "methods": {"bicubic": {}, "ssr_net": {}, "ssr_net/long": {"recipe": {"epochs": 6}}},
}


def test_disk_is_what_the_stages_write(tmp_path):
    experiment = check_experiment(CONFIG)
    dataset = experiment.build_dataset("indian_pines")
    prepared = [tmp_path / "scenes" / f"{scene}.npy" for scene in dataset.scenes()]
    for path in prepared:
        scenes.prepare(dataset, "indian_pines", path.stem, tmp_path, path)
    degrade.degrade(prepared, "block-gauss-s2/1", 4, tmp_path / "pairs")
    expected = disk_plan(experiment)
    written = {"prepared scenes": "scenes/*.npy", "simulated pairs": "pairs/*.npy"}
    for kind, files in written.items():
        assert sum(path.stat().st_size for path in tmp_path.glob(files)) == pytest.approx(expected[kind], rel=0.02)
    test = next(path for path in prepared if path.stem.endswith("test"))
    assert expected["estimates"] == pytest.approx(5 * test.stat().st_size, rel=0.02), "bicubic once, the others twice"


def test_training_follows_the_recipe():
    plan = training_plan(check_experiment(CONFIG)).set_index("variant")
    assert list(plan.runs) == [2, 2]
    # 80 x 144 training pixels hold 5 x 9 patches of 16 x 16; two epochs of them in batches of 4.
    assert plan.steps["default"] == 23
    assert plan.steps["long"] == 68
    assert plan.pflop["long"] / plan.pflop["default"] == pytest.approx(68 / 23)
    # SSR-NET is three convolutions of 3 x 3 over 40 bands, and nothing else that counts.
    macs = 16 * 16 * 3 * 9 * 40 * 40
    assert plan.pflop["default"] == pytest.approx(2 * 23 * 4 * 6 * macs / 1e15, rel=0.02)


def test_steps_of_a_budget_in_seconds_are_unknown():
    plan = training_plan(check_experiment({**CONFIG, "training": {**CONFIG["training"], "seconds": 60}}))
    assert plan.set_index("variant").steps.isna().to_dict() == {"default": True, "long": False}
    assert list(plan.seconds.dropna()) == [2 * 60]


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_scene_sizes_are_known_before_the_data(path):
    experiment = load_experiment(path)
    for name in experiment.datasets:
        dataset = experiment.build_dataset(name)
        assert all(min(dataset.size(scene)) >= 32 for scene in dataset.scenes())


def test_stated_sizes_are_the_ones_read():
    dataset = plugins.build_dataset("indian_pines")
    for scene in dataset.scenes():
        assert dataset.read(Path(), scene).shape[1:] == dataset.size(scene)


def test_a_rate_that_nobody_stated_is_called_assumed():
    experiment = check_experiment({**CONFIG, "device": "cpu"})
    assert "0.05 x 10^12 operations a second, which is assumed" in summary(experiment)
    assert "2 x 10^12 operations a second\n" in summary(experiment, 2)


def test_small_experiments_do_not_print_as_nothing():
    table = summary(check_experiment({**CONFIG, "device": "cpu"})).splitlines()[1]
    assert float(table.split()[-1]) > 0


@pytest.mark.parametrize("rate", ["0", "-1", "nan", "inf", "fast"])
def test_a_rate_is_a_number_above_0(rate, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["plan", "config/demo.yaml", "--tflops", rate])
    assert stop.value.code == 2
    assert "is no number above 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"training": {"patch": 128}}, "scene indian_pines_train of indian_pines has 80 x 144 pixels; set recipe"),
        ({"training": {"patch": 18}}, "patches of 18, which ratio 4 does not divide; set recipe: {patch: 16}"),
        ({"ratios": [7]}, "which ratio 7 does not divide"),
    ],
)
def test_what_the_run_would_refuse_is_refused_before(changes, sentence):
    with pytest.raises(UserError, match=re.escape(sentence)):
        check_experiment({**CONFIG, **changes})


@pytest.mark.parametrize(
    ("method", "options", "sentence"),
    [
        ("local_gsa", {"window": -1}, "window of local_gsa must be above 0"),
        ("cnmf", {"iterations": -1}, "iterations is -1"),
        ("gsa", {"operators": "foo"}, "known or estimated"),
    ],
)
def test_an_impossible_option_of_a_solver_is_told_by_the_plan(method, options, sentence):
    with pytest.raises(UserError, match=sentence):
        summary(check_experiment({**CONFIG, "methods": {method: {"options": options}}}))


def test_without_training_the_plan_has_no_table():
    assert summary(check_experiment({**CONFIG, "methods": {"gsa": {}}})).startswith(CONFIG["experiment"])
