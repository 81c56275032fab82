"""The description of a fusion problem that a method is built for."""

from dataclasses import dataclass

import numpy as np

from smifbench.errors import UserError


@dataclass(frozen=True, eq=False)
class FusionProblem:
    """Band counts, spatial ratio and, where known, the sensors' responses.

    Parameters
    ----------
    bands, msi_bands
        Channel counts C of the hyperspectral and c of the multispectral image, at least 1.
    ratio
        Spatial ratio r between the two, an integer of at least 1.
    psf
        Blur kernel (k, k), sum 1, with k - r even. LR pixel (i, j) is the weighted sum over the k x k HR pixels that
        begin at row i*r - (k - r)/2 and column j*r - (k - r)/2, so that a kernel of r x r covers just the LR pixel's
        own block. An LR image shifted against the HR grid has a kernel whose weights lie off its centre.
    srf
        Spectral response (c, C) of the multispectral sensor over the hyperspectral bands, rows sum to 1. None where it
        is not known, as that of a measured MSI: methods that invert it then estimate it from the pair, the others do
        without it.
    wavelengths_nm
        Band centres (C,) in nanometres; they need not increase.

    Raises
    ------
    UserError
        When a count is not a positive integer or an array has another shape than stated.
    """

    bands: int
    msi_bands: int
    ratio: int
    psf: np.ndarray | None = None
    srf: np.ndarray | None = None
    wavelengths_nm: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name in ("bands", "msi_bands", "ratio"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
                raise UserError(f"{name} must be a positive integer, not {value!r}")
            object.__setattr__(self, name, int(value))  # torch takes no sizes that are NumPy's
        if self.psf is not None:
            shape = np.shape(self.psf)
            if len(shape) != 2 or shape[0] != shape[1] or (shape[0] - self.ratio) % 2:
                raise UserError(
                    f"psf has shape {shape}; it must be square with a side that differs from ratio {self.ratio} by an "
                    "even number (pad it with zeros)"
                )
        for name, expected in (("srf", (self.msi_bands, self.bands)), ("wavelengths_nm", (self.bands,))):
            value = getattr(self, name)
            if value is not None and np.shape(value) != expected:
                raise UserError(f"{name} has shape {np.shape(value)}, expected {expected}")

    def as_json(self) -> dict:
        """Return the fields as JSON holds them, arrays as lists."""
        return {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in vars(self).items()}

    @classmethod
    def of_json(cls, about: dict) -> "FusionProblem":
        """Return the problem that `as_json` wrote."""
        arrays = {key: None if about[key] is None else np.array(about[key]) for key in ("psf", "srf", "wavelengths_nm")}
        return cls(about["bands"], about["msi_bands"], about["ratio"], **arrays)
