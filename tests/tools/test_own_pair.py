"""`python -m smifbench fuse` on a simulated pair whose truth is known, in several formats, and with every mistake."""

import json
from dataclasses import replace

import numpy as np
import pytest
import scipy.io
import torch
from affine import Affine
from rasterio.crs import CRS
from safetensors.torch import load_file, save_file

from smifbench import metrics, plugins, simulate
from smifbench.__main__ import main
from smifbench.data.cubes.content import Grid
from smifbench.data.cubes.reading import Cube, read_cube
from smifbench.data.cubes.writing import write_cube
from smifbench.degradation.protocol import DEFAULT
from smifbench.fusion import build
from smifbench.fusion.tiles import fuse
from smifbench.problem import FusionProblem
from smifbench.tools.own_fusion import one_scale_down

RATIO = 4
MSI_PLACE = Grid(CRS.from_epsg(32632), Affine(20, 0, 600000, 0, -20, 5320000))
HSI_PLACE = Grid(CRS.from_epsg(32632), Affine(80, 0, 600000, 0, -80, 5320000))


def save(path, image, nm=None, place=None, **words):
    write_cube(path, Cube(image, nm, None, None, 0, "made up", (), place, **words))


@pytest.fixture(scope="module")
def truth():
    """A real scene (40, 80, 144), its wavelengths, its response and the noisy pair that they make."""
    dataset = plugins.build_dataset("indian_pines")
    scene, srf = dataset.read(None, "indian_pines_train"), dataset.srf(None)
    pair = simulate(scene, RATIO, srf, replace(DEFAULT, snr_hsi_db=40, snr_msi_db=40))
    return scene, dataset.wavelengths_nm(None), srf, pair


@pytest.fixture(scope="module")
def source(truth, tmp_path_factory):
    """The pair as a user may have it: counts with a geo-reference, and reflectances in [0,1]."""
    _, nm, _, pair = truth
    folder = tmp_path_factory.mktemp("my pair")
    save(folder / "hsi.hdr", counts(pair.lr_hsi), nm, HSI_PLACE)
    save(folder / "msi.img", counts(pair.hr_msi), place=MSI_PLACE)
    save(folder / "msi.tif", pair.hr_msi, place=MSI_PLACE)
    scipy.io.savemat(folder / "hsi.mat", {"radiance": np.moveaxis(counts(pair.lr_hsi), 0, -1), "wavelength": nm})
    return folder


def counts(image):
    return np.rint(image * 10000).astype(np.int16)


def run(folder, output, method="gsa", hsi="hsi.hdr", msi="msi.img", *options):
    paths = ["--hsi", str(folder / hsi), "--msi", str(folder / msi), "--out", str(output)]
    return main(["fuse", "--method", method, *paths, "--device", "cpu", *map(str, options)])


def psnr(scene, path):
    return metrics.psnr(scene, read_cube(path).array / np.float32(10000))


def test_a_pair_without_known_operators_fuses_almost_as_well_as_with_them(truth, source, tmp_path, capsys):
    scene, nm, srf, pair = truth
    assert run(source, tmp_path / "fused.hdr") == 0
    problem = FusionProblem(40, 4, RATIO, DEFAULT.psf(RATIO), srf)
    best = metrics.psnr(scene, fuse(build.build_method("gsa", problem), pair.lr_hsi, pair.hr_msi))
    assert psnr(scene, tmp_path / "fused.hdr") > best - 0.2
    fused = read_cube(tmp_path / "fused.hdr")
    assert fused.array.dtype == np.int16
    assert fused.grid == MSI_PLACE
    np.testing.assert_allclose(fused.wavelengths_nm, nm)
    about = json.loads((tmp_path / "fused.json").read_text())
    assert about["ratio"] == RATIO
    assert about["quality"]["spectral_consistency"]["rmse"] < 0.01
    assert 0.9 < about["quality"]["qnr"] < 1
    assert about["operators"]["gain"] == pytest.approx([1, 1, 1, 1], abs=0.15)
    assert f"QNR {about['quality']['qnr']:.4f}" in capsys.readouterr().out


def test_formats_and_units_of_the_two_files_may_differ(truth, source, tmp_path):
    assert run(source, tmp_path / "a.hdr") == 0
    assert run(source, tmp_path / "b.tif", "gsa", "hsi.mat", "msi.tif") == 0
    other, fused = read_cube(tmp_path / "b.tif"), read_cube(tmp_path / "a.hdr")
    assert np.abs(other.array.astype(int) - fused.array).max() <= 25  # counts of the MSI were rounded, and are not here
    assert other.grid == MSI_PLACE
    np.testing.assert_allclose(other.wavelengths_nm, fused.wavelengths_nm)


