"""Speed of training, compared with a plain training loop and with the device's own rates.

The suite's training, a plain loop, a matrix product and a convolution take turns of about a second each, so that other
work on the machine slows all four alike, and the medians of their turns are compared. Networks have their default
sizes; scenes are noise. Only torch, NumPy and what training itself needs are imported.
"""

import csv
import logging
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from smifbench import plugins
from smifbench.degradation.pairs import Pair
from smifbench.errors import UserError
from smifbench.fusion import build
from smifbench.fusion.scaled import ScaledNetwork
from smifbench.method import FusionMethod, Recipe
from smifbench.problem import FusionProblem
from smifbench.system.devices import device_name
from smifbench.system.files import write_csv
from smifbench.system.memory import memory_ran_out
from smifbench.training.loop import Training

logger = logging.getLogger(__name__)

COLUMNS = [
    *("device", "method", "patch", "batch", "gmacs_per_patch", "patches_per_s", "naive_patches_per_s", "speedup"),
    *("gmacs_per_s", "matmul_gmacs_per_s", "convolution_gmacs_per_s", "share_of_matmul", "share_of_convolution"),
]

PROBLEM = FusionProblem(bands=31, msi_bands=3, ratio=4)
TURNS = 9
PASSES = 3
"""Cost of a training step in forward passes: one forward, and a backward that costs two."""


def measure_all(
    methods: Sequence[str], patch: int, batch: int, seconds: float, device: torch.device, output: Path
) -> list[dict]:
    """Measure every method that has no row in the CSV file `output` yet, and write its row there at once.

    Parameters
    ----------
    methods
        Names of methods to be trained.
    patch, batch
        Side of the HR patches in pixels, and patches in a batch.
    seconds
        Time that each of the four is measured for a method, after a warm-up.
    device
        Where to train.
    output
        CSV file with `COLUMNS`; rates are in patches a second and in 10^9 multiply-adds (MACs) a second. MACs are those
        of convolutions, linear layers and products, as torch counts them in a forward, times `PASSES`. What does not
        fit into the memory is NaN.

    Returns
    -------
    list of dict
        All rows of the file.

    Raises
    ------
    UserError
        For the name of a method that does not exist, or that solves instead of learning.
    """
    for method in methods:
        if not plugins.method_class(method).trainable:
            raise UserError(f"{method} solves instead of learning; name methods that are trained")
    rows = _read(output)
    name = device_name(device)
    for method in methods:
        key = {"device": name, "method": method, "patch": str(patch), "batch": str(batch)}
        if not any(key.items() <= row.items() for row in rows):
            rows.append(key | measure(method, patch, batch, seconds, device))
            write_csv(output, rows, COLUMNS)
    return rows


def measure(method: str, patch: int, batch: int, seconds: float, device: torch.device) -> dict[str, str]:
    """Measure one method; returns its columns from `gmacs_per_patch` on."""
    pairs = [_noise_pair(seed, max(128, patch)) for seed in range(4)]
    networks = {loop: _build(method, device) for loop in ("engine", "naive")}
    macs = _macs(networks["naive"], patch, device)
    size = 8192 if device.type == "cuda" else 1024
    turns = {
        "engine": _engine(networks["engine"], pairs, patch, batch),
        "naive": _naive(networks["naive"], pairs, patch, batch, device),
        "matmul": _matmul(size, device),
        "convolution": _convolution(64 if device.type == "cuda" else 1, device),
    }
    rates: dict[str, list[float]] = {name: [] for name in turns}
    for name, work in list(turns.items()):
        if not _warmed_up(work, device):
            logger.warning("%s does not fit into the memory by the %s loop", method, name)
            rates[name] = [math.nan]
            del turns[name]
    for _ in range(TURNS):
        for name, work in turns.items():
            rates[name].append(_rate(work, seconds / TURNS, device))
    patches, naive, matmul, convolution = map(statistics.median, rates.values())
    achieved = PASSES * macs * patches
    values = {
        "gmacs_per_patch": macs / 1e9,
        "patches_per_s": patches,
        "naive_patches_per_s": naive,
        "speedup": patches / naive,
        "gmacs_per_s": achieved / 1e9,
        "matmul_gmacs_per_s": matmul / 1e9,
        "convolution_gmacs_per_s": convolution / 1e9,
        "share_of_matmul": achieved / matmul,
        "share_of_convolution": achieved / convolution,
    }
    return {key: f"{value:.4g}" for key, value in values.items()}


def _warmed_up(work: Iterator[int], device: torch.device) -> bool:
    """Compile and fill caches by two items of `work`; returns False where memory runs out."""
    try:
        next(work)
        _rate(work, 0, device)
        return True
    except Exception as error:
        if not memory_ran_out(error):
            raise
    if device.type == "cuda":  # after the handler, whose traceback holds the tensors
        torch.cuda.empty_cache()
    return False


