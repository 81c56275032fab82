"""The report: one small file that opens offline and says what the results say."""

import base64
import io
import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from made_up import NOISE, reference
from PIL import Image

from smifbench.report.comparison import Comparison
from smifbench.report.page import write_report
from smifbench.report.style import styles
from smifbench.report.viewer import CUBE_BYTES, PICTURE_BYTES, view

pytestmark = pytest.mark.xdist_group("report")  # one made-up experiment for all


@pytest.fixture(scope="module")
def page(made_up):
    return (made_up[0] / "report.html").read_text()


def views_of(page):
    return json.loads(re.search(r'<script type="application/json" id="views">(.*?)</script>', page, re.DOTALL).group(1))


def decoded(view):
    """Reference and errors of a view's cube, as the page's script reads them."""
    side = view["box"][2]
    shape = (len(view["nm"]), side, side)
    values = np.frombuffer(base64.b64decode(view["reference"]["values"]), "<u2").reshape(shape) / 65535
    errors = {
        about["name"]: np.frombuffer(base64.b64decode(about["values"]), np.int8).reshape(shape)
        / 127
        * np.array(about["scale"])[:, None, None]
        for about in view["methods"]
    }
    return values, errors


def test_the_page_asks_nothing_of_the_network(page):
    assert not re.search(r"""(src|href|action)\s*=\s*["']?(https?:)?//""", page)
    assert not re.search(r"@import|url\(\s*[\"']?http|fetch\(|XMLHttpRequest", page)


