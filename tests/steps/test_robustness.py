"""Tests under other protocols: what is simulated, what a method is told, what does not apply, and the summary."""

import itertools
import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from prepared import write_scene
from safetensors.torch import save_file

from smifbench import UserError, build_method, fuse, metrics, simulate
from smifbench.degradation.degrade import degrade
from smifbench.degradation.pairs import load_pairs, load_problem
from smifbench.degradation.protocol import DEFAULT
from smifbench.errors import DamagedFile, MachineError
from smifbench.evaluation import results
from smifbench.evaluation.columns import METRICS_COLUMNS
from smifbench.fusion.build import RunMethod
from smifbench.fusion.scaled import ScaledNetwork
from smifbench.report import losses
from smifbench.run import Run
from smifbench.steps import robustness
from smifbench.system.files import read_json, write_json
from smifbench.system.identity import file_hash

GSA = Run("land", "block-gauss-s2/1", 4, "gsa", "default", 0)
SSR_NET = replace(GSA, method="ssr_net")
LATE = "block-gauss-s2/1+shift=1"


@pytest.fixture(scope="module")
def land(tmp_path_factory):
    """Two prepared scenes (6, 24, 32), their pairs at ratio 4, and a network of random weights."""
    folder = tmp_path_factory.mktemp("land")
    generator = np.random.default_rng(0)
    spectra, nm = generator.random((6, 3)), np.linspace(450, 650, 6)
    srf = np.array([[0.5, 0.5, 0, 0, 0, 0], [0, 0, 0, 0, 0.5, 0.5]])
    scenes = []
    for split in ("train", "test"):
        scenes.append(folder / "scenes" / f"land_{split}.npy")
        materials = np.cumsum(np.cumsum(generator.standard_normal((3, 24, 32)), 1), 2)
        scene = np.tensordot(spectra, (materials - materials.min()) / np.ptp(materials) / 2, 1)
        write_scene(scenes[-1], scene.astype(np.float32), split, srf, nm)
    degrade(scenes, GSA.protocol, GSA.ratio, folder / "pairs")
    (folder / "trained").mkdir()
    network = ScaledNetwork(build_method("ssr_net", load_problem(folder / "pairs")))
    weights = folder / "trained" / "weights.safetensors"
    save_file(network.state_dict(), weights)
    facts = {"status": "ok", "message": "", "train_steps": 7, "weights": file_hash(weights)}
    write_json(folder / "trained" / "facts.json", facts)
    return folder


def bench(method, pairs, scenes, memory_gb=None):
    return robustness.Bench(method, pairs, scenes, torch.device("cpu"), memory_gb)


def rows_of(land, run, *tests, options=None, trained=None, memory_gb=None):
    method = RunMethod(run, options or {}, trained)
    rows = bench(method, land / "pairs", land / "scenes", memory_gb).rows(tests)
    rows = pd.DataFrame(rows).reindex(columns=robustness.COLUMNS)
    assert robustness.COLUMNS[: len(METRICS_COLUMNS)] == METRICS_COLUMNS
    assert set(rows.trained_on) == {"block-gauss-s2/1/x4"}
    assert set(rows.scene) == {"land_test"}
    return rows


def test_under_the_training_protocol_the_images_are_those_of_the_training(land):
    (row,) = rows_of(land, GSA, (GSA.protocol, 4)).itertuples()
    (pair,) = load_pairs(land / "pairs", "test")
    estimate = fuse(build_method("gsa", load_problem(land / "pairs")), pair.lr_hsi, pair.hr_msi)
    assert row.data == pair.data
    assert float(row.psnr) == pytest.approx(metrics.score(np.array(pair.hr_hsi), estimate, 4)["psnr"])


def test_an_error_has_the_parts_that_its_origin_leaves(land):
    rows = rows_of(land, GSA, (GSA.protocol, 4), ("block-gauss-s2/1+snr_msi_db=20", 4), (LATE, 4))
    blocks, detail, whole = (rows[name].astype(float) for name in ("rmse_blocks", "rmse_detail", "rmse"))
    np.testing.assert_allclose(blocks**2 + detail**2, whole**2)
    assert detail[1] > 3 * blocks[1]  # noise of single pixels is lost in the mean of 16
    assert blocks[2] > 3 * blocks[0]  # an image out of place


def test_a_solver_is_told_the_operators_of_its_training(land):
    (row,) = rows_of(land, GSA, (LATE, 4)).itertuples()
    scene, told = np.load(land / "scenes" / "land_test.npy"), load_problem(land / "pairs")
    images = simulate(scene, 4, told.srf, replace(DEFAULT, shift=1.0))
    assert row.protocol == LATE
    estimate = fuse(build_method("gsa", told), images.lr_hsi, images.hr_msi).clip(0, 1)
    assert float(row.psnr) == pytest.approx(metrics.psnr(scene, estimate))