def test_bands_stay_in_the_order_of_their_file(truth, source, tmp_path):
    _, nm, _, pair = truth
    mixed = np.random.default_rng(0).permutation(40)
    save(tmp_path / "hsi.npz", counts(pair.lr_hsi)[mixed], nm[mixed])
    (tmp_path / "nm.csv").write_text("band,wavelength_nm\n" + "".join(f"{i},{v}\n" for i, v in enumerate(nm[mixed])))
    np.save(tmp_path / "hsi.npy", counts(pair.lr_hsi)[mixed])
    assert run(source, tmp_path / "sorted.npz") == 0
    assert run(source, tmp_path / "a.npz", "gsa", tmp_path / "hsi.npz") == 0
    assert (
        run(source, tmp_path / "b.npz", "gsa", tmp_path / "hsi.npy", "msi.img", "--wavelengths", tmp_path / "nm.csv")
        == 0
    )
    expected = read_cube(tmp_path / "sorted.npz").array[mixed]
    for name in "ab":
        fused = read_cube(tmp_path / f"{name}.npz")
        np.testing.assert_array_equal(fused.array, expected)
        np.testing.assert_allclose(fused.wavelengths_nm, nm[mixed])


def test_known_operators_are_taken_as_they_are(truth, source, tmp_path):
    _, _, srf, _ = truth
    known = ["--psf", "block-gauss-s2/1", "--srf", "sentinel2a_10m"]
    assert run(source, tmp_path / "fused.hdr", "cnmf", "hsi.hdr", "msi.img", *known) == 0
    operators = json.loads((tmp_path / "fused.json").read_text())["operators"]
    np.testing.assert_allclose(operators["psf"], DEFAULT.psf(RATIO))
    assert np.shape(operators["srf"]) == srf.shape
    assert (operators["psf_source"], operators["srf_source"]) == ("block-gauss-s2/1", "sentinel2a_10m")
    assert operators["gain"] == pytest.approx([1, 1, 1, 1], abs=0.1)


def test_one_scale_down_everything_is_degraded_alike(truth):
    scene, _, srf, _ = truth
    exact = simulate(scene, RATIO, srf)
    reduced = one_scale_down(exact.lr_hsi[:, :, :35], exact.hr_msi[:, :, : 35 * RATIO], DEFAULT.psf(RATIO), RATIO)
    expected = simulate(exact.lr_hsi[:, :, :32], RATIO, srf)
    np.testing.assert_array_equal(reduced.hr_hsi, expected.hr_hsi)
    np.testing.assert_allclose(reduced.lr_hsi, expected.lr_hsi, atol=1e-6)
    np.testing.assert_allclose(reduced.hr_msi, expected.hr_msi, atol=1e-6)


def test_a_network_is_trained_on_the_pair_and_its_weights_serve_again(truth, source, tmp_path, capsys):
    assert run(source, tmp_path / "a.hdr", "ssr_net", "hsi.hdr", "msi.img", "--train", 60) == 0
    training = json.loads((tmp_path / "a.json").read_text())["training"]
    assert training["steps"] == 60
    assert training["recipe"]["patch"] == 20  # the largest multiple of the ratio in 20 x 36 pixels, below the demo's 32
    assert training["psnr"] > 20
    assert training["control_psnr"] > 40
    assert "it is not trained" in capsys.readouterr().out
    weights = tmp_path / "a.safetensors"
    assert run(source, tmp_path / "b.hdr", "ssr_net", "hsi.hdr", "msi.img", "--weights", weights) == 0
    first, again = (read_cube(tmp_path / f"{name}.hdr").array.astype(int) for name in "ab")
    assert np.abs(first - again).max() <= 1  # a count, for weights in another order of memory round otherwise
    assert run(source, tmp_path / "c.hdr", "ssr_net", "hsi.hdr", "msi.img", "--train", 1) == 0
    assert psnr(truth[0], tmp_path / "a.hdr") > psnr(truth[0], tmp_path / "c.hdr") + 3

    tensors = load_file(weights)
    save_file({**tensors, "hsi_shift": torch.zeros(31, 1, 1)}, tmp_path / "other.safetensors")
    torch.save(tensors, tmp_path / "pickle.safetensors")
    bounded = ("--weights", weights, "--memory-gb", 0.002)
    assert run(source, tmp_path / "e.hdr", "ssr_net", "hsi.hdr", "msi.img", *bounded) == 0
    assert np.abs(again - read_cube(tmp_path / "e.hdr").array.astype(int)).max() <= 1
    for name, sentence in (
        ("other.safetensors", "hsi_shift is (31, 1, 1) in the file and (40, 1, 1) in the network"),
        ("pickle.safetensors", "is no safetensors file"),
        ("absent.safetensors", "there is no file"),
    ):
        assert run(source, tmp_path / "d.hdr", "ssr_net", "hsi.hdr", "msi.img", "--weights", tmp_path / name) == 2
        assert_one_sentence(capsys, sentence)
    assert not (tmp_path / "d.hdr").exists()


