"""Washington DC Mall: every layout at full size, band axis, regions, scaling, and where the wavelengths come from."""

import re
import sys
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from smifbench import UserError, plugins
from smifbench.data import download

wdcm = sys.modules[plugins.dataset_class("wdcm").__module__]


@pytest.fixture(scope="module")
def counts():
    """A cube (191, 1280, 307) of 16-bit counts in which every region and band differs."""
    bands, rows, columns = (np.arange(n, dtype=np.uint16) for n in (191, 1280, 307))
    return bands[:, None, None] * np.uint16(100) + rows[:, None] * np.uint16(16) + columns * np.uint16(5) + np.uint16(3)


@pytest.fixture(scope="module")
def tiff(counts):
    """The cube as `dc.tif`, the band axis first; 150 MB, so it goes at once."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dc.tif"
        tifffile.imwrite(path, counts, photometric="minisblack", metadata=None)
        yield path


@pytest.fixture
def folder(monkeypatch):
    """A folder for large files, without the network."""

    def refuse(*_args, **_kwargs):
        raise AssertionError("nothing may be downloaded here")

    monkeypatch.setattr(download, "_download", refuse)
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


def check_cubes(dataset, folder, counts, splits=("val", "test")):
    full = np.float32(counts.max())
    for split in splits:
        rows, columns = wdcm.REGIONS[split]
        cube = dataset.read(folder, f"wdcm_{split}")
        assert cube.dtype == np.float32
        assert cube.shape[1:] == dataset.size(f"wdcm_{split}")
        assert dataset.full_scale(folder, f"wdcm_{split}") == full
        np.testing.assert_array_equal(cube, counts[:, rows, columns] / full)


def test_regions_are_those_of_the_protocol_and_share_no_pixel():
    scenes = plugins.build_dataset("wdcm").scenes()
    assert scenes == {"wdcm_train": "train", "wdcm_val": "val", "wdcm_test": "test"}
    seen = np.zeros((1280, 307), int)
    for region in wdcm.REGIONS.values():
        seen[region] += 1
    assert seen.max() == 1
    assert seen[:1152, :296].all()
    assert seen[1152:, :256].all()
    assert seen.sum() == 1152 * 296 + 128 * 256
    assert wdcm.REGIONS["test"] == (slice(1152, 1280), slice(128, 256))


@pytest.mark.parametrize(
    ("where", "splits"), [("dc.tif", ["train"]), ("Hyperspectral_Project/dc.tif", ["val", "test"])]
)
def test_the_tiff_is_read_wherever_it_lies(folder, tiff, counts, where, splits):
    (folder / where).parent.mkdir(exist_ok=True)
    (folder / where).symlink_to(tiff)
    dataset = plugins.build_dataset("wdcm")
    dataset.fetch(folder)
    check_cubes(dataset, folder, counts, splits)


def test_the_archive_is_verified_and_unpacked(folder, tiff, counts, monkeypatch):
    with zipfile.ZipFile(folder / "Hyperspectral_Project.zip", "w") as archive:
        archive.write(tiff, "Hyperspectral_Project/dc.tif")
        archive.writestr("Hyperspectral_Project/ReadMe.txt", read_me())
    with pytest.raises(UserError, match="instead of the published 19c3210145af"):
        plugins.build_dataset("wdcm").fetch(folder)
    monkeypatch.setattr(wdcm.Wdcm, "archives", (replace(wdcm.ARCHIVE, sha256=None), wdcm.TIFF))
    dataset = plugins.build_dataset("wdcm")
    dataset.fetch(folder)
    check_cubes(dataset, folder, counts)
    np.testing.assert_allclose(dataset.wavelengths_nm(folder), table())
    assert [path.name for path in (folder / "Hyperspectral_Project").iterdir()] == ["dc.tif"]


def test_a_matlab_file_of_any_name_is_read(folder, counts):
    with h5py.File(folder / "DC_HRHSI.mat", "w", userblock_size=512) as file:
        file["img"] = counts[:, :, :296].transpose(0, 2, 1)
    with (folder / "DC_HRHSI.mat").open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    dataset = plugins.build_dataset("wdcm", folder=str(folder))
    dataset.fetch(folder / "raw")
    check_cubes(dataset, folder, counts[:, :, :296])


def test_bands_last_are_told_from_bands_first(folder, counts):
    tifffile.imwrite(folder / "dc.tif", counts.transpose(1, 2, 0), photometric="minisblack", planarconfig="contig")
    cube = wdcm.read_whole(folder / "dc.tif")
    np.testing.assert_array_equal(cube[::19, ::64], counts[::19, ::64])


@pytest.mark.parametrize(
    ("shape", "reason"), [((156, 16, 8), "bands"), ((191, 16, 8), r"\(191, 16, 8\) bands, rows and columns instead of")]
)
def test_another_product_is_refused(folder, shape, reason):
    tifffile.imwrite(folder / "dc.tif", np.zeros(shape, np.uint16), photometric="minisblack")
    with pytest.raises(UserError, match="is no TIFF image of 191 x 1280 x 307 values; delete it"):
        plugins.build_dataset("wdcm").fetch(folder)
    with pytest.raises(UserError, match=reason):
        plugins.build_dataset("wdcm").read(folder, "wdcm_test")


def test_a_cut_tiff_is_refused(folder, tiff):
    with tiff.open("rb") as whole:
        (folder / "dc.tif").write_bytes(whole.read(1_000_000))
    with pytest.raises(UserError, match=r"dc\.tif is no TIFF image .* delete it and run again, or put .*zip from"):
        plugins.build_dataset("wdcm").fetch(folder)


def test_an_empty_folder_of_the_users_is_told(folder):
    with pytest.raises(UserError, match=r"lacks dc\.tif; put Hyperspectral_Project\.zip from https.*a \.mat file"):
        plugins.build_dataset("wdcm", folder=str(folder)).fetch(folder / "raw")


def test_each_band_is_stretched_if_asked(folder, tiff, counts):
    (folder / "dc.tif").symlink_to(tiff)
    cube = plugins.build_dataset("wdcm", scale="bands").read(folder, "wdcm_val")
    low, high = (extreme(axis=(1, 2), keepdims=True) for extreme in (counts.min, counts.max))
    np.testing.assert_allclose(cube, (counts[:, 1152:, :128] - low) / (high - low), atol=1e-6)


def table():
    """191 centres that differ from those in the repository."""
    return np.round(np.linspace(401.288, 2473.16, 191), 3)


def read_me(rows=210, scale=1.0):
    """A table of the documented form: channel of 210, centre, channel of 191, which is missing for dropped channels."""
    dropped = {*range(103, 107), *range(138, 149), *range(207, 211)}
    kept = [channel for channel in range(1, 211) if channel not in dropped]
    lines = ["Washington DC Mall, August 23, 1995, 1280 lines and 307 columns", "channel  centre (um)  channel"]
    for channel in range(1, rows + 1):
        if channel in kept:
            lines.append(f"{channel:5d}  {table()[kept.index(channel)] * scale:12.6f}  {kept.index(channel) + 1:5d}")
        else:
            lines.append(f"{channel:5d}  {1400 * scale:12.6f}")
    return "\r\n".join(lines)


@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_wavelengths_come_from_the_archives_own_table(tmp_path, scale):
    (tmp_path / "ReadMe.txt").write_text(read_me(scale=scale))
    np.testing.assert_allclose(plugins.build_dataset("wdcm").wavelengths_nm(tmp_path), table(), atol=1e-3)


@pytest.mark.parametrize("text", ["", read_me(rows=84), read_me().replace("401.288", "2401.288"), "1 2.5 3"])
def test_without_a_whole_table_the_repositorys_is_used_and_said(tmp_path, caplog, text):
    (tmp_path / "ReadMe.txt").write_text(text)
    wavelengths = plugins.build_dataset("wdcm").wavelengths_nm(tmp_path)
    assert re.search("those beyond band 84 are estimates", caplog.text)
    assert wavelengths.shape == (191,)
    assert (np.diff(wavelengths) > 0).all()
    np.testing.assert_allclose(wavelengths[[0, 1, 83]], [401.288, 404.590, 1085.060])
    assert wavelengths[-1] == pytest.approx(2473.16, abs=0.1)


def test_the_response_has_the_ten_bands_of_10_and_20_m(tmp_path):
    srf = plugins.build_dataset("wdcm").srf(tmp_path)
    assert srf.shape == (10, 191)
    np.testing.assert_allclose(srf.sum(1), 1)
    centroids = srf @ plugins.build_dataset("wdcm").wavelengths_nm(tmp_path)
    published = [492.4, 559.8, 664.6, 704.1, 740.5, 782.8, 832.8, 864.7, 1613.7, 2202.4]
    np.testing.assert_allclose(centroids, published, atol=6)