def test_estimated_operators_are_a_variant_of_a_solver(land):
    blind = replace(GSA, variant="estimated")
    (row,) = rows_of(land, blind, (LATE, 4), options={"operators": "estimated"}).itertuples()
    (told,) = rows_of(land, GSA, (LATE, 4)).itertuples()
    assert row.variant == "estimated"
    assert float(row.psnr) > float(told.psnr) + 2


def test_a_network_comes_with_its_weights_and_facts(land):
    tests = [(f"block-gauss-s2/1+snr_msi_db={snr}", 4) for snr in (30, 20, 10)]
    rows = rows_of(land, SSR_NET, (SSR_NET.protocol, 4), *tests, trained=land / "trained")
    assert set(rows.status) == {"ok"}
    assert set(rows.train_steps.astype(float)) == {7}
    assert rows.fuse_seconds.astype(float).gt(0).all()
    assert rows.data.nunique() == 4


def test_what_does_not_apply_is_skipped_with_the_reason(land):
    rows = rows_of(land, GSA, ("block-gauss-s2/1+response=nikon_d700", 4), (GSA.protocol, 2), (GSA.protocol, 5))
    assert list(rows.status) == ["skipped", "ok", "skipped"]
    assert rows.message[0] == "the MSI has 3 bands under block-gauss-s2/1+response=nikon_d700, and 2 in training"
    assert "ratio 5 does not divide" in rows.message[2]
    assert list(rows.psnr.notna()) == [False, True, False]
    mssjfl = replace(GSA, method="mssjfl")
    (row,) = rows_of(land, mssjfl, (GSA.protocol, 2), trained=land / "trained").itertuples()
    assert row.status == "skipped"
    assert "does not fit the network" in row.message


def test_a_failed_training_and_absent_data_are_told_in_every_row(land, tmp_path):
    write_json(tmp_path / "facts.json", {"status": "failed", "message": "the loss became nan"})
    rows = rows_of(land, SSR_NET, (GSA.protocol, 4), (LATE, 4), trained=tmp_path)
    assert set(rows.status) == {"failed"}
    assert set(rows.message) == {"the loss became nan"}
    about = read_json(land / "pairs" / "pairs.json")
    write_json(tmp_path / "pairs.json", about | {"unavailable": "no server answers"})
    (row,) = bench(RunMethod(GSA, {}), tmp_path, land / "scenes").rows([(LATE, 4)])
    assert (row["status"], row["message"]) == ("not run", "no server answers")


def test_a_bound_on_memory_holds_for_every_test(land):
    (row,) = rows_of(land, replace(GSA, method="cnmf"), (LATE, 4), memory_gb=1e-6).itertuples()
    assert row.status == "failed"
    assert "give it more memory (memory_gb)" in row.message


def test_a_method_that_raises_is_a_row_and_a_machine_that_fails_is_not(land, monkeypatch):
    def broken(*_):
        raise kind("out of luck")

    monkeypatch.setattr(robustness, "fuse", broken)
    kind = KeyError
    (row,) = rows_of(land, GSA, (LATE, 4)).itertuples()
    assert (row.status, row.message) == ("failed", "KeyError: 'out of luck'")
    kind = MemoryError
    with pytest.raises(MachineError, match="ran out of memory"):
        rows_of(land, GSA, (LATE, 4))


def test_damaged_weights_and_scenes_are_no_result(land, tmp_path):
    facts = read_json(land / "trained" / "facts.json")
    write_json(tmp_path / "facts.json", facts)
    (tmp_path / "weights.safetensors").write_bytes((land / "trained" / "weights.safetensors").read_bytes()[:-9])
    with pytest.raises(DamagedFile, match=r"weights\.safetensors is damaged"):
        rows_of(land, SSR_NET, (LATE, 4), trained=tmp_path)
    scenes = tmp_path / "scenes"
    shutil.copytree(land / "scenes", scenes)
    np.save(scenes / "land_test.npy", np.zeros((6, 24, 32), np.float32))
    with pytest.raises(DamagedFile, match=r"land_test\.npy is damaged"):
        bench(RunMethod(GSA, {}), land / "pairs", scenes).rows([(LATE, 4)])


def made_up(psnr, scenes=("a", "b"), **columns):
    """Rows of tests: {(method, protocol, ratio): psnr}; a list gives each scene its own, None fails."""
    rows = []
    for (method, protocol, ratio), values in psnr.items():
        values = values if isinstance(values, list) else [values] * len(scenes)
        for scene, value in zip(scenes, values, strict=True):
            rows.append(
                {
                    **{"experiment": "e", "dataset": "land", "protocol": protocol, "ratio": ratio, "method": method},
                    **{
                        "variant": "default",
                        "seed": 0,
                        "scene": scene,
                        "psnr": value,
                        "trained_on": "block-gauss-s2/1/x4",
                    },
                    **{"status": "failed" if value is None else "ok", "message": "" if value else "no luck", **columns},
                }
            )
    return pd.DataFrame(rows)


