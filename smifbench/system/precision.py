"""How GPUs round and repeat; a CPU computes in float32 and repeats itself to the bit.

The steps of the DAG compute in float32 on every device, with one exception: on a GPU, a recipe of precision "bf16" is
trained, not validated or fused, by faster means. Autocast takes products and convolutions in bfloat16 while weights,
sums and the optimizer stay in float32; what autocast leaves in float32 may use TF32; kernels may be ones whose sums
vary in their last digits, chosen by trial.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def be_exact() -> None:
    """Compute in full float32 and repeatably; to be called once by a process."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it, cuBLAS has no deterministic products
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # a debugging aid that costs up to 5 % of a step


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
