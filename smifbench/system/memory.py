"""The memory that a function call takes, and errors that say there is none left."""

import os
import re
from collections.abc import Callable
from itertools import accumulate

import torch
from torch.profiler import ProfilerActivity, profile

from smifbench.errors import UserError

_FULL = re.compile(
    "out of memory"  # torch's allocator, the driver, and Triton, which loads kernels past that allocator
    "|can't allocate memory|not enough memory"  # torch on a CPU
    "|ALLOC(ATION)?_FAILED"  # cuBLAS, cuDNN, cuFFT, cuSOLVER, cuSPARSE
    "|unable to find an engine to execute this computation",  # cuDNN without room for any workspace
    re.IGNORECASE,
)


def memory_ran_out(error: BaseException) -> bool:
    """Tell whether an error says that the device's or the machine's memory is full, in whatever words."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return not isinstance(error, UserError) and _FULL.search(str(error)) is not None


def peak_bytes(work: Callable[[], object], device: torch.device) -> int:
    """Return the most bytes that tensors made during `work` take at once.

    On a GPU torch's allocator counts them; on a CPU torch's profiler does, without what NumPy, SciPy and the libraries
    below torch allocate.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else the profiler writes to the terminal
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        work()
    changes = [event for event in recorded.profiler.kineto_results.events() if event.name() == "[memory]"]
    changes.sort(key=lambda event: event.start_ns())
    return max(accumulate(event.nbytes() for event in changes), default=0)
