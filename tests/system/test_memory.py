"""Full memory is known in all the words that libraries have for it."""

import pytest
import torch

from smifbench.errors import UserError, first_line
from smifbench.system.memory import memory_ran_out

FULL = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    MemoryError(),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("Triton Error [CUDA]: out of memory"),
    RuntimeError("FIND was unable to find an engine to execute this computation"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
    RuntimeError("backend='inductor' raised:\nOutOfMemoryError: CUDA out of memory"),
]


@pytest.mark.parametrize("error", FULL, ids=str)
def test_full_memory_is_known_by_any_name(error):
    assert memory_ran_out(error)


@pytest.mark.parametrize(
    "error", [RuntimeError(""), ValueError("size mismatch"), UserError("it ran out of memory; take tiles")], ids=str
)
def test_other_errors_are_not_taken_for_full_memory(error):
    assert not memory_ran_out(error)


def test_torchs_own_refusal_on_a_cpu_is_known():
    with pytest.raises(RuntimeError) as refusal:
        torch.empty(2**60)
    assert memory_ran_out(refusal.value)


@pytest.mark.parametrize(("text", "line"), [("a\nb", "a"), ("", "KeyError"), ("\n\n c", "c")])
def test_the_first_line_of_an_error_says_something(text, line):
    error = KeyError() if not text else RuntimeError(text)
    assert first_line(error) == line
