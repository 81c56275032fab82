"""PSF and response of a pair, recovered from noisy pairs whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest

from smifbench import UserError, plugins, simulate
from smifbench.degradation.estimation import estimate
from smifbench.degradation.protocol import DEFAULT, Protocol

RATIO = 4
KERNELS = {
    "own block": DEFAULT,
    "wide, one pixel late": Protocol("wide-late/1", size="2r", sigma=2.5, shift=1.0),
    "full width of one LR pixel": Protocol("fwhm/1", size="2r", sigma="fwhm=r"),
}


@pytest.fixture(scope="module")
def land():
    """A real scene (40, 80, 144), and a response of four narrow bands."""
    dataset = plugins.build_dataset("indian_pines")
    return dataset.read(None, "indian_pines_train"), dataset.srf(None)


@pytest.fixture(scope="module")
def still_life():
    """A made-up scene (31, 96, 96) of a dozen smooth spectra, and a response of three broad bands."""
    generator = np.random.default_rng(1)
    bands = np.arange(31)
    peaks = np.exp(-0.5 * ((bands - generator.uniform(0, 30, (12, 3, 1))) / generator.uniform(2, 8, (12, 3, 1))) ** 2)
    spectra = (generator.random((12, 3, 1)) * peaks).sum(1)
    patches = np.repeat(np.repeat(generator.integers(0, 12, (32, 32)), 3, 0), 3, 1)
    shade = 0.5 + 0.5 * generator.random((96, 96))
    srf = np.exp(-0.5 * ((bands - np.array([[6], [15], [24]])) / 4) ** 2)
    return spectra.T[:, patches] * shade / 3, srf / srf.sum(1, keepdims=True)


def relative(estimate, truth):
    return np.linalg.norm(estimate - truth) / np.linalg.norm(truth)


def padded(psf):
    return np.pad(psf, (3 * RATIO - len(psf)) // 2)


def centre(psf):
    """Distance (row, column) of the centre of mass from the window's centre."""
    steps = np.arange(len(psf)) - (len(psf) - 1) / 2
    return np.array([psf.sum(1) @ steps, psf.sum(0) @ steps])


@pytest.mark.parametrize(
    ("snr_db", "psf_error", "centre_error", "srf_error"),
    [(30, 0.3, 0.2, 0.75), (40, 0.12, 0.05, 0.45), (None, 0.01, 0.01, 0.03)],
)
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_real_scene_gives_back_its_operators(land, kernel, snr_db, psf_error, centre_error, srf_error):
    scene, srf = land
    protocol = replace(KERNELS[kernel], snr_hsi_db=snr_db, snr_msi_db=snr_db)
    pair = simulate(scene, RATIO, srf, protocol)
    found = estimate(pair.lr_hsi, pair.hr_msi, RATIO)
    truth = padded(protocol.psf(RATIO))
    assert relative(found.psf, truth) < psf_error
    assert np.abs(centre(found.psf) - centre(truth)).max() < centre_error
    assert relative(found.srf, srf) < srf_error


@pytest.mark.parametrize(("snr_db", "psf_error", "srf_error"), [(30, 0.1, 0.15), (40, 0.05, 0.08)])
@pytest.mark.parametrize("kernel", list(KERNELS)[:2])
def test_a_scene_of_many_colours_gives_back_a_broad_response(still_life, kernel, snr_db, psf_error, srf_error):
    scene, srf = still_life
    protocol = replace(KERNELS[kernel], snr_hsi_db=snr_db, snr_msi_db=snr_db)
    pair = simulate(scene, RATIO, srf, protocol)
    found = estimate(pair.lr_hsi, pair.hr_msi, RATIO)
    assert relative(found.psf, padded(protocol.psf(RATIO))) < psf_error
    assert relative(found.srf, srf) < srf_error


def test_gains_and_offsets_are_told_from_the_response(still_life):
    scene, srf = still_life
    pair = simulate(scene, RATIO, srf, replace(DEFAULT, snr_hsi_db=40, snr_msi_db=40))
    gain, offset = np.array([3.0, 0.5, 1.0]), np.array([0.2, 0.05, 0.0])
    raw = gain[:, None, None] * pair.hr_msi + offset[:, None, None]
    for known in (None, srf):
        found = estimate(pair.lr_hsi, raw, RATIO, srf=known)
        np.testing.assert_allclose(found.gain, gain, rtol=0.03)
        np.testing.assert_allclose(found.offset, offset, atol=0.01)
        np.testing.assert_allclose(found.calibrated(raw), pair.hr_msi, atol=0.02)
        assert relative(found.srf, srf) < 0.08


def test_noise_alone_makes_no_offset(still_life):
    scene, srf = still_life
    pair = simulate(scene, RATIO, srf, replace(DEFAULT, snr_hsi_db=30, snr_msi_db=30))
    assert not estimate(pair.lr_hsi, pair.hr_msi, RATIO).offset.any()


def test_estimates_are_what_a_problem_takes(still_life):
    scene, srf = still_life
    pair = simulate(scene, 3, srf)
    found = estimate(pair.lr_hsi, pair.hr_msi, 3)
    assert found.psf.min() >= 0
    assert found.srf.min() >= 0
    assert found.psf.sum() == pytest.approx(1)
    np.testing.assert_allclose(found.srf.sum(1), 1)
    assert (len(found.psf) - 3) % 2 == 0


def test_what_is_known_stays_as_it_is(still_life):
    scene, srf = still_life
    pair = simulate(scene, RATIO, srf)
    psf = DEFAULT.psf(RATIO)
    found = estimate(pair.lr_hsi, pair.hr_msi, RATIO, psf, srf)
    assert found.psf is psf
    np.testing.assert_allclose(found.srf, srf)
    np.testing.assert_allclose(found.gain, 1, rtol=1e-3)
    assert relative(estimate(pair.lr_hsi, pair.hr_msi, RATIO, psf=psf).srf, srf) < 0.02
    assert relative(estimate(pair.lr_hsi, pair.hr_msi, RATIO, srf=srf).psf, padded(psf)) < 0.02


def test_misregistration_shows_as_a_kernel_off_its_centre(land):
    scene, srf = land
    pair = simulate(scene, RATIO, srf, replace(DEFAULT, misregistration=(1.5, -0.5), snr_hsi_db=40, snr_msi_db=40))
    np.testing.assert_allclose(centre(estimate(pair.lr_hsi, pair.hr_msi, RATIO).psf), (1.5, -0.5), atol=0.1)


def test_what_cannot_be_estimated_is_told():
    generator = np.random.default_rng(0)
    with pytest.raises(UserError, match="too small"):
        estimate(generator.random((5, 4, 9)), generator.random((2, 16, 36)), 4)
    hsi = generator.random((5, 12, 12))
    dark = np.concatenate([np.repeat(np.repeat(hsi[:1], 4, 1), 4, 2), np.zeros((1, 48, 48))])
    with pytest.raises(UserError, match="band 1 of the MSI"):
        estimate(hsi, dark, 4)
