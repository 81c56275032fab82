"""Names are text everywhere, and what belongs together goes by name: titles may be equal, empty, or full of signs."""

import doctest
import json
import re

import numpy as np
import pandas as pd
import pytest
from conftest import needs_latex

import smifbench.report.titles
from smifbench import UserError
from smifbench.evaluation.columns import COST_COLUMNS, METRICS_COLUMNS
from smifbench.evaluation.reading import load_costs
from smifbench.report.comparison import Comparison
from smifbench.report.document import write_document
from smifbench.report.figures import _bands, _points, draw_figures
from smifbench.report.latex import escape
from smifbench.report.page import write_report
from smifbench.report.tables import complexity_table, to_latex, write_tables
from smifbench.report.titles import dataset_titles, distinct, method_titles, named

TITLE = r"Field $1 & $2_x 50% #_^~\ <b>x</b> {y}"
TITLES = {
    **{"bicubic/default": "$a_{b$ c", "gsa/default": TITLE, "ssr_net/default": TITLE},
    "smif_net/default": "[1] --  “β” 南京",
}
DATASETS = {"cave": "NA", "wdcm": "2018"}


@pytest.fixture(scope="module")
def results(made_up, tmp_path_factory):
    """The made-up experiment with data sets called NA and 2018, which share a title, at ratio 4."""
    source, pairs = made_up
    folder = tmp_path_factory.mktemp("names")
    experiment = json.loads((source / "experiment.json").read_text())
    datasets = {DATASETS[name]: about | {"title": TITLE} for name, about in experiment["datasets"].items()}
    methods = {key: about | {"title": TITLES[key]} for key, about in experiment["methods"].items()}
    (folder / "experiment.json").write_text(json.dumps(experiment | {"datasets": datasets, "methods": methods}))
    for name in ("metrics.csv", "cost.csv"):
        table = pd.read_csv(source / name, dtype=str, keep_default_na=False)
        table = table[table.ratio == "4"].assign(dataset=lambda rows: rows.dataset.map(DATASETS))
        table.to_csv(folder / name, index=False)
    for name, shown in DATASETS.items():
        (folder / "runs").mkdir(exist_ok=True)
        (folder / "runs" / shown).symlink_to(source / "runs" / name)
    write_tables(folder, folder / "tables")
    draw_figures(folder, pairs, folder / "figures")
    write_report(folder, pairs, folder / "report.html")
    return folder


def test_docstring_examples():
    assert doctest.testmod(smifbench.report.titles).failed == 0


def test_titles_that_look_alike_are_followed_by_their_names():
    assert distinct({"a": "T", "b": "T ", "c": "U"}) == {"a": "T (a)", "b": "T  (b)", "c": "U"}
    assert distinct({"a": "", "b": " "}) == {"a": "a", "b": "b"}
    again = distinct({"a": "T", "b": "T", "c": "T (a)"})
    assert len(set(again.values())) == 3, "what is appended may be a title already"
    assert distinct({"a": "南京", "b": "B?"}, escape) == {"a": "南京 (a)", "b": "B?"}, "a name where letters are lost"
    methods = {"methods": {"gsa/default": {"title": "GSA"}, "gsa2/default": {"title": "GSA"}}}
    assert method_titles(methods) == {"gsa/default": "GSA (gsa)", "gsa2/default": "GSA (gsa2)"}


def test_charts_join_by_name_what_shares_a_title():
    """Two cubes and two methods of one title each: four markers at their own means, none at a mean of several."""
    experiment = {
        "datasets": {name: {"title": "Own scene"} for name in ("field", "mine")},
        "methods": {f"{name}/default": {"title": "Net"} for name in ("net", "copy")},
    }
    cells = [(dataset, method) for dataset in ("field", "mine") for method in ("net", "copy")]
    rows = [
        {"experiment": "e", "dataset": dataset, "protocol": "p/1", "ratio": 4, "method": method, "variant": "default"}
        | {"seed": 0, "scene": "own_test", "status": "ok", "psnr": 30.0 + place}
        for place, (dataset, method) in enumerate(cells)
    ]
    metrics = named(pd.DataFrame(rows).reindex(columns=METRICS_COLUMNS), experiment)
    cost = pd.DataFrame(rows).reindex(columns=COST_COLUMNS).assign(params=1e6, gmacs=[1.0, 2.0, 3.0, 4.0])
    points = _points(metrics, named(cost, experiment))
    assert points.psnr.tolist() == [30, 31, 32, 33]
    assert points.gmacs.tolist() == [1, 2, 3, 4]
    assert len(set(zip(points.setting, points.title, strict=True))) == 4
    cube = np.zeros((3, 8, 8))
    comparisons = [
        Comparison(
            name, 4, "own_test", np.array([1.0, 2, 3]), cube, {"net/default": cube + 0.1}, {"net/default": "Net"}
        )
        for name in ("field", "mine")
    ]
    assert _bands(comparisons).groupby(["setting", "name", "nm"]).size().tolist() == [1] * 6


