"""Scoring one pair of a user's own files: a reference, and an estimate of it that any code has made."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from smifbench import metrics
from smifbench.data.cubes.reading import Cube, read_cube
from smifbench.data.responses import spectral_response
from smifbench.errors import UserError
from smifbench.evaluation.estimates import Reading, read_estimate
from smifbench.paper.layout import NAME

HEADINGS = {"wald": "by definition", "paper": f"as in the {NAME}'s tables; compare with nothing else"}
"""What the conventions are called in print."""


@dataclass(frozen=True)
class Source:
    """A file of the user's and how it is read, as in `smifbench.data.cubes.reading.read_cube`.

    `flag` is the option that names it, for messages, and `scale` the value in it that becomes 1.
    """

    path: Path
    flag: str
    variable: str | None = None
    band_axis: int | None = None
    scale: float = 1.0

    def ask(self, option: str) -> str:
        """Call an option of reading as the command `score` does."""
        return f"{self.flag}-{option.replace('_', '-')}"

    def read(self, bands: int | None = None) -> Cube:
        """Read the cube; `bands` is their number where it is known."""
        return read_cube(self.path, self.variable, self.band_axis, bands, ask=self.ask)


@dataclass(frozen=True)
class Pair:
    """The two images that were fused, either or both, and their sensors.

    `psf` is the id of a protocol, `srf` what `smifbench.data.responses.load_response` takes; "estimate" fits either to
    reference and image.
    """

    lr_hsi: Source | None = None
    hr_msi: Source | None = None
    psf: str = "estimate"
    srf: str = "estimate"


def score_files(reference: Source, estimate: Source, ratio: int, pair: Pair | None = None) -> dict[str, float]:
    """Return every metric of both conventions of an estimate, and the consistency with the images of `pair`.

    Parameters
    ----------
    reference, estimate
        Files of the cubes.
    ratio
        Spatial ratio of the images that were fused.
    pair
        The images that were fused, as far as they are there; None for neither.

    Returns
    -------
    dict
        As of `metrics.score`, and `pixels_missing`, the pixels of the reference without a value, which do not count.

    Raises
    ------
    UserError
        One sentence, for files that cannot be read or do not fit together, and a reference that needs a scale.
    """
    pair, cube = pair or Pair(), reference.read()
    truth, missing = _reference(cube, reference)
    reading = Reading(estimate.variable, estimate.band_axis, estimate.scale, estimate.ask)
    result = read_estimate(estimate.path, truth, missing, cube.wavelengths_nm, reading)
    lr_hsi = _lr_hsi(pair, truth, missing, ratio)
    hr_msi = _hr_msi(pair, truth, missing, cube.wavelengths_nm)
    scores = metrics.score(truth, result, ratio, missing, lr_hsi, hr_msi)
    return scores | {"pixels_missing": 0 if missing is None else int(missing.sum())}


def describe(scores: Mapping[str, float]) -> str:
    """Print the scores, convention by convention."""
    lines: list[str] = []
    for convention, heading in HEADINGS.items():
        lines += ["", f"{heading}:"] if lines else [f"{heading}:"]
        for name, metric in metrics.METRICS.items():
            if name in scores and metric.convention == convention:
                unit = f" {metric.unit}" if metric.unit else ""
                value = "undefined" if math.isnan(scores[name]) else f"{scores[name]:.{metric.digits}f}{unit}"
                lines.append(f"  {metric.symbol:15} {value:14} ({name})")
    counts = {"sam_excluded": "pixels without a spectral angle", "pixels_missing": "pixels of the reference missing"}
    lines += ["", *(f"{what}: {scores[name]:.0f}" for name, what in counts.items())]
    return "\n".join(lines)


def as_json(scores: Mapping[str, float]) -> dict[str, float | str | None]:
    """Return the scores as JSON can hold them: None for what is undefined, "inf" for an exact estimate's PSNR."""
    return {
        name: None if math.isnan(value) else value if math.isfinite(value) else "inf" for name, value in scores.items()
    }


def _scaled(cube: Cube, source: Source) -> np.ndarray:
    """Return a cube's values (C, H, W) in float32, the source's scale being 1."""
    return (cube.array / np.float64(source.scale)).astype(np.float32)


