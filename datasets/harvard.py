"""Harvard: 50 scenes in daylight.

Chakrabarti and Zickler, CVPR 2011: 1040 x 1392 pixels, 31 bands at 420, 430, ..., 720 nm, a MATLAB file a scene.
Variable `ref` (rows, columns, 31) holds what the camera recorded, about 0..1, not divided by the camera's sensitivity
(`calib.txt`); as in other fusion work it is used as it is. Variable `lbl` (rows, columns) marks with 0 the pixels in
which something moved during the exposure; fusion work scores them too, and so it is here.

The archive of 5.3 GB is a stream that can only be read from its start, so `fetch` unpacks the wanted scenes once; the
archive may then be deleted. Unpacked files in folders of any depth do as well. No hash of the archive is published.
"""

from functools import partial
from pathlib import Path

import numpy as np

from smifbench.data.archives import check_tar, unpack_tar
from smifbench.data.cubes.reading import read_cube
from smifbench.data.download import Source
from smifbench.data.responses import load_response, spectral_response
from smifbench.errors import UserError

from ._files import File, FileDataSet, chosen, one_of

SCENES = (
    *("img1", "img2", "imga1", "imga2", "imga5", "imga6", "imga7"),
    *("imgb0", "imgb1", "imgb2", "imgb3", "imgb4", "imgb5", "imgb6", "imgb7", "imgb8", "imgb9"),
    *("imgc1", "imgc2", "imgc4", "imgc5", "imgc7", "imgc8", "imgc9"),
    *("imgd2", "imgd3", "imgd4", "imgd7", "imgd8", "imgd9"),
    *("imge0", "imge1", "imge2", "imge3", "imge4", "imge5", "imge6", "imge7"),
    *("imgf1", "imgf2", "imgf3", "imgf4", "imgf5", "imgf6", "imgf7", "imgf8"),
    *("imgh0", "imgh1", "imgh2", "imgh3"),
)
"""Sorted by name."""

ORDERS = {"paper": ("train", "val", "test"), "group": ("train", "test", "val")}
"""Which splits the first 34, the next 8 and the last 8 names are."""

EXTENTS = {"train": (1040, 1392), "val": (1024, 1280), "test": (1024, 1024)}
"""Rows and columns that are used, from the top-left corner; those of MSST-Net's loader."""

SHAPE = (31, 1040, 1392)

ARCHIVE = Source(
    name="CZ_hsdb.tgz",
    addresses=(
        "http://vision.seas.harvard.edu/hyperspec/d2x5g3/CZ_hsdb.tgz",
        "https://vision.seas.harvard.edu/hyperspec/d2x5g3/CZ_hsdb.tgz",
    ),
    magic=(b"\x1f\x8b",),
    check=partial(check_tar, needed=[f"{scene}.mat" for scene in SCENES]),
)


class Harvard(FileDataSet):
    """The 50 daylight scenes, 34 to train, 8 to validate and 8 to test in the order of their names.

    Parameters
    ----------
    folder
        Folder that holds the archive or its files already; nothing is downloaded then.
    scenes
        The scenes to use, each in the split that it has among all 50; all by default.
    order
        "paper" takes the last 8 names to test, as the paper's text has it; "group" the 8 before them, as the loaders
        of MSST-Net and MSSJFL do.
    scale
        What becomes 1: "max", the largest value of the whole scene, or "stored", the files' own unit.
    response
        Spectral response of the colour camera, by name or path.
    by_index
        Let the response's k-th sample weigh the k-th band, as public code does, although this camera starts 20 nm
        later than the response. Without it the response is taken at the bands' own wavelengths.
    """

    title = "Harvard"
    citation = "chakrabarti2011harvard"
    licence = "research and academic use, with citation; non-commercial by its web page"
    homepage = "http://vision.seas.harvard.edu/hyperspec/"
    archives = (ARCHIVE,)
    by_hand = f"CZ_hsdb.tgz from {homepage}download.html or its files img*.mat"
    choice = ", or list the scenes that you have in its option scenes"

    def __init__(
        self,
        folder: str | None = None,
        scenes: list[str] | None = None,
        order: str = "paper",
        scale: str = "max",
        response: str = "nikon_d700",
        by_index: bool = True,
    ) -> None:
        super().__init__(folder)
        first, second, third = ORDERS[one_of("order", order, tuple(ORDERS))]
        self._splits = chosen(dict(zip(SCENES, [first] * 34 + [second] * 8 + [third] * 8, strict=True)), scenes)
        self.scale = one_of("scale", scale, ("max", "stored"))
        self.response = response
        self.by_index = by_index

    def scenes(self) -> dict[str, str]:
        """The wanted scenes with their splits, sorted by name."""
        return self._splits

    def size(self, scene: str) -> tuple[int, int]:
        """Height and width of the scene's extent."""
        rows, columns = EXTENTS[self._splits[scene]]
        return len(range(SHAPE[1])[:rows]), len(range(SHAPE[2])[:columns])

    def wavelengths_nm(self, folder: Path) -> np.ndarray:
        """420, 430, ..., 720 nm (31,)."""
        return 420.0 + 10 * np.arange(SHAPE[0])

    def srf(self, folder: Path) -> np.ndarray:
        """The camera's response (3, 31)."""
        response = load_response(self.response)
        if self.by_index and len(response.wavelengths_nm) != SHAPE[0]:
            raise UserError(f"response {self.response} has not 31 samples, one for each band; set by_index to false")
        return spectral_response(response, response.wavelengths_nm if self.by_index else self.wavelengths_nm(folder))

    def lacking(self, files: dict[str, File]) -> list[str]:
        """Files of the wanted scenes that are not there."""
        return [f"{scene}.mat" for scene in self._splits if f"{scene}.mat" not in files]

    def unpack(self, place: Path) -> None:
        """Unpack the wanted scenes, one after the other."""
        if (place / ARCHIVE.name).exists():
            unpack_tar(place / ARCHIVE.name, place / "CZ_hsdb", [f"{scene}.mat" for scene in self._splits])

    def check(self, files: dict[str, File]) -> None:
        """Read every wanted scene once."""
        for scene in self._splits:
            _read_ref(files[f"{scene}.mat"])

    def scene_files(self, folder: Path, scene: str) -> list[File]:
        """The scene's MATLAB file."""
        return [self.complete_files(folder)[f"{scene}.mat"]]

    def _ref(self, folder: Path, scene: str) -> np.ndarray:
        return _read_ref(self.complete_files(folder)[f"{scene}.mat"])

    def full_scale(self, folder: Path, scene: str) -> float:
        """The scene's largest value, or 1."""
        return float(self._ref(folder, scene).max()) if self.scale == "max" else 1.0

    def read(self, folder: Path, scene: str) -> np.ndarray:
        """Cut the scene's extent; values below 0 become 0."""
        ref = self._ref(folder, scene)
        rows, columns = EXTENTS[self._splits[scene]]
        cube = ref[:, :rows, :columns].astype(np.float32, order="C")
        cube /= np.float32(ref.max() if self.scale == "max" else 1)
        return np.maximum(cube, 0, out=cube)


def _read_ref(file: File) -> np.ndarray:
    """The image (31, 1040, 1392) of an unpacked file."""
    if not isinstance(file, Path):
        raise UserError(f"{file} lies in a zip archive, from which MATLAB files are not read; unpack it")
    ref = read_cube(file, variable="ref", band_axis=2).array
    if ref.shape != SHAPE:
        raise UserError(f"{file}: ref has {ref.shape} bands, rows and columns instead of {SHAPE}; replace the file")
    return ref