def test_every_method_setting_and_citation_is_there(page):
    rows = re.findall(r'<tr data-title="([^"]*)" data-dataset-title="([^"]*)" data-ratio="(\d)" data-protocol', page)
    board = rows[: len(rows) // 2]  # the statistics are by the same settings
    assert len(set(board)) == len(board) == 4 * 2 * 2
    for key in ("keys1981bicubic", "aiazzi2007gsa", "zhang2021ssrnet"):
        assert page.count(f"{{{key},") == 1


def test_a_users_text_is_text(page):
    assert "Made up: &lt;b&gt;noise&lt;/b&gt; &amp; nothing else." in page


def test_what_failed_is_told(page):
    assert "2 runs failed or were not run" in page
    assert re.search(r"SSR-NET on Washington DC Mall, ratio 8, block-gauss-s2/1, seed 1: failed\. out of memory", page)
    run = "wdcm/block-gauss-s2/1/x8/ssr_net/default/seed1"
    assert re.search(rf"out of memory \(log: <code>\S+/logs/fuse/{run}\.log</code>\)", page)
    assert "To try again, mend the cause and call snakemake again" in page


def test_provenance_names_code_device_and_data(page):
    for fact in ("abc1234", "a GPU", "0123456789ab"):
        assert fact in page


def test_published_cells_are_printed_as_in_the_paper(page):
    table = page[page.index('id="audited-table"') :]
    cells = re.findall(
        r"<span class=\"[a-z -]*\">(.*?)</span>", table[table.index("<tbody>") : table.index("</tbody>")]
    )
    rows = [cells[start : start + 10] for start in range(0, len(cells), 10)]
    published = {(row[0], row[1], row[2], row[3], row[4]): row[5] for row in rows}
    assert published["SMIF-NET", "CAVE", "4", "1", "PSNR"] == "50.63"
    assert published["CNMF", "CAVE", "8", "1", "RASE"] == "11.69"
    assert published["SSR-NET", "Harvard", "4", "2", "FLOPs (10¹²)"] == "0.027"


def test_the_viewers_cube_is_the_scene(made_up, page):
    results, _ = made_up
    for each in views_of(page):
        truth = reference(results.parent, each["dataset"])[::-1]  # its wavelengths decrease
        top, left, side = each["box"]
        values, errors = decoded(each)
        assert each["nm"] == sorted(each["nm"])
        np.testing.assert_allclose(values, truth[:, top : top + side, left : left + side], atol=1 / 65535)
        run = f"{each['dataset']}/block-gauss-s2/1/x{each['ratio']}/gsa/default/seed0/fused/{each['scene']}.npy"
        estimate = np.load(results / "runs" / run).clip(0, 1)[::-1][:, top : top + side, left : left + side]
        scale = np.array(next(about["scale"] for about in each["methods"] if about["name"] == "GSA"))
        assert (np.abs(values + errors["GSA"] - estimate) <= scale[:, None, None] / 254 + 2e-5).all()
        assert errors["GSA"].std() == pytest.approx(NOISE["gsa"], rel=0.2)


def test_a_view_has_those_methods_that_went_well(page):
    names = {(each["dataset"], each["ratio"]): [about["name"] for about in each["methods"]] for each in views_of(page)}
    assert names["cave", 8] == ["Bicubic", "GSA", "SSR-NET", "SMIF-NET"]
    assert names["wdcm", 8] == ["Bicubic", "GSA", "SMIF-NET"]


@pytest.mark.parametrize("shape", [(31, 512, 512), (191, 128, 128), (3, 24, 300)])
def test_even_noise_stays_within_the_budgets(shape):
    """Six settings of eleven methods share the page; no picture compresses worse than noise."""
    rng = np.random.default_rng(0)
    noise = rng.random(shape, np.float32)
    names = [f"method {number}" for number in range(11)]
    comparison = Comparison("toy", 4, "toy", np.arange(shape[0]), noise, dict.fromkeys(names, 1 - noise))
    made = view(comparison, 6, styles(names))
    cubes = len(made["reference"]["values"]) + sum(len(about["values"]) for about in made["methods"])
    assert cubes <= CUBE_BYTES / 6 + 4 * 12
    assert len(json.dumps(made)) <= (CUBE_BYTES + PICTURE_BYTES) / 6 * 1.05
    assert PICTURE_BYTES + CUBE_BYTES < 10e6, "the rest of the 15 MB is for figures and tables"
    top, left, side = made["box"]
    window_top, window_left, height, width = made["window"]
    assert window_top <= top
    assert top + side <= window_top + height <= shape[1]
    assert window_left <= left
    assert left + side <= window_left + width <= shape[2]
    picture = Image.open(io.BytesIO(base64.b64decode(made["methods"][0]["errors"].partition(",")[2])))
    assert picture.size == (width, height)


def test_a_robustness_table_is_shown_where_there_is_one(made_up, page, tmp_path):
    results, pairs = made_up
    assert "Robustness" not in page
    names = {"dataset": "2018", "trained_on": "fwhm/1/x4", "method": "gsa", "variant": "01", "title": "GSA 01"}
    rows = pd.DataFrame(
        [{**names, "psnr": 41.23456, "tests": 3, "mean_loss": 1.5, "worst_loss": 2.0, "worst_test": "", "ratio": 2.0}]
    )
    for name in ("experiment.json", "cost.csv", "metrics.csv", "runs"):
        (tmp_path / name).symlink_to(results / name)
    rows.to_csv(tmp_path / "robustness.csv", index=False)
    write_report(tmp_path, pairs, tmp_path / "report.html")
    told = (tmp_path / "report.html").read_text()
    assert re.search(r"Robustness.*>2018<.*fwhm/1.*>01<.*>41\.235<", told, re.DOTALL)


def test_the_papers_cells_fold_away_where_none_of_them_was_run(made_up, page, tmp_path):
    results, pairs = made_up
    folded = re.compile(
        r'<details><summary>[^<]* (\d+) cells</summary>(?:(?!</details>).)*id="audited-table"', re.DOTALL
    )
    assert not folded.search(page)
    about = json.loads((results / "experiment.json").read_text())
    about["datasets"] = {"town": about["datasets"]["cave"]}
    (tmp_path / "experiment.json").write_text(json.dumps(about))
    for name in ("metrics.csv", "cost.csv"):
        rows = pd.read_csv(results / name, keep_default_na=False).query("dataset == 'cave'")
        rows.assign(dataset="town").to_csv(tmp_path / name, index=False)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "town").symlink_to(results / "runs" / "cave")
    write_report(tmp_path, pairs, tmp_path / "report.html")
    assert int(folded.search((tmp_path / "report.html").read_text()).group(1)) == 412


