"""Protocols: named and versioned sets of choices by which a scene is degraded to a pair.

A changed protocol is named by what changes: `block-gauss-s2/1+snr_hsi_db=30+misregistration=0.5,0.5`.
"""

import math
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from smifbench.data.responses import spectral_response
from smifbench.degradation.operators import BORDERS, check_ratio, displace, overhang, smear
from smifbench.errors import UserError, unknown

FWHM_PER_SIGMA = 2 * math.sqrt(2 * math.log(2))


SCALINGS = ("none", "separate-minmax")
MSIS = ("simulated", "measured")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_width(value: object) -> bool:
    return value == "fwhm=r" or (isinstance(value, int | float) and value > 0)


@dataclass(frozen=True)
class Protocol:
    """A named, versioned degradation with a Gaussian blur; lengths are in HR pixels.

    A changed copy is another protocol with another id: `get_protocol("block-gauss-s2/1+snr_hsi_db=30")`.

    Parameters
    ----------
    id
        Name and version, such as `block-gauss-s2/1`; every result row carries it.
    size
        Side of the kernel: a number of pixels, `"r"` for the ratio, or `"2r"` for twice the ratio (less one where the
        ratio is odd, so that the kernel stays centred on its block).
    sigma
        Standard deviation in pixels (`math.inf` weighs all pixels alike), or `"fwhm=r"` for a full width at half
        maximum equal to the ratio; or a pair of them, along rows and columns of the kernel.
    shift
        How far the kernel's centre lies below and to the right of the block's centre, in pixels, or `"first-pixel"`
        for a kernel centred on the block's first pixel.
    motion
        (row, column) way in pixels along which the kernel is smeared evenly, as by a sensor that moves during exposure.
    border
        What windows that reach beyond the scene hold there: `"circular"`, `"reflect"` (without repeating the edge),
        `"replicate"`; or `"own-block"`: LR pixels along the border weigh only their own block, by the same kernel
        scaled to sum 1.
    misregistration
        (row, column) distance in pixels by which the LR-HSI lies too far down and right. The HR-MSI stays on the grid
        of the reference, and `psf` does not contain the distance. Fractions interpolate linearly.
    response, response_shift_nm
        Name or path of a spectral response (see `smifbench.data.responses`) to use instead of the data set's, and the
        distance by which the response in use is moved towards longer wavelengths, interpolated linearly.
    snr_hsi_db, snr_msi_db
        Signal-to-noise ratio 10 log10(mean(signal^2) / variance) of white Gaussian noise, the same in every band; None
        adds no noise.
    msi
        `"simulated"` by the response; or `"measured"`: the MSI that the data set brings from an instrument of its own,
        whose response is not known, so that nothing in this class chooses it.
    clip
        (lowest, highest) value of LR-HSI and HR-MSI, enforced after the noise; None leaves them.
    scaling
        `"none"`, or `"separate-minmax"`: at the end, reference, LR-HSI and HR-MSI are each stretched to [0,1], band by
        band, by the band's extremes over the images that are degraded together. The LR-HSI is then no longer the
        blurred reference, nor the MSI a mixture of its bands.

    Raises
    ------
    UserError
        For a value that is not among those listed.
    """

    id: str
    size: int | str = "r"
    sigma: float | str | tuple[float | str, float | str] = 2.0
    shift: float | str = 0.0
    motion: tuple[float, float] = (0.0, 0.0)
    border: str = "reflect"
    misregistration: tuple[float, float] = (0.0, 0.0)
    response: str | None = None
    response_shift_nm: float = 0.0
    snr_hsi_db: float | None = None
    snr_msi_db: float | None = None
    msi: str = "simulated"
    clip: tuple[float, float] | None = None
    scaling: str = "none"

    def __post_init__(self) -> None:
        if self.border not in BORDERS:
            raise unknown("border", self.border, BORDERS)
        if self.scaling not in SCALINGS:
            raise unknown("scaling", self.scaling, SCALINGS)
        if self.msi not in MSIS:
            raise unknown("msi", self.msi, MSIS)
        if self.msi == "measured" and (self.response is not None or self.response_shift_nm):
            raise UserError(f"protocol {self.id}: a measured MSI has its own response; leave out response")
        for name, words, valid in (
            ("size", ("r", "2r"), isinstance(self.size, int) and self.size >= 1),
            ("sigma", ("fwhm=r",), len(self._sigmas) == 2 and all(map(_is_width, self._sigmas))),
            ("shift", ("first-pixel",), _is_number(self.shift)),
        ):
            value = getattr(self, name)
            if not valid and value not in words:
                known = " or ".join(map(repr, words))
                raise UserError(f"protocol {self.id}: {name} must be a number of pixels or {known}, not {value!r}")
        for name in ("misregistration", "motion"):
            value = getattr(self, name)
            if not isinstance(value, tuple) or len(value) != 2 or not all(map(_is_number, value)):
                raise UserError(f"protocol {self.id}: {name} must be (row, column), not {value!r}")
        for name in ("snr_hsi_db", "snr_msi_db", "response_shift_nm"):
            value = getattr(self, name)
            if value is not None and not _is_number(value):
                raise UserError(f"protocol {self.id}: {name} must be a number, not {value!r}")

    def psf(self, ratio: int) -> np.ndarray:
        """Blur kernel (k, k) float64 at `ratio`, sum 1, in the convention of `FusionProblem.psf`.

        Raises UserError where the kernel's taps would fall between pixels.
        """
        check_ratio(ratio)
        size = self.size if isinstance(self.size, int) else {"r": ratio, "2r": 2 * ratio - ratio % 2}[self.size]
        centre = 0.0 if isinstance(self.shift, str) else (ratio - 1) / 2 + self.shift
        begin = centre - (size - 1) / 2
        if begin != int(begin):
            raise UserError(
                f"protocol {self.id}: at ratio {ratio} a kernel of {size} pixels centred on pixel {centre:g} of its "
                "block has its taps between pixels; change its size by one or its shift by half a pixel"
            )
        first = int(begin)
        reach = max(0, -first, first + size - ratio)
        taps = np.zeros((2, ratio + 2 * reach))
        for axis, sigma in enumerate(self._sigmas):
            sigma = ratio / FWHM_PER_SIGMA if isinstance(sigma, str) else sigma
            taps[axis, first + reach : first + reach + size] = np.exp(
                -0.5 * ((first + np.arange(size) - centre) / sigma) ** 2
            )
        return smear(np.outer(*(taps / taps.sum(axis=1, keepdims=True))), self.motion)

    def srf(self, srf: np.ndarray | None, wavelengths_nm: np.ndarray) -> np.ndarray | None:
        """Return the response (c, C) that makes the MSI of a data set whose own is `srf`; rows sum to 1.

        None for a measured MSI. Raises UserError where neither the protocol nor the data set states a response.
        """
        if self.msi == "measured":
            return None
        if self.response is not None:
            srf = spectral_response(self.response, wavelengths_nm)
        if srf is None:
            raise UserError(
                f"protocol {self.id} simulates the MSI, and the data set states no response to do it by; state one as "
                f"its option response, or take the MSI that was measured: {self.id}+msi=measured"
            )
        if not self.response_shift_nm:
            return srf
        order = np.argsort(wavelengths_nm)
        bands = np.asarray(wavelengths_nm)[order]
        shifted = np.empty_like(srf)
        shifted[:, order] = [np.interp(bands - self.response_shift_nm, bands, row[order], 0, 0) for row in srf]
        return shifted / shifted.sum(axis=1, keepdims=True)

    @property
    def _sigmas(self) -> tuple[float | str, float | str]:
        return self.sigma if isinstance(self.sigma, tuple) else (self.sigma, self.sigma)

    def reach(self, ratio: int) -> int:
        """HR pixels that an LR pixel sees beyond its own block, misregistration included: a split's guard band."""
        return overhang(displace(self.psf(ratio), self.misregistration), ratio)