def _build(method: str, device: torch.device) -> FusionMethod:
    torch.manual_seed(0)
    return build.build_method(method, PROBLEM).to(device)


def _macs(network: FusionMethod, patch: int, device: torch.device) -> float:
    """Multiply-adds of one forward of one patch."""
    lr_hsi = torch.zeros(1, PROBLEM.bands, patch // PROBLEM.ratio, patch // PROBLEM.ratio, device=device)
    hr_msi = torch.zeros(1, PROBLEM.msi_bands, patch, patch, device=device)
    # Attention as plain products, because torch does not count all of its fused forms.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        network.eval()(lr_hsi, hr_msi)
    return counter.get_total_flops() / 2


def _engine(network: FusionMethod, pairs: list[Pair], patch: int, batch: int) -> Iterator[int]:
    """Train as the suite does; yields the patches of each step."""
    recipe = Recipe(batch=batch, patch=patch, steps=10**9)
    training = Training(ScaledNetwork(network), pairs, [], recipe, seed=0)
    network.train()
    while True:
        training.one_step()
        training.healthy(now=False)
        yield batch


class _Crops(Dataset):
    """One patch of one scene an item, at random, cut on the CPU."""

    def __init__(self, pairs: list[Pair], patch: int) -> None:
        self.pairs, self.patch = pairs, patch

    def __len__(self) -> int:
        return 4096

    def __getitem__(self, index: int) -> list[Tensor]:
        pair = self.pairs[index % len(self.pairs)]
        side = self.patch // PROBLEM.ratio
        top, left = (int(torch.randint(length - side + 1, ())) for length in pair.lr_hsi.shape[1:])
        cuts = []
        for image, step in ((pair.lr_hsi, 1), (pair.hr_msi, PROBLEM.ratio), (pair.hr_hsi, PROBLEM.ratio)):
            cut = image[:, top * step : (top + side) * step, left * step : (left + side) * step]
            cuts.append(torch.from_numpy(cut.copy()))
        return cuts


def _naive(network: FusionMethod, pairs: list[Pair], patch: int, batch: int, device: torch.device) -> Iterator[int]:
    """Train as most public code does: DataLoader, float32, NCHW, eager, Adam with its defaults; yields as `_engine`."""
    optimizer = torch.optim.Adam(network.parameters(), lr=4e-4)
    network.train()
    # On a CPU workers would take the cores that train.
    workers = min(4, os.cpu_count() or 1) if device.type == "cuda" else 0
    crops = _Crops(pairs, patch)
    loader = DataLoader(crops, batch, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
    for epoch in cycle([loader]):
        for lr_hsi, hr_msi, hr_hsi in epoch:
            optimizer.zero_grad()
            network.training_loss(lr_hsi.to(device), hr_msi.to(device), hr_hsi.to(device)).backward()
            optimizer.step()
            yield len(lr_hsi)


def _matmul(size: int, device: torch.device) -> Iterator[int]:
    """Multiply square matrices in the engine's precision; yields multiply-adds."""
    matrices = torch.randn(2, size, size, device=device, dtype=_precision(device))
    while True:
        torch.mm(*matrices)
        yield size**3


def _convolution(batch: int, device: torch.device) -> Iterator[int]:
    """Convolve 64 channels by 3 x 3 in the engine's precision and memory order; yields multiply-adds."""
    layer = nn.Conv2d(64, 64, 3, padding=1).to(device, _precision(device))
    layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)
    layer.requires_grad_(False)
    image = torch.randn(batch, 64, 128, 128, device=device, dtype=_precision(device))
    image = image.contiguous(memory_format=torch.channels_last)
    while True:
        layer(image)
        yield image.numel() * 64 * 9


def _precision(device: torch.device) -> torch.dtype:
    return torch.bfloat16 if device.type == "cuda" else torch.float32


def _rate(work: Iterator[int], seconds: float, device: torch.device) -> float:
    """Run `work` for `seconds`, one item at least; returns the sum of what it yields, for each second."""
    synchronize: Callable[[], None] = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    synchronize()
    started, done = _clock(device), 0
    while not done or _clock(device) - started < seconds:
        done += next(work)
    synchronize()
    return done / (_clock(device) - started)


def _clock(device: torch.device) -> float:
    """Return seconds; on a CPU those that this process computed, so that other work on the machine does not count."""
    return time.perf_counter() if device.type == "cuda" else time.process_time() / torch.get_num_threads()


def _noise_pair(seed: int, side: int) -> Pair:
    generator = np.random.default_rng(seed)
    sizes = (PROBLEM.bands, side), (PROBLEM.bands, side // PROBLEM.ratio), (PROBLEM.msi_bands, side)
    hr_hsi, lr_hsi, hr_msi = (generator.random((bands, side, side), dtype=np.float32) for bands, side in sizes)
    return Pair(f"noise {seed}", "train", hr_hsi, lr_hsi, hr_msi, data="")


def _read(path: Path) -> list[dict]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