def test_an_experiment_without_smif_net_has_a_report_too(made_up, tmp_path):
    results, pairs = made_up
    metrics = pd.read_csv(results / "metrics.csv", keep_default_na=False)
    for name in ("experiment.json", "cost.csv", "runs"):
        (tmp_path / name).symlink_to(results / name)
    metrics[metrics.method != "smif_net"].to_csv(tmp_path / "metrics.csv", index=False)
    write_report(tmp_path, pairs, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "SSR-NET" in page
    assert "significantly" not in page
    assert "there are no rows of the reference SMIF-NET" in page
    assert "p (Holm)" not in page


def test_methods_are_compared_with_the_experiments_reference(made_up, tmp_path):
    results, pairs = made_up
    for name in ("metrics.csv", "cost.csv", "runs"):
        (tmp_path / name).symlink_to(results / name)
    experiment = json.loads((results / "experiment.json").read_text()) | {"reference": "gsa"}
    (tmp_path / "experiment.json").write_text(json.dumps(experiment))
    write_report(tmp_path, pairs, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "Differences from GSA are tested" in page
    assert "The unit of analysis is the scene" in page
    assert "PSNR with intervals, and tests against GSA" in page


def test_networks_below_the_linear_control_are_told_with_the_difference(made_up, tmp_path):
    results, pairs = made_up
    metrics = pd.read_csv(results / "metrics.csv", dtype=str, keep_default_na=False)
    metrics.loc[metrics.method == "gsa", "psnr"] = "60"
    metrics.loc[metrics.method == "ssr_net", "psnr"] = "59.75"
    for name in ("experiment.json", "cost.csv", "runs"):
        (tmp_path / name).symlink_to(results / name)
    metrics.to_csv(tmp_path / "metrics.csv", index=False)
    write_report(tmp_path, pairs, tmp_path / "report.html")
    told = "networks lie below the linear control GSA (60.00 dB by PSNR): SSR-NET by 0.25 dB, SMIF-NET by "
    assert told in (tmp_path / "report.html").read_text()
    assert "linear control" not in (results / "report.html").read_text()


def test_the_leaderboard_opens_with_the_metrics_of_the_tables(made_up, page, tmp_path):
    """The others by definition are one group behind its filter, the paper's another."""

    def groups(text):
        heads = text[text.index('id="board-table"') :]
        heads = heads[: heads.index("</thead>")]
        found = re.findall(r'class="(wald|further|paper) number"><button type="button">([^\u00a0<]*)', heads)
        return {group: [title for name, title in found if name == group] for group in ("wald", "further", "paper")}

    usual = groups(page)
    assert usual["wald"] == ["PSNR (dB)", "SSIM", "SAM (°)", "RASE (%)", "RMSE", "ERGAS"]
    assert usual["further"][:3] == ["mPSNR (dB)", "UIQI", "Q2n"]
    results, pairs = made_up
    for name in ("metrics.csv", "cost.csv", "runs"):
        (tmp_path / name).symlink_to(results / name)
    experiment = json.loads((results / "experiment.json").read_text()) | {"metrics": ["psnr", "q2n"]}
    (tmp_path / "experiment.json").write_text(json.dumps(experiment))
    write_report(tmp_path, pairs, tmp_path / "report.html")
    changed = groups((tmp_path / "report.html").read_text())
    assert changed["wald"] == ["PSNR (dB)", "Q2n"]
    assert changed["paper"] == usual["paper"]
    assert {*changed["further"], *changed["wald"]} == {*usual["further"], *usual["wald"]}


def test_a_method_that_failed_on_the_scene_shown_is_left_out_of_its_images(made_up, tmp_path):
    results, pairs = made_up
    metrics = pd.read_csv(results / "metrics.csv", dtype=str, keep_default_na=False)
    lost = (metrics.method == "gsa") & (metrics.dataset == "cave") & (metrics.scene == "cave_0")
    metrics.loc[lost, "status"] = "failed"
    for name in ("experiment.json", "cost.csv"):
        (tmp_path / name).symlink_to(results / name)
    shutil.copytree(results / "runs", tmp_path / "runs")
    for path in (tmp_path / "runs" / "cave").rglob("gsa/default/seed*/fused/cave_0.npy"):
        path.unlink()
    metrics.to_csv(tmp_path / "metrics.csv", index=False)
    write_report(tmp_path, pairs, tmp_path / "report.html")
    views = views_of((tmp_path / "report.html").read_text())
    shown = {view["title"]: [method["name"] for method in view["methods"]] for view in views}
    assert all(("GSA" in methods) != title.startswith("CAVE") for title, methods in shown.items())
