"""Filling the missing pixels of a pair so that its two images still fit together.

A method that sees whole images learns from the pair as a whole how they depend on each other, so made-up values must
not break that dependence. What is filled is what the other image says:

- the MSI starts from its nearest valid pixels and is changed, by the least step, until its blur is what the response
  makes of the LR-HSI wherever that is known;
- the LR-HSI is what a linear regression on the blurred MSI predicts, plus the residual of the nearest valid LR pixel.
"""

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, cg

from smifbench.data.missing import fill_nearest
from smifbench.degradation.operators import apply_srf, blur_decimate, blur_decimate_adjoint

ITERATIONS = 100
"""Most steps of the conjugate gradients that fit the MSI; LR pixels that see missing ground are coupled to a few."""


def fill_pair(
    lr_hsi: np.ndarray,
    hr_msi: np.ndarray,
    psf: np.ndarray,
    srf: np.ndarray,
    ratio: int,
    hsi_missing: np.ndarray | None,
    msi_missing: np.ndarray | None,
    usable: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Fill both images of a pair.

    Parameters
    ----------
    lr_hsi, hr_msi
        (C, H/r, W/r) and (c, H, W), float32, missing pixels filled in any way; the MSI as `srf` makes it of the scene.
    psf, srf, ratio
        How they arose, see `FusionProblem`.
    hsi_missing, msi_missing
        (H/r, W/r) and (H, W), true where the image has no value; None where it has all.
    usable
        LR pixels (H/r, W/r) that are there and were blurred from ground of which the MSI has every pixel.

    Returns
    -------
    lr_hsi, hr_msi
        Copies, changed at the missing pixels alone.
    """
    if msi_missing is not None:
        known = np.ones(usable.shape, bool) if hsi_missing is None else ~hsi_missing
        hr_msi = _fitted_msi(lr_hsi, hr_msi, psf, srf, ratio, known, msi_missing, usable)
    if hsi_missing is not None:
        lr_msi = blur_decimate(torch.from_numpy(hr_msi).double(), psf, ratio).numpy()
        lr_hsi = _predicted_hsi(lr_hsi, lr_msi, hsi_missing, usable)
    return lr_hsi, hr_msi


def _fitted_msi(
    lr_hsi: np.ndarray,
    hr_msi: np.ndarray,
    psf: np.ndarray,
    srf: np.ndarray,
    ratio: int,
    known: np.ndarray,
    missing: np.ndarray,
    usable: np.ndarray,
) -> np.ndarray:
    """Change the missing pixels of the MSI until its blur fits the known LR pixels.

    For each band the step x is the least by |blur(x) - residual|^2 / noise + |x|^2 / spread, where noise is the mean
    square by which blur and response disagree where nothing is missing, and spread that by which nearest valid pixels
    disagree with what they stand for, taken from pixels one LR pixel apart.
    """
    residual = (
        apply_srf(torch.from_numpy(lr_hsi).double(), srf) - blur_decimate(torch.from_numpy(hr_msi).double(), psf, ratio)
    ).numpy()
    seen = torch.from_numpy(missing.astype(np.float64))
    reached = known & (blur_decimate(seen, np.abs(psf), ratio).numpy() > 1e-6)
    filled = hr_msi.copy()
    if not reached.any():
        return filled
    number = int(reached.sum())

    def spread_out(weights: np.ndarray) -> np.ndarray:
        image = np.zeros(known.shape)
        image[reached] = weights
        return np.where(missing, blur_decimate_adjoint(torch.from_numpy(image), psf, ratio).numpy(), 0)

    def normal(weights: np.ndarray) -> np.ndarray:
        return blur_decimate(torch.from_numpy(spread_out(weights)), psf, ratio).numpy()[reached]

    valid = ~missing[:, ratio:] & ~missing[:, :-ratio]
    for band, image in enumerate(hr_msi):
        noise = float(np.square(residual[band][usable]).mean())
        spread = float(np.square(image[:, ratio:] - image[:, :-ratio], dtype=np.float64)[valid].mean())
        damping = max(noise / spread if spread else 1.0, 1e-6)
        system = LinearOperator((number, number), lambda weights, damping=damping: normal(weights) + damping * weights)
        weights, _ = cg(system, residual[band][reached], rtol=1e-6, maxiter=ITERATIONS)
        filled[band] += spread_out(weights).astype(np.float32)
    return filled


def _predicted_hsi(lr_hsi: np.ndarray, lr_msi: np.ndarray, missing: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Predict the missing pixels (h, w) of (C, h, w) from (c, h, w) by what the usable ones have in common."""
    regressors = np.concatenate([lr_msi, np.ones((1, *missing.shape))])
    slopes = np.linalg.lstsq(regressors[:, usable].T, lr_hsi[:, usable].T.astype(np.float64), rcond=1e-9)[0]
    prediction = np.tensordot(slopes, regressors, ((0,), (0,)))
    residual = fill_nearest(lr_hsi - prediction, ~usable)
    filled = lr_hsi.copy()
    filled[:, missing] = (prediction + residual)[:, missing]
    return filled
