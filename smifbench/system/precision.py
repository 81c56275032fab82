"""Precision and repeatability; a CPU of one kind gives the same bits every time.

Every step of the DAG computes in float32 on every device, with two exceptions. Training on a GPU by a recipe of
precision "bf16" or "bf16-anywhere" is faster and does not repeat to the bit (validation and fusion do). Autocast
computes products and convolutions in bfloat16, while weights, sums and the optimizer stay in float32; products that
autocast leaves in float32 may use TF32; and kernels may be the fastest found by trial, also ones whose sums vary in
their last digits. Training on a CPU by one of precision "bf16-anywhere" is under autocast, too, and repeats.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def be_exact() -> None:
    """Make this process compute in full float32 and repeatably; a process calls it once."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it, cuBLAS has no deterministic products
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.use_deterministic_algorithms(True, warn_only=True)
    # A debugging aid that costs up to 5 % of a step. Torch defines the name when it runs, where mypy cannot see it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


@contextmanager
def fast_on_gpu(enabled: bool) -> Iterator[None]:
    """Allow TF32 and kernels that do not repeat to the bit inside the block, if `enabled`."""
    if not enabled:
        yield
        return
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = products.allow_tf32, cudnn.allow_tf32, cudnn.benchmark
    deterministic = torch.are_deterministic_algorithms_enabled()
    products.allow_tf32 = cudnn.allow_tf32 = cudnn.benchmark = True
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        products.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = before
        torch.use_deterministic_algorithms(deterministic, warn_only=True)
