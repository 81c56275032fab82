"""A user's own pair by config alone: the measured MSI in place of a simulated one, on the grid of the HSI."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from affine import Affine
from rasterio.crs import CRS

from smifbench import UserError, build_method, fuse, plugins
from smifbench.data import scenes
from smifbench.data.cubes.content import Grid
from smifbench.data.cubes.reading import Cube
from smifbench.data.cubes.writing import write_cube
from smifbench.degradation.degrade import degrade
from smifbench.degradation.pairs import load_pairs, load_problem
from smifbench.degradation.protocol import get_protocol
from smifbench.experiment.config import check_experiment
from smifbench.system.files import read_json

MEASURED = "block-gauss-s2/1+msi=measured"
NM = [450.0, 500.0, 550.0, 600.0, 650.0, 700.0]
SPLIT = {"multiple": 8, "guard": 4}
SHAPE = 64, 24


def build(folder, **options):
    stated = {"hsi": str(folder / "hsi.npy"), "msi": str(folder / "msi.npy"), "wavelengths_nm": NM, "split": SPLIT}
    return plugins.build_dataset("own_pair", **stated | options)


@pytest.fixture
def images(tmp_path):
    """An HSI (6, 64, 24) and an MSI (2, 64, 24) of counts, saved; the folder and both."""
    generator = np.random.default_rng(0)
    hsi, msi = generator.integers(1, 900, (6, *SHAPE)), generator.integers(1, 500, (2, *SHAPE))
    save(tmp_path, hsi, msi)
    return tmp_path, hsi, msi


def save(folder, hsi, msi):
    np.save(folder / "hsi.npy", hsi)
    np.save(folder / "msi.npy", msi)


def pairs_of(dataset, folder, protocol=MEASURED, ratio=4):
    prepared = [folder / "scenes" / f"{scene}.npy" for scene in dataset.scenes()]
    for path in prepared:
        scenes.prepare(dataset, "mine", path.stem, folder, path)
    degrade(prepared, protocol, ratio, folder / "pairs")
    return folder / "pairs"


def test_the_measured_msi_takes_the_place_of_the_simulated_one(images):
    folder, hsi, msi = images
    pairs = pairs_of(build(folder, scale=1000, msi_scale=500), folder)
    (pair,) = load_pairs(pairs, "test")
    np.testing.assert_allclose(pair.hr_hsi, hsi[:, -16:] / 1000, rtol=1e-6)
    np.testing.assert_allclose(pair.hr_msi, msi[:, -16:] / 500, rtol=1e-6)
    psf = get_protocol(MEASURED).psf(4)
    np.testing.assert_allclose(pair.lr_hsi[2, 0, 1], (psf * hsi[2, -16:-12, 4:8]).sum() / 1000, rtol=1e-5)
    problem = load_problem(pairs)
    assert (problem.bands, problem.msi_bands, problem.ratio, problem.srf) == (6, 2, 4, None)
    np.testing.assert_allclose(problem.psf, psf)
    np.testing.assert_allclose(problem.wavelengths_nm, NM)


def test_rows_say_that_the_msi_is_measured(images):
    folder, _, _ = images
    np.savetxt(folder / "srf.csv", [[450, 1, 0], [700, 0, 1]], "%g", ",", header="wavelength_nm,a,b", comments="")
    dataset = build(folder, response=str(folder / "srf.csv"))
    measured, simulated = (
        load_pairs(pairs_of(dataset, folder / name, protocol), "test")[0]
        for name, protocol in (("measured", MEASURED), ("simulated", "block-gauss-s2/1"))
    )
    assert measured.data != simulated.data
    np.testing.assert_array_equal(measured.lr_hsi, simulated.lr_hsi)
    np.testing.assert_array_equal(measured.hr_hsi, simulated.hr_hsi)
    assert not np.array_equal(measured.hr_msi, simulated.hr_msi)
    assert read_json(folder / "measured" / "pairs" / "pairs.json")["protocol"] == MEASURED
    about = read_json(folder / "measured" / "scenes" / "own_pair_test.json")
    assert about["measured_msi_bands"] == 2
    assert set(about["sources"]) == {"hsi.npy", "msi.npy", "srf.csv"}


def test_nothing_held_out_or_of_the_guard_reaches_what_is_trained_on(images):
    folder, hsi, msi = images
    options = {"scale": 1000, "msi_scale": 500}
    (before,) = load_pairs(pairs_of(build(folder, **options), folder / "before"), "train")
    rows = before.hr_hsi.shape[1]
    hsi, msi = hsi.copy(), msi.copy()
    hsi[:, rows:], msi[:, rows:] = 7, 7
    save(folder, hsi, msi)
    (after,) = load_pairs(pairs_of(build(folder, **options), folder / "after"), "train")
    assert after.data == before.data
    assert build(folder)._regions()["val"][0].start >= rows + SPLIT["guard"]


def test_a_finer_msi_is_averaged_over_each_pixel_of_the_hsi(images):
    folder, _, _ = images
    fine = np.random.default_rng(1).integers(1, 500, (2, 3 * SHAPE[0], 3 * SHAPE[1]))
    np.save(folder / "msi.npy", fine)
    dataset = build(folder, msi_scale=500)
    means = fine.reshape(2, SHAPE[0], 3, SHAPE[1], 3).mean((2, 4))
    np.testing.assert_allclose(dataset.msi(Path(), "own_pair_test"), means[:, -16:] / 500, rtol=1e-6)


def test_the_common_ground_of_geo_referenced_files_is_cut_out(images):
    folder, hsi, msi = images
    crs = CRS.from_epsg(32632)
    for name, image, top, nm in (("hsi", hsi, 0, NM), ("msi", msi, 8, None)):
        place = Grid(crs, Affine(30, 0, 600000, 0, -30, 5320000 - 30 * top))
        nm = None if nm is None else np.array(nm)
        write_cube(folder / f"{name}.hdr", Cube(image.astype(np.int16), nm, None, None, 0, "made up", (), place))
    files = {"hsi": str(folder / "hsi.hdr"), "msi": str(folder / "msi.hdr"), "wavelengths_nm": None}
    dataset = build(folder, scale=1000, msi_scale=500, **files)
    np.testing.assert_allclose(dataset.read(Path(), "own_pair_train")[:, 0], hsi[:, 8] / 1000, rtol=1e-6)
    np.testing.assert_allclose(dataset.msi(Path(), "own_pair_train")[:, 0], msi[:, 0] / 500, rtol=1e-6)


def test_what_is_missing_in_one_image_is_missing_in_the_pair(images):
    folder, hsi, msi = images
    hsi, msi = hsi.copy(), np.repeat(np.repeat(msi, 2, 1), 2, 2)
    hsi[0, 60, 3] = msi[1, 2 * 61, 2 * 5 + 1] = -999
    save(folder, hsi, msi)
    dataset = build(folder, hsi_missing=-999, msi_missing=-999)
    (pair,) = load_pairs(pairs_of(dataset, folder), "test")
    assert np.argwhere(pair.missing).tolist() == [[12, 3], [13, 5]]
    assert pair.hr_msi.min() > 0


@pytest.mark.parametrize("method", ["gsa", "cnmf", "fuse"])
@pytest.mark.parametrize("operators", ["known", "estimated"])
def test_solvers_fuse_without_a_response(method, operators, images):
    folder, _, _ = images
    scene = np.random.default_rng(2).random((2, *SHAPE)) + 1
    mixed = np.einsum("bc,chw->bhw", [[300, 0], [250, 50], [200, 100], [100, 200], [50, 250], [0, 300]], scene)
    save(folder, mixed, 400 * scene + 20)
    pairs = pairs_of(build(folder), folder, ratio=2)
    (pair,) = load_pairs(pairs, "train")
    errors = [
        np.std(fuse(build_method(name, load_problem(pairs), **options), pair.lr_hsi, pair.hr_msi) - pair.hr_hsi)
        for name, options in ((method, {"operators": operators}), ("bicubic", {}))
    ]
    assert errors[0] < 0.5 * errors[1]


def config(folder, protocols, **options):
    stated = {"hsi": str(folder / "hsi.npy"), "msi": str(folder / "msi.npy"), "wavelengths_nm": NM, "split": SPLIT}
    return {
        "experiment": "mine",
        "datasets": {"mine": {"reader": "own_pair", **stated, **options}},
        "protocols": protocols,
        "ratios": [2, 4],
        "methods": {"gsa": {}},
    }


def test_the_pages_example_is_an_experiment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (plugins.ROOT / "docs" / "datasets.md").read_text(encoding="utf-8")
    example = yaml.safe_load(re.search(r"```yaml\n(experiment: my_pair\n.*?)```", page, re.DOTALL)[1])
    generator, crs = np.random.default_rng(0), CRS.from_epsg(32632)
    for name, bands, side, nm in (("enmap.hdr", 6, 30, np.array(NM)), ("sentinel2.tif", 4, 10, None)):
        image = generator.integers(1, 900, (bands, 3840 // side, 960 // side), dtype=np.int16)
        place = Grid(crs, Affine(side, 0, 600000, 0, -side, 5320000))
        write_cube(tmp_path / name, Cube(image, nm, None, None, 0, "made up", (), place))
    dataset = check_experiment(example).build_dataset("field")
    assert dataset.msi(Path(), "own_pair_test").shape == (4, 32, 32)
    assert dataset.read(Path(), "own_pair_test").shape == (6, 32, 32)


def test_an_experiment_is_a_few_lines(images):
    experiment = check_experiment(config(images[0], [MEASURED]))
    assert [run.protocol for run in experiment.runs()] == [MEASURED] * 2
    assert experiment.build_dataset("mine").sources() == [images[0] / "hsi.npy", images[0] / "msi.npy"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"protocols": ["block-gauss-s2/1"]},
            r"mine states no response .* protocols: \[block-gauss-s2/1\+msi=measured\]",
        ),
        ({"protocols": [f"{MEASURED}+response=nikon_d700"]}, "a measured MSI has its own response; leave out response"),
        ({"protocols": ["block-gauss-s2/1+msi=guessed"]}, "unknown msi 'guessed'"),
        ({"datasets": {"indian_pines": {}}}, "takes a measured MSI, which indian_pines does not bring"),
    ],
)
def test_a_protocol_that_does_not_fit_the_data_is_refused_at_once(change, sentence, images):
    with pytest.raises(UserError, match=sentence):
        check_experiment(config(images[0], [MEASURED]) | change)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"msi": ""}, "own_pair: name both files"),
        ({"scale": -1}, "data set own_pair: scale must be a positive number"),
        ({"split": {"guard": -1}}, "data set own_pair: split.guard must be"),
        ({"wavelengths_nm": None}, "list them as wavelengths_nm"),
        ({"msi_scale": 10}, "with msi_scale 10 the test region ranges over"),
        ({"msi_bands": "9"}, "band 9 is named"),
        ({"response": "sentinel2a_20m"}, "meets none|has 2 bands and the response 10"),
    ],
)
def test_a_wrong_option_is_told(options, sentence, images):
    with pytest.raises(UserError, match=sentence):
        scenes.prepare(build(images[0], **options), "mine", "own_pair_test", images[0], images[0] / "out" / "a.npy")
    assert not (images[0] / "out" / "a.npy").exists()


def test_flags_of_the_command_are_told_as_keys(images):
    folder, hsi, msi = images
    hsi = hsi.copy()
    hsi[0, 0, 0] = -9999
    save(folder, hsi, msi)
    with pytest.raises(UserError, match="say hsi_missing=-9999"):
        build(folder).read(Path(), "own_pair_test")
