"""The script for a bare GPU node, rehearsed on a CPU: it stops in time and goes on until everything is there."""

import csv
import subprocess
import sys

import numpy as np
import yaml
from prepared import write_scene

from smifbench import plugins
from smifbench.degradation import degrade

CONFIG = {
    "experiment": "rehearsal",
    "methods": {"ssr_net": {"recipe": {"lr": 1e-3, "steps": 3, "batch": 1, "patch": 16}}, "gsa": {}},
}


def check(folder, minutes):
    pairs = folder / "pairs" / "toy" / "block-gauss-s2" / "1" / "x4"
    command = [sys.executable, plugins.ROOT / "maintenance" / "gpu_check.py", "--device", "cpu"]
    command += ["--config", folder / "config.yaml", "--pairs", pairs, "--output", folder / "out"]
    command += ["--minutes", minutes, "--throughput=ssr_net --patch 16 --batch 1 --seconds 0.1"]
    return subprocess.run([*map(str, command)], cwd=folder, capture_output=True, text=True, check=False)


def test_calls_add_up_to_a_table_and_a_run(tmp_path):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    prepared = []
    for seed, split in enumerate(("train", "test")):
        cube = np.random.default_rng(seed).random((6, 16, 16), dtype=np.float32)
        prepared.append(write_scene(tmp_path / "scenes" / f"{split}.npy", cube, split))
    degrade.degrade(prepared, "block-gauss-s2/1", 4, tmp_path / "pairs" / "toy" / "block-gauss-s2" / "1" / "x4")
    first = check(tmp_path, minutes=0)
    assert not (tmp_path / "out" / "metrics.csv").exists()
    assert first.returncode == 3, first.stderr
    assert "the same call goes on from here" in first.stdout
    second = check(tmp_path, minutes=9)
    assert second.returncode == 0, second.stderr
    with (tmp_path / "out" / "metrics.csv").open() as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert {method: row["status"] for method, row in rows.items()} == {"ssr_net": "ok", "gsa": "ok"}
    row = rows["ssr_net"]
    assert (row["dataset"], row["protocol"]) == ("toy", "block-gauss-s2/1")
    assert row["train_steps"] == "3"
    with (tmp_path / "out" / "throughput.csv").open() as file:
        assert [row["method"] for row in csv.DictReader(file)] == ["ssr_net"]


def test_pairs_that_are_not_there_are_told_before_anything_is_measured(tmp_path):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    done = check(tmp_path, minutes=9)
    assert done.returncode == 2
    assert "x4; snakemake --until degrade makes it" in done.stderr
    assert not (tmp_path / "out").exists()
