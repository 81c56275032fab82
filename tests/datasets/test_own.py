"""One's own cube by config alone: regions that share nothing, bands in order, and options that are checked at once."""

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import yaml
from conftest import SHARED
from hypothesis import given, settings
from hypothesis import strategies as st

from smifbench import UserError, plugins
from smifbench.data import scenes
from smifbench.data.cubes.reading import Cube
from smifbench.data.cubes.writing import write_cube
from smifbench.data.responses import gaussian_response, spectral_response
from smifbench.degradation import degrade
from smifbench.degradation.pairs import load_pairs, load_problem
from smifbench.experiment.config import check_experiment

RENO = SHARED / "data" / "other" / "Reno150-150-100.mat"
"""An airborne scene of 150 x 150 pixels and 100 bands, uint16."""

NM = {"start": 420, "step": 50}


def build(**options):
    return plugins.build_dataset("own", **options)


def read_all(dataset):
    return {split: dataset.read(Path(), scene) for scene, split in dataset.scenes().items()}


@pytest.fixture
def pixels(tmp_path):
    """A cube (10, 128, 40) in which every value tells its own place: band * 10000 + row * 40 + column + 1."""
    cube = np.arange(10)[:, None, None] * 10000 + np.arange(128 * 40).reshape(128, 40) + 1
    np.save(tmp_path / "cube.npy", cube)
    return tmp_path / "cube.npy", cube


def places(region, scale):
    """Row and column of every pixel of a region of `pixels`, read off its first band."""
    numbers = np.rint(region[0] * float(scale)).astype(int) - 1
    return set(numbers.ravel().tolist()), numbers


@settings(max_examples=100, deadline=None)
@given(
    height=st.integers(1, 400),
    width=st.integers(1, 400),
    val=st.sampled_from([0, 0.1, 0.15, 0.3]),
    test=st.sampled_from([0.1, 0.25, 0.5]),
    guard=st.integers(0, 20),
    multiple=st.sampled_from([4, 8, 16, 32]),
)
def test_automatic_regions_lie_apart_inside_and_fit_the_ratios(height, width, val, test, guard, multiple):
    dataset = build(split={"val": val, "test": test, "guard": guard, "multiple": multiple})
    stripes = plugins.dataset_class("own").__init__.__globals__["_stripes"]
    try:
        regions = stripes(height, width, **dataset.split)
    except UserError as error:
        sentence = str(error)
        assert f"{height} x {width}" in sentence
        needed = multiple / (1 - val - test) + 2 * multiple + 2 * guard
        assert min(height, width) < multiple or max(height, width) < needed
        return
    assert set(regions) == set(dataset.scenes().values()) == {"train", "test"} | ({"val"} if val else set())
    for split, (rows, columns) in regions.items():
        assert 0 <= rows.start < rows.stop <= height
        assert 0 <= columns.start < columns.stop <= width
        assert (rows.stop - rows.start) % multiple == (columns.stop - columns.start) % multiple == 0
        for other, (others, more) in regions.items():
            gaps = (
                others.start - rows.stop,
                rows.start - others.stop,
                more.start - columns.stop,
                columns.start - more.stop,
            )
            assert other == split or max(gaps) >= guard


@pytest.mark.parametrize(
    ("length", "sizes"), [(112, (32, 32, 32)), (150, (64, 32, 32)), (512, (288, 64, 128)), (1280, (736, 192, 320))]
)
def test_sizes_of_the_automatic_regions(length, sizes):
    stripes = plugins.dataset_class("own").__init__.__globals__["_stripes"]
    for upright in (True, False):
        regions = stripes(*((length, 100) if upright else (100, length)), **build().split)
        along = [region[0 if upright else 1] for region in regions.values()]
        assert tuple(cut.stop - cut.start for cut in along) == sizes
        assert all(region[1 if upright else 0] == slice(0, 96) for region in regions.values())


