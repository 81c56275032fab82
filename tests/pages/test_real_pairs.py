"""docs/limits.md prints of real pairs what the kept rows hold, and its snippet what the scene gives."""

import contextlib
import io
import re
import shutil

import pandas as pd
import pytest
import real_pairs
from conftest import SHARED

from smifbench import load_results

PAGE = real_pairs.PAGE.read_text(encoding="utf-8")
TEXT = " ".join(PAGE.split())
REAL = SHARED / "data" / "other" / "SanFrancisco_FR.mat"
PROTOCOLS = real_pairs.MEASURED, real_pairs.SIMULATED
NETWORKS = ["ssr_net", "tsfn", "mssjfl", "smif_net"]


@pytest.fixture(scope="module")
def psnr():
    """PSNR by protocol, ratio, method and variant."""
    return load_results(real_pairs.REFERENCE).set_index(real_pairs.KEYS).psnr.sort_index()


@pytest.fixture(scope="module")
def lost(psnr):
    """What the measured MSI costs, by ratio, method and variant."""
    return psnr[real_pairs.SIMULATED] - psnr[real_pairs.MEASURED]


def test_the_table_is_that_of_the_rows():
    assert real_pairs.table(real_pairs.REFERENCE) in PAGE
    assert real_pairs.with_table(PAGE, real_pairs.table(real_pairs.REFERENCE)) == PAGE


def test_other_rows_take_the_place_of_the_tables():
    assert real_pairs.with_table(PAGE, "| one row |\n").count("| one row |\n") == 1
    assert "| LLA-Net | 39" not in real_pairs.with_table(PAGE, "| one row |\n")


def test_only_the_response_of_the_simulated_msi_is_known():
    rows = load_results(real_pairs.REFERENCE).set_index("protocol")
    assert rows.spatial_consistency[real_pairs.MEASURED].isna().all()
    assert rows.spatial_consistency[real_pairs.SIMULATED].notna().all()
    assert rows[["uiqi", "q2n", "spectral_consistency"]].notna().all(axis=None)


def test_the_page_prints_who_loses_how_much(psnr, lost):
    networks = [lost[4, name, "default"] for name in NETWORKS]
    assert f"GSA loses {lost[4, 'gsa', 'default']:.1f} dB and FUSE {lost[4, 'fuse', 'default']:.1f}, the" in TEXT
    assert f"of the paper {min(networks):.1f} to {max(networks):.1f}." in TEXT
    assert f"as the solvers ({lost[4, 'lla_net', 'default']:.1f} dB)" in TEXT
    for ratio, below in ((4, {"ssr_net", "tsfn"}), (2, {"ssr_net"})):
        real, made = (psnr[protocol, ratio].xs("default", level="variant") for protocol in PROTOCOLS)
        assert {name for name in NETWORKS if real[name] < real.gsa} == below
        assert all(made[name] < made.gsa for name in NETWORKS)
    real = psnr[real_pairs.MEASURED].xs("default", level="variant")
    above = [real[ratio, "lla_net"] - real[ratio, "gsa"] for ratio in (4, 2)]
    assert "{:.1f} dB above GSA** at ratio 4 and {:.1f} dB at ratio 2".format(*above) in TEXT


def test_the_page_prints_what_estimated_operators_cost(psnr):
    cost = psnr.xs("default", level="variant") - psnr.xs("estimated", level="variant")
    gsa, fuse = (cost[real_pairs.MEASURED].xs(name, level="method").max() for name in ("gsa", "fuse"))
    assert f"costs GSA up to {gsa:.1f} dB and FUSE up to {fuse:.1f};" in TEXT
    assert cost[real_pairs.SIMULATED].max() < 0.05


def test_the_page_prints_what_qnr_sees(psnr):
    qnr = pd.read_csv(real_pairs.REFERENCE / "no_reference.csv").set_index(real_pairs.KEYS).qnr.sort_index()
    real, made = (qnr[protocol, 4].xs("default", level="variant") for protocol in PROTOCOLS)
    assert f"it is {real.gsa:.3f} for GSA, {real.lla_net:.3f} for LLA-Net and {real.mssjfl:.3f} for MSSJFL" in TEXT
    assert f"it falls from {made.gsa:.3f} to {real.gsa:.3f}" in TEXT
    reached = psnr[real_pairs.MEASURED, 4].xs("default", level="variant")
    assert f"which is {reached.mssjfl - reached.gsa:.1f} dB better than GSA" in TEXT


@pytest.mark.skipif(not REAL.exists(), reason="the scene is kept outside the repository and is not here")
def test_the_pages_snippet_prints_the_pages_numbers(tmp_path, monkeypatch):
    (tmp_path / "data" / "raw" / "eo1").mkdir(parents=True)
    shutil.copy(REAL, tmp_path / "data" / "raw" / "eo1")
    monkeypatch.chdir(tmp_path)
    snippet = re.search(r"```python\n(from pathlib.*?)```", PAGE, re.DOTALL)[1]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(snippet, {})
    shares, (measured, simulated) = re.findall(r": (.*%)", printed.getvalue()), printed.getvalue().split()[-2:]
    assert "all but {} of the variance of ALI's pixels, all but {} of that of means of 2 x 2".format(*shares) in TEXT
    assert f"all but {shares[2]} of 4 x 4" in TEXT
    assert f"reaches {measured} dB over the test region; on the simulated bands it reaches {simulated} dB" in TEXT
