"""A real Slurm of one node on this machine: the profile sends jobs to it, and a cancelled training goes on.

Needs root, Slurm's and munge's daemons (Debian: slurm-wlm, munge) and snakemake-executor-plugin-slurm.
"""

import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pandas as pd
import pytest
from workbench import command, copy_code, environment, snakemake, write_config

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol", "sinfo", "setpriv")
MISSING = [name for name in PROGRAMS if not shutil.which(name)]
SETTINGS = Path("/etc/slurm")
"""Only here does Slurm look by itself, and `SLURM_CONF` is not passed on to the steps of a job."""
OURS = "# Written by tests/test_slurm.py; without it, may be removed."
MARK = "SMIFBENCH_TEST_CLUSTER"


def is_of_another_cluster(path):
    return path.exists() and not path.read_text().startswith(OURS)


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"Slurm is not installed: no {', '.join(MISSING)}"),
    pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="only root can start Slurm's daemons"),
    pytest.mark.skipif(
        is_of_another_cluster(SETTINGS / "slurm.conf"), reason="this machine is part of a Slurm cluster"
    ),
    pytest.mark.skipif(
        importlib.util.find_spec("snakemake_executor_plugin_slurm") is None,
        reason="snakemake-executor-plugin-slurm is not installed",
    ),
]

CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1
ReturnToService=2
KillWait=10
GresTypes=gpu
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=64000 Gres=gpu:1 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""

STEPS = 50
SLOW_METHOD = '''
"""A network that takes its time and writes down which Slurm job took each of its steps."""
import os
import time

from torch import nn

from smifbench.method import FusionMethod


class Slow(FusionMethod):
    title, citation, halo = "Slow", "none", 2

    def __init__(self, problem):
        super().__init__(problem)
        self.last = nn.Conv2d(problem.bands, problem.bands, 1)

    def forward(self, lr_hsi, hr_msi):
        return self.last(nn.functional.interpolate(lr_hsi, hr_msi.shape[-2:]))

    def training_loss(self, lr_hsi, hr_msi, hr_hsi, loss="l1"):
        time.sleep(0.1)
        with open("steps.txt", "a") as file:
            file.write(os.environ["SLURM_JOB_ID"] + "\\n")
        return super().training_loss(lr_hsi, hr_msi, hr_hsi, loss)
'''
CONFIG = {
    "experiment": "cluster",
    "datasets": {"indian_pines": {}},
    "ratios": [4],
    "training": {"patch": 16, "batch": 1, "steps": STEPS},
    "methods": {"slow": {}},
}


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_for(condition, what, seconds=60):
    """Return the condition's first true value; fails after so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.2)
    pytest.fail(f"waited {seconds} s for {what} in vain")


@pytest.fixture
def slurm(monkeypatch):
    """A cluster of this machine alone; returns a function that runs its commands. All of it ends with the test."""
    for name in [name for name in os.environ if name.startswith(("SLURM_", "SBATCH_"))]:
        monkeypatch.delenv(name)
    folder = Path(tempfile.mkdtemp(prefix="slurm-test-", dir="/run"))  # munge trusts no folder that others may write
    monkeypatch.setenv(MARK, str(folder))  # daemons and jobs inherit it
    host = socket.gethostname().split(".")[0]
    files = {
        "slurm.conf": CONF.format(folder=folder, host=host, ports=free_ports(2)),
        "cgroup.conf": "CgroupPlugin=autodetect\nIgnoreSystemd=yes\n",
        "gres.conf": f"NodeName={host} Name=gpu File=/dev/null\n",
    }
    with ExitStack() as cleanup:
        cleanup.callback(shutil.rmtree, folder)
        cleanup.callback(kill_processes_of, folder)
        SETTINGS.mkdir(exist_ok=True)
        for name, text in files.items():
            cleanup.callback((SETTINGS / name).unlink, missing_ok=True)
            (SETTINGS / name).write_text(f"{OURS}\n{text}")
        folder.chmod(0o755)
        (folder / "munge.key").write_bytes(os.urandom(128))
        (folder / "munge.key").chmod(0o400)
        places = {
            "key-file": "munge.key",
            "socket": "munge.socket",
            "pid-file": "pid",
            "log-file": "log",
            "seed-file": "seed",
        }
        cleanup.enter_context(
            daemon(folder, "munged", "--foreground", *(f"--{to}={folder / at}" for to, at in places.items()))
        )
        wait_for((folder / "munge.socket").exists, "munged")
        cleanup.enter_context(daemon(folder, "slurmctld", "-D"))
        cleanup.enter_context(daemon(folder, "slurmd", "-D", "-N", host))
        wait_for(lambda: "idle" in run("sinfo", "--noheader", "--format=%T", check=False), "a node that is ready")
        cleanup.callback(run, "scancel", "--user=root", check=False)
        yield run


def run(*command, check=True):
    return subprocess.run(command, capture_output=True, text=True, check=check, timeout=30).stdout


@contextmanager
def daemon(folder, name, *arguments):
    """A daemon that ends with the block, or when this process is killed; tells what it said where the block fails."""
    said = folder / f"{name}.out"
    with said.open("w") as out:
        process = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", name, *arguments], stdout=out, stderr=out)
    try:
        yield
    except BaseException:
        print(said.read_text()[-3000:])
        raise
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


def kill_processes_of(folder):
    """End what a job or a daemon left behind: the cluster's folder stands in its environment."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"{MARK}={folder}".encode() in (entry / "environ").read_bytes() and int(entry.name) != os.getpid():
                os.kill(int(entry.name), signal.SIGKILL)


