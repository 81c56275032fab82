"""Choice of the device that a step runs on, and its name in result rows."""

import getpass
import logging
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch
from filelock import BaseFileLock, FileLock, Timeout

from smifbench.errors import UserError

logger = logging.getLogger(__name__)

_claimed: dict[str, BaseFileLock] = {}
"""Locks of the devices that this process has taken, held for as long as it lives."""


def pick_device(name: str) -> torch.device:
    """Return the device called "auto", "cpu" or "cuda"; auto is a GPU where there is one.

    Each process of a user gets a GPU of its own among those that PyTorch sees (`CUDA_VISIBLE_DEVICES` decides), and
    keeps it until it ends. While none is free, this waits.

    Raises UserError when a GPU is asked for and PyTorch sees none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device is 'cuda' but PyTorch sees no GPU; set 'device: cpu' or 'device: auto' in the config")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    # By their UUID, because the number of a GPU depends on which ones a process sees.
    uuids = [str(torch.cuda.get_device_properties(index).uuid) for index in range(torch.cuda.device_count())]
    index = claim(uuids)
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


def claim(names: Sequence[str], patience: float = 1.0) -> int:
    """Take one of the devices called `names` for this process and return its index; later calls return the same one.

    A device is taken while its lock file is locked. The system unlocks it when the process ends, for whatever reason.
    `patience` is the time in seconds between two looks while all are taken.
    """
    folder = Path(tempfile.gettempdir()) / f"smifbench-{os.getuid() if hasattr(os, 'getuid') else getpass.getuser()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for index, name in enumerate(names):
        if name in _claimed:
            return index
    waiting = False
    while True:
        for index, name in enumerate(names):
            lock = FileLock(folder / f"{name}.lock")
            with suppress(Timeout):
                lock.acquire(timeout=0)
                _claimed[name] = lock
                return index
        if not waiting:
            logger.warning("all %d GPUs are taken by other jobs; waiting for a free one", len(names))
            waiting = True
        time.sleep(patience)


def device_name(device: torch.device) -> str:
    """Return the model of a GPU, or of the processor with the number of threads that torch uses."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpu_info = Path("/proc/cpuinfo")
    lines = cpu_info.read_text().splitlines() if cpu_info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    threads = torch.get_num_threads()
    return f"{models[0] if models else platform.machine()}, {threads} thread{'s' if threads > 1 else ''}"