BASE = "block-gauss-s2/1"
ROWS = made_up(
    {
        ("gsa", BASE, 4): [40, 42],
        ("gsa", f"{BASE}+snr_hsi_db=40", 4): [39, 40],
        ("gsa", f"{BASE}+snr_hsi_db=20", 4): [30, 31],
        ("gsa", f"{BASE}+size=2r+sigma=3", 4): [41.5, 42.5],
        ("gsa", "fwhm/1", 4): [38, None],
        ("gsa", BASE, 8): [36, 38],
        ("bicubic", BASE, 4): 30,
        ("bicubic", f"{BASE}+snr_hsi_db=40", 4): 30,
        ("bicubic", f"{BASE}+snr_hsi_db=20", 4): 29,
        ("bicubic", f"{BASE}+size=2r+sigma=3", 4): 29.5,
        ("bicubic", "fwhm/1", 4): 29.75,
        ("bicubic", BASE, 8): 26,
    }
)


def test_losses_by_hand():
    table = losses.spread(ROWS).set_index("method")
    assert list(table.columns[-4:]) == ["SNR of HSI", "blur", "other protocols", "ratio"]
    gsa, bicubic = table.loc["gsa"], table.loc["bicubic"]
    assert gsa.psnr == 41
    assert gsa["SNR of HSI"] == 10.5
    assert gsa.blur == -1  # better than as trained
    assert np.isnan(gsa["other protocols"])  # a scene failed: a mean over the other alone would not compare
    assert gsa.ratio == 4
    assert gsa.mean_loss == pytest.approx((1.5 + 10.5 - 1 + 4) / 4)
    assert (gsa.worst_loss, gsa.worst_test) == (10.5, "SNR of HSI: 20 dB")
    assert (bicubic.worst_loss, bicubic.worst_test) == (4, "ratio: x8")
    assert bicubic.title == "Bicubic"
    assert (gsa.tests, bicubic.tests) == (4, 5)
    assert "GSA: mean and worst of 4 tests, of others 5." in losses.to_latex(losses.spread(ROWS))


def test_summary_is_written_before_a_failure_is_told(tmp_path):
    ROWS.to_csv(tmp_path / "metrics.csv", index=False)
    with pytest.raises(UserError, match=r"gsa/default under fwhm/1: no luck"):
        losses.write_spread(tmp_path / "metrics.csv", tmp_path / "spread.csv", tmp_path / "spread")
    assert list(pd.read_csv(tmp_path / "spread.csv").method) == ["gsa", "bicubic"]
    names = {path.name for path in (tmp_path / "spread").iterdir()}
    assert names == {"curves_land_x4.pdf", "curves_land_x4.png", "spread.tex", "summary.txt"}
    latex = (tmp_path / "spread" / "spread.tex").read_text()
    assert "GSA & 41.00 & 3.75 & 10.50 & 10.50 & -1.00 & {--} & 4.00" in latex
    assert "SNR of HSI: 20 dB" in (tmp_path / "spread" / "summary.txt").read_text()


def test_curves_start_at_zero_and_show_every_kind():
    figure = losses.curves(ROWS)
    panels = {axis.get_title(): axis for axis in figure.axes if axis.get_title()}
    assert list(panels) == ["SNR of HSI", "blur", "other protocols", "ratio"]
    noise = panels["SNR of HSI"]
    assert [label.get_text() for label in noise.get_xticklabels()] == ["as trained", "40 dB", "20 dB"]
    assert [list(line.get_ydata()) for line in noise.get_lines()] == [[0, -1.5, -10.5], [0, 0, -1]]


@pytest.mark.parametrize(
    ("protocol", "ratio", "trained_on", "expected"),
    [
        (BASE, 4, "block-gauss-s2/1/x4", ("", "as trained")),
        (BASE, 2, "block-gauss-s2/1/x4", ("ratio", "x2")),
        ("fwhm/1", 4, "block-gauss-s2/1/x4", ("other protocols", "fwhm/1")),
        (f"{BASE}+sigma=1,3+size=2r", 4, "block-gauss-s2/1/x4", ("blur", "sigma=1,3 size=2r")),
        (f"{BASE}+response_shift_nm=5", 4, "block-gauss-s2/1/x4", ("response", "5 nm")),
        (f"{BASE}+response=nikon_d700", 4, "block-gauss-s2/1/x4", ("response", "nikon_d700")),
        (f"{BASE}+misregistration=1,0", 4, "block-gauss-s2/1/x4", ("misregistration", "1,0")),
        (f"{BASE}+clip=0,1", 4, "block-gauss-s2/1/x4", ("other protocols", "clip=0,1")),
        (f"{BASE}+snr_hsi_db=40+shift=1", 4, f"{BASE}+snr_hsi_db=40/x4", ("phase", "1")),
    ],
)
def test_tests_are_called_by_what_they_change(protocol, ratio, trained_on, expected):
    assert losses._describe(protocol, ratio, trained_on) == expected


