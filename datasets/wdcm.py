"""Washington DC Mall: one airborne scene of a city centre.

HYDICE, 23 August 1995: 1280 x 307 pixels of about 2.5 m, 191 of 210 bands from 401 to 2473 nm (those in the opaque
windows of water vapour are left out), counts like radiance. Given out by D. Landgrebe and L. Biehl, Purdue University.

Read from the official archive, from its `dc.tif` (band axis first), or from a MATLAB file with the cube in a variable
of any name. The band centres come from the table in the archive's ReadMe where that is there; else from
`datasets/srf/wdcm_wavelengths.csv`, whose rows marked `modelled` (bands 85 to 191) are estimates: HYDICE's dispersion
fitted on the published rows and tied to the published end, about 2 nm off at 1400 nm and 20 nm at 2200 nm.
"""

import csv
import logging
import re
from functools import partial
from pathlib import Path

import numpy as np

from smifbench.data.archives import Damaged, check_zip, unpack_zip
from smifbench.data.cubes.reading import read_cube
from smifbench.data.download import Source
from smifbench.data.responses import spectral_response
from smifbench.dataset import extent
from smifbench.errors import UserError
from smifbench.places import RESPONSES

from ._files import File, FileDataSet, one_of

BANDS, ROWS = 191, 1280

REGIONS = {
    "train": (slice(0, 1152), slice(0, 296)),
    "val": (slice(1152, 1280), slice(0, 128)),
    "test": (slice(1152, 1280), slice(128, 256)),
}
"""Rows and columns of the three regions, those of MSST-Net's loader; they share no pixel."""


def read_whole(path: Path) -> np.ndarray:
    """The cube (191, 1280, columns) of a file in its own numbers; raises UserError for any other."""
    cube = read_cube(path, bands=BANDS).array
    if cube.shape[:2] != (BANDS, ROWS) or cube.shape[2] < REGIONS["train"][1].stop:
        raise UserError(f"{path} has {cube.shape} bands, rows and columns instead of (191, 1280, 307); replace it")
    return cube


def check_tiff(path: Path) -> None:
    """Check that a TIFF holds the whole cube; raises Damaged."""
    try:
        read_whole(path)
    except UserError as error:
        raise Damaged("is no TIFF image of 191 x 1280 x 307 values") from error


ARCHIVE = Source(
    name="Hyperspectral_Project.zip",
    addresses=(
        "https://engineering.purdue.edu/~biehl/Hyperspectral_Project.zip",
        "http://cobweb.ecn.purdue.edu/~biehl/Hyperspectral_Project.zip",
    ),
    magic=(b"PK\x03\x04",),
    sha256="19c3210145afffc3293a2d62a3af43741323f9be867b80c20abdd1afa2e629a4",
    check=partial(check_zip, needed=["dc.tif"]),
)

TIFF = Source(
    name="dc.tif",
    addresses=("https://huggingface.co/datasets/danaroth/washington_dc_mall/resolve/main/dc.tif",),
    magic=(b"II*\0", b"MM\0*"),
    check=check_tiff,
)


