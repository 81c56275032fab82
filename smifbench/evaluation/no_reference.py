"""Quality of a fused image without a reference: how well it agrees with the two images that it was made from.

Consistency is the first property of Wald's protocol (L. Wald, T. Ranchin, M. Mangolini, "Fusion of Satellite Images of
Different Spatial Resolutions", Photogrammetric Engineering & Remote Sensing 63(6):691-699, 1997) in both directions:
the result blurred to the LR-HSI, and the result under the spectral response to the HR-MSI. QNR compares relations
between bands at the two resolutions; the only operator it needs is the blur that reduces the MSI (L. Alparone,
B. Aiazzi, S. Baronti, A. Garzelli, F. Nencini, M. Selva, "Multispectral and Panchromatic Data Fusion Assessment Without
Reference", Photogrammetric Engineering & Remote Sensing 74(2):193-200, 2008; exponents 1). There the second image has
one band. Here every band of the MSI takes its place in turn, and D_s is the mean over all pairs of bands.

A bad result can be consistent too: only a reference image tells it from a good one.
"""

import numpy as np
import torch

from smifbench import metrics
from smifbench.degradation.operators import apply_srf, blur_decimate

BLOCK = 32
"""Side of a block of QNR in HR pixels, rounded to a multiple of the ratio."""


def assess(
    estimate: np.ndarray,
    lr_hsi: np.ndarray,
    hr_msi: np.ndarray,
    psf: np.ndarray,
    srf: np.ndarray | None,
    ratio: int,
    missing: np.ndarray | None = None,
    lr_missing: np.ndarray | None = None,
) -> dict[str, float | dict[str, float]]:
    """Compute every quality of this module.

    Parameters
    ----------
    estimate
        Fused image (C, H, W).
    lr_hsi, hr_msi
        What it was made from, (C, H/r, W/r) and (c, H, W), in the units of the estimate.
    psf, srf, ratio
        Operators as in `FusionProblem`, known or estimated; without a response nothing is said of spatial consistency.
    missing, lr_missing
        (H, W) and (H/r, W/r), true where the MSI or the estimate, and the LR-HSI or what it was blurred from, are
        missing: what counts is the rest, for QNR the blocks that are whole. None where nothing is missing.

    Returns
    -------
    dict
        `spectral_consistency` and `spatial_consistency`, each with `rmse`, `sam` in degrees and `ergas`; `d_lambda`,
        `d_s` and `qnr`, NaN where no block is whole.
    """
    lr_msi = blur_decimate(torch.from_numpy(hr_msi), psf, ratio).numpy()
    distortions = {
        "d_lambda": d_lambda(estimate, lr_hsi, ratio, lr_missing),
        "d_s": d_s(estimate, hr_msi, lr_hsi, lr_msi, ratio, lr_missing),
    }
    spatial = {} if srf is None else {"spatial_consistency": spatial_consistency(estimate, hr_msi, srf, ratio, missing)}
    return {
        "spectral_consistency": spectral_consistency(estimate, lr_hsi, psf, ratio, lr_missing),
        **spatial,
        **distortions,
        "qnr": (1 - distortions["d_lambda"]) * (1 - distortions["d_s"]),
    }


def spectral_consistency(
    estimate: np.ndarray, lr_hsi: np.ndarray, psf: np.ndarray, ratio: int, lr_missing: np.ndarray | None = None
) -> dict[str, float]:
    """RMSE, SAM and ERGAS of the estimate (C, H, W), blurred and decimated, against the LR-HSI (C, H/r, W/r)."""
    return _differences(lr_hsi, blur_decimate(torch.from_numpy(estimate), psf, ratio).numpy(), ratio, lr_missing)


def spatial_consistency(
    estimate: np.ndarray, hr_msi: np.ndarray, srf: np.ndarray, ratio: int, missing: np.ndarray | None = None
) -> dict[str, float]:
    """RMSE, SAM and ERGAS of the estimate (C, H, W) under the response (c, C) against the HR-MSI (c, H, W)."""
    return _differences(hr_msi, apply_srf(torch.from_numpy(estimate), srf).numpy(), ratio, missing)


