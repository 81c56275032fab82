"""`python -m smifbench fuse` on a simulated pair whose truth is known, in several formats, and with every mistake."""

import json
from dataclasses import replace

import numpy as np
import pytest
import scipy.io
import torch
from safetensors.torch import load_file, save_file

from smifbench import metrics, plugins, simulate
from smifbench.__main__ import main
from smifbench.data.cubes.reading import read_cube
from smifbench.data.cubes.writing import write_cube
from smifbench.degradation.protocol import DEFAULT
from smifbench.fusion import build
from smifbench.fusion.tiles import fuse
from smifbench.problem import FusionProblem
from smifbench.tools.own_fusion import one_scale_down

RATIO = 4
MSI_PLACE = {"map info": "UTM, 1, 1, 600000, 5320000, 20, 20, 32, North, WGS-84"}
HSI_PLACE = {"map info": "UTM, 1, 1, 600000, 5320000, 80, 80, 32, North, WGS-84"}
TIFF_PLACE = {
    33550: (12, 3, (20.0, 20.0, 0.0)),
    33922: (12, 6, (0.0, 0.0, 0.0, 600000.0, 5320000.0, 0.0)),
    34735: (3, 8, (1, 1, 0, 1, 1024, 0, 1, 1)),
}


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
    write_cube(folder / "hsi.hdr", counts(pair.lr_hsi), nm, georeference=HSI_PLACE)
    write_cube(folder / "msi.img", counts(pair.hr_msi), georeference=MSI_PLACE)
    write_cube(folder / "msi.tif", pair.hr_msi, georeference=TIFF_PLACE)
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
    assert fused.georeference == MSI_PLACE
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
    assert other.georeference == TIFF_PLACE
    np.testing.assert_allclose(other.wavelengths_nm, fused.wavelengths_nm)


def test_bands_stay_in_the_order_of_their_file(truth, source, tmp_path):
    _, nm, _, pair = truth
    mixed = np.random.default_rng(0).permutation(40)
    write_cube(tmp_path / "hsi.npz", counts(pair.lr_hsi)[mixed], nm[mixed])
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
    gap, fill = hsi.copy(), counts(hsi)
    gap[3, 4, 5], fill[0, 0, 0] = np.nan, -9999
    return {
        "sizes": (hsi, msi[:, :-1]),
        "sides": (hsi, msi[:, :40]),
        "exchanged": (msi, hsi),
        "same size": (hsi, np.random.default_rng(0).random((4, *hsi.shape[1:]))),
        "nan": (gap, msi),
        "fill": (fill, msi),
        "other ground": (hsi, msi[:, ::-1]),
        "band axis": (np.moveaxis(hsi, 0, 1)[:, :36], msi),
    }


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ("sizes", "no whole ratio"),
        ("sides", "no whole ratio"),
        ("exchanged", "the HSI is the finer one"),
        ("same size", "nothing to fuse"),
        ("nan", "band 3, row 4, column 5"),
        ("fill", "marks of missing pixels"),
        ("other ground", "different ground"),
        ("band axis", "or state the band axis by --hsi-band-axis"),
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


def test_grids_that_lie_elsewhere_are_refused(truth, tmp_path, capsys):
    _, nm, _, pair = truth
    write_cube(tmp_path / "hsi.hdr", pair.lr_hsi, nm, georeference=HSI_PLACE)
    for change, sentence in (("600000", "600000"), ("600000", "600190"), (" 20, 20", " 30, 30")):
        place = {"map info": MSI_PLACE["map info"].replace(change, sentence)}
        write_cube(tmp_path / "msi.hdr", pair.hr_msi, georeference=place)
        status = run(tmp_path, tmp_path / "fused.hdr", "bicubic", "hsi.hdr", "msi.hdr")
        assert status == (0 if change == sentence else 2)
        if status:
            assert_one_sentence(capsys, "geo-references")


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
