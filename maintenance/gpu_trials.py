"""Time what a GPU does by other means than a CPU, each against the means of a CPU, to see if it is worth its code.

    python maintenance/gpu_trials.py [--device cpu --small]

Forward and backward in bfloat16, compiled on a GPU, at the sizes of the paper's batches (a CPU rehearses with --small).
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.benchmark import Timer

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from smifbench import plugins  # noqa: E402

Work = Callable[..., Tensor]


def main() -> None:
    """Print a line for each trial."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="a 64th of the sizes")
    args = parser.parse_args()
    torch.backends.cudnn.benchmark = torch.backends.cuda.matmul.allow_tf32 = True
    for what, usual, other, tensors in _trials(torch.device(args.device), 64 if args.small else 1):
        times = [_milliseconds(work, tensors) for work in (usual, other)]
        print(f"{what:50} {times[0]:9.3f} ms, by other means {times[1]:9.3f} ms", flush=True)


def _trials(device: torch.device, part: int) -> list[tuple[str, Work, Work, list[Tensor]]]:
    """Return for each trial its name, the usual means, the GPU's, and the tensors that both take."""
    psrt, dhif_net = (sys.modules[plugins.method_class(name).__module__] for name in ("psrt", "dhif_net"))

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, device=device, dtype=torch.bfloat16)

    trials = []
    for window, count in ((2, 2_097_152), (4, 524_288)):
        tokens = [noise(count // part, 4, window**2) for _ in range(3)]
        trials.append((f"PSRT, windows of {window}: products", psrt._attend_by_products, psrt._attend_by_sums, tokens))
    images = noise(64 // part, 128, 64, 64).contiguous(memory_format=torch.channels_last)
    trials.append(
        (
            "DHIF-Net, doubling: bicubic",
            lambda x: dhif_net._upsample(x.float(), 2),
            dhif_net._double_by_products,
            [images],
        )
    )
    head = dhif_net._convolutions(128, 217, 217).append(torch.nn.Conv2d(217, 217, 1))
    head = head.to(device, torch.bfloat16, memory_format=torch.channels_last)
    images = noise(64 // part, 128, 128, 128).contiguous(memory_format=torch.channels_last)
    trials.append(("DHIF-Net, head of 217 channels", head, lambda x: dhif_net._filled_up(head, x), [images]))
    layer = torch.nn.Sequential(torch.nn.Conv2d(31, 31, 3, padding=1))
    layer = layer.to(device, torch.bfloat16, memory_format=torch.channels_last)
    images = noise(64 // part, 31, 128, 128).contiguous(memory_format=torch.channels_last)
    trials.append(("a convolution of 31 channels", layer, lambda x: dhif_net._filled_up(layer, x), [images]))
    return trials


def _milliseconds(work: Work, tensors: list[Tensor]) -> float:
    """Median time of a forward and a backward."""
    leaves = [tensor.detach().requires_grad_() for tensor in tensors]
    if leaves[0].is_cuda:
        work = torch.compile(work, dynamic=False)
    timer = Timer("work(*leaves).float().square().sum().backward()", globals={"work": work, "leaves": leaves})
    return 1e3 * timer.blocked_autorange(min_run_time=1.0).median


if __name__ == "__main__":
    main()
