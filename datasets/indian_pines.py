"""Indian Pines: a real scene that comes with an installed package.

AVIRIS over farmland in Indiana, 12 June 1992, 145 x 145 pixels of 20 m, 200 bands (water absorption removed). The cube
comes with the tensorly package (`tensorly/datasets/data/Indian_pines_corrected.npy`), so nothing is downloaded.
"""

from importlib.resources import files
from pathlib import Path

import numpy as np

from smifbench.data.responses import load_response, spectral_response
from smifbench.dataset import DataSet, extent

FULL_SCALE = 10000.0
"""Counts that become 1. A constant above the largest count (9604), so that no statistic of the test region is used."""

CHANNEL_WIDTH_NM = 10.0

REGIONS = {
    "train": (slice(0, 80), slice(0, 144)),
    "val": (slice(80, 144), slice(0, 64)),
    "test": (slice(80, 144), slice(80, 144)),
}
"""Rows and columns of the three regions; they share no pixel, and every side is a multiple of 16."""


class IndianPines(DataSet):
    """Three regions of one scene, neighbouring bands averaged.

    Parameters
    ----------
    binning
        Number of neighbouring bands averaged into one; it must divide 200.
    response
        Spectral response of the multispectral sensor, by name or path.
    """

    title = "Indian Pines"
    citation = "baumgardner2015indianpines"
    licence = "CC BY 3.0"
    homepage = "https://doi.org/10.4231/R7RX991C"

    def __init__(self, binning: int = 5, response: str = "sentinel2a_10m") -> None:
        self.binning = binning
        self.response = response

    def scenes(self) -> dict[str, str]:
        """One scene for each region, named after its split."""
        return {f"indian_pines_{split}": split for split in REGIONS}

    def size(self, scene: str) -> tuple[int, int]:
        """Height and width of the scene's region."""
        return extent(REGIONS[self.scenes()[scene]])

    def wavelengths_nm(self, folder: Path) -> np.ndarray:
        """Mean centre of each bin (200 / binning,), increasing."""
        return _channel_centres()[_order()].reshape(-1, self.binning).mean(1)

    def bandwidths_nm(self, folder: Path) -> np.ndarray:
        """Width of a bin (200 / binning,): that of its channels together."""
        return np.full(200 // self.binning, self.binning * CHANNEL_WIDTH_NM)

    def srf(self, folder: Path) -> np.ndarray:
        """Response over the bins: the sum of the responses over their channels."""
        channels = spectral_response(
            load_response(self.response), _channel_centres()[_order()], np.full(200, CHANNEL_WIDTH_NM)
        )
        return channels.reshape(len(channels), -1, self.binning).sum(2)

    def scene_files(self, folder: Path, scene: str) -> list[Path]:
        """The package's array."""
        return [_counts_file()]

    def full_scale(self, folder: Path, scene: str) -> float:
        """`FULL_SCALE`."""
        return FULL_SCALE

    def read(self, folder: Path, scene: str) -> np.ndarray:
        """Cut the scene's region, order the channels by wavelength and average them in bins."""
        counts = np.load(_counts_file())
        rows, columns = REGIONS[self.scenes()[scene]]
        region = np.moveaxis(counts[rows, columns], -1, 0)[_order()]
        bins = region.reshape(-1, self.binning, *region.shape[1:]).mean(1)
        return (bins / FULL_SCALE).astype(np.float32)


def _counts_file() -> Path:
    return Path(str(files("tensorly") / "datasets" / "data" / "Indian_pines_corrected.npy"))


def _channel_centres() -> np.ndarray:
    from tensorly.datasets import load_indian_pines

    return np.array(load_indian_pines().ticks[1], dtype=float)


def _order() -> np.ndarray:
    """Order of the channels by wavelength. It differs from the stored one, as the four spectrometers overlap."""
    return np.argsort(_channel_centres(), kind="stable")