def assert_one_sentence(capsys, part):
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert told.startswith("smifbench: ")
    assert part in told


def mistaken(truth):
    """Pairs that cannot be fused: name -> (hsi, msi)."""
    *_, pair = truth
    hsi, msi = pair.lr_hsi, pair.hr_msi
    fill = counts(hsi)
    fill[0, 0, 0] = -9999
    return {
        "sizes": (hsi, msi[:, :-1]),
        "sides": (hsi, msi[:, :40]),
        "exchanged": (msi, hsi),
        "same size": (hsi, np.random.default_rng(0).random((4, *hsi.shape[1:]))),
        "fill": (fill, msi),
        "other ground": (hsi, msi[:, ::-1]),
        "band axis": (hsi[:20, :, :20], msi[:, :, :80]),
    }


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ("sizes", "no whole ratio"),
        ("sides", "no whole ratio"),
        ("exchanged", "the HSI is the finer one"),
        ("same size", "nothing to fuse"),
        ("fill", "say --hsi-missing=-9999"),
        ("other ground", "different ground"),
        ("band axis", "--hsi-band-axis"),
    ],
)
def test_what_is_no_pair_is_told_in_one_sentence(truth, tmp_path, capsys, case, sentence):
    hsi, msi = mistaken(truth)[case]
    np.save(tmp_path / "hsi.npy", hsi)
    np.save(tmp_path / "msi.npy", msi)
    axes = [] if case == "band axis" else ["--hsi-band-axis", 0, "--msi-band-axis", 0]
    assert run(tmp_path, tmp_path / "fused.hdr", "gsa", "hsi.npy", "msi.npy", *axes) == 2
    assert_one_sentence(capsys, sentence)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hsi.npy", "msi.npy"]


@pytest.mark.parametrize(
    ("method", "options", "sentence"),
    [
        ("gsa", ["--train", 5], "gsa solves"),
        ("gas", [], "did you mean 'gsa'?"),
        ("gsa", ["--psf", "block-gaus-s2/1"], "did you mean 'block-gauss-s2/1'?"),
        ("gsa", ["--srf", "nikon_d700"], "response nikon_d700 has 3 bands, but the MSI 4"),
        ("gsa", ["--wavelengths", "400,500"], "2 wavelengths are stated"),
        ("gsa", ["--wavelengths", "no_such.csv"], "wavelength 1 is 'no_such.csv'"),
        ("gsa", ["--scale", "-1"], "scale is -1"),
        ("gsa", ["--config", "no_such.yaml"], "does not exist"),
    ],
)
def test_a_mistaken_option_is_told_in_one_sentence(source, tmp_path, capsys, method, options, sentence):
    assert run(source, tmp_path / "fused.hdr", method, "hsi.hdr", "msi.img", *options) == 2
    assert_one_sentence(capsys, sentence)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_suffix_is_told_before_any_work(source, tmp_path, capsys):
    assert run(source, tmp_path / "fused.jpg") == 2
    assert_one_sentence(capsys, "of no known format")


def test_the_sizes_of_the_two_files_decide_the_axis_of_the_bands(truth, source, tmp_path):
    """Three sides that tell nothing by themselves: 20 rows, 40 bands, 36 columns."""
    *_, pair = truth
    np.save(tmp_path / "hsi.npy", np.moveaxis(counts(pair.lr_hsi), 0, 1))
    assert run(tmp_path, tmp_path / "a.npy", "gsa", "hsi.npy", source / "msi.img") == 0
    assert run(source, tmp_path / "b.npy", "gsa", "hsi.hdr", source / "msi.img") == 0
    assert np.abs(np.load(tmp_path / "a.npy").astype(int) - np.load(tmp_path / "b.npy")).max() <= 1