def test_a_failed_run_has_no_marker_among_means_over_all_scenes():
    rows = pd.DataFrame(
        [
            {"dataset": "d", "protocol": "p/1", "ratio": 4, "method": method, "variant": "default", "seed": 0}
            | {"experiment": "e", "scene": scene, "status": status, "psnr": psnr}
            for method, scene, status, psnr in [
                *[("a", "s1", "ok", 30.0), ("a", "s2", "ok", 40.0)],
                *[("b", "s1", "failed", np.nan), ("b", "s2", "ok", 41.0)],
            ]
        ]
    )
    experiment = {"datasets": {}, "methods": {}}
    metrics = named(rows.reindex(columns=METRICS_COLUMNS), experiment)
    cost = rows.drop_duplicates("method").reindex(columns=COST_COLUMNS).assign(params=1.0, gmacs=1.0)
    points = _points(metrics, named(cost, experiment))
    assert points[["method", "psnr"]].to_numpy().tolist() == [["a", 35.0]]


@pytest.mark.xdist_group("report")
def test_every_page_table_and_figure_holds_data_sets_called_na_and_2018(results):
    tables = {path.stem: path.read_text() for path in (results / "tables").glob("*.tex")}
    assert {"table_NA", "table_2018", "complexity", "statistics"} < set(tables)
    first, second = (escape(f"{TITLE} ({name})") for name in DATASETS.values())
    for name in ("complexity", "statistics"):
        assert first in tables[name]
        assert second in tables[name]
    assert tables["complexity"].count(escape(f"{TITLE} (gsa)")) == 2, "a row in each data set's table"
    assert {path.stem for path in (results / "figures").glob("*.pdf")} >= {"scene_spread", "accuracy_against_macs"}
    page = (results / "report.html").read_text()
    assert "<b>x</b>" not in page
    told = re.escape("Field $1 &amp; $2_x 50% #_^~\\ &lt;b&gt;x&lt;/b&gt; {y}")
    assert re.search(rf'data-dataset-title="{told} \(NA\)"', page)
    assert re.search(rf"licence of {told} \(2018\)", page)


@needs_latex
@pytest.mark.xdist_group("report")
def test_latex_takes_every_title(results):
    write_document(results, results / "paper.tex")
    assert (results / "paper.tex").exists()


def test_latex_draws_text_as_it_is():
    assert escape("a--b") == "a-{}-b"
    assert escape("[1] Net") == "{[}1] Net"
    assert escape("*Net") == "{*}Net"
    assert escape("–") == r"\textendash{}"


def test_leaderboards_in_latex_tell_equal_titles_apart():
    index = pd.MultiIndex.from_tuples([("a", "default"), ("b", "01")], names=["method", "variant"])
    columns = pd.MultiIndex.from_tuples([("NA", 4, "psnr")], names=["dataset", "ratio", "metric"])
    text = to_latex(pd.DataFrame([[1.0], [2.0]], index, columns), {"a/default": "T", "b/01": "T"})
    assert r"T (a) &" in text
    assert r"T (b/01) &" in text


def test_costs_are_read_by_their_columns(tmp_path):
    about = {"dataset": "NA", "ratio": 4, "method": "gsa", "height": 32, "width": 48, "device": "01"}
    rows = [about | {"variant": variant, "params": 0} for variant in ("01", "1", "1e3")]
    pd.DataFrame(rows).reindex(columns=COST_COLUMNS).to_csv(tmp_path / "cost.csv", index=False)
    costs = load_costs(tmp_path)
    assert costs[["dataset", "variant", "device"]].drop_duplicates().to_numpy().tolist() == [
        ["NA", variant, "01"] for variant in ("01", "1", "1e3")
    ]
    assert costs.gmacs.isna().all()
    methods = {f"gsa/{variant}": {"title": f"GSA {variant}"} for variant in ("01", "1", "1e3")}
    text = complexity_table(costs, {"note": "", "methods": methods, "datasets": {"NA": {"title": "N/A"}}})
    assert r"32 \times 48" in text
    assert all(f"GSA {variant} &" in text for variant in ("01", "1", "1e3"))
    with pytest.raises(UserError, match=r"cost\.csv does not exist; run snakemake"):
        load_costs(tmp_path / "nowhere")


def test_a_table_takes_no_file_name_of_another(made_up, tmp_path):
    """The data set x_paper has the file that the paper's convention has for x."""
    source, _ = made_up
    experiment = json.loads((source / "experiment.json").read_text())
    datasets = dict(zip(["x", "x_paper"], experiment["datasets"].values(), strict=True))
    (tmp_path / "experiment.json").write_text(json.dumps(experiment | {"datasets": datasets}))
    for name in ("metrics.csv", "cost.csv"):
        table = pd.read_csv(source / name, dtype=str, keep_default_na=False)
        table.assign(dataset=table.dataset.map({"cave": "x", "wdcm": "x_paper"})).to_csv(tmp_path / name, index=False)
    write_tables(tmp_path, tmp_path / "tables")
    captions = [path.read_text() for path in (tmp_path / "tables").glob("table_x*.tex")]
    assert len(captions) == 4
    assert sum("Washington" in text for text in captions) == 2


def test_data_set_titles_stay_where_they_differ():
    experiment = {"datasets": {"a": {"title": "A"}, "b": {"title": "B"}}}
    assert dataset_titles(experiment) == {"a": "A", "b": "B"}
