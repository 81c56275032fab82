"""Time of blur and decimation on scenes of 31 bands in float32, beside filtering each band with SciPy.

The figures are for comparison between commits and machines; nothing here fails for being slow. The sides 256 and 512
show that the cost grows with the pixels.
"""

from functools import cache

import numpy as np
import pytest
import torch
from scipy import ndimage

from smifbench.degradation.operators import blur_decimate, blur_decimate_adjoint
from smifbench.degradation.protocol import DEFAULT, PROTOCOLS
from smifbench.degradation.simulation import simulate

BANDS = 31
RATIOS = (4, 8)


@cache
def scene(side: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).random((BANDS, side, side), dtype=np.float32))


def measure(benchmark, function, *arguments):
    return benchmark.pedantic(function, arguments, rounds=5, warmup_rounds=1)


@pytest.mark.parametrize("side", [256, 512])
@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("id", [id for id in PROTOCOLS if PROTOCOLS[id].scaling == "none"])
def test_blur_decimate(benchmark, id, ratio, side):
    benchmark.group = f"blur and decimate by {ratio}, {side} x {side}"
    psf, border = PROTOCOLS[id].psf(ratio), PROTOCOLS[id].border
    lr = measure(benchmark, blur_decimate, scene(side), psf, ratio, border)
    assert lr.shape == (BANDS, side // ratio, side // ratio)


@pytest.mark.parametrize("side", [256, 512])
@pytest.mark.parametrize("ratio", RATIOS)
def test_scipy_band_by_band(benchmark, ratio, side):
    benchmark.group = f"blur and decimate by {ratio}, {side} x {side}"

    def filter_and_slice(bands: np.ndarray) -> np.ndarray:
        return np.stack([ndimage.gaussian_filter(band, 2)[ratio // 2 :: ratio, ratio // 2 :: ratio] for band in bands])

    lr = measure(benchmark, filter_and_slice, scene(side).numpy())
    assert lr.shape == (BANDS, side // ratio, side // ratio)


@pytest.mark.parametrize("ratio", RATIOS)
def test_adjoint(benchmark, ratio):
    benchmark.group = f"adjoint at ratio {ratio}, 512 x 512"
    lr = scene(512 // ratio)
    assert measure(benchmark, blur_decimate_adjoint, lr, DEFAULT.psf(ratio), ratio).shape == (BANDS, 512, 512)


@pytest.mark.parametrize("ratio", RATIOS)
def test_simulate(benchmark, ratio):
    benchmark.group = f"simulate at ratio {ratio}, 512 x 512"
    made = measure(benchmark, simulate, scene(512).numpy(), ratio, np.full((3, BANDS), 1 / BANDS))
    assert made.hr_msi.shape == (3, 512, 512)
