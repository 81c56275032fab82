"""A comparison: one test scene and what every method made of it, read from an experiment's results."""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from smifbench.degradation.pairs import load_pairs, load_problem
from smifbench.errors import UserError
from smifbench.report.titles import Printed, method_titles, plain
from smifbench.run import Run

RGB_NM = (640.0, 550.0, 460.0)
"""Wavelengths of the pseudo-colour's red, green and blue."""

GAMMA = 1.6
"""Pictures show value^(1/GAMMA), because scenes are dark on the whole; the same for all methods."""


@dataclass(frozen=True)
class Comparison:
    """One test scene and what the methods made of it.

    `reference` and the values of `estimates` (by "method/variant") are (C, H, W), the reference in [0,1];
    `wavelengths_nm` is (C,). Arrays may be memory-mapped: nothing here reads more than a few bands at a time.
    `titles` are for print, by the names in `estimates`; what has none is called by its name.
    """

    dataset: str
    ratio: int
    scene: str
    wavelengths_nm: np.ndarray
    reference: np.ndarray
    estimates: Mapping[str, np.ndarray]
    titles: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Data set, scene and ratio, for the titles of figures: scenes of two data sets may have one name."""
        return f"{self.dataset}: {self.scene}, ratio {self.ratio}"

    def title_of(self, name: str) -> str:
        """What to call a method in print."""
        return self.titles.get(name, name)

    def band(self, nm: float) -> int:
        """Index of the band that lies nearest to `nm`."""
        return int(np.abs(self.wavelengths_nm - nm).argmin())

    def images(self) -> Iterator[tuple[str, np.ndarray]]:
        """Names and cubes, the reference first."""
        yield "reference", self.reference
        yield from self.estimates.items()

    def mean_image(self) -> np.ndarray:
        """Mean of the reference over its bands, (H, W)."""
        return np.mean([np.asarray(band, np.float64) for band in self.reference], axis=0)

    def detail_box(self, side: int | None = None) -> tuple[int, int, int]:
        """Top, left and side of the square where the reference's mean image has most edges."""
        image = self.mean_image()
        edges = sum(np.abs(slope) for slope in np.gradient(image))
        side = min(side or max(8, min(image.shape) // 4), *image.shape)
        corners = product(*(range(0, length - side + 1, max(1, side // 4)) for length in image.shape))
        top, left = max(corners, key=lambda corner: crop(edges, corner[0], corner[1], side).mean())
        return top, left, side

    def random_pixels(self, count: int) -> list[tuple[int, int]]:
        """Rows and columns of pixels drawn from the brighter half of the scene, always the same for a scene's name."""
        image = self.mean_image()
        bright = np.argwhere(image >= np.median(image))
        drawn = np.random.default_rng(zlib.crc32(self.scene.encode())).choice(len(bright), count, replace=False)
        return [(int(row), int(column)) for row, column in bright[drawn]]

    def stretch(self, bands: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest displayed value of each band, (bands, 1, 1): the reference's 1st and 99th percentile."""
        low, high = np.percentile(self.reference[bands], (1, 99), axis=(-2, -1), keepdims=True)
        return low, np.maximum(high, low + 1e-6)

    def pseudo_colour(self, cube: np.ndarray) -> np.ndarray:
        """Picture (H, W, 3) in [0,1] of one of the images, by the reference's stretch and `GAMMA`."""
        bands = [self.band(nm) for nm in RGB_NM]
        low, high = self.stretch(bands)
        return np.moveaxis(((cube[bands] - low) / (high - low)).clip(0, 1) ** (1 / GAMMA), 0, -1)

    def errors(self, name: str, bands: list[int] | None = None) -> np.ndarray:
        """Absolute error (H, W) of an estimate, clamped to [0,1] as for the metrics, averaged over `bands` or all."""
        chosen = range(len(self.reference)) if bands is None else bands
        estimate = self.estimates[name]
        total = sum(np.abs(np.clip(estimate[band], 0, 1) - self.reference[band]).astype(np.float64) for band in chosen)
        return total / len(chosen)

    def band_psnr(self, name: str) -> np.ndarray:
        """PSNR (C,) in dB of every band of an estimate, peak 1; inf for a band without error."""
        pairs = zip(self.reference, self.estimates[name], strict=True)
        mse = [np.mean((np.clip(estimate, 0, 1) - band).astype(np.float64) ** 2) for band, estimate in pairs]
        with np.errstate(divide="ignore"):
            return -10 * np.log10(mse)


def crop(image: np.ndarray, top: int, left: int, side: int) -> np.ndarray:
    """Return the square of an image (..., H, W)."""
    return image[..., top : top + side, left : left + side]


def load_comparisons(
    results: Path, pairs: Path, experiment: Mapping, metrics: pd.DataFrame, printed: Printed = plain
) -> list[Comparison]:
    """Return a comparison for each data set and ratio: its first test scene, under the first protocol and seed.

    Parameters
    ----------
    results, pairs
        The experiment's folder, and the folder of all simulated pairs.
    experiment, metrics
        Contents of `experiment.json` and `metrics.csv`. Methods that failed on that scene are left out, and so is a
        setting in which all did.
    printed
        What is left of the methods' titles in print.
    """
    rows = metrics[metrics.protocol == next(iter(experiment["protocols"]))]
    first = rows.groupby(["dataset", "ratio"]).scene.transform("first")
    rows = rows[(rows.seed == experiment["seeds"][0]) & (rows.status == "ok") & (rows.scene == first)]
    keys = ["dataset", "protocol", "ratio", "method", "variant", "seed"]
    runs = [Run(**row) for row in rows[keys].drop_duplicates().to_dict("records")]
    return [
        _load([run for run in runs if (run.dataset, run.ratio) == setting], results, pairs, experiment, printed)
        for setting in dict.fromkeys((run.dataset, run.ratio) for run in runs)
    ]


def _load(runs: list[Run], results: Path, pairs: Path, experiment: Mapping, printed: Printed) -> Comparison:
    first = runs[0]
    folder = pairs / experiment["datasets"][first.dataset]["data"] / first.protocol / f"x{first.ratio}"
    pair = load_pairs(folder, "test")[0]
    estimates = {
        f"{run.method}/{run.variant}": results / "runs" / run.folder / "fused" / f"{pair.scene}.npy" for run in runs
    }
    wavelengths = load_problem(folder).wavelengths_nm
    if wavelengths is None:
        raise UserError(f"the pairs in {folder} have no wavelengths; delete the folder and run snakemake")
    cubes, titles = _Cubes(estimates), method_titles(experiment, printed)
    return Comparison(first.dataset, first.ratio, pair.scene, wavelengths, pair.hr_hsi, cubes, titles)


class _Cubes(Mapping):
    """Cubes by name, each opened when it is asked for, so that they are never all in memory together."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self.files = files

    def __getitem__(self, name: str) -> np.ndarray:
        return np.load(self.files[name], mmap_mode="r")

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)
