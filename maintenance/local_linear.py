"""Draw where Local GSA errs and LLA-Net does not: `python maintenance/local_linear.py results/cave_cpu`.

For the figure of docs/local_linear.md: the part of a test scene in which LLA-Net lowers Local GSA's error most, as
error maps of GSA, Local GSA and LLA-Net. And for its limits: what CAVE's leftmost columns do to PSNR.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.ndimage import uniform_filter

from smifbench import plugins
from smifbench.degradation.pairs import load_pairs
from smifbench.system.files import read_json

PICTURE = plugins.ROOT / "docs" / "local_linear_errors.png"
SHOWN = {"gsa": "GSA", "local_gsa": "Local GSA", "lla_net": "LLA-Net"}
RUN = "cave/block-gauss-s2/1/x4"
SIDE = 96
"""Side of the part shown, in HR pixels."""
BLANK = 4
"""Columns on the left of CAVE's images that show no scene."""


def main() -> None:
    """Find the part and draw it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="results of config/cave_cpu.yaml")
    results = parser.parse_args().results
    data = read_json(results / "experiment.json")["datasets"]["cave"]["data"]
    pairs = load_pairs(results.parents[1] / "data" / "pairs" / data / RUN.removeprefix("cave/"), "test")
    scenes = {pair.scene: errors(results, pair.scene, pair.hr_hsi) for pair in pairs}
    part, maps = max((best_part(maps) for maps in scenes.values()), key=lambda found: gain(*found))
    draw({method: error[part] for method, error in maps.items()})
    print(left_columns(scenes).round(3).to_string())


def errors(results: Path, scene: str, reference: np.ndarray) -> dict[str, np.ndarray]:
    """Root mean square over bands (H, W) of each method's error."""
    found = {}
    for method in SHOWN:
        estimate = np.load(results / "runs" / RUN / method / "default" / "seed0" / "fused" / f"{scene}.npy").clip(0, 1)
        found[method] = np.sqrt(np.mean((estimate - reference) ** 2, axis=0))
    return found


def left_columns(scenes: dict[str, dict[str, np.ndarray]]) -> pd.DataFrame:
    """PSNR of each scene with and without its leftmost columns, and their share of the squared error."""
    rows = []
    for scene, maps in scenes.items():
        for method, error in maps.items():
            square = error**2
            share = square[:, :BLANK].sum() / square.sum()
            psnr, without = (-10 * np.log10(np.mean(part)) for part in (square, square[:, BLANK:]))
            rows.append({"method": method, "scene": scene, "psnr": psnr, "without": without, "share": share})
    table = pd.DataFrame(rows)
    means = table.drop(columns="scene").groupby("method", sort=False).mean().reset_index().assign(scene="mean")
    return pd.concat([table, means]).set_index(["method", "scene"])


def best_part(maps: dict[str, np.ndarray]) -> tuple[tuple[slice, slice], dict[str, np.ndarray]]:
    """Rows and columns of the part in which LLA-Net's mean square lies furthest below Local GSA's, and the maps."""
    drop = uniform_filter(maps["local_gsa"] ** 2 - maps["lla_net"] ** 2, SIDE)
    inside = drop[SIDE // 2 : -SIDE // 2 + 1, SIDE // 2 : -SIDE // 2 + 1]
    top, left = np.unravel_index(inside.argmax(), inside.shape)
    return (slice(top, top + SIDE), slice(left, left + SIDE)), maps


def gain(part: tuple[slice, slice], maps: dict[str, np.ndarray]) -> float:
    """How far the mean square falls there."""
    return float(np.mean(maps["local_gsa"][part] ** 2 - maps["lla_net"][part] ** 2))


def draw(maps: dict[str, np.ndarray]) -> None:
    """One panel a method, all on the scale of Local GSA's largest errors."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.subplots(1, len(maps))
    highest = np.quantile(maps["local_gsa"], 0.995)
    for axis, (method, error) in zip(axes, maps.items(), strict=True):
        image = axis.imshow(error, cmap="inferno", vmin=0, vmax=highest)
        axis.set_title(f"{SHOWN[method]}: {-20 * np.log10(np.sqrt(np.mean(error**2))):.2f} dB")
        axis.set_axis_off()
    figure.colorbar(image, ax=axes, label="RMSE over bands", shrink=0.9)
    figure.savefig(PICTURE, dpi=75)


if __name__ == "__main__":
    main()
