"""What each config of the repository plans."""

import pytest
import yaml
from configs import EXPERIMENTS, TESTS
from workbench import planned, snakemake

from smifbench import plugins
from smifbench.experiment.config import load_experiment


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_a_config_plans_its_whole_grid(path, tmp_path):
    experiment = load_experiment(path)
    runs = experiment.runs()
    trained = [run for run in runs if plugins.method_class(run.method).trainable]
    status, output = snakemake(plugins.ROOT, "--dry-run", "--forceall", "--nolock", configs=[path])
    assert status == 0, output
    jobs = planned(output)
    assert jobs["score"] == jobs["fuse"] == len(runs)
    assert jobs.get("train", 0) == len(trained)
    assert jobs["degrade"] == len(experiment.settings())
    assert jobs["prepare"] == sum(len(experiment.build_dataset(name).scenes()) for name in experiment.datasets)


def test_robustness_plans_one_job_for_a_run_and_nothing_of_the_report():
    configs = [plugins.ROOT / "config" / "demo.yaml", TESTS]
    status, output = snakemake(plugins.ROOT, "--dry-run", "--forceall", "--nolock", configs=configs)
    assert status == 0, output
    jobs = planned(output)
    methods = [method for config in configs for method in yaml.safe_load(config.read_text())["methods"]]
    assert jobs["robustness"] == len(methods)
    assert jobs["degrade"] == 1
    assert not {"fuse", "score", "cost", "tables", "figures", "report"} & jobs.keys()
