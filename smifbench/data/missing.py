"""Pixels without a value: how images are made whole for methods that need whole images, and how a mask is kept.

A mask (H, W) is true where a pixel is missing. Missing pixels are filled from their nearest valid neighbours, so that
every method gets an image without holes; the mask goes beside it, and statistics and metrics leave out what it marks.
"""

import base64
import zlib

import numpy as np
from scipy import ndimage

from smifbench.errors import UserError


def fill_nearest(image: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Return a copy of (C, H, W) in which every `missing` pixel (H, W) has the values of the nearest valid one.

    Raises UserError where no pixel is valid.
    """
    if missing.all():
        raise UserError("every pixel is missing")
    rows, columns = ndimage.distance_transform_edt(missing, return_distances=False, return_indices=True)
    filled = np.array(image)
    filled[:, missing] = filled[:, rows[missing], columns[missing]]
    return filled


def blocks_with_missing(missing: np.ndarray, ratio: int) -> np.ndarray:
    """Which LR pixels (H/r, W/r) stand on ground where at least one of the HR pixels (H, W) is missing."""
    height, width = missing.shape
    blocks = missing.reshape(height // ratio, ratio, width // ratio, ratio)
    return np.asarray(blocks.any((1, 3)))


def mask_to_text(missing: np.ndarray) -> str:
    """Write a mask (H, W) as text for a JSON file; `mask_from_text` reads it."""
    return base64.b64encode(zlib.compress(np.packbits(missing).tobytes(), 9)).decode()


def mask_from_text(text: str, shape: tuple[int, int]) -> np.ndarray:
    """Read a mask of `shape` (H, W) from what `mask_to_text` wrote."""
    bits = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
    return np.unpackbits(bits, count=shape[0] * shape[1]).astype(bool).reshape(shape)