class Wdcm(FileDataSet):
    """Three regions of one scene: the upper nine tenths to train, two squares at the lower left to validate and test.

    Parameters
    ----------
    folder
        Folder that holds the archive, `dc.tif` or a MATLAB file already; nothing is downloaded then.
    scale
        How counts become 0..1: "global" divides by the largest count of the whole image, so that bands keep their
        proportions; "bands" stretches each band from its minimum to its maximum over the whole image. (MSST-Net's
        loader stretches LR-HSI and HR-MSI by themselves, too; that is the protocol `paper-wdcm/1`.)
    response
        Spectral response of the multispectral sensor, by name or path.
    """

    title = "Washington DC Mall"
    citation = "landgrebe2002hyperspectral"
    licence = "none stated; given out with permission of Spectral Information Technology Application Center of Virginia"
    homepage = "https://engineering.purdue.edu/~biehl/MultiSpec/hyperspectral.html"
    archives = (ARCHIVE, TIFF)
    by_hand = f"Hyperspectral_Project.zip from {homepage}, its dc.tif, or a .mat file of all 191 bands"

    def __init__(self, folder: str | None = None, scale: str = "global", response: str = "sentinel2a_20m") -> None:
        super().__init__(folder)
        self.scale = one_of("scale", scale, ("global", "bands"))
        self.response = response

    def scenes(self) -> dict[str, str]:
        """One scene for each region, named after its split."""
        return {f"wdcm_{split}": split for split in REGIONS}

    def size(self, scene: str) -> tuple[int, int]:
        """Height and width of the scene's region."""
        return extent(REGIONS[self.scenes()[scene]])

    def wavelengths_nm(self, folder: Path) -> np.ndarray:
        """Band centres (191,), increasing."""
        for name, file in self.files(folder).items():
            if name.lower().startswith("readme") or name.lower().endswith(".txt"):
                centres = _centres_of(file.read_bytes().decode("latin-1"))
                if centres is not None:
                    return centres
        logging.warning("no table of the 191 band centres in %s; those beyond band 84 are estimates", folder)
        with (RESPONSES / "wdcm_wavelengths.csv").open(encoding="utf-8") as lines:
            return np.array([float(row["wavelength_nm"]) for row in csv.DictReader(lines)])

    def srf(self, folder: Path) -> np.ndarray:
        """The sensor's response at the band centres (10, 191)."""
        return spectral_response(self.response, self.wavelengths_nm(folder))

    def lacking(self, files: dict[str, File]) -> list[str]:
        """The cube's file, where no file can hold the cube."""
        return [] if _candidates(files) else ["dc.tif"]

    def unpack(self, place: Path) -> None:
        """Unpack the cube, so that a region can be memory-mapped without reading the whole cube."""
        if (place / ARCHIVE.name).exists():
            unpack_zip(place / ARCHIVE.name, place / "Hyperspectral_Project", ["dc.tif"])

    def check(self, files: dict[str, File]) -> None:
        """Check that the cube can be read and has the right shape."""
        _read_counts(files)

    def scene_files(self, folder: Path, scene: str) -> list[Path]:
        """The files that may hold the cube, the same for every region."""
        return _candidates(self.complete_files(folder))

    def full_scale(self, folder: Path, scene: str) -> float | np.ndarray:
        """The largest count of the whole image, or of each band."""
        counts = _read_counts(self.complete_files(folder))
        return float(counts.max()) if self.scale == "global" else counts.max(axis=(1, 2))

    def read(self, folder: Path, scene: str) -> np.ndarray:
        """Cut the scene's region; counts below 0 become 0 under the global scale."""
        counts = _read_counts(self.complete_files(folder))
        region = counts[:, *REGIONS[self.scenes()[scene]]].astype(np.float32)
        if self.scale == "global":
            return np.maximum(region / np.float32(counts.max()), 0)
        low, high = (extreme(counts, axis=(1, 2), keepdims=True).astype(np.float32) for extreme in (np.min, np.max))
        return (region - low) / (high - low)


def _candidates(files: dict[str, File]) -> list[Path]:
    """Unpacked files that may hold the cube."""
    names = ["dc.tif"] if isinstance(files.get("dc.tif"), Path) else sorted(files)
    unpacked = [file for file in map(files.__getitem__, names) if isinstance(file, Path)]
    return [file for file in unpacked if file.suffix in (".tif", ".mat")]


def _read_counts(files: dict[str, File]) -> np.ndarray:
    """The cube of the first file that holds one."""
    failures = []
    for path in _candidates(files):
        try:
            return read_whole(path)
        except UserError as error:
            failures.append(error)
    raise failures[0]


def _centres_of(text: str) -> np.ndarray | None:
    """Band centres in nm from rows "channel of 210, centre, channel of 191", or None where they are not all there."""
    rows = re.findall(r"(?<![\d.])(\d{1,3})[ \t,;|]+(\d+\.\d+)[ \t,;|]+(\d{1,3})(?![\d.])", text)
    centres = {int(band): float(centre) for _, centre, band in rows}
    if sorted(centres) != list(range(1, BANDS + 1)):
        return None
    values = np.array([centres[band] for band in range(1, BANDS + 1)])
    values *= 1000 if values.max() < 10 else 1
    return values if 390 < values[0] < 410 and 2300 < values[-1] < 2600 and (np.diff(values) > 0).all() else None