def _reference(cube: Cube, source: Source) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the reference in [0,1], 0 where pixels are missing, and the mask of these or None."""
    truth, missing = _scaled(cube, source), cube.missing_in(range(len(cube.array)))
    if missing is not None and missing.all():
        raise UserError(f"{source.path} has no pixel with a value in all bands")
    if missing is not None:
        truth[:, missing] = 0
    low, high = float(truth.min()), float(truth.max())
    if low < -1e-6 or high > 1 + 1e-6:
        raise UserError(
            f"{source.path} has values from {low:g} to {high:g}, and metrics want them from 0 to 1; say by --scale "
            "which value becomes 1, such as 255 or 10000"
        )
    return truth, missing


def _image(source: Source, shape: tuple[int | None, int, int]) -> np.ndarray:
    """Return one of the images that were fused; raises UserError for another shape (bands or None, height, width)."""
    cube = source.read(shape[0])
    if cube.array.shape[1:] != shape[1:] or shape[0] not in (None, len(cube.array)):
        right = "{} x {}".format(*shape[1:]) + (f" and {shape[0]} bands" if shape[0] else "")
        raise UserError(
            f"{source.path} has shape {cube.array.shape} (bands, height, width), and to reference and ratio belong "
            f"{right}; state another --ratio, or which axis holds the bands by {source.ask('band_axis')}"
        )
    if cube.missing_in(range(len(cube.array))) is not None:
        raise UserError(f"{source.path} has missing pixels; fill them in, or leave {source.flag} out")
    return _scaled(cube, source)


def _lr_hsi(pair: Pair, truth: np.ndarray, missing: np.ndarray | None, ratio: int) -> metrics.Observed | None:
    """The LR-HSI, with a named blur or the one by which it fits the reference best; None without one."""
    from smifbench.degradation.degrade import blurred_from
    from smifbench.degradation.estimation import estimate_psf
    from smifbench.degradation.protocol import get_protocol
    from smifbench.degradation.sensors import Sensors

    if pair.lr_hsi is None:
        return None
    bands, height, width = truth.shape
    if height % ratio or width % ratio:
        raise UserError(
            f"ratio {ratio} does not divide the reference's {height} x {width} pixels; state the pair's own"
        )
    image = _image(pair.lr_hsi, (bands, height // ratio, width // ratio))
    if pair.psf != "estimate":
        named = Sensors.of(get_protocol(pair.psf), ratio, srf=None)
        if named is None:
            raise UserError(
                f"--psf {pair.psf} stretches every image on its own, so that none follows from another; drop it"
            )
        return named.observed(image, image, missing)["lr_hsi"]
    if min(image.shape[1:]) < 6:
        raise UserError(f"{pair.lr_hsi.path} is too small to estimate the blur from; name a protocol by --psf")
    seen = None if missing is None else ~blurred_from(missing, np.ones((3 * ratio, 3 * ratio)), ratio)
    psf = estimate_psf(image.astype(np.float64), truth.astype(np.float64), ratio, seen)
    observed = Sensors(psf, None, ratio).observed(image, image, missing)["lr_hsi"]
    edge = np.ones(image.shape[1:], bool)  # what the sensor saw beyond the scene is not known
    edge[1:-1, 1:-1] = False
    return replace(observed, missing=edge if observed.missing is None else edge | observed.missing)


def _hr_msi(
    pair: Pair, truth: np.ndarray, missing: np.ndarray | None, wavelengths_nm: np.ndarray | None
) -> metrics.Observed | None:
    """The HR-MSI, with a named response or the one by which it fits the reference best; None without one."""
    from smifbench.degradation.estimation import estimate_srf

    if pair.hr_msi is None:
        return None
    image = _image(pair.hr_msi, (None, *truth.shape[1:]))
    if pair.srf == "estimate":
        seen = None if missing is None else ~missing
        weights, offset = estimate_srf(truth.astype(np.float64), image.astype(np.float64), seen)
    elif wavelengths_nm is None:
        raise UserError(
            "--srf needs the bands' wavelengths, and the reference states none; leave --srf out to estimate it"
        )
    else:
        weights = spectral_response(pair.srf, wavelengths_nm)
        offset = np.zeros(len(weights))
    if len(weights) != len(image):
        raise UserError(f"{pair.hr_msi.path} has {len(image)} bands and --srf {pair.srf} {len(weights)}; name its own")
    return metrics.Observed(image, lambda scene: np.tensordot(weights, scene, 1) + offset[:, None, None], missing)
