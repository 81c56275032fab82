"""LaTeX tables: what is bold, what is underlined, what stands for a missing value, and the published row."""

import json
import math
import re

import numpy as np
import pandas as pd

from smifbench.evaluation.columns import COST_COLUMNS, METRICS_COLUMNS
from smifbench.evaluation.results import leaderboard
from smifbench.metrics import METRICS
from smifbench.paper.audit import audit
from smifbench.paper.layout import METHODS, PAPER_METRICS
from smifbench.paper.published import load_published
from smifbench.report.tables import (
    WALD_METRICS,
    ablation_table,
    audit_tables,
    complexity_table,
    quality_table,
    statistics_tables,
    table_name,
    to_latex,
    write_tables,
)

EXPERIMENT = {
    "experiment": "toy",
    "note": "50 % & more",
    "datasets": {"cave": {"title": "CAVE"}, "own": {"title": "My scene"}},
    "protocols": {"block-gauss-s2/1": {}},
    "methods": {f"{name}/default": {"title": name.upper()} for name in ("gsa", "ssr_net", "smif_net", "psrt")},
}


def rows(values, seeds=(0,), status="ok"):
    """Rows of `metrics.csv`, every metric of a method equal to its value."""
    table = [
        {
            **dict.fromkeys(METRICS, value + seed),
            "dataset": "cave",
            "protocol": "block-gauss-s2/1",
            "ratio": 4,
            "method": method,
            "variant": "default",
            "seed": seed,
            "scene": "first",
            "status": "failed" if math.isnan(value) else status,
        }
        for method, value in values.items()
        for seed in seeds
    ]
    return pd.DataFrame(table).reindex(columns=METRICS_COLUMNS)


def scenes(values, count):
    """`rows` on so many scenes."""
    return pd.concat([rows(values).assign(scene=f"s{index}") for index in range(count)], ignore_index=True)


def cells(table, method):
    line = next(line for line in table.splitlines() if line.startswith(method))
    return [cell.strip() for cell in line.removesuffix(r"\\").split("&")[1:]]


def test_best_is_bold_and_second_underlined_in_each_direction():
    table = quality_table(rows({"gsa": 40.0, "ssr_net": 41.0, "smif_net": 42.0}), WALD_METRICS, EXPERIMENT)
    psnr, sam = WALD_METRICS.index("psnr"), WALD_METRICS.index("sam")
    assert [cells(table, name)[psnr] for name in ("GSA", "SSR", "SMIF")] == [
        "40.00",
        r"{\underline{\num{41.00}}}",
        r"\bfseries 42.00",
    ]
    assert [cells(table, name)[sam] for name in ("GSA", "SSR", "SMIF")] == [
        r"\bfseries 40.000",
        r"{\underline{\num{41.000}}}",
        "42.000",
    ]


def test_values_that_print_alike_share_the_mark():
    table = quality_table(rows({"gsa": 41.001, "ssr_net": 41.004, "smif_net": 40.0}), WALD_METRICS, EXPERIMENT)
    assert cells(table, "GSA")[0] == cells(table, "SSR")[0] == r"\bfseries 41.00"
    assert cells(table, "SMIF")[0] == r"{\underline{\num{40.00}}}"


def test_a_failed_method_has_dashes_and_no_mark():
    table = quality_table(rows({"gsa": 40.0, "ssr_net": math.nan}), WALD_METRICS, EXPERIMENT)
    assert set(cells(table, "SSR")) == {"{--}"}


def test_seeds_are_told_as_mean_and_deviation():
    table = quality_table(rows({"gsa": 40.0, "ssr_net": 30.0}, seeds=(0, 1, 2)), WALD_METRICS, EXPERIMENT)
    assert cells(table, "GSA")[0] == r"\bfseries 41.00 {\,$\pm$\,1.00}"
    assert "over 3 seeds" in table


def test_infinite_psnr_is_printed():
    assert r"\infty" in quality_table(rows({"gsa": math.inf, "ssr_net": 40.0}), WALD_METRICS, EXPERIMENT)


