"""The data of the report's image viewer: for each comparison pictures, error maps and a small cube of spectra.

Sizes follow from two budgets, so that the page stays small however many settings an experiment has.
"""

import base64
import io
import math
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import to_hex
from PIL import Image

from smifbench.report.comparison import Comparison, crop
from smifbench.report.pictures import error_scale
from smifbench.report.style import DASHES, ERROR_MAP, Looks

PICTURE_BYTES = 4_500_000
"""Bytes of the page for all pictures together."""

CUBE_BYTES = 3_500_000
"""Bytes of the page for all cubes together."""

WINDOW = 256
"""Largest side of a window in pixels."""

MOST_BANDS = 64
"""Largest number of bands of a cube; of more bands, evenly spaced ones are taken."""

QUALITIES = (92, 85, 75, 60, 45)
"""JPEG qualities, tried in turn where a picture without loss is too large."""


def view(comparison: Comparison, share: int, looks: Looks) -> dict:
    """Return what the viewer needs to show `comparison`, of which there are `share` on the page; JSON-serialisable.

    `looks` has the colours and dashes of the methods, as in the figures.
    The pixels of `box`, a square inside `window`, have spectra: the reference as uint16 of [0,1], and for each method
    its error as int8, of which 127 stands for the band's `scale`. Both are (C, side, side) in base64.
    """
    top, left, side = _cube_box(comparison, CUBE_BYTES // share)
    window = _window(comparison, top, left, side)
    names = list(comparison.estimates)
    errors = {name: _cut(comparison.errors(name), window) for name in names}
    top_error = error_scale(errors.values())
    budget = PICTURE_BYTES // share // (2 * len(names) + 1)
    bands = _bands(comparison)
    reference = np.stack([crop(comparison.reference[band], top, left, side) for band in bands]).astype(np.float64)
    return {
        "dataset": comparison.dataset,
        "ratio": comparison.ratio,
        "scene": comparison.scene,
        "window": window,
        "box": [top, left, side],
        "top_error": top_error,
        "nm": [round(float(comparison.wavelengths_nm[band]), 1) for band in bands],
        "reference": {
            "picture": _picture(_cut(comparison.pseudo_colour(comparison.reference), window), budget),
            "values": _base64((reference.clip(0, 1) * 65535).round().astype("<u2").tobytes()),
        },
        "methods": [
            {
                "name": comparison.title_of(name),
                "colour": looks[name].colour,
                "dash": DASHES[looks[name].dashes],
                "picture": _picture(_cut(comparison.pseudo_colour(cube), window), budget),
                "errors": _picture(matplotlib.colormaps[ERROR_MAP](errors[name] / top_error)[..., :3], budget),
                **_coded(np.stack([crop(cube[band], top, left, side) for band in bands]).clip(0, 1) - reference),
            }
            for name, cube in comparison.estimates.items()
        ],
    }


def error_colours() -> list[str]:
    """Colours of the error maps' scale from its lower to its upper end, for the page's colour bar."""
    return [to_hex(matplotlib.colormaps[ERROR_MAP](place)) for place in np.linspace(0, 1, 9)]


def _bands(comparison: Comparison) -> np.ndarray:
    """Bands in the order of their wavelengths, at most `MOST_BANDS` of them."""
    order = np.argsort(comparison.wavelengths_nm, kind="stable")
    return order[np.linspace(0, len(order) - 1, min(MOST_BANDS, len(order))).round().astype(int)]


def _cube_box(comparison: Comparison, budget: int) -> tuple[int, int, int]:
    """Top, left and side of the square that gets spectra: as large as the budget allows, where there are most edges."""
    bytes_of_a_pixel = min(MOST_BANDS, len(comparison.reference)) * (2 + len(comparison.estimates)) * 4 / 3
    return comparison.detail_box(max(1, math.isqrt(int(budget / bytes_of_a_pixel))))


def _window(comparison: Comparison, top: int, left: int, side: int) -> list[int]:
    """Top, left, height and width of the window that is shown: around the box, and inside the scene."""
    scene = np.array(comparison.reference.shape[1:])
    size = np.minimum(scene, WINDOW)
    corner = np.clip(np.array([top, left]) + side // 2 - size // 2, 0, scene - size)
    return [*corner.tolist(), *size.tolist()]


def _cut(image: np.ndarray, window: Sequence[int]) -> np.ndarray:
    top, left, height, width = window
    return image[top : top + height, left : left + width]


def _coded(errors: np.ndarray) -> dict:
    scale = np.maximum(np.abs(errors).max(axis=(1, 2)), 1e-9)
    values = (errors / scale[:, None, None] * 127).round().astype(np.int8)
    return {"scale": [float(f"{largest:.6g}") for largest in scale], "values": _base64(values.tobytes())}


def _picture(image: np.ndarray, budget: int) -> str:
    """Return an image (H, W, 3) in [0,1] as a data URI: a PNG if it fits the budget, else the best JPEG that does."""
    picture = Image.fromarray((image.clip(0, 1) * 255).round().astype(np.uint8))
    jpegs: list[tuple[str, dict[str, Any]]] = [("jpeg", {"quality": quality}) for quality in QUALITIES]
    for kind, options in [("png", {"optimize": True}), *jpegs]:
        encoded = io.BytesIO()
        picture.save(encoded, kind, **options)
        uri = f"data:image/{kind};base64,{_base64(encoded.getvalue())}"
        if len(uri) <= budget:
            break
    return uri


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