PROTOCOLS: dict[str, Protocol] = {
    protocol.id: protocol
    for protocol in (
        # DHIF-Net (Huang et al., IEEE TCI 2022): the window is the block itself, so no window reaches beyond the scene
        # and a degraded patch equals the patch of the degraded scene.
        Protocol("block-gauss-s2/1"),
        # The toolbox of Yokoya, Grohnfeldt and Chanussot's review (IEEE GRSM 2017), used by CNMF.
        Protocol("fwhm/1", size="2r", sigma="fwhm=r", border="own-block"),
        # MoG-DCN (Dong et al., IEEE TIP 2021): DHIF-Net's kernel, sampled one pixel late.
        Protocol("shifted-gauss/1", shift=1.0, border="circular"),
        # LTTR (Dian, Li and Fang, IEEE TNNLS 2019) and its successors LTMR and CNN-FUS.
        Protocol("lttr/1", size=7, shift="first-pixel", border="circular"),
        # After the loader of MSST-Net (Jia, Min and Fu, Information Fusion 2023) for Washington DC Mall. Its blur is
        # not public; the extremes are those of the whole image, test region included, so that the stretching of the
        # training region knows the test region's brightest and darkest pixels.
        Protocol("paper-wdcm/1", scaling="separate-minmax"),
    )
}
"""The named protocols by id."""


DEFAULT = PROTOCOLS["block-gauss-s2/1"]


def get_protocol(id: str) -> Protocol:
    """Return the named protocol, or one with changes such as `block-gauss-s2/1+sigma=3,1+size=2r`.

    A change is a field of `Protocol` and its value: a number, a word, `none`, or a pair with a comma.

    Raises UserError with the nearest name for an unknown protocol or field, and for a value that a field does not take.
    """
    name, *changes = id.split("+")
    if name not in PROTOCOLS:
        raise unknown("protocol", name, PROTOCOLS)
    if not changes:
        return PROTOCOLS[name]
    known = [field.name for field in fields(Protocol) if field.name != "id"]
    values = dict(change.partition("=")[::2] for change in changes)
    for field in values:
        if field not in known:
            raise unknown(f"field in protocol {id}", field, known)
    return replace(PROTOCOLS[name], id=id, **{field: _parsed(text) for field, text in values.items()})


def _parsed(text: str) -> Any:
    """Read a number, a word, None or a tuple of such as an id writes it; `Protocol` checks what its fields take."""
    if "," in text:
        return tuple(map(_parsed, text.split(",")))
    if text == "none":
        return None
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text
