"""LaTeX tables: what is bold, what is underlined, what stands for a missing value, and the published row."""

import math

import numpy as np
import pandas as pd

from smifbench.results import COST_COLUMNS, METRICS, METRICS_COLUMNS
from smifbench.tables import PAPER, WALD, complexity_table, escape, quality_table, table_name

EXPERIMENT = {
    "experiment": "toy",
    "note": "50 % & more",
    "datasets": {"cave": {"title": "CAVE"}},
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


def cells(table, method):
    line = next(line for line in table.splitlines() if line.startswith(method))
    return [cell.strip() for cell in line.removesuffix(r"\\").split("&")[1:]]


def test_best_is_bold_and_second_underlined_in_each_direction():
    table = quality_table(rows({"gsa": 40.0, "ssr_net": 41.0, "smif_net": 42.0}), WALD, EXPERIMENT)
    psnr, sam = WALD.index("psnr"), WALD.index("sam")
    assert [cells(table, name)[psnr] for name in ("GSA", "SSR", "SMIF")] == [
        "40.00",
        r"\underline{41.00}",
        r"\textbf{42.00}",
    ]
    assert [cells(table, name)[sam] for name in ("GSA", "SSR", "SMIF")] == [
        r"\textbf{40.000}",
        r"\underline{41.000}",
        "42.000",
    ]


def test_values_that_print_alike_share_the_mark():
    table = quality_table(rows({"gsa": 41.001, "ssr_net": 41.004, "smif_net": 40.0}), WALD, EXPERIMENT)
    assert cells(table, "GSA")[0] == cells(table, "SSR")[0] == r"\textbf{41.00}"
    assert cells(table, "SMIF")[0] == r"\underline{40.00}"


def test_a_failed_method_has_dashes_and_no_mark():
    table = quality_table(rows({"gsa": 40.0, "ssr_net": math.nan}), WALD, EXPERIMENT)
    assert set(cells(table, "SSR")) == {"--"}


def test_seeds_are_told_as_mean_and_deviation():
    table = quality_table(rows({"gsa": 40.0, "ssr_net": 30.0}, seeds=(0, 1, 2)), WALD, EXPERIMENT)
    assert cells(table, "GSA")[0] == r"\textbf{41.00} $\pm$ 1.00"


def test_infinite_psnr_is_printed():
    assert r"\infty" in quality_table(rows({"gsa": math.inf, "ssr_net": 40.0}), WALD, EXPERIMENT)


def test_published_values_stand_below_ours_in_the_papers_convention_only():
    ours = rows({"gsa": 40.0, "smif_net": 41.0})
    table = quality_table(ours, PAPER, EXPERIMENT)
    assert r"\textcolor{gray}{50.63}" in table
    assert r"\textcolor{gray}{0.6612}" in table
    assert "gray" not in quality_table(ours, WALD, EXPERIMENT)


def test_note_and_names_are_escaped():
    assert escape(r"a_b & 5 % \x") == r"a\_b \& 5 \% \textbackslash{}x"
    assert r"50 \% \& more" in quality_table(rows({"gsa": 40.0, "ssr_net": 1.0}), WALD, EXPERIMENT)


def test_tables_of_the_paper_carry_its_numbers():
    protocols = ["block-gauss-s2/1", "fwhm/1"]
    assert table_name("harvard", protocols[0], "wald", protocols) == "table2"
    assert table_name("wdcm", protocols[0], "paper", protocols) == "table3_paper"
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
    assert cells(table, "GSA") == ["--", "--", "--", "--", "1.2", "10.0"]
    assert cells(table, "SMIF") == ["6.105", "1211.259", "1200.920", "1.200", "5.0", "10.0"]


def test_values_are_means_over_scenes():
    two = rows({"gsa": 40.0, "ssr_net": 10.0})
    other = two.assign(scene="second", **{name: two[name] + 2 for name in METRICS})
    table = quality_table(pd.concat([two, other]), WALD, EXPERIMENT)
    assert cells(table, "GSA")[0] == r"\textbf{41.00}"
    assert np.isclose(float(cells(table, "SSR")[2].removeprefix(r"\textbf{").removesuffix("}")), 11)