def test_published_values_stand_below_ours_in_the_papers_convention_only():
    ours = rows({"gsa": 40.0, "smif_net": 41.0})
    table = quality_table(ours, PAPER_METRICS, EXPERIMENT)
    assert r"\color{gray} 50.63" in table
    assert r"\color{gray} 0.6612" in table
    assert "gray" not in quality_table(ours, WALD_METRICS, EXPERIMENT)


def test_published_values_that_do_not_compare_stand_in_brackets_as_printed():
    table = quality_table(rows({"gsa": 40.0}), PAPER_METRICS, EXPERIMENT)
    cnmf = table[table.index("CNMF") :].splitlines()[1]
    assert r"\llap{(}\num{6.313}\rlap{)}" in cnmf
    assert r"\color{gray} 11.05 &" in cnmf, "the paper prints two decimals here"


def test_what_was_not_run_is_said():
    for columns in (WALD_METRICS, PAPER_METRICS):
        table = quality_table(rows({"gsa": 40.0, "smif_net": 41.0}), columns, EXPERIMENT)
        at_ratio_4, at_ratio_8 = table.split("Ratio 8")
        assert [name in at_ratio_4 for name in ("CNMF", "PSRT", "MSST-Net")] == [True, True, True]
        assert at_ratio_4.count("not run") == 8
        assert "not run" in at_ratio_8
    assert "not run" not in quality_table(rows({"gsa": 40.0}).assign(dataset="own"), WALD_METRICS, EXPERIMENT)


def test_a_published_value_stands_beside_the_published_network_only():
    narrow = {**EXPERIMENT["methods"], "smif_net/default": {"title": "SMIF-NET", "options": {"width": 8}}}
    table = quality_table(rows({"smif_net": 41.0}), PAPER_METRICS, {**EXPERIMENT, "methods": narrow})
    assert "50.63" not in table


def test_a_failed_seed_is_marked_and_told():
    table = rows({"gsa": 40.0, "ssr_net": 41.0}, seeds=(0, 1, 2)).assign(message="")
    lost = (table.method == "ssr_net") & (table.seed == 1)
    table.loc[lost, ["status", "message"]] = ["failed", "CUDA out of memory: 5 %"]
    text = quality_table(table, WALD_METRICS, EXPERIMENT)
    assert cells(text, r"SSR\_NET$^\dagger$")[0].startswith(r"\bfseries 42.00 {\,$\pm$\,1.41}")
    assert r"$^\dagger$SSR\_NET, ratio 4, 1 of 3 seeds: failed: CUDA out of memory: 5 \%." in text
    assert r"GSA$^\dagger$" not in text


def test_note_and_names_are_escaped():
    assert r"50 \% \& more" in quality_table(rows({"gsa": 40.0, "ssr_net": 1.0}), WALD_METRICS, EXPERIMENT)


def test_tables_of_the_paper_carry_its_numbers():
    protocols = ["block-gauss-s2/1", "fwhm/1"]
    assert table_name("harvard", protocols[0], "wald", protocols) == "table2"
    assert table_name("wdcm", protocols[0], "paper", protocols) == "table3_paper"
    assert table_name("cave", protocols[0], "wald", protocols, 4) == "table4"
    assert table_name("indian_pines", protocols[1], "wald", protocols) == "table_indian_pines_fwhm-v1"


def test_complexity_shows_counts_in_their_units_and_dashes_for_solvers():
    base = {"dataset": "cave", "ratio": 4, "variant": "default", "height": 512, "width": 512, "device": "cpu"}
    cost = pd.DataFrame(
        [
            {**base, "method": "gsa", "params": 0, "latency_ms": 1.25, "peak_memory_mb": 10.0},
            {
                **base,
                "method": "smif_net",
                "params": 6_104_779,
                "gmacs": 1211.2589,
                "gmacs_thop": 1200.92,
                "published_tflops": 1.2,
                "latency_ms": 5.0,
                "peak_memory_mb": 10.0,
            },
        ]
    ).reindex(columns=COST_COLUMNS)
    table = complexity_table(cost, EXPERIMENT)
    assert cells(table, "GSA") == ["{--}", "{--}", "{--}", "{--}", "1.2", "10.0"]
    assert cells(table, "SMIF") == ["6.105", "1211.259", "1200.920", "1.200", "5.0", "10.0"]


