"""The two sensors of a pair: what they would see of any scene without noise, which an estimate is held against."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from smifbench.metrics import Observed

if TYPE_CHECKING:
    from smifbench.degradation.protocol import Protocol


@dataclass(frozen=True, eq=False)
class Sensors:
    """Operators that make of a scene (C, H, W) its LR-HSI and its HR-MSI.

    Parameters
    ----------
    psf
        (k, k) in the convention of `FusionProblem.psf`, misregistration included.
    srf
        (c, C), rows sum to 1; None for a measured MSI, whose response is not known.
    ratio, border
        As in `smifbench.degradation.operators.blur_decimate`.
    clip
        (lowest, highest) value of both images, or None.
    """

    psf: np.ndarray
    srf: np.ndarray | None
    ratio: int
    border: str = "reflect"
    clip: tuple[float, float] | None = None

    @classmethod
    def of(cls, protocol: "Protocol", ratio: int, srf: np.ndarray | None) -> "Sensors | None":
        """Return a protocol's sensors at a ratio, with the response (c, C) in use.

        None where it stretches every image on its own, because then neither follows from the reference.
        """
        from smifbench.degradation.operators import displace

        if protocol.scaling != "none":
            return None
        psf = displace(protocol.psf(ratio), protocol.misregistration)
        return cls(psf, srf, ratio, protocol.border, protocol.clip)

    def observed(
        self, lr_hsi: np.ndarray, hr_msi: np.ndarray, missing: np.ndarray | None = None
    ) -> dict[str, Observed]:
        """Return the LR-HSI (C, H/r, W/r) and the HR-MSI (c, H, W) of a scene as `metrics.score` takes them.

        What was blurred from one of the `missing` pixels (H, W) does not count either. The HR-MSI is left out where the
        response is not known.
        """
        from smifbench.degradation.degrade import blurred_from

        lr_missing = None if missing is None else blurred_from(missing, self.psf, self.ratio, self.border)
        observed = {"lr_hsi": Observed(lr_hsi, self._lr_hsi, lr_missing)}
        if self.srf is not None:
            observed["hr_msi"] = Observed(hr_msi, self._hr_msi, missing)
        return observed

    def _lr_hsi(self, scene: np.ndarray) -> np.ndarray:
        import torch

        from smifbench.degradation.operators import blur_decimate

        return self._clipped(blur_decimate(torch.from_numpy(scene), self.psf, self.ratio, self.border).numpy())

    def _hr_msi(self, scene: np.ndarray) -> np.ndarray:
        import torch

        from smifbench.degradation.operators import apply_srf

        assert self.srf is not None
        return self._clipped(apply_srf(torch.from_numpy(scene), self.srf).numpy())

    def _clipped(self, image: np.ndarray) -> np.ndarray:
        return image if self.clip is None else image.clip(*self.clip)
