"""Methods that solve, told operators that are estimated from the images."""

from dataclasses import replace

import numpy as np
import pytest

from smifbench import FusionProblem, UserError, build_method, fuse, metrics, plugins, simulate
from smifbench.degradation.protocol import DEFAULT, get_protocol

WRONG = FusionProblem(40, 4, 4, DEFAULT.psf(4), np.roll(np.eye(4, 40), 5, axis=1))


@pytest.fixture(scope="module")
def pair():
    """A real scene under a protocol far from the default: wide, late PSF; MSI in other units."""
    dataset = plugins.build_dataset("indian_pines")
    scene = dataset.read(None, "indian_pines_train")
    protocol = get_protocol("block-gauss-s2/1+size=2r+sigma=2.5+shift=1+snr_hsi_db=45+snr_msi_db=45")
    made = simulate(scene, 4, dataset.srf(None), protocol)
    return scene, made.lr_hsi, 3 * made.hr_msi + np.float32(0.2)


@pytest.mark.parametrize(("method", "gain_db"), [("gsa", 1), ("cnmf", 10), ("bicubic", 0)])
def test_estimates_repair_what_a_method_is_told_wrongly(pair, method, gain_db):
    scene, lr_hsi, hr_msi = pair
    known, blind = (build_method(method, WRONG, operators=operators) for operators in ("known", "estimated"))
    told, estimated = (metrics.psnr(scene, fuse(built, lr_hsi, hr_msi)) for built in (known, blind))
    assert estimated >= told + gain_db
    assert (blind.title, blind.trainable) == (known.title, False)


def test_only_solvers_have_the_option_and_only_two_values():
    assert plugins.method_options(plugins.method_class("cnmf"))["operators"] == "known"
    with pytest.raises(UserError, match="unknown option of method ssr_net 'operators'"):
        build_method("ssr_net", WRONG, operators="estimated")
    with pytest.raises(UserError, match="must be known or estimated"):
        build_method("gsa", WRONG, operators="guessed")


def test_each_image_of_a_batch_has_its_own_operators(pair):
    import torch

    _, lr_hsi, hr_msi = pair
    blind = build_method("gsa", replace(WRONG, psf=None, srf=None), operators="estimated")
    batch = [torch.from_numpy(np.stack([image, factor * image])) for image, factor in ((lr_hsi, 1), (hr_msi, 2))]
    first, second = blind(*batch)
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-4)
