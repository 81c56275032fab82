"""Folders of PNG files, as the CAVE reader meets them: the scene to the bit, or one sentence."""

import io
import struct
import sys
import zlib

import numpy as np
import pytest
from fuzzing import damaged, fuzzed, sentence_or
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from smifbench import plugins

cave = sys.modules[plugins.dataset_class("cave").__module__]
SCENE, BANDS, SIDE = "beads", 3, 16
LEVELS = np.random.default_rng(1).integers(0, 65536, (BANDS, SIDE, SIDE)).astype(np.uint16)


def png(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def bare_png(width, height, depth, colour, pixels):
    """A PNG whose header says what it likes; checksums are right."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


GREY = LEVELS[0]
BYTES = (GREY >> 8).astype(np.uint8)
OTHERS = {
    "8-bit grey": png(Image.fromarray(BYTES)),
    "equal colours": png(Image.fromarray(np.dstack([BYTES] * 3))),
    "equal colours and alpha": png(Image.fromarray(np.dstack([BYTES] * 4), "RGBA")),
    "grey and alpha": png(Image.fromarray(np.dstack([BYTES] * 2), "LA")),
    "true colours": png(Image.fromarray(np.dstack([BYTES, BYTES // 2, BYTES // 3]))),
    "palette": png(Image.fromarray(BYTES).convert("P")),
    "one bit": png(Image.fromarray(BYTES > 9)),
    "interlaced": png(Image.fromarray(GREY)),
    "turned": png(Image.fromarray(np.ascontiguousarray(GREY[:, :8]))),
    "JPEG": b"\xff\xd8\xff\xe0" + b"\0" * 50,
    "a million million pixels": bare_png(10**6, 10**6, 16, 0, b"\0" * 10**6),
    "a tall one": bare_png(SIDE, 2**31 - 1, 16, 0, b"\0" * 100),
    "no pixels": bare_png(0, 0, 16, 0, b""),
    "too few pixels": bare_png(SIDE, SIDE, 16, 0, b"\0" * 20),
    "a large text": png(Image.fromarray(GREY), pnginfo=None) + b"\0" * 10,
}
EXACT = {
    "8-bit grey": BYTES / np.float32(255),
    "equal colours": BYTES / np.float32(255),
    "equal colours and alpha": BYTES / np.float32(255),
    "grey and alpha": BYTES / np.float32(255),
    "interlaced": GREY / np.float32(65535),
    "a large text": GREY / np.float32(65535),
}


@pytest.fixture
def small_bands(monkeypatch):
    monkeypatch.setattr(cave, "BANDS", BANDS)
    monkeypatch.setattr(cave, "SIZE", (SIDE, SIDE))


@pytest.fixture
def folder(tmp_path, small_bands):
    """A scene of three small bands, whole."""
    for band, levels in enumerate(LEVELS, 1):
        (tmp_path / f"{SCENE}_ms_{band:02d}.png").write_bytes(png(Image.fromarray(levels)))
    return tmp_path


def read(folder):
    """What the DAG does with a folder: check it, then read the scene."""
    dataset = plugins.build_dataset("cave", folder=str(folder), scenes=[SCENE])
    dataset.fetch(folder)
    dataset.full_scale(folder, SCENE)
    return dataset.read(folder, SCENE)


def test_the_whole_folder_is_read(folder):
    np.testing.assert_array_equal(read(folder), LEVELS / np.float32(65535))


@pytest.mark.parametrize("kind", OTHERS)
def test_another_image_in_the_place_of_a_band(folder, kind, little_memory):
    """Grey in any form is read for the fraction of full scale that it is; what is not grey is refused."""
    (folder / f"{SCENE}_ms_01.png").write_bytes(OTHERS[kind])
    cube = sentence_or(read, folder)
    assert (cube is not None) == (kind in EXACT)
    if cube is not None:
        np.testing.assert_array_equal(cube[0], EXACT[kind])


@fuzzed
@given(data=st.data())
def test_a_damaged_band_is_exact_or_refused(folder, little_memory, data):
    band = data.draw(st.integers(1, BANDS))
    path = folder / f"{SCENE}_ms_{band:02d}.png"
    whole = path.read_bytes()
    try:
        path.write_bytes(data.draw(damaged(whole)))
        cube = sentence_or(read, folder)
    finally:
        path.write_bytes(whole)
    if cube is not None:
        np.testing.assert_array_equal(cube, LEVELS / np.float32(65535))
