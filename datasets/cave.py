"""CAVE: 32 indoor scenes of still life, textiles, faces and paintings.

Columbia University, 2008: 512 x 512 pixels, 31 bands of reflectance at 400, 410, ..., 700 nm, a PNG file a band. All
scenes are 16-bit grey but `watercolors`, whose files are 8-bit RGBA with three equal colours.

Read as the official archive, as the archive of one scene each, or unpacked in folders of any depth: a band is found by
its file name, `<scene>_ms_<NN>.png`, and other files (`<scene>_RGB.bmp`, `Thumbs.db`) are passed over. Neither the
archive's hash nor mirrors with its exact bytes beyond Columbia's two hosts are published; its size and the hash of
its list of members, which contains the checksum of each, come from an audit of July 2026.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from smifbench.data.archives import check_zip
from smifbench.data.download import Source
from smifbench.data.responses import spectral_response
from smifbench.errors import UserError

from ._files import File, FileDataSet, chosen, one_of

if TYPE_CHECKING:
    from PIL import Image

ARCHIVE = Source(
    name="complete_ms_data.zip",
    addresses=(
        "https://www.cs.columbia.edu/CAVE/databases/multispectral/zip/complete_ms_data.zip",
        "https://www1.cs.columbia.edu/CAVE/databases/multispectral/zip/complete_ms_data.zip",
    ),
    magic=(b"PK\x03\x04",),
    size=405_988_465,
    check=partial(check_zip, directory_sha256="cad6a8d0c5b8f83c3d3695200ebc03784bb275e9d4eba093fc232018625fe7a6"),
)

SCENES = (
    *("balloons", "beads", "cd", "chart_and_stuffed_toy", "clay", "cloth", "egyptian_statue", "face"),
    *("fake_and_real_beers", "fake_and_real_food", "fake_and_real_lemon_slices", "fake_and_real_lemons"),
    *("fake_and_real_peppers", "fake_and_real_strawberries", "fake_and_real_sushi", "fake_and_real_tomatoes"),
    *("feathers", "flowers", "glass_tiles", "hairs", "jelly_beans", "oil_painting", "paints", "photo_and_face"),
    *("pompoms", "real_and_fake_apples", "real_and_fake_peppers", "sponges", "stuffed_toys", "superballs"),
    *("thread_spools", "watercolors"),
)
"""Sorted by name. The common split counts along this order: 22 to train, 5 to validate, 5 to test."""

SPLITS = dict(zip(SCENES, ["train"] * 22 + ["val"] * 5 + ["test"] * 5, strict=True))

BANDS, SIZE = 31, (512, 512)

GREY = ("L", "I;16", "I;16B", "I", "LA", "RGB", "RGBA")
"""Pillow's names of 8-bit and 16-bit grey and of what may hold three equal colours."""


class Cave(FileDataSet):
    """The 32 scenes, 22 to train, 5 to validate and 5 to test in the order of their names.

    Parameters
    ----------
    folder
        Folder that holds the scenes already, in any layout; nothing is downloaded then.
    scenes
        The scenes to use, each in the split that it has among all 32; all by default.
    scale
        What becomes 1: "full", the largest value that the files can hold (65535, or 255), or "max", the largest value
        of each scene.
    response
        Spectral response of the colour camera, by name or path.
    """

    title = "CAVE"
    citation = "yasuma2010cave"
    licence = "none stated; offered to the research community"
    homepage = "https://www.cs.columbia.edu/CAVE/databases/multispectral/"
    archives = (ARCHIVE,)
    by_hand = f"complete_ms_data.zip from {homepage} or the folders of any unpacked copy"
    choice = ", or list the scenes that you have in its option scenes"

    def __init__(
        self,
        folder: str | None = None,
        scenes: list[str] | None = None,
        scale: str = "full",
        response: str = "nikon_d700",
    ) -> None:
        super().__init__(folder)
        self._splits = chosen(SPLITS, scenes)
        self.scale = one_of("scale", scale, ("full", "max"))
        self.response = response

    def scenes(self) -> dict[str, str]:
        """The wanted scenes with their splits, sorted by name."""
        return self._splits

    def size(self, scene: str) -> tuple[int, int]:
        """512 x 512."""
        return SIZE

    def wavelengths_nm(self, folder: Path) -> np.ndarray:
        """400, 410, ..., 700 nm (31,)."""
        return 400.0 + 10 * np.arange(BANDS)

    def srf(self, folder: Path) -> np.ndarray:
        """The camera's response at the band centres (3, 31)."""
        return spectral_response(self.response, self.wavelengths_nm(folder))

    def lacking(self, files: dict[str, File]) -> list[str]:
        """Bands of the wanted scenes that are not there."""
        return [name for scene in self._splits for name in _band_names(scene) if name not in files]

    def check(self, files: dict[str, File]) -> None:
        """Check size and checksums of every band's PNG file."""
        for name in (name for scene in self._splits for name in _band_names(scene)):
            with _image(files[name]) as image:
                size = image.size
                image.verify()
            if size != SIZE:
                raise UserError(f"{files[name]} is of {size[0]} x {size[1]} pixels, not 512 x 512; replace it")

    def scene_files(self, folder: Path, scene: str) -> list[File]:
        """The PNG file of each band."""
        files = self.complete_files(folder)
        return [files[name] for name in _band_names(scene)]

    def full_scale(self, folder: Path, scene: str) -> float:
        """The largest value that the files can hold, or that they do hold."""
        bands = map(_pixels, self.scene_files(folder, scene))
        return max(float(band.max() if self.scale == "max" else np.iinfo(band.dtype).max) for band in bands)

    def read(self, folder: Path, scene: str) -> np.ndarray:
        """Stack a scene's bands."""
        cube = np.stack([_read_band(file) for file in self.scene_files(folder, scene)])
        return cube / cube.max() if self.scale == "max" else cube


def _band_names(scene: str) -> list[str]:
    return [f"{scene}_ms_{band:02d}.png" for band in range(1, BANDS + 1)]


def _read_band(file: File) -> np.ndarray:
    """One band (H, W) as float32, 1 being the largest value that the file's bit depth can hold."""
    pixels = _pixels(file)
    return pixels / np.float32(np.iinfo(pixels.dtype).max)


def _pixels(file: File) -> np.ndarray:
    """One band (H, W) as uint16 or uint8 from a file of grey levels, or as uint8 from one of three equal colours."""
    with _image(file) as image:
        mode, pixels = image.mode, np.asarray(image)
    colours = {"RGB": 3, "RGBA": 3, "LA": 1}.get(mode)
    if colours:
        pixels, others = pixels[..., 0], pixels[..., 1:colours]
        if (others != pixels[..., None]).any():
            mode = "coloured"
    if mode not in GREY:
        raise UserError(
            f"{file} is {mode} and not grey, so it is no band; replace it by the one of the official archive"
        )
    return pixels if pixels.dtype == np.uint8 else pixels.astype(np.uint16, copy=False)


@contextmanager
def _image(file: File) -> Iterator["Image.Image"]:
    """Open a PNG; raises UserError where the block finds it damaged."""
    from PIL import Image

    try:
        with file.open("rb") as stream, Image.open(stream, formats=["PNG"]) as image:
            yield image
    except (OSError, SyntaxError, ValueError, zlib.error, Image.DecompressionBombError) as error:
        raise UserError(f"{file} is no whole PNG image; replace it by the one of the official archive") from error