@pytest.mark.parametrize("steps", ["0", "-5", "many"])
def test_a_budget_is_a_positive_number(source, tmp_path, capsys, steps):
    with pytest.raises(SystemExit):
        run(source, tmp_path / "a.npy", "ssr_net", "hsi.hdr", "msi.img", f"--train={steps}")
    assert f"'{steps}' is no whole number of at least 1" in capsys.readouterr().err


CORNER = np.add.outer(np.arange(80), np.arange(144)) < 10
CLOUD = np.hypot(np.arange(80)[:, None] - 40, np.arange(144) - 60) < 9
GROUND = np.zeros((20, 36), bool)
GROUND[:, :3] = GROUND[12:14, 20] = True


@pytest.fixture(scope="module")
def whole(source):
    """Fuse the pair without gaps, once for each method."""
    done = {}

    def fused(method):
        if method not in done:
            assert run(source, source / f"whole_{method}.tif", method) == 0
            done[method] = read_cube(source / f"whole_{method}.tif")
        return done[method]

    return fused


@pytest.mark.parametrize(
    ("method", "msi_gap", "hsi_gap"),
    [
        ("gsa", CORNER, None),
        ("gsa", None, GROUND),
        ("gsa", CLOUD, GROUND),
        ("cnmf", CLOUD, GROUND),
        ("bicubic", CLOUD, GROUND),
    ],
)
def test_missing_pixels_leave_the_others_as_they_are(truth, whole, tmp_path, method, msi_gap, hsi_gap):
    scene, nm, _, pair = truth
    hsi, msi, missing = counts(pair.lr_hsi), counts(pair.hr_msi), np.zeros((80, 144), bool)
    if hsi_gap is not None:
        hsi[:, hsi_gap] = -9999
        missing |= hsi_gap.repeat(4, 0).repeat(4, 1)
    if msi_gap is not None:
        msi[:, msi_gap] = 32767
        missing |= msi_gap
    save(tmp_path / "h.hdr", hsi, nm, HSI_PLACE, nodata=-9999)
    save(tmp_path / "m.tif", msi, None, MSI_PLACE, nodata=32767)
    assert run(tmp_path, tmp_path / "gaps.tif", method, "h.hdr", "m.tif") == 0
    gaps = read_cube(tmp_path / "gaps.tif")
    np.testing.assert_array_equal(gaps.missing, missing)
    assert gaps.nodata == -9999
    images = whole(method).array, gaps.array
    valid = [metrics.valid_pixels(image / np.float32(10000), missing) for image in images]
    truth_there = metrics.valid_pixels(scene, missing)
    assert metrics.psnr(truth_there, valid[1]) > metrics.psnr(truth_there, valid[0]) - 0.2
    about = json.loads((tmp_path / "gaps.json").read_text())
    assert about["pixels_missing"] == missing.sum()
    assert about["scale"] == 8000


def test_missing_pixels_are_told(truth, tmp_path, capsys):
    _, nm, _, pair = truth
    hsi = pair.lr_hsi.copy()
    hsi[3, 4, 5] = np.nan
    msi = counts(pair.hr_msi)
    msi[:, 70:, 140:] = 0
    save(tmp_path / "h.tif", hsi, nm)
    save(tmp_path / "m.hdr", msi)
    assert run(tmp_path, tmp_path / "a.tif", "gsa", "h.tif", "m.hdr") == 0
    said = capsys.readouterr().out
    assert (
        "missing pixels: 1 of the HSI, 0 of the MSI; the result's 16 pixels on their ground are written as nan" in said
    )
    assert "40 pixels are 0 in all bands" in said
    assert run(tmp_path, tmp_path / "b.tif", "gsa", "h.tif", "m.hdr", "--msi-missing", 0) == 0
    assert "missing pixels: 1 of the HSI, 40 of the MSI" in capsys.readouterr().out
    assert np.isnan(read_cube(tmp_path / "b.tif").array[:, 70:, 140:]).all()