def test_values_are_means_over_scenes():
    two = rows({"gsa": 40.0, "ssr_net": 10.0})
    other = two.assign(scene="second", **{name: two[name] + 2 for name in METRICS})
    table = quality_table(pd.concat([two, other]), WALD_METRICS, EXPERIMENT)
    assert cells(table, "GSA")[0] == r"\bfseries 41.00"
    assert np.isclose(float(cells(table, "SSR")[2].removeprefix(r"\bfseries")), 11)


# ablations


def ablation(variants, options=None):
    """Rows and experiment of SMIF-NET's variants with a PSNR each."""
    one = rows({"smif_net": 0.0}).assign(ratio=8)
    table = pd.concat([one.assign(variant=name, **dict.fromkeys(METRICS, psnr)) for name, psnr in variants.items()])
    methods = {f"smif_net/{name}": {"title": name, "options": (options or {}).get(name, {})} for name in variants}
    return table, {**EXPERIMENT, "methods": methods}


def test_ablation_rows_are_the_papers_and_each_group_has_its_best():
    table, experiment = ablation({"default": 40.0, "blocks4": 30.0, "blocks6": 20.0, "stages3": 41.0})
    text = ablation_table(4, table, "wald", experiment)
    body = [line for line in text.splitlines() if line.startswith(("4 ", "5 ", "6 "))]
    assert [line.split(" & ")[:2] for line in body] == [
        *[["4", "4"], ["5", "4"], ["6", "4"]],
        *[["5", "3"], ["5", "4"], ["5", "5"]],
    ]
    assert [line.count("bfseries") for line in body] == [0, 1, 2, 1, 2, 0], "SAM and ERGAS are best where lowest"
    assert "not run" in body[-1]


def test_ablation_has_published_values_for_the_published_networks():
    options = {"no_csca": {"csca": False}, "no_msfe": {"msfe": False, "width": 8}}
    table, experiment = ablation({"default": 40.0, "no_csca": 30.0, "no_msfe": 20.0}, options)
    text = ablation_table(5, table, "paper", experiment)
    assert "48.52" in text
    assert "48.80" not in text, "another width is another network"
    assert "46.82" in text, "what was not run is printed beside the published value"


def test_ablations_have_their_own_files(tmp_path):
    table, experiment = ablation({"default": 40.0, "no_csca": 30.0}, {"no_csca": {"csca": False}})
    names = written(tmp_path, table, experiment)
    assert {"table5", "table5_paper"} < names
    assert not {"table1", "table4"} & names
    table, experiment = ablation({"default": 40.0, "blocks4": 30.0})
    names = written(tmp_path, table.assign(dataset="own"), experiment)
    assert {"table4_own", "table4_own_paper"} < names


def written(folder, table, experiment):
    """Names of the tables that results have."""
    table = table.assign(experiment="e", message="", device="cpu", code="c", data="d", status="ok")
    table.to_csv(folder / "metrics.csv", index=False)
    pd.DataFrame(columns=COST_COLUMNS).to_csv(folder / "cost.csv", index=False)
    (folder / "experiment.json").write_text(json.dumps(experiment))
    write_tables(folder, folder / "tables")
    return {path.stem for path in (folder / "tables").glob("*.tex")}


# statistics and audit


def test_statistics_tell_means_tests_and_too_few_pairs():
    table = scenes({"gsa": 40.0, "ssr_net": 39.0, "smif_net": 41.0}, 3)
    text = statistics_tables(table, EXPERIMENT)
    assert cells(text, "GSA")[0] == "40.00"
    assert cells(text, "GSA")[2:] == ["3", "-1.00", "0.500", "too few pairs"]
    assert "over scenes, each the mean of its seeds" in text, "the unit of analysis"
    assert "Too few pairs: with 3 pairs the smallest possible p is 0.25." in text
    without = {key: EXPERIMENT["methods"][key] for key in ("gsa/default", "ssr_net/default")}
    text = statistics_tables(table[table.method != "smif_net"], {**EXPERIMENT, "methods": without})
    assert len(cells(text, "GSA")) == 2, "the mean and its interval"
    assert "No method is tested against another: the results hold no rows of the reference smif\\_net." in text
    assert "Verdict" not in text


