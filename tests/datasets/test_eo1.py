"""EO-1: regions of both instruments' images, their scales, what the bands are, and damaged files."""

import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from conftest import SHARED

from smifbench import UserError, plugins
from smifbench.data.responses import Response, load_response, spectral_response
from smifbench.degradation.protocol import PROTOCOLS

eo1 = sys.modules[plugins.dataset_class("eo1").__module__]
REAL = SHARED / "data" / "other" / "SanFrancisco_FR.mat"


@pytest.fixture(scope="module")
def made_up(tmp_path_factory):
    """A file of the published layout in which every value differs from its neighbours: its folder, and both images."""
    generator, folder = np.random.default_rng(0), tmp_path_factory.mktemp("eo1")
    images = {
        name: generator.integers(0, largest, (298, 136, bands), dtype=np.int16)
        for name, bands, largest in (("I_HS_LR", 47, 5925), ("I_MS_LR", 6, 8653))
    }
    images["I_MS_LR"][230, 5, 3] = -16
    scipy.io.savemat(folder / "SanFrancisco_FR.mat", images)
    return folder, images


def test_both_images_are_cut_and_scaled_alone(made_up):
    folder, images = made_up
    dataset = plugins.build_dataset("eo1", folder=str(folder))
    assert dataset.brings_msi
    for scene, split in dataset.scenes().items():
        rows, columns = eo1.REGIONS[split]
        for image, name, first, scale in (("read", "I_HS_LR", 0, 6000), ("msi", "I_MS_LR", 1, 9000)):
            region = getattr(dataset, image)(Path(), scene)
            assert region.dtype == np.float32
            assert region.shape[1:] == dataset.size(scene)
            counts = np.moveaxis(images[name][rows, columns, first:], -1, 0)
            np.testing.assert_allclose(region, np.maximum(counts, 0) / scale, rtol=1e-6)


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=lambda protocol: protocol.id)
@pytest.mark.parametrize("ratio", [2, 4, 8])
def test_no_pixel_that_a_training_pixel_was_blurred_from_is_held_out(protocol, ratio):
    reach, seen = protocol.reach(ratio), {}
    for split, (rows, columns) in eo1.REGIONS.items():
        assert (rows.stop - rows.start) % ratio == (columns.stop - columns.start) % ratio == 0
        seen[split] = set(range(rows.start - reach, rows.stop + reach))
    for one, other in combinations(eo1.REGIONS, 2):
        assert seen[one].isdisjoint(range(eo1.REGIONS[other][0].start, eo1.REGIONS[other][0].stop))
        assert seen[other].isdisjoint(range(eo1.REGIONS[one][0].start, eo1.REGIONS[one][0].stop))


def test_regions_lie_inside():
    for rows, columns in eo1.REGIONS.values():
        assert 0 <= rows.start < rows.stop <= 298
        assert 0 <= columns.start < columns.stop <= 136


def test_wavelengths_are_hyperions():
    """The published table: band 8 at 426.82 nm, band 57 at 925.41 nm, here bands 11 to 57."""
    wavelengths = plugins.build_dataset("eo1").wavelengths_nm(Path())
    assert len(wavelengths) == 47
    assert wavelengths[0] == pytest.approx(426.82 + 3 * 10.175)
    assert wavelengths[-1] == pytest.approx(925.41, abs=0.05)


def test_the_simulated_msi_has_the_bands_of_the_measured_one():
    srf = plugins.build_dataset("eo1").srf(Path())
    centroids = srf @ plugins.build_dataset("eo1").wavelengths_nm(Path())
    # Published centroids of MS-1 to MS-4' in nm.
    np.testing.assert_allclose(centroids, [484.8, 567.2, 660.0, 790.0, 865.6], atol=2)


def test_alis_first_band_is_left_out_because_hyperion_does_not_see_it():
    grid, names, curves = load_response("eo1_ali")
    with pytest.raises(UserError, match=r"only 1\.7 % of response band MS1p .* leave it out"):
        spectral_response(Response(grid, names[:1], curves[:1]), eo1.WAVELENGTHS_NM, eo1.WIDTH_NM)


def test_another_file_of_that_name_is_refused(made_up):
    folder, _ = made_up
    with pytest.raises(UserError, match=r"SanFrancisco_FR\.mat has .* bytes instead of 3,185,327; delete it"):
        plugins.build_dataset("eo1", folder=str(folder)).fetch(folder / "raw")


def test_a_file_of_other_images_is_refused(tmp_path):
    images = {"I_HS_LR": np.zeros((20, 30, 47), np.int16), "I_MS_LR": np.zeros((20, 30, 6), np.int16)}
    scipy.io.savemat(tmp_path / "SanFrancisco_FR.mat", images)
    dataset = plugins.build_dataset("eo1", folder=str(tmp_path))
    with pytest.raises(UserError, match="holds I_HS_LR of"):
        dataset.read(Path(), "eo1_test")


def test_a_missing_file_is_told_with_where_to_get_it(tmp_path):
    with pytest.raises(UserError, match=r"lacks SanFrancisco_FR\.mat; put SanFrancisco_FR\.mat from Datasets/ of http"):
        plugins.build_dataset("eo1", folder=str(tmp_path)).read(Path(), "eo1_test")


@pytest.mark.skipif(not REAL.exists(), reason="the scene is kept outside the repository and is not here")
class TestRealScene:
    """The file itself, where it is there."""

    @pytest.fixture
    def dataset(self):
        return plugins.build_dataset("eo1", folder=str(REAL.parent))

    def test_it_is_verified_and_read(self, dataset, tmp_path):
        dataset.fetch(tmp_path)
        for scene in dataset.scenes():
            for image, bands in ((dataset.read(tmp_path, scene), 47), (dataset.msi(tmp_path, scene), 5)):
                assert image.shape == (bands, *dataset.size(scene))
                assert 0 <= image.min() < image.max() < 1

    def test_the_lines_of_the_air_are_where_the_wavelengths_say(self, dataset, tmp_path):
        """Oxygen absorbs at 762 nm, water at 722 and 824: local minima of the mean spectrum."""
        spectrum, nm = dataset.read(tmp_path, "eo1_train").mean((1, 2)), dataset.wavelengths_nm(tmp_path)
        for line in (762, 722, 824):
            band = np.abs(nm - line).argmin()
            assert spectrum[band] < min(spectrum[band - 1], spectrum[band + 1])
        oxygen = np.abs(nm - 762).argmin()
        assert spectrum[oxygen] < 0.7 * spectrum[oxygen - 1]

    def test_both_instruments_see_one_ground_in_the_bands_of_the_response(self, dataset, tmp_path):
        hsi, msi = (
            image.reshape(len(image), -1)
            for image in (dataset.read(tmp_path, "eo1_test"), dataset.msi(tmp_path, "eo1_test"))
        )
        alike = np.corrcoef(dataset.srf(tmp_path) @ hsi, msi)[:5, 5:]
        assert alike.diagonal().min() > 0.9
        assert alike[2:].argmax(1).tolist() == [2, 3, 4]  # the visible bands look alike here
