"""Fusing one image pair with a method, checked."""

import numpy as np
import torch
from torch import nn

from smifbench.errors import UserError


@torch.inference_mode()
def fuse(model: nn.Module, lr_hsi: np.ndarray, hr_msi: np.ndarray, device: torch.device | str = "cpu") -> np.ndarray:
    """Fuse one image pair.

    Parameters
    ----------
    model
        A method, or a `ScaledNetwork` around one; it is moved to `device` and put into evaluation mode.
    lr_hsi, hr_msi
        (C, H/r, W/r) and (c, H, W), float32 in [0,1].
    device
        Where to fuse.

    Returns
    -------
    numpy.ndarray
        The estimate (C, H, W), float32, as the method gives it (not clamped).

    Raises
    ------
    UserError
        When the method returns another shape, or NaN or infinite values.
    """
    model.to(device).eval()
    batch = [torch.from_numpy(np.array(image)).to(device)[None] for image in (lr_hsi, hr_msi)]
    estimate = model(*batch)
    expected = (1, len(lr_hsi), *hr_msi.shape[1:])
    if tuple(estimate.shape) != expected:
        raise UserError(f"forward returned shape {tuple(estimate.shape)} instead of {expected}")
    if not torch.isfinite(estimate).all():
        raise UserError(f"forward returned {int((~torch.isfinite(estimate)).sum())} NaN or infinite values")
    return estimate[0].float().cpu().numpy()
