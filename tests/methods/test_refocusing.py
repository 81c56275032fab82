"""Refocusing: bands that were displaced or blurred come back in place, and nothing else is touched."""

import sys

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from smifbench.plugins import method_class

method_class("lla_net")  # loads the package that the next lines look into
reduce = sys.modules["_smifbench_methods._resampling"].reduce
refocus = sys.modules["_smifbench_methods._refocusing"].refocus

RATIO = 4
PSF = np.outer([1, 2, 2, 1], [1, 2, 2, 1]) / 36


def image(bands=2, size=96):
    """A band-limited image in [0,1]."""
    coarse = torch.rand(1, bands, size // 6, size // 6, generator=torch.Generator().manual_seed(0))
    return F.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 1)


def displaced(image, rows, columns):
    return torch.roll(image, (rows, columns), (2, 3))


def blurred(image):
    kernel = torch.tensor([[0.0, 0.1, 0.0], [0.1, 0.6, 0.1], [0.0, 0.1, 0.0]])
    return F.conv2d(F.pad(image, (1, 1, 1, 1), mode="replicate").transpose(0, 1), kernel[None, None]).transpose(0, 1)


def low(image):
    return reduce(image, torch.from_numpy(PSF).to(image), RATIO, "edge")


def refocused(seen, lr_hsi):
    return refocus(seen, lr_hsi, torch.from_numpy(PSF), RATIO)


def error(estimate, truth):
    return float((estimate - truth)[..., 12:-12, 12:-12].square().mean().sqrt())


@pytest.mark.parametrize("change", [lambda x: displaced(x, 1, 0), lambda x: displaced(x, -1, 1), blurred])
def test_a_displaced_or_blurred_band_comes_back_and_the_other_stays(change):
    seen = image()
    truth = torch.cat([seen[:, :1], change(seen)[:, 1:]], 1)
    found = refocused(seen, low(truth))
    assert error(found[:, 1], truth[:, 1]) < 0.3 * error(seen[:, 1], truth[:, 1])
    assert error(found[:, :1], truth[:, :1]) < 1e-6


def test_it_sharpens_too():
    truth = image()
    seen = blurred(truth)
    assert error(refocused(seen, low(truth)), truth) < 0.4 * error(seen, truth)


def test_what_agrees_or_has_no_detail_stays():
    seen = image()
    torch.testing.assert_close(refocused(seen, low(seen)), seen, atol=1e-5, rtol=0)
    flat = torch.full((1, 2, 32, 32), 0.4)
    torch.testing.assert_close(refocused(flat, torch.rand(1, 2, 8, 8)), flat, atol=1e-4, rtol=0)


def test_gains_of_zero_change_nothing():
    seen = image()
    assert torch.equal(refocus(seen, torch.rand(1, 2, 24, 24), torch.from_numpy(PSF), RATIO, torch.zeros(3, 2)), seen)