def test_scenes_are_known_without_the_file_and_hold_their_pixels_exactly(pixels):
    path, cube = pixels
    dataset = build(path=str(path), band_axis=0, wavelengths_nm=NM, scale=100000, split={"multiple": 16, "guard": 4})
    assert dataset.scenes() == {"own_train": "train", "own_val": "val", "own_test": "test"}
    assert build().scenes() == dataset.scenes()
    regions = read_all(dataset)
    assert {split: region.shape for split, region in regions.items()} == {
        "train": (10, 64, 32),
        "val": (10, 16, 32),
        "test": (10, 32, 32),
    }
    seen = {}
    for split, region in regions.items():
        assert region.dtype == np.float32
        seen[split], numbers = places(region, 100000)
        row, column = divmod(int(numbers[0, 0]), 40)
        expected = cube[:, row : row + region.shape[1], column : column + region.shape[2]] / 100000
        np.testing.assert_array_equal(region, expected.astype(np.float32))
    assert not seen["train"] & seen["test"]
    assert not seen["train"] & seen["val"]
    assert not seen["val"] & seen["test"]


def test_a_wide_scene_is_cut_from_left_to_right(tmp_path):
    np.save(tmp_path / "cube.npy", np.random.default_rng(0).random((4, 33, 140)))
    dataset = build(path=str(tmp_path / "cube.npy"), band_axis=0, wavelengths_nm=NM)
    assert {split: region.shape for split, region in read_all(dataset).items()} == {
        "train": (4, 32, 32),
        "val": (4, 32, 32),
        "test": (4, 32, 32),
    }


def test_stated_regions(pixels):
    path, cube = pixels
    regions = {"train": [0, 64, 0, 40], "test": [64, 128, 8, 40]}
    dataset = build(path=str(path), band_axis=0, wavelengths_nm=NM, scale=100000, regions=regions)
    assert dataset.scenes() == {"own_train": "train", "own_test": "test"}
    np.testing.assert_allclose(dataset.read(Path(), "own_test"), cube[:, 64:, 8:] / 100000, rtol=1e-6)
    dataset = build(path=str(path), band_axis=0, wavelengths_nm=NM, regions={**regions, "val": [128, 160, 0, 40]})
    with pytest.raises(UserError, match=r"region val ends at row 160, .*has 128 x 40 pixels"):
        dataset.read(Path(), "own_train")


def test_bands_are_dropped_and_ordered_by_wavelength(pixels):
    path, cube = pixels
    nm = [500, 490, 480, 520, 530, 540, 550, 560, 570, 580]
    options = {"drop_bands": [1, [4, 6]], "bandwidths_nm": 10, "scale": 1e5}
    response = {"gaussian": {"centres_nm": [530], "widths_nm": 80}}
    dataset = build(path=str(path), wavelengths_nm=nm, response=response, **options)
    np.testing.assert_array_equal(dataset.wavelengths_nm(Path()), [480, 500, 520, 560, 570, 580])
    region = dataset.read(Path(), "own_train")
    np.testing.assert_allclose(region[:, 0, 0] * 1e5, cube[[2, 0, 3, 7, 8, 9], 0, 0], rtol=1e-6)
    np.testing.assert_allclose(
        dataset.srf(Path()), gaussian_response([530], 80, np.array([480, 500, 520, 560, 570, 580]), 10)
    )
    with pytest.raises(UserError, match=r"band 10 is named, .* bands 0\.\.9"):
        build(path=str(path), wavelengths_nm=nm, drop_bands=[10]).wavelengths_nm(Path())
    with pytest.raises(UserError, match="leaves none of the 10 bands"):
        build(path=str(path), wavelengths_nm=nm, drop_bands=[[0, 9]]).wavelengths_nm(Path())


def write_envi(folder, cube, nm, fwhm):
    (folder / "field.img").write_bytes(np.ascontiguousarray(cube.transpose(1, 0, 2)).astype(">u2").tobytes())
    header = {
        "samples": cube.shape[2],
        "lines": cube.shape[1],
        "bands": cube.shape[0],
        "data type": 12,
        "interleave": "bil",
        "byte order": 1,
        "wavelength units": "Micrometers",
        "wavelength": "{" + ", ".join(f"{value / 1000}" for value in nm) + "}",
        "fwhm": "{" + ", ".join([f"{fwhm / 1000}"] * len(nm)) + "}",
    }
    (folder / "field.hdr").write_text("ENVI\n" + "".join(f"{key} = {value}\n" for key, value in header.items()))
    return folder / "field.hdr"


