"""What every file under datasets/ must do before any of its data is there; a file dropped in there is covered."""

import re

import numpy as np
import pytest

from smifbench import plugins
from smifbench.dataset import SPLITS, DataSet

NAMES = [
    name for name in plugins.names("datasets") if not name.startswith("own")
]  # which are nothing without a user's files

every_data_set = pytest.mark.parametrize("name", NAMES)


@every_data_set
def test_says_what_it_is_and_under_which_terms(name):
    cls = plugins.dataset_class(name)
    assert cls.title
    assert cls.licence
    assert re.match(r"https?://", cls.homepage)
    assert plugins.bibtex("datasets", cls.citation), f"add the BibTeX entry {cls.citation} to datasets/references.bib"


@every_data_set
def test_scenes_and_sizes_are_known_without_the_data(name):
    dataset = plugins.build_dataset(name)
    scenes = dataset.scenes()
    assert {"train", "test"} <= set(scenes.values()) <= set(SPLITS)
    for scene in scenes:
        assert re.fullmatch(r"[A-Za-z0-9._-]+", scene), "a scene's name is a file's name"
        height, width = dataset.size(scene)
        assert height >= 16
        assert width >= 16


@every_data_set
def test_the_response_mixes_the_bands(name, tmp_path):
    dataset = plugins.build_dataset(name)
    wavelengths, srf = dataset.wavelengths_nm(tmp_path), dataset.srf(tmp_path)
    assert wavelengths.ndim == 1
    assert (wavelengths > 0).all()
    assert srf.shape[1:] == wavelengths.shape
    assert (srf >= 0).all()
    np.testing.assert_allclose(srf.sum(axis=1), 1)
    assert dataset.msi_bands(tmp_path) == len(srf)


@every_data_set
def test_what_needs_no_download_is_read_as_promised(name, tmp_path):
    dataset = plugins.build_dataset(name)
    if type(dataset).fetch is not DataSet.fetch:
        pytest.skip("its files must be downloaded")
    for scene in dataset.scenes():
        cube = dataset.read(tmp_path, scene)
        assert cube.dtype == np.float32
        assert cube.shape == (len(dataset.wavelengths_nm(tmp_path)), *dataset.size(scene))
        assert cube.min() >= 0
        assert cube.max() <= 1
        assert (dataset.msi(tmp_path, scene) is not None) == dataset.brings_msi
