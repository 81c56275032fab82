"""Harvard: files in the documented form at full size, the archive with small ones, splits, crops and scaling."""

import io
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from smifbench import UserError, plugins
from smifbench.data import download

harvard = sys.modules[plugins.dataset_class("harvard").__module__]

VALUES = np.linspace(0.05, 0.8, 1392, dtype=np.float32)


def full_size():
    """A scene (rows, columns, 31) whose value tells its place; the largest lies outside the crop of the test scenes."""
    ref = np.empty((1040, 1392, 31), np.float32)
    ref[:] = VALUES[:, None]
    ref += np.arange(31, dtype=np.float32) / 1000
    ref[::8] *= 0.5
    ref[5, 7, 11] = -0.001
    ref[1039, 1391, 30] = 0.9
    return ref


def write_v73(path, ref, lbl):
    """As MATLAB does: HDF5 behind 512 bytes that begin with its text, axes the other way round."""
    with h5py.File(path, "w", userblock_size=512) as file:
        file["ref"], file["lbl"] = ref.T, lbl.T
    text = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Jan  1 00:00:00 2024 HDF5 schema 1.00 ."
    with path.open("r+b") as file:
        file.write(text.ljust(124) + b"\x00\x02IM")


CROPS = {"img1": (1040, 1392), "imgf1": (1024, 1280), "imgf5": (1024, 1024)}
"""A scene of each split and what is used of it."""


@pytest.mark.parametrize(("version", "scenes"), [("v5", ["img1", "imgf1"]), ("v7.3", ["imgf5"])])
def test_scenes_are_cropped_and_scaled(version, scenes):
    ref, lbl = full_size(), np.ones((1040, 1392), np.uint8)
    with tempfile.TemporaryDirectory() as name:  # 180 MB, so it goes at once
        folder = Path(name) / "CZ_hsdb"
        folder.mkdir()
        if version == "v5":
            savemat(folder / f"{scenes[0]}.mat", {"ref": ref, "lbl": lbl})
        else:
            write_v73(folder / f"{scenes[0]}.mat", ref, lbl)
        for scene in scenes[1:]:
            (folder / f"{scene}.mat").symlink_to(folder / f"{scenes[0]}.mat")
        dataset = plugins.build_dataset("harvard", scenes=scenes)
        cubes = {scene: dataset.read(Path(name), scene) for scene in scenes}
        assert all(cubes[scene].shape[1:] == dataset.size(scene) for scene in scenes)
        assert [file.name for file in dataset.scene_files(Path(name), scenes[0])] == [f"{scenes[0]}.mat"]
    for scene, (rows, columns) in ((scene, CROPS[scene]) for scene in scenes):
        assert cubes[scene].dtype == np.float32
        assert cubes[scene].flags.c_contiguous
        assert cubes[scene].shape == (31, rows, columns)
        for band in (0, 11, 30):
            expected = np.maximum(ref[:rows, :columns, band] / np.float32(0.9), 0)
            np.testing.assert_allclose(cubes[scene][band], expected, rtol=1e-6)


SMALL = (31, 5, 7)


def small_ref(scene):
    return np.random.default_rng(list(scene.encode())).random((5, 7, 31)).astype(np.float32)


def small_mat(scene):
    buffer = io.BytesIO()
    savemat(buffer, {"ref": small_ref(scene), "lbl": np.ones((5, 7), np.uint8)})
    return buffer.getvalue()


@pytest.fixture
def small(monkeypatch):
    """The data set with scenes of 5 x 7 pixels, without the network."""

    def refuse(*_args, **_kwargs):
        raise AssertionError("nothing may be downloaded here")

    monkeypatch.setattr(download, "_download", refuse)
    monkeypatch.setattr(harvard, "SHAPE", SMALL)


def write_archive(path, scenes=harvard.SCENES, change=None):
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        folder = tarfile.TarInfo("CZ_hsdb")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        contents = {"calib.txt": b"0.07 0.11\n", "README.txt": b"text", **{f"{s}.mat": small_mat(s) for s in scenes}}
        for name, content in (contents | (change or {})).items():
            info = tarfile.TarInfo(f"CZ_hsdb/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def test_the_archive_is_verified_and_unpacked_once(small, tmp_path):
    write_archive(tmp_path / "CZ_hsdb.tgz")
    dataset = plugins.build_dataset("harvard")
    dataset.fetch(tmp_path)
    assert (tmp_path / "lock.json").exists()
    unpacked = sorted((tmp_path / "CZ_hsdb").iterdir())
    assert [path.name for path in unpacked] == sorted(f"{scene}.mat" for scene in harvard.SCENES)
    before = [path.stat().st_mtime_ns for path in unpacked]
    dataset.fetch(tmp_path)
    (tmp_path / "CZ_hsdb.tgz").unlink()
    dataset.fetch(tmp_path)
    assert [path.stat().st_mtime_ns for path in unpacked] == before
    expected = (small_ref("imgh3") / small_ref("imgh3").max()).transpose(2, 0, 1)
    np.testing.assert_allclose(dataset.read(tmp_path, "imgh3"), expected, rtol=1e-6)


def test_only_the_wanted_scenes_are_unpacked(small, tmp_path):
    write_archive(tmp_path / "CZ_hsdb.tgz")
    plugins.build_dataset("harvard", scenes=["imgb0", "imgh3"]).fetch(tmp_path)
    assert sorted(path.name for path in (tmp_path / "CZ_hsdb").iterdir()) == ["imgb0.mat", "imgh3.mat"]


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda path: path.write_bytes(b"<html>moved</html>"), r"CZ_hsdb\.tgz is a web page"),
        (lambda path: path.write_bytes(path.read_bytes()[:-2000]), r"CZ_hsdb\.tgz is no whole tar archive"),
        (lambda path: write_archive(path, harvard.SCENES[1:]), r"lacks 1 of 50 files, the first being img1\.mat"),
        (lambda path: write_archive(path, change={"../../evil": b""}), "would land outside its folder"),
        (lambda path: write_archive(path, change={"img1.mat": small_mat("img1")[:-9]}), r"img1\.mat cannot be read"),
        (
            lambda path: write_archive(path, change={"img1.mat": b"no matrix at all"}),
            "cannot be read as a MATLAB file",
        ),
    ],
)
def test_a_bad_archive_is_told_in_one_sentence(small, tmp_path, spoil, sentence):
    write_archive(tmp_path / "CZ_hsdb.tgz")
    spoil(tmp_path / "CZ_hsdb.tgz")
    with pytest.raises(UserError, match=sentence) as caught:
        plugins.build_dataset("harvard").fetch(tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path.parent / "evil").exists()