def test_an_envi_file_brings_its_wavelengths_and_widths(tmp_path):
    nm = np.arange(420.0, 900, 30)
    cube = np.random.default_rng(1).integers(0, 4000, (16, 120, 40))
    path = write_envi(tmp_path, cube, nm, 30)
    dataset = build(path=str(path))
    np.testing.assert_allclose(dataset.wavelengths_nm(Path()), nm)
    np.testing.assert_allclose(dataset.srf(Path()), spectral_response("sentinel2a_10m", nm, 30))
    widths = list(range(20, 36))
    kept = build(path=str(path), bandwidths_nm=widths, drop_bands=[[0, 0]]).srf(Path())
    np.testing.assert_allclose(kept, spectral_response("sentinel2a_10m", nm[1:], np.array(widths[1:])))
    np.testing.assert_allclose(
        build(path=str(path), bandwidths_nm=60).srf(Path()), spectral_response("sentinel2a_10m", nm, 60)
    )
    assert dataset.sources() == [path, tmp_path / "field.img"]
    (tmp_path / "field.img").unlink()
    assert dataset.sources() == build().sources() == []


def test_a_response_of_gaussians_or_from_a_file(pixels, tmp_path):
    path, _ = pixels
    centres = 420 + 50 * np.arange(10)
    gaussian = {"gaussian": {"centres_nm": [500, 700], "widths_nm": 80}}
    dataset = build(path=str(path), wavelengths_nm=NM, response=gaussian)
    np.testing.assert_allclose(dataset.srf(Path()), gaussian_response([500, 700], 80, centres))
    curve = tmp_path / "camera.csv"
    curve.write_text("wavelength_nm,pan\n400,1\n900,1\n")
    dataset = build(path=str(path), wavelengths_nm=NM, response=str(curve))
    np.testing.assert_allclose(dataset.srf(Path()), np.full((1, 10), 0.1))
    assert dataset.sources() == [path, curve]


@pytest.mark.parametrize(
    ("dtype", "top", "scale"),
    [
        ("u2", 24639, 30000),
        ("u2", 9604, 10000),
        ("u2", 65001, 65535),
        ("u1", 130, 200),
        ("u1", 230, 255),
        ("i2", 32000, 32767),
        ("f4", 0.25, 0.3),
        ("f8", 1.0, 1.0),
        ("f8", 1.07, 2.0),
    ],
)
def test_scale_is_the_largest_value_rounded_up_to_a_digit(tmp_path, dtype, top, scale):
    cube = np.full((3, 120, 32), top / 2).astype(dtype)
    cube[1, 60, 3] = top  # between the regions: it counts all the same
    np.save(tmp_path / "cube.npy", cube)
    region = build(path=str(tmp_path / "cube.npy"), wavelengths_nm=NM).read(Path(), "own_train")
    np.testing.assert_allclose(region, float(cube[0, 0, 0]) / scale, rtol=1e-6)


def test_values_out_of_range_are_told_or_clipped(tmp_path):
    cube = np.full((3, 120, 32), 0.5)
    cube[0, 0, 0], cube[0, 0, 1] = -0.02, 1.2
    np.save(tmp_path / "cube.npy", cube)
    options = {"path": str(tmp_path / "cube.npy"), "wavelengths_nm": NM, "scale": 1}
    with pytest.raises(UserError, match=r"train region ranges over -0\.02\.\.1\.2; set scale .* or clip: true"):
        build(**options).read(Path(), "own_train")
    assert build(**options).read(Path(), "own_test").max() == 0.5
    clipped = build(**options, clip=True).read(Path(), "own_train")
    np.testing.assert_array_equal(clipped[0, 0, :3], np.float32([0, 1, 0.5]))