@pytest.fixture
def workbench(tmp_path):
    """A copy of the code with a slow method, whose state is saved every half second."""
    copy_code(tmp_path)
    (tmp_path / "methods" / "slow.py").write_text(SLOW_METHOD)
    training = tmp_path / "smifbench" / "training" / "loop.py"
    training.write_text(training.read_text().replace("SAVE_SECONDS = 60.0", "SAVE_SECONDS = 0.5"))
    write_config(tmp_path, CONFIG)
    return tmp_path


def test_an_experiment_runs_on_slurm_and_a_cancelled_training_goes_on(slurm, workbench):
    status, output = snakemake(workbench, "--until", "degrade")  # here, because Slurm takes ten seconds for any job
    assert status == 0, output
    options = ["--workflow-profile", "slurm", "--slurm-no-account", "--slurm-status-command", "squeue"]
    options += ["--slurm-init-seconds-before-status-checks", "1", "--", "results/cluster/metrics.csv"]
    steps = workbench / "steps.txt"
    with (workbench / "output.txt").open("w") as output:
        process = subprocess.Popen(
            command(*options), cwd=workbench, env=environment(workbench), stdout=output, stderr=output
        )
    try:

        def half_trained():
            assert process.poll() is None, (workbench / "output.txt").read_text()
            taken = steps.read_text().split() if steps.exists() else []
            return taken if len(taken) > STEPS // 2 else None

        half = wait_for(half_trained, "half of the training", 180)
        slurm("scancel", half[0])
        assert process.wait(180) == 0, (workbench / "output.txt").read_text()
    finally:
        process.kill()

    taken = steps.read_text().split()
    assert len(set(taken)) == 2, "the cancelled job was not sent again"
    assert STEPS <= len(taken) < 1.4 * STEPS, "the second job began anew instead of going on"
    metrics = pd.read_csv(workbench / "results" / "cluster" / "metrics.csv")
    assert (metrics.status[0], metrics.train_steps[0]) == ("ok", STEPS)

    jobs = slurm("scontrol", "show", "job").strip().split("\n\n")
    limits = {re.search(r"Comment=rule_([a-z]+)", job).group(1): "TimeLimit=12:00:00" in job for job in jobs}
    assert limits == {"train": True, "fuse": False, "score": False}
    gpus = {re.search(r"Comment=rule_([a-z]+)", job).group(1): "gres:gpu:1" in job for job in jobs}
    assert gpus == {"train": True, "fuse": True, "score": False}
    (log,) = (workbench / ".snakemake" / "slurm_logs" / "rule_train").rglob(f"{half[0]}.log")
    assert "CANCELLED" in log.read_text()
