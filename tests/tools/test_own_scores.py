"""`smifbench score`: one pair of files gets the metrics that it would get in an experiment."""

import json
import math
import re

import numpy as np
import pytest
import scipy.io
import scipy.ndimage

from smifbench import metrics
from smifbench.__main__ import main
from smifbench.degradation.simulation import simulate

SRF = np.repeat(np.eye(2), 4, axis=1) / 4


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A smooth scene, an estimate and their pair at ratio 4, as files of the current directory; returns the cubes."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    coarse = generator.random((8, 6, 7))
    smooth = scipy.ndimage.zoom(coarse, (1, 8, 8), order=1, grid_mode=True, mode="nearest")
    truth = (0.6 * smooth + 0.3 * generator.random(smooth.shape)).clip(0, 1).astype(np.float32)
    estimate = (truth + 0.02 * generator.standard_normal(truth.shape)).astype(np.float32)
    pair = simulate(truth, 4, SRF, "block-gauss-s2/1")
    cubes = {"truth": truth, "estimate": estimate, "lr": pair.lr_hsi, "msi": pair.hr_msi}
    for name, cube in cubes.items():
        np.save(f"{name}.npy", cube)
    return cubes


def score(*arguments, reference="truth.npy", estimate="estimate.npy"):
    return main(["score", "--reference", reference, "--estimate", estimate, "--ratio", "4", *arguments])


def scores(capsys, *arguments, **files):
    assert score("--json", *arguments, **files) == 0
    return json.loads(capsys.readouterr().out)


def test_json_holds_every_metric_of_both_conventions(files, capsys):
    expected = metrics.score(files["truth"], files["estimate"], 4)
    assert scores(capsys) == {**expected, "pixels_missing": 0}
    assert {*metrics.METRICS} - {*expected} == {"spectral_consistency", "spatial_consistency"}


def test_words_hold_them_too(files, capsys):
    assert score() == 0
    text = capsys.readouterr().out
    expected = metrics.score(files["truth"], files["estimate"], 4)
    for name in expected.keys() & metrics.METRICS.keys():
        assert f"{expected[name]:.{metrics.METRICS[name].digits}f}" in text
        assert f"({name})" in text


def test_files_of_matlab_on_another_scale(files, capsys):
    cubes = {name: 255.0 * np.moveaxis(files[name], 0, -1) for name in ("truth", "estimate")}
    scipy.io.savemat("both.mat", cubes)
    flags = ("--reference-variable", "truth", "--estimate-variable", "estimate", "--scale", "255")
    found = scores(capsys, *flags, reference="both.mat", estimate="both.mat")
    assert found == pytest.approx(scores(capsys), rel=1e-5)
    found = scores(capsys, "--estimate-variable", "estimate", "--estimate-scale", "255", estimate="both.mat")
    assert found == pytest.approx(scores(capsys), rel=1e-5)


def test_consistency_with_the_images_that_were_fused(files, capsys):
    pair = ("--lr-hsi", "lr.npy", "--hr-msi", "msi.npy")
    named = scores(capsys, "--lr-hsi", "lr.npy", "--psf", "block-gauss-s2/1")
    blurred = simulate(files["estimate"].clip(0, 1), 4, SRF, "block-gauss-s2/1")
    assert named["spectral_consistency"] == pytest.approx(metrics.psnr(files["lr"], blurred.lr_hsi), rel=1e-6)
    assert "spatial_consistency" not in named
    estimated = scores(capsys, *pair)
    assert estimated["spectral_consistency"] == pytest.approx(named["spectral_consistency"], abs=0.5)
    assert estimated["spatial_consistency"] == pytest.approx(metrics.psnr(files["msi"], blurred.hr_msi), abs=0.5)
    exact = scores(capsys, *pair, estimate="truth.npy")
    assert exact["psnr"] == "inf"
    assert min(exact["spectral_consistency"], exact["spatial_consistency"]) > 60


def test_missing_pixels_do_not_count(files, capsys):
    truth = files["truth"].copy()
    truth[:, 5:9, 7] = np.nan
    np.save("holes.npy", truth)
    missing = np.isnan(truth[0])
    found = scores(capsys, "--lr-hsi", "lr.npy", "--psf", "block-gauss-s2/1", reference="holes.npy")
    assert found["pixels_missing"] == 4
    seen = (cube[:, None, ~missing] for cube in (truth, files["estimate"].clip(0, 1)))
    assert found["psnr"] == pytest.approx(metrics.psnr(*seen))
    assert math.isfinite(found["spectral_consistency"])


def test_what_is_undefined_is_null_in_json(files, capsys):
    np.save("flat.npy", np.where(np.arange(8)[:, None, None] == 3, np.float32(0.5), files["truth"]))
    assert scores(capsys, reference="flat.npy")["cc"] is None
    assert score(reference="flat.npy") == 0
    assert "undefined" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "files_given", "message"),
    [
        ((), {"reference": "gone.npy"}, "there is no file gone.npy"),
        ((), {"estimate": "gone.npy"}, "there is no file gone.npy"),
        ((), {"estimate": "lr.npy"}, "lr.npy has 8 bands of 12 x 14 pixels, the reference 8 of 48 x 56"),
        ((), {"reference": "counts.npy"}, "counts.npy has values from .* say by --scale which value becomes 1"),
        ((), {"estimate": "counts.npy"}, "98 % of its values lie from .* by --estimate-scale"),
        (("--lr-hsi", "truth.npy"), {}, r"truth.npy has shape \(8, 48, 56\) .* belong 12 x 14 and 8 bands; .*--ratio"),
        (
            ("--hr-msi", "lr.npy", "--hr-msi-band-axis", "0"),
            {},
            "belong 48 x 56; state another --ratio",
        ),
        (("--psf", "fwhm/1"), {}, "--psf is the blur of an LR-HSI; name that by --lr-hsi"),
        (("--srf", "sentinel2a_10m"), {}, "--srf is the response of an HR-MSI"),
        (("--lr-hsi", "lr.npy", "--psf", "fwmh/1"), {}, "unknown protocol 'fwmh/1'; did you mean 'fwhm/1'"),
        (("--lr-hsi", "lr.npy", "--psf", "paper-wdcm/1"), {}, "stretches every image on its own"),
        (("--hr-msi", "msi.npy", "--srf", "sentinel2a_10m"), {}, "--srf needs the bands' wavelengths"),
        (("--ratio", "5", "--lr-hsi", "lr.npy"), {}, "ratio 5 does not divide the reference's 48 x 56 pixels"),
    ],
)
def test_mistakes_are_told_in_a_sentence(arguments, files_given, message, files, capsys):
    np.save("counts.npy", (1e4 * files["truth"]).astype(np.uint16))
    assert score(*arguments, **files_given) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert re.search(message, err), err
