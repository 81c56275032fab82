"""Draw where Local GSA errs and LLA-Net does not: `python maintenance/local_linear.py results/cave_cpu`.

For the figures of docs/local_linear.md: the part of a test scene in which LLA-Net lowers Local GSA's error most, as
error maps of GSA, Local GSA and LLA-Net; and the error by wavelength, with what refocusing does to it. And for its
limits: what CAVE's leftmost columns do to PSNR.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.ndimage import uniform_filter

from smifbench import plugins
from smifbench.degradation.pairs import load_pairs, load_problem
from smifbench.system.files import read_json

MAPS = plugins.ROOT / "docs" / "local_linear_errors.png"
BANDS = plugins.ROOT / "docs" / "local_linear_bands.png"
SHOWN = {
    "gsa/default": "GSA",
    "local_gsa/default": "Local GSA",
    "local_gsa/refocused": "Local GSA, refocused",
    "lla_net/default": "LLA-Net",
}
OLD, NEW = "local_gsa/default", "lla_net/default"
"""The methods whose errors are compared."""
RUN = "cave/block-gauss-s2/1/x4"
SIDE = 96
"""Side of the part shown, in HR pixels."""
BLANK = 4
"""Columns on the left of CAVE's images that show no scene."""


def main() -> None:
    """Draw both figures and print what they show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="results of config/cave_cpu.yaml")
    results = parser.parse_args().results
    data = read_json(results / "experiment.json")["datasets"]["cave"]["data"]
    folder = results.parents[1] / "data" / "pairs" / data / RUN.removeprefix("cave/")
    maps, bands = {}, []
    for pair in load_pairs(folder, "test"):
        squares = squared_errors(results, pair.scene, pair.hr_hsi)
        maps[pair.scene] = {method: np.sqrt(square.mean(0)) for method, square in squares.items()}
        bands.append({method: square.mean((1, 2)) for method, square in squares.items()})
    wavelengths_nm = load_problem(folder).wavelengths_nm
    by_band = pd.DataFrame({method: np.mean([scene[method] for scene in bands], 0) for method in SHOWN}, wavelengths_nm)
    draw_bands(by_band)
    part, best = max((best_part(scene) for scene in maps.values()), key=lambda found: gain(*found))
    draw_maps({method: best[method][part] for method in SHOWN if not method.endswith("refocused")})
    print((-10 * np.log10(by_band)).round(2).rename(columns=SHOWN).rename_axis("nm").to_string())
    print(left_columns(maps).round(3).to_string())


def squared_errors(results: Path, scene: str, reference: np.ndarray) -> dict[str, np.ndarray]:
    """Squared error (C, H, W) of each method."""
    estimates = {method: results / "runs" / RUN / method / "seed0" / "fused" / f"{scene}.npy" for method in SHOWN}
    return {method: (np.load(file).clip(0, 1) - reference) ** 2 for method, file in estimates.items()}


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
    drop = uniform_filter(maps[OLD] ** 2 - maps[NEW] ** 2, SIDE)
    inside = drop[SIDE // 2 : -SIDE // 2 + 1, SIDE // 2 : -SIDE // 2 + 1]
    top, left = np.unravel_index(inside.argmax(), inside.shape)
    return (slice(top, top + SIDE), slice(left, left + SIDE)), maps


def gain(part: tuple[slice, slice], maps: dict[str, np.ndarray]) -> float:
    """How far the mean square falls there."""
    return float(np.mean(maps[OLD][part] ** 2 - maps[NEW][part] ** 2))


def draw_maps(maps: dict[str, np.ndarray]) -> None:
    """One panel a method, all on the scale of Local GSA's largest errors."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.subplots(1, len(maps))
    highest = np.quantile(maps[OLD], 0.995)
    for axis, (method, error) in zip(axes, maps.items(), strict=True):
        image = axis.imshow(error, cmap="inferno", vmin=0, vmax=highest)
        axis.set_title(f"{SHOWN[method]}: {-20 * np.log10(np.sqrt(np.mean(error**2))):.2f} dB")
        axis.set_axis_off()
    figure.colorbar(image, ax=axes, label="RMSE over bands", shrink=0.9)
    figure.savefig(MAPS, dpi=75)


def draw_bands(by_band: pd.DataFrame) -> None:
    """PSNR of every band, of the squared error's mean over the test scenes."""
    figure = Figure(figsize=(7, 3.4), layout="constrained")
    axis = figure.subplots()
    for method, title in SHOWN.items():
        axis.plot(by_band.index, -10 * np.log10(by_band[method]), label=title)
    axis.set_xlabel("wavelength (nm)")
    axis.set_ylabel("PSNR (dB)")
    axis.legend()
    figure.savefig(BANDS, dpi=90)


if __name__ == "__main__":
    main()