def test_files_placed_by_hand_are_checked_without_a_download(small, tmp_path):
    (tmp_path / "some" / "where").mkdir(parents=True)
    path = tmp_path / "some" / "where" / "imgb0.mat"
    path.write_bytes(small_mat("imgb0"))
    dataset = plugins.build_dataset("harvard", scenes=["imgb0"])
    dataset.fetch(tmp_path)
    assert dataset.read(tmp_path, "imgb0").shape == SMALL
    savemat(path, {"ref": np.zeros((7, 5, 31), np.float32)})
    with pytest.raises(UserError, match=r"imgb0\.mat: ref has \(31, 7, 5\) bands, rows and columns instead of"):
        dataset.fetch(tmp_path)
    savemat(path, {"hsi": np.zeros((5, 7, 31), np.float32)})
    with pytest.raises(UserError, match=r"imgb0\.mat.*ref"):
        dataset.fetch(tmp_path)


def test_stored_values_are_kept_if_asked(small, tmp_path):
    (tmp_path / "imgb0.mat").write_bytes(small_mat("imgb0"))
    dataset = plugins.build_dataset("harvard", scenes=["imgb0"], scale="stored", folder=str(tmp_path))
    np.testing.assert_array_equal(dataset.read(Path("nowhere"), "imgb0"), small_ref("imgb0").transpose(2, 0, 1))


def test_what_an_own_folder_lacks_is_told_and_not_downloaded(small, tmp_path):
    (tmp_path / "imgb0.mat").write_bytes(small_mat("imgb0"))
    with pytest.raises(UserError, match=r"lacks img1\.mat and 48 more; put CZ_hsdb\.tgz .* or list the scenes"):
        plugins.build_dataset("harvard", folder=str(tmp_path)).fetch(tmp_path / "raw")


def test_no_address_works(tmp_path, monkeypatch):
    def refuse(address, *_):
        raise download._Unavailable("cannot be reached")

    monkeypatch.setattr(download, "_download", refuse)
    with pytest.raises(UserError) as caught:
        plugins.build_dataset("harvard").fetch(tmp_path / "raw")
    assert str(caught.value) == (
        "CZ_hsdb.tgz could not be downloaded "
        "(http://vision.seas.harvard.edu/hyperspec/d2x5g3/CZ_hsdb.tgz cannot be reached; "
        "https://vision.seas.harvard.edu/hyperspec/d2x5g3/CZ_hsdb.tgz cannot be reached); "
        "put CZ_hsdb.tgz from http://vision.seas.harvard.edu/hyperspec/download.html or its files img*.mat "
        f"into {tmp_path / 'raw'} and run again"
    )


def test_splits_are_sorted_names_in_the_order_of_the_paper_or_of_the_group():
    paper, group = (plugins.build_dataset("harvard", order=order).scenes() for order in ("paper", "group"))
    assert len(paper) == 50
    assert list(paper) == sorted(paper)
    assert list(paper.values()) == ["train"] * 34 + ["val"] * 8 + ["test"] * 8
    second = ["imge4", "imge5", "imge6", "imge7", "imgf1", "imgf2", "imgf3", "imgf4"]
    assert [name for name, split in paper.items() if split == "val"] == second
    assert [name for name, split in group.items() if split == "test"] == second
    with pytest.raises(UserError, match="unknown order 'groups'; did you mean 'group'"):
        plugins.build_dataset("harvard", order="groups")


def test_the_response_is_applied_by_index_or_by_wavelength():
    dataset = plugins.build_dataset("harvard")
    wavelengths = dataset.wavelengths_nm(None)
    assert (wavelengths[0], wavelengths[-1], len(wavelengths)) == (420, 720, 31)
    by_index = dataset.srf(None)
    np.testing.assert_array_equal(by_index, plugins.build_dataset("cave").srf(None))
    by_wavelength = plugins.build_dataset("harvard", by_index=False).srf(None)
    np.testing.assert_array_equal(by_wavelength[:, -2:], 0)
    np.testing.assert_allclose(by_wavelength[:, :29] * by_index[:, 2:].sum(1, keepdims=True), by_index[:, 2:])
    with pytest.raises(UserError, match="set by_index to false"):
        plugins.build_dataset("harvard", response="sentinel2a").srf(None)


def test_a_matlab_file_in_a_zip_archive_is_told_to_be_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "scenes.zip", "w") as archive:
        archive.writestr("img1.mat", b"never read")
    with pytest.raises(UserError, match=r"scenes\.zip/img1\.mat lies in a zip archive, .*; unpack it"):
        plugins.build_dataset("harvard", folder=str(tmp_path), scenes=["img1"]).fetch(tmp_path)
