"""Independent jobs take different GPUs, and a dead job's GPU is free again. No GPU is needed: the devices are names."""

import fcntl
import os
import subprocess
import sys
import tempfile
from types import SimpleNamespace

import pytest
import torch

from smifbench import UserError
from smifbench.system import devices

JOB = """
import sys
from smifbench.system import devices
print(devices.claim(sys.argv[1:], patience=0.05), flush=True)
sys.stdin.read()
"""


def start(folder, *names):
    """A process that takes one of the devices and keeps it."""
    return subprocess.Popen(
        [sys.executable, "-c", JOB, *names],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},
    )


def test_jobs_take_different_devices_and_a_killed_one_gives_its_own_back(tmp_path):
    jobs = [start(tmp_path, "a", "b") for _ in range(2)]
    try:
        taken = [int(job.stdout.readline()) for job in jobs]
        assert sorted(taken) == [0, 1]
        jobs.append(start(tmp_path, "a", "b"))
        assert "all 2 GPUs are taken" in jobs[2].stderr.readline()
        jobs[0].kill()
        assert int(jobs[2].stdout.readline()) == taken[0]
    finally:
        for job in jobs:
            job.kill()
            job.communicate()


@pytest.fixture
def gpus(tmp_path, monkeypatch):
    """Let PyTorch see GPUs by their identities, with no lock taken; returns the function that sets them."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(devices, "_claimed", {})

    def see(*uuids):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(uuids))
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(uuids))
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=uuids[index]))
        monkeypatch.setattr(torch.cuda, "set_device", lambda index: None)

    return see


def hold(folder, name):
    """Take a device as another process would: by an open file of its own."""
    file = (folder / f"smifbench-{os.getuid()}" / f"{name}.lock").open("w")
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return file


def test_a_process_keeps_its_device(gpus):
    gpus("a", "b")
    assert devices.pick_device("auto") == devices.pick_device("cuda") == torch.device("cuda", 0)


def test_the_same_gpu_is_known_by_whatever_number_a_process_sees_it(gpus, tmp_path):
    gpus("a", "b", "c")
    (tmp_path / f"smifbench-{os.getuid()}").mkdir()
    with hold(tmp_path, "b"):
        gpus("b", "c")
        assert devices.pick_device("auto") == torch.device("cuda", 1)


def test_a_cpu_takes_no_lock(gpus, tmp_path):
    gpus("a")
    assert devices.pick_device("cpu") == torch.device("cpu")
    gpus()
    assert devices.pick_device("auto") == torch.device("cpu")
    with pytest.raises(UserError, match="PyTorch sees no GPU"):
        devices.pick_device("cuda")
    assert not list(tmp_path.iterdir())
