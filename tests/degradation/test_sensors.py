"""The sensors of a pair: by them the scene itself agrees with its pair, and what differs for one of them does not."""

import numpy as np
import pytest

from smifbench import metrics
from smifbench.degradation.protocol import PROTOCOLS, get_protocol
from smifbench.degradation.sensors import Sensors
from smifbench.degradation.simulation import simulate

SRF = np.repeat(np.eye(2), 3, axis=1) / 3


def consistency(protocol, estimate=None, missing=None, spoil=None):
    """Spectral and spatial consistency of an estimate, the scene itself by default, at ratio 4."""
    scene = np.random.default_rng(0).random((6, 24, 32), dtype=np.float32)
    seen = scene if spoil is None else spoil(scene)
    pair = simulate(seen, 4, SRF, protocol)
    observed = Sensors.of(get_protocol(protocol), 4, SRF).observed(pair.lr_hsi, pair.hr_msi, missing)
    values = metrics.score(scene, scene if estimate is None else estimate(scene), 4, missing, **observed)
    return values["spectral_consistency"], values["spatial_consistency"]


@pytest.mark.parametrize(
    "protocol",
    [
        *(name for name, protocol in PROTOCOLS.items() if protocol.scaling == "none"),
        "fwhm/1+misregistration=0.5,-1",
        "block-gauss-s2/1+motion=2,1",
        "block-gauss-s2/1+clip=0.45,0.55",
    ],
)
def test_the_scene_agrees_with_its_pair_without_error(protocol):
    assert consistency(protocol) == (np.inf, np.inf)


def test_a_measured_msi_whose_response_is_unknown_is_held_against_nothing():
    scene = np.random.default_rng(0).random((6, 24, 32), dtype=np.float32)
    pair = simulate(scene, 4, None, "block-gauss-s2/1+msi=measured", hr_msi=scene[:2])
    sensors = Sensors.of(get_protocol("block-gauss-s2/1+msi=measured"), 4, None)
    values = metrics.score(scene, scene, 4, **sensors.observed(pair.lr_hsi, pair.hr_msi))
    assert values["spectral_consistency"] == np.inf
    assert "spatial_consistency" not in values or np.isnan(values["spatial_consistency"])


def test_noise_is_all_that_the_scene_differs_by():
    spectral, spatial = consistency("block-gauss-s2/1+snr_hsi_db=30+snr_msi_db=40")
    level = -10 * np.log10(1 / 4)  # the mean square of values about 1/2, in dB
    assert spectral == pytest.approx(30 + level, abs=1)
    assert spatial == pytest.approx(40 + level, abs=1)


def test_each_consistency_sees_its_own_sensor():
    def detail(scene):
        """Differences within a block that leave its weighted mean alone."""
        changed = scene.copy()
        changed[:, 0, 0] += 0.01
        changed[:, 0, 3] -= 0.01  # the kernel weighs both alike
        return changed.clip(0, 1)

    def colour(scene):
        """A difference between two bands that one MSI band weighs alike."""
        changed = scene.copy()
        difference = 0.1 * np.minimum(scene[0], 1 - scene[1])
        changed[0] -= difference
        changed[1] += difference
        return changed

    spectral, spatial = consistency("block-gauss-s2/1", detail)
    assert spectral > 100 > spatial
    spectral, spatial = consistency("block-gauss-s2/1", colour)
    assert spatial > 80 > spectral


def test_what_a_missing_pixel_reached_does_not_count():
    missing = np.zeros((24, 32), bool)
    missing[5, 6] = True
    assert consistency("fwhm/1", missing=missing, spoil=lambda scene: np.where(missing, 9, scene)) == (np.inf, np.inf)


def test_images_that_are_stretched_one_by_one_follow_from_no_scene():
    assert Sensors.of(get_protocol("paper-wdcm/1"), 4, SRF) is None