@pytest.mark.parametrize(
    ("value", "options"), [(np.nan, {}), (-9999, {"missing": -9999}), (7e5, {"missing": [0, 7e5]})]
)
def test_missing_pixels_hold_their_neighbours_values_and_are_marked(tmp_path, value, options):
    whole = np.random.default_rng(0).uniform(0.1, 0.7, (3, 120, 32))
    gaps = whole.copy()
    gaps[0, 5, 5] = gaps[:, 100, 3] = value
    prepared = {}
    for name, cube, more in (("whole", whole, {}), ("gaps", gaps, options)):
        np.save(tmp_path / f"{name}.npy", cube)
        nm = {"start": 450, "step": 100}
        dataset = build(path=str(tmp_path / f"{name}.npy"), wavelengths_nm=nm, response="nikon_d700", **more)
        for scene in ("own_train", "own_test"):
            target = tmp_path / name / f"{scene}.npy"
            target.parent.mkdir(exist_ok=True)
            scenes.prepare(dataset, "own", scene, Path(), target)
            prepared[name, scene] = np.load(target), json.loads(target.with_suffix(".json").read_text())
    cube, sidecar = prepared["gaps", "own_train"]
    expected, about = prepared["whole", "own_train"]
    missing = np.zeros(cube.shape[1:], bool)
    missing[5, 5] = True
    np.testing.assert_array_equal(scenes.missing_of(sidecar), missing)
    np.testing.assert_array_equal(cube[:, ~missing], expected[:, ~missing])
    assert any(
        (cube[:, 5, 5] == expected[:, 5 + down, 5 + right]).all() for down, right in ((1, 0), (-1, 0), (0, 1), (0, -1))
    )
    assert sidecar["pixels_missing"] == 1
    assert sidecar["full_scale"] == about["full_scale"]
    assert "missing" not in about
    assert prepared["gaps", "own_test"][1]["pixels_missing"] == 1


def test_products_are_data_sets_too(tmp_path, caplog):
    """An image with the metadata of EnMAP beside it: gains, wavelengths and missing pixels are those of the product."""
    stored = np.random.default_rng(0).integers(1, 6000, (3, 120, 32), dtype=np.int16)
    stored[:, 3, 4] = -32768
    image = tmp_path / "ENMAP01-____L2A-DT0000001-SPECTRAL_IMAGE.TIF"
    write_cube(tmp_path / "image.tif", Cube(stored, None, None, None, 0, "made up", (), nodata=-32768.0))
    (tmp_path / "image.tif").rename(image)
    bands = "".join(
        f"<bandID><wavelengthCenterOfBand>{nm}</wavelengthCenterOfBand><FWHMOfBand>90</FWHMOfBand>"
        f"<GainOfBand>{gain}</GainOfBand><OffsetOfBand>0</OffsetOfBand></bandID>"
        for nm, gain in ((450, 1e-4), (650, 2e-4), (550, 1e-4))
    )
    metadata = tmp_path / "ENMAP01-____L2A-DT0000001-METADATA.XML"
    metadata.write_text(f"<x><bandCharacterisation>{bands}</bandCharacterisation></x>")
    dataset = build(path=str(image), response="nikon_d700", scale=2)
    np.testing.assert_array_equal(dataset.wavelengths_nm(Path()), [450, 550, 650])
    assert dataset.sources()[:2] == [metadata, image]
    train = dataset.read(Path(), "own_train")
    expected = stored[[0, 2, 1]] * np.array([1e-4, 1e-4, 2e-4])[:, None, None] / 2
    there = ~dataset.missing(Path(), "own_train")
    assert np.argwhere(~there).tolist() == [[3, 4]]
    np.testing.assert_allclose(train[:, there], expected[:, :32][:, there], rtol=1e-5)
    assert "the value -32768 stands for missing at 1 of 3840 pixels" in caplog.text
    assert "gains 0.0001 .. 0.0002 and offsets 0 of the file are applied" in caplog.text


def test_a_region_without_any_value_is_refused(tmp_path):
    np.save(tmp_path / "cube.npy", np.where(np.arange(120)[:, None] < 80, 0.5, np.nan) * np.ones((3, 120, 32)))
    nm = {"start": 450, "step": 100}
    dataset = build(path=str(tmp_path / "cube.npy"), wavelengths_nm=nm, response="nikon_d700")
    with pytest.raises(UserError, match="no pixel of the test region has a value"):
        dataset.read(Path(), "own_test")


