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

from smifbench.system.files import read_json
from smifbench.tools.verification import verify

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
METRICS = ["--", "results/tiny/metrics.csv", "results/tiny/experiment.json"]
"""The targets where tables, figures and report need not be made too."""

TIMES = ["train_seconds", "fuse_seconds"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A copy of the code, in which training saves its state often, and the tiny experiment's undisturbed table."""
    folder = tmp_path_factory.mktemp("bench")
    copy_code(folder)
    training = folder / "smifbench" / "training" / "loop.py"
    often = training.read_text().replace("SAVE_SECONDS = 60.0", "SAVE_SECONDS = 0.2")
    assert often != training.read_text()
    training.write_text(often)
    write_config(folder, CONFIG)
    status, output = snakemake(folder, *METRICS)
    assert status == 0, output
    return folder, table(folder)


@pytest.fixture
def bench(undisturbed):
    """The copy without any result or data; the test must leave the undisturbed table there."""
    folder, _ = undisturbed
    for name in ("results/tiny", "data", ".snakemake"):
        shutil.rmtree(folder / name, ignore_errors=True)
    yield folder
    assert_as_undisturbed(undisturbed)


def assert_as_undisturbed(undisturbed):
    """The table is the undisturbed one, its rows hold, nothing lies about, and another run does nothing."""
    folder, expected = undisturbed
    assert table(folder) == expected
    assert [verdict.complaint for verdict in verify(folder / "results" / "tiny", rows=None)] == [""] * 3
    assert not leftovers(folder)
    status, output = snakemake(folder, *METRICS)
    assert status == 0
    assert "Nothing to be done" in output


def table(folder):
    """All of metrics.csv but for times, as text."""
    df = pd.read_csv(folder / METRICS[1], dtype=str, keep_default_na=False)
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


def test_twenty_kills_at_random_moments_change_nothing(bench):
    """By one signal or the other, within seconds of the first job's beginning; what ends sooner begins anew."""
    draw = random.Random(7)
    kills = {signal.SIGKILL: 0, signal.SIGTERM: 0}
    while sum(kills.values()) < 20:
        with started(bench, *METRICS) as (process, log):
            wait_until(process, lambda: "Execute " in log.read_text())
            with suppress(subprocess.TimeoutExpired):
                process.wait(draw.uniform(0, 4))
            if process.poll() is None:
                number = draw.choice(list(kills))
                os.killpg(process.pid, number)
                kills[number] += 1
            process.wait()
            assert "Traceback" not in log.read_text(), log.read_text()
        assert_nothing_is_half_written(bench)
        if process.returncode == 0:
            shutil.rmtree(bench / "results" / "tiny")
        elif sum(kills.values()) == 1:
            assert snakemake(bench, "--unlock")[0] == 0
        shutil.rmtree(bench / ".snakemake" / "locks", ignore_errors=True)  # what --unlock does, in less time
    assert min(kills.values()) >= 5
    status, output = snakemake(bench, *METRICS)
    assert status == 0, output


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
        status, output = snakemake(bench, *METRICS)
        assert status != 0
        told = [line for line in output.splitlines() if line.startswith("smifbench: ")]
        assert told
        assert all(line.endswith(sentence) for line in told), output
        assert "Traceback" not in output
        assert not (results / "tiny" / "metrics.csv").exists()
        assert_nothing_is_half_written(bench)
        subprocess.run(["mount", "-o", "remount,size=200m", str(results)], check=True)
        status, output = snakemake(bench, *METRICS)
        assert status == 0, output
        shutil.copytree(results / "tiny", bench / "tiny")
    shutil.move(bench / "tiny", results / "tiny")


@needs_mounts
def test_a_read_only_results_folder_is_told_and_nothing_is_lost(bench):
    results = bench / "results"
    with mounted(results, "--bind", str(results)):
        subprocess.run(["mount", "-o", "remount,bind,ro", str(results)], check=True)
        status, output = snakemake(bench, *METRICS)
        assert status != 0
        assert "Read-only file system" in output
        assert "Traceback" not in output
    assert not (results / "tiny").exists()
    assert_a_second_snakemake_is_refused(bench)


def assert_a_second_snakemake_is_refused(bench):
    """While the first holds its breath; then the first goes on to its end."""
    locks = bench / ".snakemake" / "locks"
    with started(bench, *METRICS) as (first, log):
        wait_until(first, lambda: locks.is_dir() and any(locks.iterdir()))
        os.killpg(first.pid, signal.SIGSTOP)
        status, output = snakemake(bench, *METRICS)
        os.killpg(first.pid, signal.SIGCONT)
        assert status != 0
        assert "make sure that no other Snakemake process" in output
        assert "--unlock" in output
        assert "Traceback" not in output
        assert first.wait() == 0, log.read_text()


def test_a_file_from_the_future_is_told_and_once_its_time_is_right_the_run_goes_on(undisturbed):
    """A clock that went ahead and back: no result is kept that would seem older than what it is made of."""
    bench, _ = undisturbed
    references = bench / "methods" / "references.bib"
    references.write_text(references.read_text() + "\n")
    tomorrow = time.time() + 86400
    os.utime(references, (tomorrow, tomorrow))
    status, output = snakemake(bench, *METRICS)
    assert status != 0
    assert "methods/references.bib was changed in the future" in output
    assert "touch 'methods/references.bib'" in output
    assert "Traceback" not in output
    references.touch()
    status, output = snakemake(bench, *METRICS)
    assert status == 0, output
    assert_as_undisturbed(undisturbed)
