"""A user's own pair of files, described by the config alone: a hyperspectral image and a measured multispectral one.

    datasets:
      mine: {reader: own_pair, hsi: data/enmap.hdr, msi: data/sentinel2.tif}
    protocols: [block-gauss-s2/1+msi=measured]

The hyperspectral image is the reference, which the protocol degrades to the LR-HSI (Wald's protocol); the multispectral
one, measured on the same ground, is fused with it on the reference's grid. Where it is finer by a whole number, it is
averaged over each pixel of the reference. The response of its instrument is unknown to methods.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from smifbench.data.cubes.products import product_files
from smifbench.data.cubes.reading import Cube, full_scale
from smifbench.data.missing import blocks_with_missing
from smifbench.data.own_image import ImageFiles, speaking_of
from smifbench.data.own_pair import OwnPair as Images
from smifbench.data.own_pair import read_pair
from smifbench.dataset import DataSet
from smifbench.errors import UserError

from .own import Own, tell_missing

logger = logging.getLogger(__name__)

KEYS = {
    "data set own:": "data set own_pair:",
    "--align": "align: true",
    "--hsi-": "hsi_",
    "--msi-": "msi_",
    "band-axis": "band_axis",
}
"""What a config has in the place of the flags of `smifbench fuse` and the keys of `own`."""

Paths = str | Sequence[str]


class OwnPair(Own):
    """Three regions of a pair of files that show one ground.

    Parameters
    ----------
    hsi, msi
        Files of the two images in any format that `smifbench fuse` reads, relative to where snakemake runs; of the MSI
        also a list of files whose bands follow each other. Where both have geo-references, the common ground is cut.
    hsi_variable, hsi_band_axis, msi_variable, msi_band_axis
        Which variable of a file is meant, and which axis of it holds the bands.
    hsi_bands, msi_bands
        Bands to keep, in the words of `fuse --hsi-bands`: `"0-99,110"`, `"420-900nm"`, `"not 3,7-9"` or `"all"`.
    hsi_missing, msi_missing
        Values that mean "no value here", besides what the files declare and NaN.
    wavelengths_nm
        Centres of the HSI's bands where its file states none: a list, or a CSV file.
    scale, msi_scale
        HSI and MSI value that become 1. None takes the largest value, rounded up to one digit.
    clip
        Whether values below 0 and above 1 after scaling are clipped; otherwise they are an error.
    align
        Whether an MSI that does not fit is resampled onto the HSI's grid.
    response
        Spectral response by which an MSI is simulated for comparison, a name or a CSV with the bands of the MSI's file;
        without it there is the measured MSI alone.
    split, regions
        As in `own`.
    title
        What tables and figures call the scene.

    Raises
    ------
    UserError
        For an option of another form. The files are first looked at when a scene is read.
    """

    prefix = "own_pair"

    def __init__(
        self,
        hsi: str = "",
        msi: Paths = "",
        hsi_variable: str | None = None,
        hsi_band_axis: int | None = None,
        hsi_bands: str | None = None,
        hsi_missing: float | Sequence[float] = (),
        msi_variable: str | None = None,
        msi_band_axis: int | None = None,
        msi_bands: str | None = None,
        msi_missing: float | Sequence[float] = (),
        wavelengths_nm: Any = None,
        scale: float | None = None,
        msi_scale: float | None = None,
        clip: bool = False,
        align: bool = False,
        response: str | None = None,
        split: Mapping[str, float] | None = None,
        regions: Mapping[str, Sequence[int]] | None = None,
        title: str = "Own pair",
    ) -> None:
        with speaking_of(KEYS):
            super().__init__(hsi, scale=scale, clip=clip, split=split, regions=regions, title=title)
            Own(scale=msi_scale, response=response or "sentinel2a_10m")  # checks the two
        self.response = response
        self.msi_scale, self.align = msi_scale, align
        listed = [msi] if isinstance(msi, str) else list(msi)
        self.hsi_files = ImageFiles([hsi], hsi_variable, hsi_band_axis, hsi_bands, _listed(hsi_missing))
        self.msi_files = ImageFiles(listed, msi_variable, msi_band_axis, msi_bands, _listed(msi_missing))
        listing = wavelengths_nm is not None and not isinstance(wavelengths_nm, str)
        self.wavelengths = ",".join(map(str, wavelengths_nm)) if listing else wavelengths_nm

    def sources(self) -> list[Path]:
        """Local files that determine the scenes, as far as they exist."""
        try:
            files = [file for path in self._paths for file in product_files(path)]
        except UserError:  # reading them will tell what is wrong
            files = []
        return [*files, *DataSet.sources(self)]

    def msi_bands(self, folder: Path) -> int:
        """Number of the MSI's bands that are kept."""
        return len(self._images.hr_msi)

    def msi(self, folder: Path, scene: str) -> np.ndarray:
        """Cut the scene's region out of the MSI, averaged over the pixels of the HSI, and scale it."""
        split = self.scenes()[scene]
        rows, columns = self._regions()[split]
        counts = self._msi[:, rows, columns]
        return self._scaled(counts, self._msi_scale, self.missing(folder, scene), split, "msi_scale")

    @property
    def _paths(self) -> list[str]:
        return [*map(str, self.hsi_files.paths), *map(str, self.msi_files.paths)]

    @cached_property
    def _images(self) -> Images:
        if not all(self._paths):
            raise UserError("data set own_pair: name both files, as its options hsi and msi")
        with speaking_of(KEYS):
            images = read_pair(self.hsi_files, self.msi_files, self.wavelengths, 1.0, self.align, least_ratio=1)
        for note in images.notes:
            logger.warning("%s", note)
        return images

    @cached_property
    def _cube(self) -> Cube:
        """The HSI of the common ground, bands in order of wavelength."""
        images, order = self._images, self._images.order
        widths = None if images.bandwidths_nm is None else images.bandwidths_nm[order]
        centres = images.increasing_wavelengths_nm
        if centres is None:
            raise UserError(f"{self.path} states no usable wavelengths; list them as wavelengths_nm")
        return replace(
            images.hsi,
            array=images.lr_hsi,
            wavelengths_nm=centres,
            bandwidths_nm=widths,
            mask=None,
            nodata=None,
            fills=(),
            bad_bands=None,
        )

    @cached_property
    def _missing(self) -> np.ndarray | None:
        """Pixels of the common ground that are missing in one of the images."""
        images = self._images
        hsi, msi = images.hsi_missing, images.msi_missing
        for name, cube, missing in ((images.hsi_path, images.hsi, hsi), (images.msi_path, images.msi, msi)):
            tell_missing(str(name), cube.missing_mark or "ground beyond it", missing)
        if msi is None:
            return hsi
        blocks = blocks_with_missing(msi, images.ratio)
        return blocks if hsi is None else blocks | hsi

    @cached_property
    def _msi(self) -> np.ndarray:
        """The MSI (c, H, W) in its own numbers on the HSI's grid."""
        ratio, image = self._images.ratio, self._images.hr_msi
        bands, height, width = image.shape
        blocks = image.reshape(bands, height // ratio, ratio, width // ratio, ratio)
        return blocks.mean((2, 4), dtype=np.float64).astype(np.float32)

    @cached_property
    def _msi_scale(self) -> float:
        if self.msi_scale is not None:
            return self.msi_scale
        valid = self._msi if self._missing is None else self._msi[:, None, ~self._missing]
        return full_scale(valid, ", ".join(self._paths[1:]))


def _listed(values: float | Sequence[float]) -> list[float]:
    return [float(value) for value in ([values] if isinstance(values, int | float) else values)]