def d_lambda(estimate: np.ndarray, lr_hsi: np.ndarray, ratio: int, lr_missing: np.ndarray | None = None) -> float:
    """Spectral distortion: mean of `|Q(fused, fused) - Q(LR, LR)|` over all pairs of different HSI bands; 0 is best.

    `estimate` is (C, H, W) and `lr_hsi` (C, H/r, W/r); 0 for a single band.
    """
    side = _block(estimate.shape, ratio)
    missing = None if lr_missing is None else lr_missing.repeat(ratio, 0).repeat(ratio, 1)
    fused, measured = q_index(estimate, estimate, side, missing), q_index(lr_hsi, lr_hsi, side // ratio, lr_missing)
    change = np.abs(fused - measured)
    pairs = len(change) * (len(change) - 1)
    return float(change.sum() / pairs) if pairs else 0.0


def d_s(
    estimate: np.ndarray,
    hr_msi: np.ndarray,
    lr_hsi: np.ndarray,
    lr_msi: np.ndarray,
    ratio: int,
    lr_missing: np.ndarray | None = None,
) -> float:
    """Spatial distortion: mean of `|Q(fused, MSI) - Q(LR, LR MSI)|` over pairs of an HSI and an MSI band; 0 is best.

    Shapes are (C, H, W), (c, H, W), (C, H/r, W/r) and (c, H/r, W/r).
    """
    side = _block(estimate.shape, ratio)
    missing = None if lr_missing is None else lr_missing.repeat(ratio, 0).repeat(ratio, 1)
    fused, measured = q_index(estimate, hr_msi, side, missing), q_index(lr_hsi, lr_msi, side // ratio, lr_missing)
    return float(np.abs(fused - measured).mean())


def q_index(first: np.ndarray, second: np.ndarray, side: int, missing: np.ndarray | None = None) -> np.ndarray:
    """Universal image quality index of every band of one image with every band of another, the mean over blocks.

    Z. Wang, A. C. Bovik, "A Universal Image Quality Index", IEEE Signal Processing Letters 9(3):81-84, 2002.

    Parameters
    ----------
    first, second
        (C, H, W) and (c, H, W).
    side
        Side of the blocks, which do not overlap; rows and columns beyond the last whole block do not count.
    missing
        (H, W); blocks that touch a missing pixel do not count either.

    Returns
    -------
    np.ndarray
        (C, c), each in [-1, 1], NaN where no block counts. A quotient 0/0 counts as 1: two flat blocks differ by their
        means alone.
    """
    height, width = first.shape[1:]
    total, count = np.zeros((len(first), len(second))), 0
    for top in range(0, height - side + 1, side):
        for left in range(0, width - side + 1, side):
            block = (slice(None), slice(top, top + side), slice(left, left + side))
            if missing is not None and missing[block[1:]].any():
                continue
            x, y = (image[block].reshape(len(image), -1).astype(np.float64) for image in (first, second))
            total += _q_of_block(x, y)
            count += 1
    return total / count if count else np.full_like(total, np.nan)


def _q_of_block(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Q (C, c) of the bands of two blocks, (C, n) and (c, n)."""
    mean_x, mean_y = x.mean(1), y.mean(1)
    x, y = x - mean_x[:, None], y - mean_y[:, None]
    power_x, power_y = np.square(x).sum(1), np.square(y).sum(1)
    return _quotient(2 * np.outer(mean_x, mean_y), np.add.outer(mean_x**2, mean_y**2)) * _quotient(
        2 * x @ y.T, np.add.outer(power_x, power_y)
    )


def _quotient(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.ones_like(denominator), where=denominator > 0)


def _block(shape: tuple[int, ...], ratio: int) -> int:
    """Side of the HR blocks: about `BLOCK`, a multiple of the ratio, and not beyond the image."""
    return ratio * max(1, min(round(BLOCK / ratio), min(shape[1:]) // ratio))


def _differences(
    measured: np.ndarray, modelled: np.ndarray, ratio: int, missing: np.ndarray | None
) -> dict[str, float]:
    measured, modelled = metrics.valid_pixels(measured, missing), metrics.valid_pixels(modelled, missing)
    return {
        "rmse": metrics.rmse(measured, modelled),
        "sam": metrics.sam(measured, modelled),
        "ergas": metrics.ergas(measured, modelled, ratio),
    }
