"""CAVE: the real scenes to the bit, every layout in which copies are found, and what is told of bad files."""

import functools
import hashlib
import io
import re
import shutil
import sys
import threading
import zipfile
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from conftest import SHARED
from PIL import Image

from smifbench import UserError, plugins
from smifbench.data import download, scenes
from smifbench.data.archives import check_zip

REAL = SHARED / "data" / "CAVE"
README = SHARED / "data" / "README.md"
cave = sys.modules[plugins.dataset_class("cave").__module__]

GREY, COLOUR = "beads", "watercolors"
WANTED = {"scenes": [GREY, COLOUR]}


def real_scenes():
    rows = re.findall(r"^\| (\w+)_ms \|.*\| ([0-9a-f]{64}) \|$", README.read_text(), re.M) if README.exists() else []
    return dict(rows)


def counts_of(band):
    """A band in counts as the grey scene holds them; the high and the low byte both matter."""
    rows, columns = np.mgrid[:512, :512]
    return (rows * 121 + columns // 64 + band * 5).astype(np.uint16)


@functools.cache
def png(scene, band):
    if scene == GREY:
        image = Image.fromarray(counts_of(band))
    else:
        level = (counts_of(band) >> 8).astype(np.uint8)
        image = Image.fromarray(np.dstack([level, level, level, np.full_like(level, 255)]), "RGBA")
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


@functools.cache
def members(levels=2, top=""):
    """The files of both scenes by their path in a copy, with what else lies beside the bands."""
    files = {}
    for scene in (GREY, COLOUR):
        parent = top + f"{scene}_ms/" * levels
        files |= {f"{parent}{scene}_ms_{band:02d}.png": png(scene, band) for band in range(1, 32)}
        files |= {f"{parent}{scene}_RGB.bmp": b"BM", f"{parent}Thumbs.db": b"\xd0\xcf\x11\xe0"}
    return files


def write_tree(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def write_zip(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def small_archive(path, *addresses):
    """The official archive's description, as it would be were the archive the one at `path`."""
    with zipfile.ZipFile(path) as archive:
        directory = path.read_bytes()[archive.start_dir : -22]
    check = partial(check_zip, directory_sha256=hashlib.sha256(directory).hexdigest())
    return replace(cave.ARCHIVE, size=path.stat().st_size, check=check, addresses=addresses or cave.ARCHIVE.addresses)


@functools.cache
def expected(scene):
    counts = np.stack([counts_of(band) for band in range(1, 32)])
    if scene == GREY:
        return counts / np.float32(65535)
    return (counts >> 8) / np.float32(255)


@pytest.fixture(autouse=True)
def no_network(monkeypatch, request):
    def refuse(*_args, **_kwargs):
        raise AssertionError("nothing may be downloaded here")

    if "server" not in request.fixturenames:
        monkeypatch.setattr(download, "_download", refuse)


@pytest.mark.parametrize(("scene", "sha256"), real_scenes().items() or [pytest.param("", "", id="none")])
def test_a_real_scene_is_exact_to_the_bit(scene, sha256):
    if not REAL.exists() or not scene:
        pytest.skip("the real CAVE scenes are kept outside the repository and are not here")
    dataset = plugins.build_dataset("cave", folder=str(REAL), scenes=[scene])
    cube = dataset.read(REAL, scene)
    assert cube.dtype == np.float32
    assert cube.shape[1:] == dataset.size(scene)
    full, dtype = (255, np.uint8) if scene == "watercolors" else (65535, np.uint16)
    assert dataset.full_scale(REAL, scene) == full
    counts = np.rint(cube.astype(np.float64) * full).astype(dtype)
    assert hashlib.sha256(counts.tobytes()).hexdigest() == sha256


def test_the_real_scenes_pass_the_checks_and_are_prepared(tmp_path):
    if not REAL.exists():
        pytest.skip("the real CAVE scenes are kept outside the repository and are not here")
    dataset = plugins.build_dataset("cave", folder=str(REAL), scenes=list(real_scenes()))
    dataset.fetch(tmp_path / "raw")
    splits = list(dataset.scenes().values())
    assert [splits.count(split) for split in ("train", "val", "test")] == [3, 2, 5]
    scenes.prepare(dataset, "cave", "watercolors", tmp_path / "raw", tmp_path / "watercolors.npy")
    cube = np.load(tmp_path / "watercolors.npy")
    assert cube.shape == (31, 512, 512)
    assert cube.mean() == pytest.approx(76.0 / 255, abs=0.06 / 255)
    assert cube.max() == np.float32(214 / 255)


def test_the_real_scenes_lack_what_they_lack(tmp_path):
    if not REAL.exists():
        pytest.skip("the real CAVE scenes are kept outside the repository and are not here")
    with pytest.raises(
        UserError, match=r"lacks beads_ms_01\.png and 681 more; put .* or list the scenes that you have"
    ):
        plugins.build_dataset("cave", folder=str(REAL)).fetch(tmp_path / "raw")


LAYOUTS = {
    "two levels": lambda folder: write_tree(folder, members()),
    "one level": lambda folder: write_tree(folder, members(levels=1)),
    "no level": lambda folder: write_tree(folder, members(levels=0)),
    "top folder, two levels": lambda folder: write_tree(folder, members(top="complete_ms_data/")),
    "top folder, one level": lambda folder: write_tree(folder, members(levels=1, top="CAVE/")),
    "zip": lambda folder: write_zip(folder / "complete_ms_data.zip", members()),
    "zip with a top folder": lambda folder: write_zip(folder / "cave.zip", members(levels=1, top="complete_ms_data/")),
    "a zip for each scene": lambda folder: [
        write_zip(folder / f"{scene}_ms.zip", {name: data for name, data in members().items() if scene in name})
        for scene in (GREY, COLOUR)
    ],
}


@pytest.mark.parametrize(
    ("layout", "own"), [*((layout, False) for layout in LAYOUTS), ("zip", True), ("one level", True)]
)
def test_every_layout_gives_the_same_cube(tmp_path, monkeypatch, layout, own):
    LAYOUTS[layout](tmp_path / "data")
    archive = tmp_path / "data" / "complete_ms_data.zip"
    if archive.exists():
        monkeypatch.setattr(cave.Cave, "archives", (small_archive(archive),))
    raw = tmp_path / "raw" if own else tmp_path / "data"
    dataset = plugins.build_dataset("cave", **WANTED, **({"folder": str(tmp_path / "data")} if own else {}))
    dataset.fetch(raw)
    for scene in (GREY, COLOUR):
        np.testing.assert_array_equal(dataset.read(raw, scene), expected(scene))
    assert (raw / "lock.json").exists() == archive.exists()


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A web server over `tmp_path / "served"`: its address and the requests that it has answered."""
    requests = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *message):
            requests.append(message)

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=tmp_path / "served")) as http:
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}", requests
        http.shutdown()


def test_the_official_archive_is_downloaded_once_and_read(tmp_path, monkeypatch, server):
    address, requests = server
    write_zip(tmp_path / "served" / "complete_ms_data.zip", members())
    archive = small_archive(tmp_path / "served" / "complete_ms_data.zip", f"{address}/complete_ms_data.zip")
    monkeypatch.setattr(cave.Cave, "archives", (archive,))
    dataset = plugins.build_dataset("cave", **WANTED)
    for _ in range(2):
        dataset.fetch(tmp_path / "raw")
    assert len(requests) == 1
    np.testing.assert_array_equal(dataset.read(tmp_path / "raw", COLOUR), expected(COLOUR))


def test_the_described_layout_fills_the_published_list_of_members():
    """46 bytes and the name for each of 1,120 entries: the length and place that the audit of the archive reports."""
    names = []
    for scene in cave.SCENES:
        folder = f"{scene}_ms/{scene}_ms/"
        names += [f"{scene}_ms/", folder, f"{folder}{scene}_RGB.bmp", f"{folder}Thumbs.db"]
        names += [folder + name for name in cave._band_names(scene)]
    assert len(names) == 1120
    directory = sum(46 + len(name) for name in names)
    assert directory == 112_226
    assert cave.ARCHIVE.size == 405_876_217 + directory + 22


def test_an_archive_with_other_members_is_refused_though_it_is_whole(tmp_path, monkeypatch):
    write_zip(tmp_path / "complete_ms_data.zip", members(levels=1))
    for archive, reason in (
        (cave.ARCHIVE, "bytes instead of 405,988,465"),
        (replace(cave.ARCHIVE, size=None), "has another list of members than the published archive"),
    ):
        monkeypatch.setattr(cave.Cave, "archives", (archive,))
        with pytest.raises(UserError, match=f"{reason}; delete it and run again, or put .* any unpacked copy"):
            plugins.build_dataset("cave", **WANTED).fetch(tmp_path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (png(GREY, 7)[:-20], "is no whole PNG image"),
        (png(GREY, 7)[:5000] + b"\0\0" + png(GREY, 7)[5002:], "is no whole PNG image"),
        (b"<html>Not found</html>", "is no whole PNG image"),
        (None, "lacks beads_ms_07.png; put complete_ms_data.zip from"),
    ],
)
def test_a_bad_band_placed_by_hand_is_named(tmp_path, content, sentence):
    write_tree(tmp_path, members())
    (band,) = tmp_path.rglob("beads_ms_07.png")
    band.write_bytes(content) if content is not None else band.unlink()
    dataset = plugins.build_dataset("cave", folder=str(tmp_path), **WANTED)
    with pytest.raises(UserError, match=sentence):
        dataset.fetch(tmp_path)


def test_a_band_that_breaks_after_the_check_is_named_too(tmp_path):
    write_tree(tmp_path, members())
    (band,) = tmp_path.rglob("beads_ms_07.png")
    band.write_bytes(png(GREY, 7)[:5000])
    with pytest.raises(UserError, match=r"beads_ms_07\.png is no whole PNG image"):
        plugins.build_dataset("cave", **WANTED).read(tmp_path, GREY)


def test_a_band_of_another_size_is_named(tmp_path):
    write_tree(tmp_path, members())
    (band,) = tmp_path.rglob("beads_ms_07.png")
    Image.fromarray(counts_of(7)[:256]).save(band)
    with pytest.raises(UserError, match=r"beads_ms_07\.png is of 512 x 256 pixels, not 512 x 512"):
        plugins.build_dataset("cave", **WANTED).fetch(tmp_path)


def test_splits_are_the_sorted_names_and_survive_a_choice():
    dataset = plugins.build_dataset("cave")
    splits = dataset.scenes()
    assert list(splits) == sorted(splits)
    assert list(splits.values()) == ["train"] * 22 + ["val"] * 5 + ["test"] * 5
    assert [name for name, split in splits.items() if split == "test"] == [
        *("sponges", "stuffed_toys", "superballs", "thread_spools", "watercolors")
    ]
    chosen = plugins.build_dataset("cave", scenes=["watercolors", "balloons"]).scenes()
    assert chosen == {"balloons": "train", "watercolors": "test"}
    with pytest.raises(UserError, match="unknown scene 'watercolours'; did you mean 'watercolors'"):
        plugins.build_dataset("cave", scenes=["watercolours"])


def test_the_largest_value_becomes_one_if_asked(tmp_path):
    write_tree(tmp_path, members())
    cube = plugins.build_dataset("cave", scale="max", **WANTED).read(tmp_path, COLOUR)
    assert cube.max() == 1
    np.testing.assert_allclose(cube, expected(COLOUR) / expected(COLOUR).max(), rtol=1e-6)
    with pytest.raises(UserError, match="unknown scale 'maximum'"):
        plugins.build_dataset("cave", scale="maximum")


def test_wavelengths_and_response():
    dataset = plugins.build_dataset("cave")
    wavelengths = dataset.wavelengths_nm(None)
    assert (wavelengths[0], wavelengths[-1], len(wavelengths)) == (400, 700, 31)
    srf = dataset.srf(None)
    # First entries of the public integer table over its row sums, and its published centroids.
    np.testing.assert_allclose(srf[:, 0], [2 / 255, 1 / 203, 7 / 251])
    np.testing.assert_allclose(srf @ wavelengths, [632, 544, 468], atol=0.5)


def test_an_own_folder_that_is_none_is_told(tmp_path):
    with pytest.raises(UserError, match=r"CAVE: its option folder names .*nowhere, which is no folder"):
        plugins.build_dataset("cave", folder=str(tmp_path / "nowhere")).fetch(tmp_path)


def test_a_linked_tree_is_followed(tmp_path):
    write_tree(tmp_path / "elsewhere", members())
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "CAVE").symlink_to(tmp_path / "elsewhere")
    dataset = plugins.build_dataset("cave", **WANTED)
    dataset.fetch(tmp_path / "raw")
    np.testing.assert_array_equal(dataset.read(tmp_path / "raw", GREY), expected(GREY))
    shutil.rmtree(tmp_path / "elsewhere")