def test_what_missing_pixels_do_to_the_others_is_told_with_value_count_and_remedy(truth, tmp_path, capsys):
    """A network that is trained on fewer pixels of the pair may lose a decibel on the others."""
    _, nm, _, pair = truth
    hsi, msi = counts(pair.lr_hsi), counts(pair.hr_msi)
    hsi[:, :6, :10], msi[:, 70:, 140:] = -9999, 0
    save(tmp_path / "h.hdr", hsi, nm, nodata=-9999)
    save(tmp_path / "m.hdr", msi)
    for method, options, remedy in (("gsa", [], "crop both files"), ("ssr_net", ["--train", 1], "give --weights")):
        out = tmp_path / f"{method}.hdr"
        assert run(tmp_path, out, method, "h.hdr", "m.hdr", "--msi-missing", 0, *options) == 0
        (told,) = [note for note in json.loads(out.with_suffix(".json").read_text())["notes"] if "filled in" in note]
        assert "60 of 720 pixels of the HSI are missing (the value -9999)" in told
        assert "40 of 11520 pixels of the MSI are missing (the value 0)" in told
        assert remedy in told
        assert f"note: {told}" in capsys.readouterr().out


def test_missing_values_are_named_as_the_file_stores_them(truth, source, tmp_path, capsys):
    """By the gains, 65535 becomes a value that no user can know, and 1000 becomes 0."""
    _, nm, _, pair = truth
    calibration = {"gain": np.full(40, 1e-4), "offset": np.full(40, -0.1), "stored": np.dtype("i2")}
    image = pair.lr_hsi.astype(np.float32)
    image[:, 3, 4] = -0.1 - 0.9999  # -9999 as stored
    save(tmp_path / "h.hdr", image, nm, HSI_PLACE, **calibration)
    assert run(tmp_path, tmp_path / "a.tif", "gsa", "h.hdr", source / "msi.img") == 2
    assert_one_sentence(capsys, "say --hsi-missing=-9999")
    assert run(tmp_path, tmp_path / "a.tif", "gsa", "h.hdr", source / "msi.img", "--hsi-missing=-9999") == 0
    fused = read_cube(tmp_path / "a.tif")
    assert (fused.missing.sum(), fused.nodata) == (16, -9999)
    assert "1 of 720 pixels of the HSI are missing (the value -9999)" in capsys.readouterr().out


def test_a_network_is_trained_around_missing_pixels(truth, tmp_path):
    _, nm, _, pair = truth
    hsi = counts(pair.lr_hsi)
    hsi[:, :4, :4] = -32768
    save(tmp_path / "h.hdr", hsi, nm, nodata=-32768)
    save(tmp_path / "m.hdr", counts(pair.hr_msi))
    assert run(tmp_path, tmp_path / "a.hdr", "ssr_net", "h.hdr", "m.hdr", "--train", 20) == 0
    assert json.loads((tmp_path / "a.json").read_text())["training"]["control_psnr"] > 40
    assert read_cube(tmp_path / "a.hdr").missing.sum() == 256


def test_bands_that_the_file_calls_bad_or_that_are_empty_stay_out(truth, tmp_path, capsys):
    _, nm, _, pair = truth
    hsi = counts(pair.lr_hsi)
    hsi[10:12], hsi[20] = -32768, 32000
    save(tmp_path / "h.hdr", hsi, nm, nodata=-32768, bad_bands=(20,))
    save(tmp_path / "m.hdr", counts(pair.hr_msi))
    assert run(tmp_path, tmp_path / "a.hdr", "gsa", "h.hdr", "m.hdr") == 0
    said = capsys.readouterr().out
    assert "bands 20, which the file calls bad, are left out" in said
    assert "bands 10-11 hold no value at all and are left out" in said
    fused, kept = read_cube(tmp_path / "a.hdr"), [*range(10), *range(12, 20), *range(21, 40)]
    np.testing.assert_allclose(fused.wavelengths_nm, nm[kept])
    assert fused.missing is None
    about = json.loads((tmp_path / "a.json").read_text())
    assert about["scale"] == 8000
    assert about["bands"]["hsi"] == "[[0, 9], [12, 19], [21, 39]]"
    assert run(tmp_path, tmp_path / "b.hdr", "gsa", "h.hdr", "m.hdr", "--hsi-bands", "all") == 2
    assert_one_sentence(capsys, "every pixel is missing")


@pytest.mark.parametrize(
    ("choice", "kept"),
    [
        ("0-20,25", [*range(21), 25]),
        ("not 4-9", [*range(4), *range(10, 40)]),
        ("400-900nm", None),
        ("0.4-0.9um,39", None),
    ],
)
def test_bands_are_chosen_by_number_or_wavelength(truth, source, tmp_path, choice, kept):
    _, nm, *_ = truth
    within = np.flatnonzero((nm >= 400) & (nm <= 900)).tolist()
    kept = within + [39] * ("39" in choice) if kept is None else kept
    assert run(source, tmp_path / "a.hdr", "bicubic", "hsi.hdr", "msi.img", "--hsi-bands", choice) == 0
    np.testing.assert_allclose(read_cube(tmp_path / "a.hdr").wavelengths_nm, nm[kept])


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        ("0-40", "band 40 is named"),
        ("a", "of --hsi-bands is no choice of bands"),
        ("1-2nm", "leaves none of the 40 bands"),
    ],
)
def test_a_mistaken_choice_of_bands_is_told(source, tmp_path, capsys, choice, sentence):
    assert run(source, tmp_path / "a.hdr", "gsa", "hsi.hdr", "msi.img", "--hsi-bands", choice) == 2
    assert_one_sentence(capsys, sentence)


