"""The script for a bare GPU node, rehearsed on a CPU: stopped in time, it goes on elsewhere until all is there."""

import csv
import re
import shutil
import subprocess
import sys
import time

import gpu_check
import numpy as np
import pytest
import yaml
from prepared import write_scene

from smifbench import plugins
from smifbench.degradation import degrade

CONFIG = {
    "experiment": "rehearsal",
    "methods": {"ssr_net": {"recipe": {"lr": 1e-3, "steps": 600, "batch": 1, "patch": 16, "ema": 0.9}}, "gsa": {}},
}
PAIRS = ("data", "pairs", "toy", "block-gauss-s2", "1", "x4")
STATE = ("out", "runs", "ssr_net", "default", "state")


@pytest.fixture
def node(tmp_path):
    """A folder with what travels to a node: config, scenes and pairs."""
    folder = tmp_path / "node"
    prepared = []
    for seed, split in enumerate(("train", "test")):
        cube = np.random.default_rng(seed).random((6, 16, 16), dtype=np.float32)
        prepared.append(write_scene(folder / "data" / "scenes" / f"{split}.npy", cube, split))
    degrade.degrade(prepared, "block-gauss-s2/1", 4, folder.joinpath(*PAIRS))
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG, sort_keys=False))
    return folder


def arguments(folder):
    throughput = "--throughput=ssr_net --patch 16 --batch 1 --seconds 0.1"
    paths = ["--config", folder / "config.yaml", "--pairs", folder.joinpath(*PAIRS), "--output", folder / "out"]
    return [*map(str, paths), "--device", "cpu", "--threads", "1", throughput]


def check(folder):
    command = [sys.executable, str(plugins.ROOT / "maintenance" / "gpu_check.py"), *arguments(folder)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def stop_halfway(folder, monkeypatch):
    """Call the script and let its time be up when the network is half trained; returns its status."""
    wait = gpu_check._wait

    def until_it_has_learnt(process, deadline):
        while not folder.joinpath(*STATE, "history.csv").exists():
            assert process.poll() is None
            time.sleep(0.01)
        return wait(process, time.monotonic())

    monkeypatch.setattr(gpu_check, "_wait", until_it_has_learnt)
    monkeypatch.setattr(gpu_check, "_keep_compiled", lambda folder: None)  # it sets this process' environment
    monkeypatch.setattr(sys, "argv", ["gpu_check.py", *arguments(folder)])
    return gpu_check.main()


def train_undisturbed(folder):
    """Train as the script would; returns the weights."""
    command = gpu_check._commands(gpu_check._parser().parse_args(arguments(folder)))[0]
    assert gpu_check._start(command).wait() == 0
    return weights(folder)


def weights(folder):
    return folder.joinpath(*STATE[:-1], "trained", "weights.safetensors").read_bytes()


def carry_in_parts(state, other):
    """Carry `last.pt` to another folder by the commands of the page."""
    page = (plugins.ROOT / "docs" / "performance.md").read_text()
    (cut,), (join,) = (re.findall(rf"`({command} [^`]+)`", page) for command in ("split", "cat"))
    assert "60M" in cut
    other.mkdir(parents=True)
    subprocess.run(cut.replace("60M", "20K"), shell=True, cwd=state, check=True)
    parts = sorted(state.glob("part.*"))
    assert len(parts) > 1
    for part in parts:
        shutil.move(part, other)
    subprocess.run(join, shell=True, cwd=other, check=True)


def test_a_job_that_is_stopped_goes_on_on_another_node(node, tmp_path, monkeypatch, capsys):
    alone, other = (shutil.copytree(node, tmp_path / name) for name in ("alone", "other"))
    assert stop_halfway(node, monkeypatch) == 3
    assert "the same call goes on from here" in capsys.readouterr().out
    carry_in_parts(node.joinpath(*STATE), other.joinpath(*STATE))
    shutil.rmtree(node)
    done = check(other)
    assert done.returncode == 0, done.stderr
    log = other.joinpath(*STATE[:-1], "train.log").read_text()
    assert 0 < int(re.findall(r"training starts at (\d+) of 600", log)[-1]) < 600
    assert weights(other) == train_undisturbed(alone)
    with (other / "out" / "metrics.csv").open() as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert {method: row["status"] for method, row in rows.items()} == {"ssr_net": "ok", "gsa": "ok"}
    row = rows["ssr_net"]
    assert (row["dataset"], row["protocol"]) == ("toy", "block-gauss-s2/1")
    assert row["train_steps"] == "600"
    with (other / "out" / "throughput.csv").open() as file:
        assert [row["method"] for row in csv.DictReader(file)] == ["ssr_net"]


def test_pairs_that_are_not_there_are_told_before_anything_is_measured(node):
    shutil.rmtree(node.joinpath(*PAIRS))
    done = check(node)
    assert done.returncode == 2
    assert "x4; snakemake --until degrade makes it" in done.stderr
    assert not (node / "out").exists()
