"""The base of every data set: named scenes with their splits, how one is read, and the response of its MSI."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

File = Path | zipfile.Path
"""A file on disk or in a zip archive; both kinds have `name`, `open` and `read_bytes`."""

SPLITS = ("train", "val", "test")


def extent(region: tuple[slice, slice]) -> tuple[int, int]:
    """Height and width of a region given by its rows and columns."""
    rows, columns = region
    return rows.stop - rows.start, columns.stop - columns.start


class DataSet:
    """Base of every data set: subclass it once in `datasets/<name>.py`.

    A subclass sets `title`, `citation` (a BibTeX key of `datasets/references.bib`), `licence` and `homepage`, takes its
    options as keyword arguments with defaults, and defines `scenes`, `wavelengths_nm`, `srf` and `read`.
    """

    title: str
    citation: str
    licence: str
    homepage: str

    def scenes(self) -> dict[str, str]:
        """Scene names with their split, known without the data: {"scene": "train" | "val" | "test"}."""
        raise TypeError(f"{type(self).__name__} must define scenes()")

    def size(self, scene: str) -> tuple[int, int]:
        """Height and width of a scene, known without the data where the data set is a fixed one."""
        raise TypeError(f"{type(self).__name__} must define size(scene)")

    def fetch(self, folder: Path) -> None:
        """Put the source files into `folder`, once; by default does nothing, as for data that come with a package."""

    def sources(self) -> list[Path]:
        """Return the user's files that the options name and the scenes depend on; by default a response's file."""
        response = Path(str(getattr(self, "response", "")))
        return [response] if response.is_file() else []

    def scene_files(self, folder: Path, scene: str) -> Sequence[File]:
        """Return the files that a scene is read from; their hashes are written beside the prepared scene."""
        return self.sources()

    def full_scale(self, folder: Path, scene: str) -> float | np.ndarray | None:
        """Return the value in the scene's files that becomes 1, or one for each band; None where it is no constant."""
        return None

    def wavelengths_nm(self, folder: Path) -> np.ndarray:
        """Band centres (C,) in nanometres."""
        raise TypeError(f"{type(self).__name__} must define wavelengths_nm(folder)")

    def bandwidths_nm(self, folder: Path) -> np.ndarray | None:
        """Full widths (C,) of the bands in nanometres; None where only their centres are known."""
        return None

    def srf(self, folder: Path) -> np.ndarray | None:
        """Spectral response (c, C) of the simulated multispectral sensor, rows sum to 1.

        None, for a data set that brings a measured MSI, where no response is known: nothing is simulated then.
        """
        raise TypeError(f"{type(self).__name__} must define srf(folder)")

    def msi_bands(self, folder: Path) -> int:
        """Number c of the MSI's bands, simulated or measured."""
        srf = self.srf(folder)
        if srf is None:
            raise TypeError(f"{type(self).__name__} must define msi_bands(folder)")
        return len(srf)

    def missing(self, folder: Path, scene: str) -> np.ndarray | None:
        """Mask (H, W), true where the scene has no value; None where all of its pixels have one."""
        return None

    def read(self, folder: Path, scene: str) -> np.ndarray:
        """Read one scene as float32 (C, H, W), scaled once into [0,1]; what missing pixels hold does not matter."""
        raise TypeError(f"{type(self).__name__} must define read(folder, scene)")

    def msi(self, folder: Path, scene: str) -> np.ndarray | None:
        """Read the scene's measured MSI (c, H, W), float32, scaled once into [0,1] by a scale of its own.

        A data set that defines this offers protocols with `msi=measured`. By default there is none.
        """
        return None

    @property
    def brings_msi(self) -> bool:
        """Whether scenes have a measured MSI, known without the data."""
        return type(self).msi is not DataSet.msi
