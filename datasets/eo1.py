"""EO-1 over San Francisco: one ground seen by two instruments of one satellite, so that the MSI is a measured one.

Earth Observing One (NASA and USGS) carried the hyperspectral Hyperion and the multispectral ALI. The scene is 298 x 136
pixels of 30 m from the Golden Gate southwards: 47 bands of Hyperion and six of ALI, registered to each other, as
whole numbers proportional to radiance, each instrument by a scale of its own. From GitHub `Danaroth83/Band-Assignment`
at a fixed commit; of its code nothing was consulted.

The file states no wavelengths. Its 47 bands are taken for Hyperion's bands 11 to 57, at 426.82 nm + 10.175 nm (n - 8),
because the lines of the air then fall where they are: oxygen at 762 nm, water at 722 and 824 nm. The six bands of ALI
are those up to 890 nm (MS-1', 1, 2, 3, 4 and 4'). MS-1' (433-453 nm) lies below Hyperion's first band here (457 nm), so
no mixture of Hyperion's bands can simulate it. It is left out of the measured MSI too, so that both kinds of MSI have
the same five bands.

ALI's measured response is `datasets/srf/eo1_ali.csv`. It simulates an MSI for comparison; of the measured one no
response is told to methods, because calibration, registration, noise and optics of the two instruments differ too.
"""

from pathlib import Path

import numpy as np

from smifbench.data.archives import Damaged
from smifbench.data.cubes.reading import read_cube
from smifbench.data.download import Source
from smifbench.data.responses import spectral_response
from smifbench.dataset import extent
from smifbench.errors import UserError

from ._files import File, FileDataSet

SIZE = (298, 136)

IMAGES = {"I_HS_LR": 47, "I_MS_LR": 6}
"""Variables of the file, and the number of their bands; of ALI's, `msi` leaves out the first."""

HYPERION_SCALE, ALI_SCALE = 6000.0, 9000.0
"""Counts that become 1: constants above the largest ones (5925 and 8653), so that no statistic of the test region is
used."""

WAVELENGTHS_NM = 426.82 + 10.175 * (np.arange(11, 58) - 8)

WIDTH_NM = 11.0
"""Full width of Hyperion's bands, about."""

REGIONS = {
    "train": (slice(0, 168), slice(0, 136)),
    "val": (slice(176, 216), slice(0, 136)),
    "test": (slice(224, 296), slice(0, 136)),
}
"""Rows and columns of the three regions. All sides are multiples of 8; between the regions lie 8 rows of guard, more
than any named protocol's blur reaches beyond its block up to ratio 8."""


def read_image(path: Path, variable: str) -> np.ndarray:
    """One image (bands, 298, 136) of the file in its own numbers; raises UserError for any other."""
    image = read_cube(path, variable, band_axis=2).array
    if image.shape != (IMAGES[variable], *SIZE):
        raise UserError(f"{path} holds {variable} of {image.shape} bands, rows and columns; replace it")
    return image


def check_file(path: Path) -> None:
    """Check that the file holds both images; raises Damaged."""
    try:
        for variable in IMAGES:
            read_image(path, variable)
    except UserError as error:
        raise Damaged("does not hold both images of the scene") from error


FILE = Source(
    name="SanFrancisco_FR.mat",
    addresses=(
        "https://raw.githubusercontent.com/Danaroth83/Band-Assignment/89d8fc6bd805/Datasets/SanFrancisco_FR.mat",
        "https://github.com/Danaroth83/Band-Assignment/raw/89d8fc6bd805/Datasets/SanFrancisco_FR.mat",
    ),
    magic=(b"MATLAB 5.0 MAT-file",),
    size=3_185_327,
    sha256="93d44be6a95233c528961365313147ad8af63045318546654a16f0de36523d08",
    check=check_file,
)


class Eo1(FileDataSet):
    """Three regions of one scene: its northern rows to train, rows further south to validate and test.

    Parameters
    ----------
    folder
        Folder that holds `SanFrancisco_FR.mat` already; nothing is downloaded then.
    response
        Spectral response that simulates an MSI, by name or path, of five bands. Protocols with `msi=measured` take the
        MSI of ALI itself.
    """

    title = "EO-1 San Francisco"
    citation = "ungar2003eo1"
    licence = "public domain (NASA, USGS)"
    homepage = "https://github.com/Danaroth83/Band-Assignment"
    archives = (FILE,)
    by_hand = f"SanFrancisco_FR.mat from Datasets/ of {homepage}"

    def __init__(self, folder: str | None = None, response: str = "eo1_ali_vnir") -> None:
        super().__init__(folder)
        self.response = response

    def scenes(self) -> dict[str, str]:
        """One scene for each region, named after its split."""
        return {f"eo1_{split}": split for split in REGIONS}

    def size(self, scene: str) -> tuple[int, int]:
        """Height and width of the scene's region."""
        return extent(REGIONS[self.scenes()[scene]])

    def wavelengths_nm(self, folder: Path) -> np.ndarray:
        """Band centres (47,), increasing."""
        return WAVELENGTHS_NM

    def bandwidths_nm(self, folder: Path) -> np.ndarray:
        """Full widths (47,)."""
        return np.full(len(WAVELENGTHS_NM), WIDTH_NM)

    def srf(self, folder: Path) -> np.ndarray:
        """Response (5, 47) by which an MSI is simulated."""
        return spectral_response(self.response, WAVELENGTHS_NM, WIDTH_NM)

    def lacking(self, files: dict[str, File]) -> list[str]:
        """The file, where it is not there."""
        return [] if FILE.name in files else [FILE.name]

    def check(self, files: dict[str, File]) -> None:
        """Check that both images can be read and have the right shapes."""
        for variable in IMAGES:
            read_image(_path(files), variable)

    def scene_files(self, folder: Path, scene: str) -> list[Path]:
        """The one file."""
        return [_path(self.complete_files(folder))]

    def full_scale(self, folder: Path, scene: str) -> float:
        """`HYPERION_SCALE`."""
        return HYPERION_SCALE

    def read(self, folder: Path, scene: str) -> np.ndarray:
        """Cut the scene's region out of Hyperion's image."""
        return self._region("I_HS_LR", folder, scene) / np.float32(HYPERION_SCALE)

    def msi(self, folder: Path, scene: str) -> np.ndarray:
        """Cut the scene's region out of ALI's image, without MS-1', which Hyperion does not see.

        The one pixel below 0 becomes 0.
        """
        return np.maximum(self._region("I_MS_LR", folder, scene)[1:], 0) / np.float32(ALI_SCALE)

    def _region(self, variable: str, folder: Path, scene: str) -> np.ndarray:
        rows, columns = REGIONS[self.scenes()[scene]]
        (path,) = self.scene_files(folder, scene)
        return read_image(path, variable)[:, rows, columns].astype(np.float32)


def _path(files: dict[str, File]) -> Path:
    return Path(str(files[FILE.name]))
