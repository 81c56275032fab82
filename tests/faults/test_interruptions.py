"""Kills, full and read-only disks, two runs at once: nothing is lost or half-written, and the next run ends as usual.

These take minutes, so they run where SMIFBENCH_FAULTS=1, as in .ci/run.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file
from workbench import command, copy_code, environment, snakemake, write_config

from smifbench.files import read_json
from smifbench.verification import verify

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.environ.get("SMIFBENCH_FAULTS"), reason="takes minutes; set SMIFBENCH_FAULTS=1"),
]

CONFIG = {
    "experiment": "tiny",
    "datasets": {"indian_pines": {}},
    "ratios": [4],
    "training": {"patch": 16, "batch": 1, "steps": 400},
    "methods": {"bicubic": {}, "gsa": {}, "ssr_net": {}},
    "device": "cpu",
}
TIMES = ["train_seconds", "fuse_seconds"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A copy of the code, in which training saves its state often, and the tiny experiment's undisturbed table."""
    folder = tmp_path_factory.mktemp("bench")
    copy_code(folder)
    training = folder / "smifbench" / "training.py"
    often = training.read_text().replace("SAVE_SECONDS = 60.0", "SAVE_SECONDS = 0.2")
    assert often != training.read_text()
    training.write_text(often)
    write_config(folder, CONFIG)
    status, output = snakemake(folder)
    assert status == 0, output
    return folder, table(folder)


@pytest.fixture
def bench(undisturbed):
    """The copy without any result or data; the test must leave the undisturbed table there."""
    folder, expected = undisturbed
    for name in ("results/tiny", "data", ".snakemake"):
        shutil.rmtree(folder / name)
    yield folder
    assert table(folder) == expected
    assert [verdict.complaint for verdict in verify(folder / "results" / "tiny", rows=None)] == [""] * 3
    assert not leftovers(folder)
    status, output = snakemake(folder)
    assert status == 0
    assert "Nothing to be done" in output


def table(folder):
    """All of metrics.csv but for times, as text."""
    df = pd.read_csv(folder / "results" / "tiny" / "metrics.csv", dtype=str, keep_default_na=False)
    return df.drop(columns=TIMES).to_csv()


def leftovers(folder):
    """Temporary files of processes that are no more."""
    return [path for name in ("results", "data") for path in (folder / name).rglob(".*.tmp")]


def assert_nothing_is_half_written(folder):
    """Every file that bears a final name is whole."""
    for path in [*(folder / "results").rglob("*.json"), *(folder / "data").rglob("*.json")]:
        read_json(path)
    for path in (folder / "results").rglob("*.safetensors"):
        load_file(path)
    for path in (folder / "results" / "tiny").rglob("*.csv"):
        assert len(pd.read_csv(path)), path
    for path in [*(folder / "results").rglob("*.npy"), *(folder / "data").rglob("*.npy")]:
        if not any(part.endswith(".tmp") for part in path.parts):
            assert np.load(path).size, path


@contextmanager
def started(folder, *arguments):
    """Snakemake in a process group of its own, which ends with the block; yields the process and its output's path."""
    log = folder / "output.txt"
    with log.open("w") as output:
        process = subprocess.Popen(
            command(*arguments), cwd=folder, env=environment(folder), stdout=output, stderr=output, process_group=0
        )
    try:
        yield process, log
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until(process, condition):
    """Wait until the condition holds or the process has ended."""
    while process.poll() is None and not condition():
        time.sleep(0.02)


def test_kills_at_random_moments_change_nothing(bench):
    """Each run is killed a little later after its first job began than the one before, by one signal or the other."""
    draw = random.Random(7)
    kills = {signal.SIGKILL: 0, signal.SIGTERM: 0}
    window = 2.0
    while True:
        with started(bench) as (process, log):
            wait_until(process, lambda: "Execute " in log.read_text())
            with suppress(subprocess.TimeoutExpired):
                process.wait(draw.uniform(0, window))
            if process.poll() is None:
                number = draw.choice(list(kills))
                os.killpg(process.pid, number)
                kills[number] += 1
            process.wait()
            assert "Traceback" not in log.read_text(), log.read_text()
        assert_nothing_is_half_written(bench)
        if process.returncode == 0:
            break
        snakemake(bench, "--unlock")
        window *= 1.2
    print(f"killed {kills[signal.SIGKILL]} times by SIGKILL, {kills[signal.SIGTERM]} times by SIGTERM")
    assert min(kills.values()) >= 2


@contextmanager
def mounted(folder, *options):
    """A mount on `folder`, or a skipped test where that is not allowed."""
    done = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


needs_mounts = pytest.mark.skipif(
    sys.platform != "linux" or os.getuid() != 0, reason="only root can mount small disks, on Linux"
)


@needs_mounts
def test_a_full_disk_is_told_and_the_next_run_goes_on(bench):
    results = bench / "results"
    published = bench / "published"
    shutil.copytree(results / "published", published)
    sentence = "cannot be written (No space left on device); mend that and run again"
    with mounted(results, "-t", "tmpfs", "-o", "size=240k", "none"):
        shutil.copytree(published, results / "published")
        status, output = snakemake(bench)
        assert status != 0
        told = [line for line in output.splitlines() if line.startswith("smifbench: ")]
        assert told
        assert all(line.endswith(sentence) for line in told), output
        assert "Traceback" not in output
        assert not (results / "tiny" / "metrics.csv").exists()
        assert_nothing_is_half_written(bench)
        subprocess.run(["mount", "-o", "remount,size=200m", str(results)], check=True)
        status, output = snakemake(bench)
        assert status == 0, output
        shutil.copytree(results / "tiny", bench / "tiny")
    shutil.move(bench / "tiny", results / "tiny")


@needs_mounts
def test_a_read_only_results_folder_is_told(bench):
    results = bench / "results"
    with mounted(results, "--bind", str(results)):
        subprocess.run(["mount", "-o", "remount,bind,ro", str(results)], check=True)
        status, output = snakemake(bench)
        assert status != 0
        assert "Read-only file system" in output
        assert "Traceback" not in output
    assert not (results / "tiny").exists()
    status, output = snakemake(bench)
    assert status == 0, output


def test_a_second_snakemake_in_the_folder_is_refused_and_the_first_goes_on(bench):
    locks = bench / ".snakemake" / "locks"
    with started(bench) as (first, log):
        wait_until(first, lambda: locks.is_dir() and any(locks.iterdir()))
        os.killpg(first.pid, signal.SIGSTOP)
        status, output = snakemake(bench)
        os.killpg(first.pid, signal.SIGCONT)
        assert status != 0
        assert "make sure that no other Snakemake process" in output
        assert "--unlock" in output
        assert "Traceback" not in output
        assert first.wait() == 0, log.read_text()


def test_a_clock_that_went_ahead_runs_an_edited_rule_once(bench):
    """An input from the future is new once; the next run, still before that moment, does nothing."""
    status, output = snakemake(bench)
    assert status == 0, output
    metrics = bench / "smifbench" / "metrics.py"
    metrics.write_text(metrics.read_text() + "\n# edited\n")
    tomorrow = time.time() + 86400
    os.utime(metrics, (tomorrow, tomorrow))
    status, output = snakemake(bench)
    assert status == 0, output
    assert "Score " in output or "score " in output
