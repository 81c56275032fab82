"""What an experiment will take: its runs, the arithmetic of its training, and its space on disk, before it is run."""

import math
from collections import defaultdict
from itertools import product
from pathlib import Path

import pandas as pd

from smifbench import plugins
from smifbench.evaluation.cost import count_macs, count_parameters
from smifbench.experiment.config import Experiment
from smifbench.fusion import build
from smifbench.problem import FusionProblem
from smifbench.training.loop import steps_of

BYTES = 4
"""Of a stored value: all images and weights are float32."""

ASSUMED_TFLOPS = {"cpu": 0.05, "gpu": 100.0}
"""10^12 operations a second that a core of a processor, and a large GPU in bfloat16, sustain by a rough guess."""

FORWARD_AND_BACKWARD = 3
"""Arithmetic of a training step in forward passes: one forward, and two of its size for both gradients."""


def training_plan(experiment: Experiment) -> pd.DataFrame:
    """Count the arithmetic of every network's training.

    Returns
    -------
    DataFrame
        A row for each dataset, ratio, method and variant that is trained: `runs` (protocols times seeds), `steps` of
        one run, `params`, and `pflop`, the floating-point operations of all runs in 10^15: two for each multiply-add
        that fvcore's rules count in a forward pass, three passes for a step. Of a budget in seconds, `steps` and
        `pflop` are NaN, as they depend on the device, and `seconds` are those of all runs; else `seconds` is NaN.
    """
    rows = [
        _train_row(experiment, dataset, ratio, method, variant, *bands)
        for dataset, bands in _bands(experiment).items()
        for ratio in experiment.ratios
        for method, variant in experiment.methods
        if experiment.trains(method)
    ]
    columns = ["dataset", "ratio", "method", "variant", "runs", "steps", "params", "pflop", "seconds"]
    return pd.DataFrame(rows, columns=columns)


def disk_plan(experiment: Experiment) -> dict[str, float]:
    """Return the space that an experiment's files take, in bytes, by kind; downloaded archives come on top."""
    taken: dict[str, float] = defaultdict(float)
    for dataset, (msi_bands, bands) in _bands(experiment).items():
        built = experiment.build_dataset(dataset)
        for scene, split in built.scenes().items():
            values = BYTES * math.prod(built.size(scene))
            taken["prepared scenes"] += values * (bands + (msi_bands if built.brings_msi else 0))
            for ratio in experiment.ratios:
                pairs = values * (bands / ratio**2 + msi_bands) * len(experiment.protocols)
                taken["simulated pairs"] += pairs
            if split == "test":
                taken["estimates"] += values * bands * sum(run.dataset == dataset for run in experiment.runs())
    return dict(taken)


def summary(experiment: Experiment, tflops: float | None = None) -> str:
    """Describe in words and a table what an experiment takes.

    `tflops` is what the device sustains in 10^12 operations a second; None assumes `ASSUMED_TFLOPS` of the config's
    device.
    """
    said = "" if tflops else ", which is assumed; state it by --tflops"
    tflops = tflops or ASSUMED_TFLOPS["cpu" if experiment.device == "cpu" else "gpu"]
    _build_solvers(experiment)
    runs, trainings, disk = experiment.runs(), training_plan(experiment), disk_plan(experiment)
    hours = trainings.seconds.fillna(trainings.pflop * 1e3 / tflops) / 3600
    columns = {"hours": hours, "pflop": trainings.pflop}
    printed = {name: [f"{value:.3g}" for value in values] for name, values in columns.items()}
    table = trainings.assign(**printed).drop(columns="seconds")
    parts = ", ".join(f"{kind} {size / 1e9:.3g} GB" for kind, size in disk.items())
    return "\n".join(
        [
            *([] if table.empty else [table.to_string(index=False), ""]),
            f"{experiment.name}: {len(runs)} runs, {int(trainings.runs.sum())} of them trained",
            f"training: {hours.sum():.3g} hours on a device that sustains {tflops:g} x 10^12 operations a second{said}",
            f"disk: {sum(disk.values()) / 1e9:.3g} GB ({parts}), and the downloaded archives",
        ]
    )


def _build_solvers(experiment: Experiment) -> None:
    """Build what is not trained, so that an impossible option is told before anything runs."""
    for (msi_bands, bands), ratio in product(_bands(experiment).values(), experiment.ratios):
        problem = FusionProblem(bands, msi_bands, ratio)
        for (method, _), about in experiment.methods.items():
            solves = method not in experiment.external and not experiment.trains(method)
            if solves and not plugins.method_class(method).skip(problem):
                build.build_method(method, problem, **about["options"])


def _train_row(
    experiment: Experiment, dataset: str, ratio: int, method: str, variant: str, msi_bands: int, bands: int
) -> dict:
    about = experiment.methods[method, variant]
    recipe = experiment.recipe_of(method, variant)
    built = experiment.build_dataset(dataset)
    sides = [built.size(scene) for scene, split in built.scenes().items() if split == "train"]
    patches = sum((height // recipe.patch) * (width // recipe.patch) for height, width in sides)
    network = build.build_method(method, FusionProblem(bands, msi_bands, ratio), **about["options"])
    runs = len(experiment.protocols) * len(experiment.seeds)
    steps = math.nan if recipe.seconds else steps_of(recipe, patches)
    macs = count_macs(network, recipe.patch, recipe.patch)
    return {
        **{"dataset": dataset, "ratio": ratio, "method": method, "variant": variant, "runs": runs, "steps": steps},
        "params": count_parameters(network),
        "pflop": runs * steps * recipe.batch * macs * 2 * FORWARD_AND_BACKWARD / 1e15,
        "seconds": runs * recipe.seconds if recipe.seconds else math.nan,
    }


def _bands(experiment: Experiment) -> dict[str, tuple[int, int]]:
    """Return the numbers of MSI and HSI bands of every data set."""
    raw = Path("data") / "raw"
    counted = {}
    for name in experiment.datasets:
        dataset, folder = experiment.build_dataset(name), raw / experiment.reader(name)
        counted[name] = dataset.msi_bands(folder), len(dataset.wavelengths_nm(folder))
    return counted