BOTH = f"{BASE}+snr_hsi_db=30+snr_msi_db=40"
TAKEN = {
    BOTH: 40.0,
    BASE: 42.0,
    f"{BASE}+snr_hsi_db=30": 41.0,
    f"{BASE}+snr_msi_db=40": 30.0,
    f"{BASE}+snr_hsi_db=30+snr_msi_db=20": 35.0,
}


@pytest.mark.parametrize("order", list(itertools.permutations(list(TAKEN)[1:])))
def test_tests_that_take_a_change_away_all_count_and_are_called_so(order):
    """Losses of -2, -1, 10 and 5 dB: the mean is 3 and the worst 10, in any order of the tests."""
    rows = made_up({("gsa", protocol, 4): TAKEN[protocol] for protocol in (BOTH, *order)}, trained_on=f"{BOTH}/x4")
    (row,) = losses.spread(rows).to_dict("records")
    assert (row["mean_loss"], row["worst_loss"]) == (3.0, 10.0)
    assert row["worst_test"] == "SNR of HSI: without 30 dB"
    assert (row["SNR of HSI"], row["SNR of MSI"]) == (10.0, 5.0)


@pytest.mark.parametrize(
    ("protocol", "trained_on", "expected"),
    [
        (BASE, f"{BOTH}/x4", ("SNR of HSI", "without 30 dB without snr_msi_db=40")),
        (f"{BASE}+snr_msi_db=20", f"{BASE}+snr_hsi_db=30/x4", ("SNR of HSI", "snr_msi_db=20 without 30 dB")),
        (
            f"{BASE}+snr_hsi_db=40",
            f"{BASE}+sigma=3+size=2r/x4",
            ("blur", "snr_hsi_db=40 without sigma=3 without size=2r"),
        ),
        (f"{BASE}+snr_hsi_db=40+snr_msi_db=30", f"{BASE}/x4", ("SNR of HSI", "40 dB snr_msi_db=30")),
        (f"{BASE}+snr_msi_db=40+snr_hsi_db=30", f"{BASE}+snr_hsi_db=30+snr_msi_db=40/x4", ("other protocols", None)),
    ],
)
def test_what_is_taken_away_is_said(protocol, trained_on, expected):
    assert losses._describe(protocol, 4, trained_on) == (expected[0], expected[1] or protocol)


def test_no_two_tests_share_a_label():
    given = made_up({("gsa", protocol, ratio): 40 for protocol, ratio in [(BASE, 4), (BASE, 8), ("fwhm/1", 8)]})
    tests = losses._tests(given)
    assert len(set(tests.values())) == 3
    assert tests["fwhm/1", 8, f"{BASE}/x4"] == ("ratio", "fwhm/1/x8")


def test_a_test_on_fewer_scenes_has_no_loss():
    rows = made_up({("gsa", BASE, 4): [40, 20], ("gsa", f"{BASE}+snr_hsi_db=40", 4): [39, 19]})
    (row,) = losses.spread(rows[:-1]).to_dict("records")
    assert row["psnr"] == 30
    assert np.isnan(row["mean_loss"])


def test_variants_and_data_sets_called_by_numbers_are_text(tmp_path):
    one = made_up({("gsa", BASE, 4): 40, ("gsa", f"{BASE}+snr_hsi_db=40", 4): 39}, dataset="2018")
    rows = pd.concat([one.assign(variant=variant) for variant in ("1", "01", "NA")])
    rows.to_csv(tmp_path / "metrics.csv", index=False)
    losses.write_spread(tmp_path / "metrics.csv", tmp_path / "spread.csv", tmp_path / "spread")
    lines = (tmp_path / "spread.csv").read_text().splitlines()[1:]
    assert [line.split(",")[2:5] for line in lines] == [["gsa", name, f"GSA {name}"] for name in ("1", "01", "NA")]
    assert (tmp_path / "spread" / "curves_2018_x4.pdf").exists()
    assert [handle.get_text() for handle in losses.curves(rows).legends[0].get_texts()] == ["GSA 1", "GSA 01", "GSA NA"]


def test_rows_load_like_those_of_any_experiment(land, tmp_path):
    rows = rows_of(land, GSA, (GSA.protocol, 4), (LATE, 4), (GSA.protocol, 2))
    rows.assign(experiment="e").to_csv(tmp_path / "metrics.csv", index=False)
    df = results.load_results(tmp_path)
    assert json.loads(df.groupby("protocol").psnr.count().to_json()) == {GSA.protocol: 2, LATE: 1}
