"""Which device a step runs on, and what result rows call it."""

import platform
from pathlib import Path

import torch

from smifbench.errors import UserError


def pick_device(name: str) -> torch.device:
    """Return the device called "auto", "cpu" or "cuda"; auto is a GPU where there is one.

    Raises UserError when a GPU is asked for and PyTorch sees none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device is 'cuda' but PyTorch sees no GPU; set 'device: cpu' or 'device: auto' in the config")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def device_name(device: torch.device) -> str:
    """Return the model of a GPU, or of the processor with the number of threads that torch uses."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpu_info = Path("/proc/cpuinfo")
    lines = cpu_info.read_text().splitlines() if cpu_info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    threads = torch.get_num_threads()
    return f"{models[0] if models else platform.machine()}, {threads} thread{'s' if threads > 1 else ''}"