def test_the_automatic_scale_is_that_of_the_bands_kept(tmp_path):
    cube = np.random.default_rng(0).integers(100, 6000, (3, 120, 32), dtype=np.int16)
    cube[1] = 32000
    np.save(tmp_path / "cube.npy", cube)
    options = {"path": str(tmp_path / "cube.npy"), "wavelengths_nm": {"start": 450, "step": 100}}
    for choice in ({"drop_bands": [1]}, {"bands": "0,2"}, {"bands": "400-460nm,640-660nm"}, {"bands": "not 1"}):
        dataset = build(**options, response="nikon_d700", **choice)
        assert dataset.full_scale(Path(), "own_train") == 6000
        np.testing.assert_array_equal(dataset.wavelengths_nm(Path()), [450, 650])
    assert build(**options, response="nikon_d700").full_scale(Path(), "own_train") == np.iinfo(np.int16).max


def test_bands_that_the_file_calls_bad_stay_out_unless_they_are_asked_for(tmp_path):
    cube = np.random.default_rng(0).integers(100, 6000, (3, 120, 32), dtype=np.int16)
    nm = np.array([450.0, 550, 650])
    write_cube(tmp_path / "a.hdr", Cube(cube, nm, None, None, 0, "made up", (), bad_bands=(1,)))
    for bands, kept in ((None, [450, 650]), ("all", [450, 550, 650]), ("1", [550]), ("400-600nm", [450])):
        dataset = build(path=str(tmp_path / "a.hdr"), response="nikon_d700", bandwidths_nm=100, bands=bands)
        np.testing.assert_array_equal(dataset.wavelengths_nm(Path()), kept)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"path": 3}, "path of data set own must be text, not 3"),
        ({"pth": "x"}, "did you mean 'path'"),
        ({"scale": 0}, "scale must be a positive number, not 0"),
        ({"scale": float("nan")}, "scale of data set own must be a number or null, not nan"),
        ({"clip": "yes"}, "clip of data set own must be true or false"),
        ({"bands": "a-b"}, "is no choice of bands"),
        ({"bands": "1", "drop_bands": [2]}, "bands and drop_bands are both stated"),
        ({"missing": "NaN"}, "missing of data set own must be a number or a list of numbers"),
        ({"wavelengths_nm": {"start": 400}}, "wavelengths_nm must be a list"),
        ({"wavelengths_nm": "400"}, "wavelengths_nm must be a list"),
        ({"wavelengths_nm": [400, "red"]}, "wavelengths_nm must be a list"),
        ({"wavelengths_nm": [1, 2000]}, "in nanometres or micrometres"),
        ({"bandwidths_nm": "wide"}, "bandwidths_nm of data set own must be a list of numbers or a number or null"),
        ({"drop_bands": 3}, "drop_bands of data set own must be a list, not 3"),
        ({"drop_bands": [-1]}, "drop_bands must be"),
        ({"drop_bands": [[5, 3]]}, "drop_bands must be"),
        ({"drop_bands": [[1, 2, 3]]}, "drop_bands must be"),
        ({"response": "sentinel2a_10"}, "did you mean 'sentinel2a_10m'"),
        ({"response": "nowhere.csv"}, "there is no file nowhere.csv"),
        ({"response": 5}, "response must be"),
        ({"response": {"gaussian": {"centres_nm": [500]}}}, "response must be"),
        ({"response": {"gaussian": {"centres_nm": ["x"], "widths_nm": [5]}}}, "response must be"),
        ({"split": 0.5}, "split must be"),
        ({"split": {"tests": 0.5}}, "did you mean 'test'"),
        ({"split": {"test": 0}}, "fractions val"),
        ({"split": {"val": 0.5, "test": 0.5}}, "fractions val"),
        ({"split": {"guard": -1}}, "split.guard must be"),
        ({"split": {"multiple": 0}}, "split.multiple must be"),
        ({"regions": {"train": [0, 8, 0, 8]}}, "regions must be"),
        ({"regions": {"train": [0, 8, 0, 8], "test": [8, 8, 0, 8]}}, "regions.test must be"),
        ({"regions": {"train": [0, 8, 0, 8], "test": [0, 8, 8]}}, "regions.test must be"),
        ({"regions": {"train": [0, 8, 0, 8], "test": [7, 16, 7, 16]}}, "regions train and test share pixels"),
    ],
)
def test_a_mistake_in_an_option_is_told_when_the_config_is_read(options, sentence):
    with pytest.raises(UserError) as error:
        build(**options)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"path": ""}, "the option path is missing"),
        ({"path": "nowhere.npy"}, "there is no file nowhere.npy"),
        ({"wavelengths_nm": None}, "states no usable wavelengths; set wavelengths_nm"),
        ({"wavelengths_nm": [400, 500]}, "has 10 bands, but wavelengths_nm lists 2"),
        ({"wavelengths_nm": {"start": 400, "step": -50}}, "range over -50..400 nm"),
        ({"bandwidths_nm": [5, 5], "drop_bands": [[0, 7]]}, "has 10 bands; list one of the bandwidths_nm for each"),
        ({"response": {"gaussian": {"centres_nm": [1500], "widths_nm": [5]}}}, "meets none of the 10"),
        ({"split": {}}, "128 x 40 pixels is too small for regions of multiples of 64"),
    ],
)
def test_a_mistake_that_only_the_file_can_show(pixels, tmp_path, options, sentence):
    path, _ = pixels
    split = {"multiple": 64} if options == {"split": {}} else {"multiple": 32}
    dataset = build(**{"path": str(path), "band_axis": 0, "wavelengths_nm": NM, **options, "split": split})
    with pytest.raises(UserError) as error:
        scenes.prepare(dataset, "own", "own_train", Path(), tmp_path / "own_train.npy")
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def pairs_of(dataset, folder, ratio):
    prepared = [folder / f"{scene}.npy" for scene in dataset.scenes()]
    for path in prepared:
        scenes.prepare(dataset, "own", path.stem, Path(), path)
    degrade.degrade(prepared, "block-gauss-s2/1", ratio, folder / "pairs")
    return folder / "pairs"


