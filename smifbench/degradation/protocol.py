"""Protocols: named and versioned sets of choices by which a scene is degraded to a pair.

A changed protocol is named by what changes: `block-gauss-s2/1+snr_hsi_db=30+misregistration=0.5,0.5`.
"""

import math
import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import j1

from smifbench.data.responses import load_response, shift_response, spectral_response
from smifbench.degradation.operators import BORDERS, check_ratio, displace, overhang, smear
from smifbench.errors import UserError, unknown

FWHM_PER_SIGMA = 2 * math.sqrt(2 * math.log(2))


AIRY_HALF = 1.616339948310703
"""Where an Airy pattern (2 J1(x) / x)^2 has half its height."""

SCALINGS = ("none", "separate-minmax")
MSIS = ("simulated", "measured")

TEXTS = ("kernel", "border", "response", "msi", "scaling")
"""Fields that hold words, whatever they look like."""

LIMITS = {
    **dict.fromkeys(("size", "shift", "motion", "misregistration"), 1000),
    **dict.fromkeys(("snr_hsi_db", "snr_msi_db"), 200),
}
"""Largest numbers, in pixels and dB: longer kernels outgrow the memory, and single precision has no room for a signal
and noise that are further apart."""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_pair(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(map(_is_number, value))


def _is_range(value: object) -> bool:
    """Tell whether a value is (lowest, highest) that lets some of the scenes' values, 0 to 1, through."""
    return isinstance(value, tuple) and _is_pair(value) and value[0] < value[1] and value[0] < 1 and value[1] > 0


def _is_size(value: object) -> bool:
    return value in ("r", "2r", "3r") or (isinstance(value, int) and not isinstance(value, bool) and value >= 1)


def _is_width(value: object) -> bool:
    if isinstance(value, str):
        return value == "fwhm=r" or 0 < _number_after("mtf=", value) < 1
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _number_after(word: str, text: str) -> float:
    """Read the number behind `word`; NaN where there is none."""
    found = re.fullmatch(rf"{word}(\d+\.?\d*|\.\d+)", text, re.ASCII)
    return float(found[1]) if found else math.nan


@dataclass(frozen=True)
class Protocol:
    """A named, versioned degradation; lengths are in HR pixels.

    A changed copy is another protocol with another id: `get_protocol("block-gauss-s2/1+snr_hsi_db=30")`.

    Parameters
    ----------
    id
        Name and version, such as `block-gauss-s2/1`; every result row carries it.
    size
        Side of the kernel: a number of pixels, `"r"` for the ratio, or `"2r"` or `"3r"` for a multiple of it (`"2r"`
        less one where the ratio is odd, so that the kernel stays centred on its block).
    kernel
        Form of the blur, taken at the pixels' centres: `"gauss"`; `"airy"`, the image of a point through a clear
        circular aperture, (2 J1(x) / x)^2; or `"moffat=B"`, a Moffat function (1 + (d / a)^2)^-B of exponent B > 1.
    sigma
        Width of the kernel: the standard deviation in pixels (`math.inf` weighs all pixels alike); `"fwhm=r"` for a
        full width at half maximum equal to the ratio; or `"mtf=G"` for the Gaussian whose transfer function is G,
        between 0 and 1, at the Nyquist frequency of the LR grid, r sqrt(-2 ln G) / pi. Other kernels have the full
        width at half maximum of that Gaussian. Or a pair of widths, along rows and columns of the kernel.
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
        (lowest, highest) value of LR-HSI and HR-MSI, enforced after the noise; None leaves them. The two enclose some
        of [0,1], where all scenes lie.
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
    kernel: str = "gauss"
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
        for name, valid, form in (
            ("size", _is_size(self.size), "a number of pixels or 'r' or '2r' or '3r'"),
            ("kernel", self.kernel in ("gauss", "airy") or self._exponent > 1, "'gauss', 'airy' or 'moffat=3'"),
            (
                "sigma",
                len(self._sigmas) == 2 and all(map(_is_width, self._sigmas)),
                "a number of pixels or 'fwhm=r' or 'mtf=0.3', or two of them",
            ),
            (
                "shift",
                self.shift == "first-pixel" or _is_number(self.shift),
                "a number of pixels or 'first-pixel'",
            ),
            ("misregistration", _is_pair(self.misregistration), "(row, column)"),
            ("motion", _is_pair(self.motion), "(row, column)"),
            ("response_shift_nm", _is_number(self.response_shift_nm), "a number"),
            ("snr_hsi_db", self.snr_hsi_db is None or _is_number(self.snr_hsi_db), "a number"),
            ("snr_msi_db", self.snr_msi_db is None or _is_number(self.snr_msi_db), "a number"),
            ("clip", self.clip is None or _is_range(self.clip), "(lowest, highest) that enclose some of 0 to 1"),
        ):
            if not valid:
                raise UserError(f"protocol {self.id}: {name} must be {form}, not {getattr(self, name)!r}")
        for name, limit in LIMITS.items():
            value = getattr(self, name)
            numbers = [abs(item) for item in (value if isinstance(value, tuple) else [value]) if _is_number(item)]
            if max(numbers, default=0) > limit:
                raise UserError(f"protocol {self.id}: {name} is {value}; state at most {limit} either way")
        if self.response is not None:
            try:
                load_response(self.response)
            except UserError as error:
                raise UserError(f"protocol {self.id}: {error}") from error

    def psf(self, ratio: int) -> np.ndarray:
        """Blur kernel (k, k) float64 at `ratio`, sum 1, in the convention of `FusionProblem.psf`.

        Raises UserError where the kernel's taps would fall between pixels.
        """
        check_ratio(ratio)
        if isinstance(self.size, int):
            size = self.size
        else:
            size = ratio * int(self.size[:-1] or 1)
            size -= (size - ratio) % 2
        centre = 0.0 if isinstance(self.shift, str) else (ratio - 1) / 2 + self.shift
        begin = centre - (size - 1) / 2
        if begin != int(begin):
            raise UserError(
                f"protocol {self.id}: at ratio {ratio} a kernel of {size} pixels centred on pixel {centre:g} of its "
                "block has its taps between pixels; change its size by one or its shift by half a pixel"
            )
        first = int(begin)
        reach = max(0, -first, first + size - ratio)
        inside = slice(first + reach, first + reach + size)
        psf = np.zeros((ratio + 2 * reach, ratio + 2 * reach))
        psf[inside, inside] = self._weights(first + np.arange(size) - centre, ratio)
        return smear(psf, self.motion)

    def _weights(self, distances: np.ndarray, ratio: int) -> np.ndarray:
        """Weights (k, k), sum 1, at these distances (k,) from the kernel's centre along rows and columns."""
        sigmas = [_sigma_in_pixels(sigma, ratio) for sigma in self._sigmas]
        if self.kernel == "gauss":
            taps = np.array([np.exp(-0.5 * (distances / sigma) ** 2) for sigma in sigmas])
            sums = taps.sum(axis=1, keepdims=True)
        else:
            down, across = (distances / (sigma * FWHM_PER_SIGMA) for sigma in sigmas)
            heights = self._profile(np.hypot(down[:, None], across))
            sums = heights.sum()
        if not np.all(sums > np.finfo(float).tiny):
            raise UserError(
                f"protocol {self.id}: at ratio {ratio} the kernel is too narrow to reach the centre of a pixel; raise "
                "sigma, or change its size by one"
            )
        return np.outer(*(taps / sums)) if self.kernel == "gauss" else heights / sums

    def _profile(self, distances: np.ndarray) -> np.ndarray:
        """Height of the kernel at distances from its centre in full widths at half maximum, 1 at the centre."""
        if self.kernel == "airy":
            x = 2 * AIRY_HALF * np.maximum(distances, 1e-9)
            return (2 * j1(x) / x) ** 2
        exponent = self._exponent
        return (1 + 4 * (2 ** (1 / exponent) - 1) * distances**2) ** -exponent

    def sources(self) -> list[Path]:
        """Return the user's file that the id names, if any; an edited one makes other pairs."""
        response = Path(self.response or "")
        return [response] if response.is_file() else []

    def srf(
        self, srf: np.ndarray | None, wavelengths_nm: np.ndarray, bandwidths_nm: np.ndarray | None = None
    ) -> np.ndarray | None:
        """Return the response (c, C) that makes the MSI of a data set whose own is `srf`; rows sum to 1.

        None for a measured MSI. Raises UserError where neither the protocol nor the data set states a response, and for
        one that misses the bands, shifted perhaps (see `smifbench.data.responses`).
        """
        if self.msi == "measured":
            return None
        if srf is None and self.response is None:
            raise UserError(
                f"protocol {self.id} simulates the MSI, and the data set states no response to do it by; state one as "
                f"its option response, or take the MSI that was measured: {self.id}+msi=measured"
            )
        try:
            if self.response is not None:
                curves = load_response(self.response)
                moved = curves._replace(wavelengths_nm=curves.wavelengths_nm + self.response_shift_nm)
                return spectral_response(moved, wavelengths_nm, bandwidths_nm)
            if self.response_shift_nm and srf is not None:
                return shift_response(srf, self.response_shift_nm, wavelengths_nm, bandwidths_nm)
        except UserError as error:
            raise UserError(f"protocol {self.id}: {error}") from error
        return srf

    @property
    def _sigmas(self) -> tuple[float | str, float | str]:
        return self.sigma if isinstance(self.sigma, tuple) else (self.sigma, self.sigma)

    @property
    def _exponent(self) -> float:
        """Exponent of a Moffat function; NaN for another kernel."""
        return _number_after("moffat=", self.kernel) if isinstance(self.kernel, str) else math.nan

    def reach(self, ratio: int) -> int:
        """HR pixels that an LR pixel sees beyond its own block, misregistration included: a split's guard band."""
        return overhang(displace(self.psf(ratio), self.misregistration), ratio)


def _sigma_in_pixels(sigma: float | str, ratio: int) -> float:
    """Standard deviation of a Gaussian of the width that `Protocol.sigma` states, in pixels."""
    if not isinstance(sigma, str):
        return sigma
    if sigma == "fwhm=r":
        return ratio / FWHM_PER_SIGMA
    return ratio * math.sqrt(-2 * math.log(_number_after("mtf=", sigma))) / math.pi


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
        # The kernel behind most tables of results above 50 dB on CAVE; see below.
        Protocol("gauss3-s05/1", size=3, sigma=0.5, shift="first-pixel", border="circular"),
        # A telescope limited by diffraction alone (Airy 1835; Born and Wolf, Principles of Optics, 8.5.2).
        Protocol("airy/1", size="3r", kernel="airy", sigma="fwhm=r"),
        # Seeing through turbulent air (Moffat, A&A 1969), by the exponent that fits turbulence theory (Trujillo et al.,
        # MNRAS 2001).
        Protocol("moffat/1", size="3r", kernel="moffat=4.765", sigma="fwhm=r"),
        # A Gaussian by its gain at the Nyquist frequency, as pansharpening states a sensor's MTF (Aiazzi et al., PE&RS
        # 2006); 0.3 is usual where none was measured.
        Protocol("mtf-gauss/1", size="3r", sigma="mtf=0.3"),
    )
}
"""The named protocols by id.

`gauss3-s05/1`, 3 x 3 and sigma 0.5 with plain decimation, is known from secondary sources alone. They do not say which
pixel of a block is kept, nor what lies beyond the border: here it is the first pixel, as in LTTR's code, and a scene
goes round. The kept pixel weighs 0.62 and most others of the block nothing, so the LR-HSI is aliased, and its numbers
compare with those of no other protocol."""


DEFAULT = PROTOCOLS["block-gauss-s2/1"]


def get_protocol(id: str) -> Protocol:
    """Return the named protocol, or one with changes such as `block-gauss-s2/1+sigma=3,1+size=2r`.

    A change is a field of `Protocol` and its value: a number, a word, `none`, or a pair with a comma.

    Raises UserError with the nearest name for an unknown protocol or field, for a value that a field does not take, and
    for a field that is changed twice.
    """
    name, *changes = id.split("+")
    if name not in PROTOCOLS:
        raise unknown("protocol", name, PROTOCOLS)
    if not changes:
        return PROTOCOLS[name]
    known = [field.name for field in fields(Protocol) if field.name != "id"]
    values: dict[str, Any] = {}
    for change in changes:
        field, _, text = change.partition("=")
        if field not in known:
            raise unknown(f"field in protocol {id}", field, known)
        if field in values:
            raise UserError(f"protocol {id} changes {field} twice; leave one of them")
        values[field] = text if field in TEXTS else _parsed(text)
    if values.get("response") == "none":
        values["response"] = None
    return replace(PROTOCOLS[name], id=id, **values)


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