def test_the_reference_of_the_tests_is_the_experiments():
    table = scenes({"gsa": 40.0, "ssr_net": 39.0, "smif_net": 41.0}, 8)
    text = statistics_tables(table, {**EXPERIMENT, "reference": "gsa"})
    assert "signed-rank test against GSA over" in text
    assert cells(text, "SSR")[3:] == ["-1.00", "0.016", "GSA is better"]
    assert cells(text, "GSA")[2:] == ["{--}", "{--}", "{--}", ""]


def test_audit_shows_a_row_for_each_published_row_and_its_reason():
    published = load_published().query("table == 1 and method == 'smif_net' and ratio == 4").iloc[0]
    ours = rows({"smif_net": 0.0}).assign(experiment="e", **{name: published[name] for name in PAPER_METRICS})
    audited = audit(ours)
    text = audit_tables(audited, EXPERIMENT)
    table = text[text.index("paper's Table 1") : text.index("paper's Table 2")]
    assert table.count(r"\checkmark}") + table.count(r"\checkmark\textsuperscript") == 6
    assert r"0.00 {\rlap{\,\checkmark}}" in table
    assert "the printed RASE is 0.4 \\% below four times the printed ERGAS" in table
    assert sum(line.startswith("SMIF-NET") for line in text.splitlines()) == 6 + 5 + 5


def test_cells_that_the_results_do_not_hold_have_no_mark():
    text = audit_tables(audit(rows({"gsa": 40.0}).assign(experiment="e")), EXPERIMENT)
    assert "not in these results" not in text


def test_audit_has_a_mark_for_any_number_of_failures():
    table = rows(dict.fromkeys(METHODS, math.nan))
    table = pd.concat([table, table.assign(ratio=8)], ignore_index=True)
    table["message"] = [f"error {index}" for index in range(len(table))]
    text = audit_tables(audit(table.assign(experiment="e")), EXPERIMENT)
    notes = text[text.index("paper's Table 1") : text.index("paper's Table 2")]
    assert all(f"failed: error {index}" in notes for index in range(len(table)))
    letters = re.findall(r"\\textsuperscript\{(\w+)\}\\,", notes)
    assert len(letters) == len(set(letters)) > 26


# a leaderboard in LaTeX


def test_to_latex_sets_a_leaderboard():
    board = leaderboard(pd.concat([rows({"gsa": 40.0, "psrt": 42.0}).assign(ratio=ratio) for ratio in (4, 8)]))
    text = to_latex(board, {"psrt/default": "PS & RT"})
    assert r"& \multicolumn{1}{c}{cave, ratio 4} & \multicolumn{1}{c}{cave, ratio 8} \\" in text
    assert cells(text, r"PS \& RT")[-2:] == [r"\bfseries 42.00", r"\bfseries 42.00"]
    assert cells(text, "gsa") == [r"{\underline{\num{40.00}}}"] * 2


def test_to_latex_prints_names_as_latex_wants_them():
    text = to_latex(leaderboard(rows({"my_net": 40.0}).assign(dataset="my_scene")))
    assert r"my\_net & " in text
    assert r"{my\_scene, ratio 4}" in text


def test_data_that_could_not_be_had_leave_their_tables_not_run(tmp_path):
    table = rows({"gsa": 40.0, "smif_net": 41.0})
    lost = table.assign(dataset="own", status="not run", **dict.fromkeys(METRICS, math.nan))
    both = pd.concat([table, lost]).assign(message="own.npy is not there")
    text = quality_table(both[both.dataset == "own"], WALD_METRICS, EXPERIMENT)
    assert text.count("own.npy is not there") == 1
    assert r"All methods & \multicolumn{6}{c}{\textit{not run}}" in text
    assert "dagger" not in text
    assert cells(statistics_tables(both, EXPERIMENT), "GSA")[0] == "40.00"
    lost = lost.assign(dataset="cave", message="no network")
    text = quality_table(lost, PAPER_METRICS, EXPERIMENT)
    assert text.count("not run") == 2 * 9 + 1, "each published row at each ratio, and GSA"
    assert r"\color{gray} 50.63" in text
    assert statistics_tables(lost, EXPERIMENT)