EXPERIMENT = """
experiment: reno
datasets:
  own:
    path: {path}
    wavelengths_nm: {{start: 390, step: 5}}
ratios: [4]
methods: {{bicubic: {{}}, gsa: {{}}}}
"""


def test_an_experiment_on_the_real_reno_scene(tmp_path):
    if not RENO.exists():
        pytest.skip("the Reno scene is kept outside the repository and is not here")
    assert len(EXPERIMENT.strip().splitlines()) < 10
    experiment = check_experiment(yaml.safe_load(EXPERIMENT.format(path=RENO)))
    dataset = build(**experiment.datasets["own"])
    pairs = pairs_of(dataset, tmp_path, experiment.ratios[0])
    counts = np.moveaxis(scipy.io.loadmat(RENO)["C"], 2, 0)
    (test,) = load_pairs(pairs, "test")
    assert test.hr_hsi.shape == (100, 32, 128)
    np.testing.assert_allclose(test.hr_hsi * 30000, counts[:, -32:, :128], rtol=1e-6)
    assert test.lr_hsi.shape == (100, 8, 32)
    assert test.hr_msi.shape == (4, 32, 128)
    problem = load_problem(pairs)
    # The centroids of Sentinel-2A's B02, B03, B04 and B08 in nm; B08 reaches beyond the scene's last band.
    np.testing.assert_allclose(problem.srf @ problem.wavelengths_nm, [492.4, 559.8, 664.6, 832.8], atol=5)
    assert [load_pairs(pairs, split)[0].hr_hsi.shape[1:] for split in ("train", "val")] == [
        (64, 128),
        (32, 128),
    ]


def test_an_experiment_on_an_envi_file(tmp_path):
    nm = np.arange(420.0, 900, 30)
    cube = np.random.default_rng(1).integers(0, 4000, (16, 120, 40))
    pairs = pairs_of(build(path=str(write_envi(tmp_path, cube, nm, 30))), tmp_path, 8)
    (test,) = load_pairs(pairs, "test")
    np.testing.assert_allclose(test.hr_hsi * 4000, cube[:, -32:, :32], rtol=1e-5, atol=1e-3)
    assert test.lr_hsi.shape == (16, 4, 4)
