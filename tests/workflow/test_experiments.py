"""The ablation and the equal budget from end to end at toy size: narrow networks, two steps, one small scene."""

import pandas as pd
import pytest
import yaml

from smifbench import audit, load_results, plugins
from smifbench.data import scenes
from smifbench.degradation import degrade
from smifbench.evaluation.columns import COST_COLUMNS
from smifbench.experiment.config import check_experiment
from smifbench.fusion.build import RunMethod
from smifbench.paper.layout import published_options
from smifbench.report.document import write_document
from smifbench.report.tables import write_tables
from smifbench.steps import describe, fuse, score, train
from smifbench.system.files import write_json

CONFIGS = {
    name: yaml.safe_load((plugins.ROOT / "config" / f"{name}.yaml").read_text()) for name in ("ablation", "budget")
}
NARROW = yaml.safe_load((plugins.ROOT / "config" / "demo.yaml").read_text())["methods"]


def toy(config):
    """The config's methods and variants, made narrow, on the embedded scene for two steps."""
    methods = {
        name: {"options": {"width": 8, "layers": 1} | about["options"]}
        if "options" in about
        else NARROW[name] | {"recipe": {}}
        for name, about in config["methods"].items()
    }
    return check_experiment(
        config
        | {"datasets": {"indian_pines": {}}, "ratios": [4], "seeds": [0], "methods": methods, "device": "cpu"}
        | {"training": {"steps": 2, "batch": 1, "patch": 16, "scaling": "standard"}}
    )


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    dataset = plugins.build_dataset("indian_pines")
    prepared = [folder / "scenes" / f"{scene}.npy" for scene in dataset.scenes()]
    for path in prepared:
        scenes.prepare(dataset, "indian_pines", path.stem, folder, path)
    degrade.degrade(prepared, "block-gauss-s2/1", 4, folder / "pairs")
    return folder / "pairs"


@pytest.fixture
def run(pairs, tmp_path):
    """Run a toy experiment, by the library's functions that the steps call; returns its results folder."""

    def experiment(name):
        about = toy(CONFIGS[name])
        tables = []
        for run in about.runs():
            method = about.methods[run.method, run.variant]
            folder, trained = tmp_path / run.folder, None
            if plugins.method_class(run.method).trainable:
                recipe = about.recipe_of(run.method, run.variant)
                trained = folder / "trained"
                train.train(RunMethod(run, method["options"]), pairs, recipe, folder / "state", trained)
            fuse.fuse(RunMethod(run, method["options"], trained), pairs, folder / "fused")
            score.score(name, run, pairs, folder / "fused", folder / "scores.csv")
            tables.append(pd.read_csv(folder / "scores.csv"))
        pd.concat(tables).to_csv(tmp_path / "metrics.csv", index=False)
        pd.DataFrame(columns=COST_COLUMNS).to_csv(tmp_path / "cost.csv", index=False)
        write_json(tmp_path / "experiment.json", describe.describe(about))
        write_tables(tmp_path, tmp_path / "tables")
        write_document(tmp_path, tmp_path / "paper.tex")
        return tmp_path

    return experiment


def test_the_ablations_variants_are_those_of_the_papers_tables():
    for name, about in CONFIGS["ablation"]["methods"].items():
        assert about.get("options", {}) == published_options(name.partition("/")[2])


def test_ablation_fills_tables_4_and_5(run):
    folder = run("ablation")
    assert set(load_results(folder).status) == {"ok"}
    names = {path.stem for path in (folder / "tables").glob("*.tex")}
    assert names == {
        *(f"table{number}_indian_pines{suffix}" for number in (4, 5) for suffix in ("", "_paper")),
        *("complexity", "statistics", "audit"),
    }
    for name in names - {"audit"}:
        assert "not run" not in (folder / "tables" / f"{name}.tex").read_text()
    psnr = load_results(folder).set_index("variant").psnr
    assert psnr.nunique() == len(psnr), "every variant is another network"


def test_an_equal_budget_runs_every_method_of_the_paper(run):
    folder = run("budget")
    results = load_results(folder)
    assert set(results.status) == {"ok"}
    assert set(results.train_steps.dropna()) == {2}
    assert list(results.method) == list(yaml.safe_load((plugins.ROOT / "config" / "paper.yaml").read_text())["methods"])
    text = (folder / "tables" / "table_indian_pines.tex").read_text()
    assert "the same short training" in text.replace("\n", " ")
    assert set(audit(results).status) == {"not run"}
    assert (folder / "paper.tex").exists()