def test_one_band_is_an_msi_too(truth, source, tmp_path):
    *_, pair = truth
    save(tmp_path / "pan.tif", counts(pair.hr_msi).mean(0, keepdims=True).astype(np.int16))
    assert run(source, tmp_path / "a.hdr", "gsa", "hsi.hdr", tmp_path / "pan.tif") == 0
    assert run(source, tmp_path / "b.hdr", "gsa", "hsi.hdr", "msi.img", "--msi-bands", "2") == 0


@pytest.mark.parametrize("output", ["hsi.hdr", "msi.img", "msi.tif", "hsi.mat", "hsi.img"])
def test_an_output_replaces_no_input(source, capsys, output):
    before = {path.name: path.read_bytes() for path in source.iterdir()}
    hsi, msi = ("hsi.mat" if output == "hsi.mat" else "hsi.hdr"), ("msi.tif" if output == "msi.tif" else "msi.img")
    assert run(source, source / output, "gsa", hsi, msi) == 2
    assert_one_sentence(capsys, "is an input and would be replaced")
    assert {path.name: path.read_bytes() for path in source.iterdir()} == before


def test_an_output_replaces_no_weights(truth, source, tmp_path, capsys):
    assert run(source, tmp_path / "a.hdr", "ssr_net", "hsi.hdr", "msi.img", "--train", 1) == 0
    again = ("--weights", tmp_path / "a.safetensors")
    assert run(source, tmp_path / "a.hdr", "ssr_net", "hsi.hdr", "msi.img", *again) == 2
    assert_one_sentence(capsys, "a.safetensors is an input")


@pytest.mark.parametrize("name", ["a.json", "a.safetensors"])
def test_a_file_beside_the_output_that_is_not_of_fuse_is_never_replaced(source, tmp_path, capsys, name):
    (tmp_path / name).write_text('{"mine": 1}')
    assert run(source, tmp_path / "a.hdr") == 2
    assert_one_sentence(capsys, f"{name} is there already and was not written by fuse")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert run(source, tmp_path / "b.hdr") == run(source, tmp_path / "b.hdr") == 0


def test_gains_of_the_file_are_undone_in_the_result(truth, source, tmp_path, capsys):
    scene, nm, _, pair = truth
    gain, offset = np.linspace(1e-4, 3e-4, 40), np.full(40, -0.1)
    stored = {"gain": gain, "offset": offset, "stored": np.dtype("u2")}
    save(tmp_path / "h.hdr", pair.lr_hsi.astype(np.float32), nm, HSI_PLACE, **stored)
    assert run(tmp_path, tmp_path / "a.hdr", "gsa", "h.hdr", source / "msi.img") == 0
    fused = read_cube(tmp_path / "a.hdr")
    assert fused.stored == np.uint16
    np.testing.assert_allclose(fused.gain, gain)
    assert metrics.psnr(scene, fused.array) > 41.5
    told = f"{tmp_path / 'h.hdr'}: gains 0.0001 .. 0.0003 and offsets -0.1 of the file are applied"
    assert told in json.loads((tmp_path / "a.json").read_text())["notes"]
    assert f"note: {told}" in capsys.readouterr().out


def test_a_scale_factor_changes_neither_the_result_nor_its_units(truth, source, tmp_path):
    _, nm, _, pair = truth
    save(tmp_path / "h.hdr", counts(pair.lr_hsi), nm, HSI_PLACE, words={"reflectance scale factor": "10000"})
    assert run(tmp_path, tmp_path / "a.hdr", "gsa", "h.hdr", source / "msi.img") == 0
    assert run(source, tmp_path / "b.hdr") == 0
    assert "reflectance scale factor = 10000" in (tmp_path / "a.hdr").read_text()
    a, b = (np.fromfile(tmp_path / f"{name}.img", "<i2").astype(int) for name in "ab")
    assert np.abs(a - b).max() <= 1
