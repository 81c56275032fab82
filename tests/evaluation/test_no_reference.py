"""Quality without a reference, on images for which the answer is known."""

import numpy as np
import pytest

from smifbench import simulate
from smifbench.degradation.protocol import DEFAULT
from smifbench.evaluation.no_reference import assess, d_lambda, d_s, q_index, spatial_consistency, spectral_consistency

RATIO = 4
PSF = DEFAULT.psf(RATIO)
MEAN = np.full((RATIO, RATIO), RATIO**-2)


@pytest.fixture
def scene():
    """A reference (6, 64, 64), a response (2, 6) and the pair that they make."""
    generator = np.random.default_rng(3)
    detail = np.cumsum(np.cumsum(generator.standard_normal((6, 64, 64)), 1), 2)
    hr_hsi = (detail - detail.min()) / np.ptp(detail)
    srf = np.array([[0.5, 0.5, 0, 0, 0, 0], [0, 0, 0.1, 0.2, 0.3, 0.4]])
    return hr_hsi.astype(np.float32), srf, simulate(hr_hsi, RATIO, srf)


def enlarged(image, times=RATIO):
    return np.repeat(np.repeat(image, times, 1), times, 2)


def test_the_truth_is_consistent(scene):
    hr_hsi, srf, pair = scene
    for consistency in (
        spectral_consistency(hr_hsi, pair.lr_hsi, PSF, RATIO),
        spatial_consistency(hr_hsi, pair.hr_msi, srf, RATIO),
    ):
        assert consistency == pytest.approx({"rmse": 0, "sam": 0, "ergas": 0}, abs=1e-2)


def test_consistency_is_the_size_of_the_error(scene):
    hr_hsi, srf, pair = scene
    brighter = hr_hsi + np.float32(0.1)  # blur and response both keep a constant as it is
    assert spectral_consistency(brighter, pair.lr_hsi, PSF, RATIO)["rmse"] == pytest.approx(0.1, rel=1e-4)
    assert spatial_consistency(brighter, pair.hr_msi, srf, RATIO)["rmse"] == pytest.approx(0.1, rel=1e-4)


def test_what_the_blur_cannot_see_harms_spatial_consistency_alone(scene):
    hr_hsi, srf, pair = scene
    chequers = np.indices((64, 64)).sum(0) % 2 * 2.0 - 1  # a block's weights are symmetric, so it averages out
    estimate = (hr_hsi + 0.1 * chequers).astype(np.float32)
    assert spectral_consistency(estimate, pair.lr_hsi, PSF, RATIO)["rmse"] < 1e-6
    assert spatial_consistency(estimate, pair.hr_msi, srf, RATIO)["rmse"] == pytest.approx(0.1, rel=1e-4)


def test_of_an_unknown_response_nothing_is_said(scene):
    hr_hsi, srf, pair = scene
    known, unknown = (assess(hr_hsi, pair.lr_hsi, pair.hr_msi, PSF, response, RATIO) for response in (srf, None))
    assert known.pop("spatial_consistency")["rmse"] < 1e-6
    assert unknown == known


def test_enlarged_blocks_have_no_distortion_at_all(scene):
    lr_hsi, hr_msi = scene[2].lr_hsi, enlarged(scene[2].lr_hsi[:2])
    found = assess(enlarged(lr_hsi), lr_hsi, hr_msi, MEAN, np.eye(2, 6), RATIO)
    assert found["d_lambda"] == pytest.approx(0, abs=1e-6)
    assert found["d_s"] == pytest.approx(0, abs=1e-6)
    assert found["qnr"] == pytest.approx(1)


def test_bands_made_alike_lose_what_the_bands_of_the_lr_image_differ_by(scene):
    lr_hsi = scene[2].lr_hsi
    alike = np.repeat(enlarged(lr_hsi[:1]), 6, 0)
    before = q_index(lr_hsi, lr_hsi, 8)[~np.eye(6, dtype=bool)]
    assert d_lambda(alike, lr_hsi, RATIO) == pytest.approx((1 - before).mean(), rel=1e-5)


def test_detail_turned_upside_down_has_the_distortion_of_its_sign():
    lr_hsi = np.random.default_rng(0).random((1, 8, 8))
    same, inverted = enlarged(lr_hsi), enlarged(2 * lr_hsi.mean() - lr_hsi)
    assert d_s(same, same, lr_hsi, lr_hsi, RATIO) == pytest.approx(0)
    assert d_s(inverted, same, lr_hsi, lr_hsi, RATIO) == pytest.approx(2)  # Q falls from 1 to -1
    assert d_lambda(same, lr_hsi, RATIO) == 0


def test_q_index_by_hand():
    x, y = np.array([[[1.0, 3.0], [1.0, 3.0]]]), np.array([[[2.0, 6.0], [2.0, 6.0]]])
    # means 2 and 4, variances 1 and 4, covariance 2: 4 * 2 * 2 * 4 / ((1 + 4) * (4 + 16))
    assert q_index(x, y, 2).item() == pytest.approx(0.64)
    flat = np.full((1, 2, 2), 2.0)
    assert q_index(flat, flat, 2).item() == 1
    assert q_index(flat, 2 * flat, 2).item() == pytest.approx(0.8)
    assert q_index(flat, x, 2).item() == 0


def test_q_index_is_the_mean_over_blocks_within_the_image():
    generator = np.random.default_rng(0)
    image, other = generator.random((2, 5, 9)), generator.random((3, 5, 9))
    blocks = [q_index(image[:, :4, left : left + 4], other[:, :4, left : left + 4], 4) for left in (0, 4)]
    np.testing.assert_allclose(q_index(image, other, 4), np.mean(blocks, 0))


def test_a_ratio_above_the_block_and_an_image_below_it():
    generator = np.random.default_rng(0)
    lr_hsi = generator.random((3, 2, 3))
    found = assess(
        enlarged(lr_hsi, 40),
        lr_hsi,
        generator.random((1, 80, 120)),
        np.full((40, 40), 40**-2),
        np.full((1, 3), 1 / 3),
        40,
    )
    assert np.isfinite([found["qnr"], found["d_s"], found["d_lambda"]]).all()
    assert found["spectral_consistency"]["rmse"] < 1e-12
