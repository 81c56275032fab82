"""The audit of the published cells: each once, with a verdict and its reason; what it says of the paper is checked."""

import doctest

import numpy as np
import pandas as pd
import pytest

import smifbench.paper.audit
from smifbench import load_results, plugins
from smifbench.evaluation.columns import METRICS_COLUMNS
from smifbench.metrics import METRICS
from smifbench.paper.audit import STATUSES, audit
from smifbench.paper.layout import FLOPS, incomparable
from smifbench.paper.published import PUBLISHED, load_published

PAPER_METRICS = [name for name in METRICS if name.startswith("paper_")]
COUNTS = {"cave": 512, "harvard": 1024, "wdcm": 128}


def runs(changes=None, seeds=(0,)):
    """Rows of runs that found exactly what the paper prints, but for `changes` (a function of seed and row)."""
    rows = []
    for cell in load_published().drop_duplicates(["dataset", "ratio", "method", "variant"]).to_dict("records"):
        for seed in seeds:
            row = {"experiment": "e", "protocol": "p/1", "seed": seed, "scene": "s", "status": "ok", "message": ""}
            row |= {key: cell[key] for key in ("dataset", "ratio", "method", "variant", *PAPER_METRICS)}
            rows.append(row | (changes(seed, row) if changes else {}))
    return pd.DataFrame(rows).reindex(columns=METRICS_COLUMNS)


def cell(audited, metric="paper_psnr", dataset="cave", ratio=4, method="psrt", table=None):
    found = audited[(audited.metric == metric) & (audited.dataset == dataset) & (audited.ratio == ratio)]
    found = found[(found.method == method) & (found.variant == "default")]
    return found[found.table == (table or found.table.min())].iloc[0]


def test_docstring_examples():
    assert doctest.testmod(smifbench.paper.audit).failed == 0


def test_every_printed_cell_has_one_row():
    columns = {"psnr", "ssim", "sam", "rase", "rmse", "ergas", "flops_1e12"}
    tables = [pd.read_csv(PUBLISHED / f"{name}.csv", dtype=str) for name in ("tables_1_to_3", "table_4", "table_5")]
    printed = sum(table[list(columns & set(table))].notna().to_numpy().sum() for table in tables)
    audited = audit(runs())
    assert len(audited) == printed - 3, "the full network's column, which Table 4 prints twice, counts once"
    assert not audited.duplicated(["table", "dataset", "ratio", "method", "variant", "metric"]).any()
    assert set(audited.status) <= set(STATUSES)
    assert audited.groupby("table").size().to_dict() == {1: 124, 2: 124, 3: 124, 4: 15, 5: 25}


def test_the_papers_own_numbers_are_reproduced_wherever_they_compare():
    audited = audit(runs()).query("metric != @FLOPS")
    compares = [not incomparable(row.dataset, row.ratio, row.method, row.metric) for row in audited.itertuples()]
    assert set(audited.status[compares]) == {"reproduced"}
    assert set(audited.status[~np.array(compares)]) == {"not comparable"}
    assert (audited.reason[~np.array(compares)] != "").all()


def test_a_cell_that_prints_otherwise_differs_and_says_by_how_much():
    def lower(seed, row):
        return {"paper_psnr": row["paper_psnr"] - 0.3, "paper_sam": row["paper_sam"] - 0.1}

    audited = audit(runs(lower))
    assert cell(audited).status == cell(audited, "paper_sam").status == "differs"
    assert cell(audited).reason == "ours is worse by 0.300 dB (one seed, so no interval)"
    assert cell(audited, "paper_sam").reason.startswith("ours is better by 0.1000 °")


def test_one_seed_must_agree_in_print():
    assert cell(audit(runs(lambda seed, row: {"paper_psnr": row["paper_psnr"] + 0.0049}))).status == "reproduced"
    assert cell(audit(runs(lambda seed, row: {"paper_psnr": row["paper_psnr"] + 0.0051}))).status == "differs"


def test_the_interval_is_where_one_more_seed_falls():
    """Of normal seeds, 95 % of further ones lie inside: Student's prediction interval, checked by drawing."""
    generator = np.random.default_rng(0)
    draws = 48.49 + 0.1 * generator.standard_normal((3000, 4))
    table = pd.concat(
        [
            runs().query("method == 'psrt' and dataset == 'cave' and ratio == 4").assign(seed=seed, paper_psnr=value)
            for seed, value in enumerate(draws[0, :3])
        ]
    )
    row = cell(audit(table))
    assert row.seeds == 3
    assert row.ours == pytest.approx(draws[0, :3].mean())
    half = (row.high - row.low) / 2 - 0.005
    assert half == pytest.approx(draws[0, :3].std(ddof=1) * 4.968, rel=1e-3)  # t(0.975, 2) sqrt(4 / 3)
    inside = np.abs(draws[:, 3] - draws[:, :3].mean(1)) < 4.968 * draws[:, :3].std(axis=1, ddof=1)
    assert inside.mean() == pytest.approx(0.95, abs=0.012)


def test_what_failed_or_was_not_run_says_so():
    table = runs()
    table.loc[table.method == "psrt", ["status", "message", *PAPER_METRICS]] = ["failed", "out of memory"] + [
        np.nan
    ] * 6
    audited = audit(table[table.method != "tsfn"])
    assert (cell(audited).status, cell(audited).reason) == ("not run", "failed: out of memory")
    absent = cell(audited, method="tsfn")
    assert (absent.status, absent.reason) == ("not run", "not in these results: TSFN on CAVE at ratio 4")
    variant = audit(table[table.variant != "no_csca"]).query("variant == 'no_csca'").iloc[0]
    assert variant.reason == "not in these results: SMIF-NET (no_csca) on CAVE at ratio 8"
    other = audit(table[(table.dataset == "cave") & (table.ratio == 4)])
    assert cell(other, ratio=8).reason == "not in these results: CAVE at ratio 8"
    assert cell(other, dataset="harvard").reason == "not in these results: Harvard"


def test_a_cell_that_is_not_run_always_has_a_reason():
    nothing = audit(runs().iloc[:0])
    assert set(nothing.status) == {"not run"}
    assert (nothing.reason != "").all()
    undefined = cell(audit(runs().assign(paper_psnr=np.nan)))
    assert (undefined.status, undefined.reason) == ("not run", "paper_psnr is undefined there")


def test_the_first_experiment_that_holds_a_cell_counts():
    both = pd.concat([runs(), runs(lambda seed, row: {"experiment": "other", "paper_psnr": 1.0})], ignore_index=True)
    assert audit(both).equals(audit(runs()))


def test_a_network_with_other_options_does_not_compare():
    methods = {
        "psrt/default": {"options": {"pyramids": 1}},
        "smif_net/blocks4": {"options": {"blocks": 4}},
        "smif_net/no_csca": {"options": {"csca": False, "width": 8}},
    }
    audited = audit(runs(), experiment={"methods": methods})
    assert cell(audited).reason == "ours is another network than the published one: pyramids = 1"
    ablation = audited[audited.metric == "paper_psnr"].set_index("variant").status
    assert ablation["blocks4"] == "reproduced"
    assert ablation["no_csca"] == "not comparable"
    other = {"datasets": {"cave": {"reader": "own"}}}
    assert cell(audit(runs(), experiment=other)).reason == "ours is another data set of that name"


def cost(**gmacs_thop):
    """Rows of `cost.csv` at the paper's sizes for methods with a count, in 10^9, on CAVE."""
    return pd.DataFrame(
        [
            {"dataset": "cave", "ratio": 4, "method": method, "variant": "default", "height": 512, "width": 512}
            | {"gmacs_thop": count}
            for method, count in gmacs_thop.items()
        ]
    )


def test_flops_are_judged_by_the_count_with_its_digits_cut_off():
    audited = audit(runs(), cost(psrt=67.9, tsfn=516.2, smif_net=1201.0, dhif_net=3506.9))
    for ratio in (4, 8):
        assert cell(audited, FLOPS, ratio=ratio).status == "reproduced"
        assert cell(audited, FLOPS, ratio=ratio, method="smif_net").status == "differs"
        assert cell(audited, FLOPS, ratio=ratio, method="dhif_net").status == "differs"
        assert cell(audited, FLOPS, ratio=ratio, method="tsfn").status == "not comparable"
        assert cell(audited, FLOPS, ratio=ratio, method="mssjfl").status == "not run"
    assert "parameters in millions" in cell(audited, FLOPS, method="tsfn").reason
    assert "+0.08 %" in cell(audited, FLOPS, method="smif_net").reason
    small = cost(psrt=67.9).assign(height=64, width=64)
    assert cell(audit(runs(), small), FLOPS).status == "not run"


# what the audit says of the paper, checked in the paper's own numbers


@pytest.fixture
def published():
    return load_published().query("table <= 3").set_index(["dataset", "ratio", "method"])


def test_mog_dcns_rase_is_four_times_the_ergas_of_ratio_4(published):
    own, other = published.loc["cave", 8, "mog_dcn"], published.loc["cave", 4, "mog_dcn"]
    assert own.paper_rase == pytest.approx(4 * other.paper_ergas, abs=0.0006)
    assert 4 * own.paper_ergas == pytest.approx(5.605, abs=0.0006)


def test_dhif_nets_rmse_contradicts_its_row(published):
    own, psrt = published.loc["harvard", 4, "dhif_net"], published.loc["harvard", 4, "psrt"]
    assert own.paper_rase == pytest.approx(psrt.paper_rase, rel=0.001)
    assert own.paper_rmse == 0.0034
    assert psrt.paper_rmse == 0.0031


def test_smif_nets_rase_and_ergas_on_cave_contradict_each_other(published):
    own = published.loc["cave", 4, "smif_net"]
    assert own.paper_rase / (4 * own.paper_ergas) == pytest.approx(1 - 0.004, abs=0.0005)


@pytest.mark.parametrize(("ratio", "rmse", "psnr"), [(4, 0.0047, 46.40), (8, 0.0057, 44.85)])
def test_smif_nets_wdcm_row_contradicts_itself(published, ratio, rmse, psnr):
    others = published.loc["wdcm", ratio].drop(["smif_net", "cnmf"])
    mean, peak = (
        (others.paper_rmse / (others.paper_ergas / 25)).mean(),
        10 ** (others.paper_psnr / 20) * others.paper_rmse,
    )
    own = published.loc["wdcm", ratio, "smif_net"]
    implied = own.paper_ergas / 25 * mean
    assert implied == pytest.approx(rmse, abs=0.00006)
    assert 20 * np.log10(peak.mean() / implied) == pytest.approx(psnr, abs=0.03)
    assert own.paper_psnr - psnr == pytest.approx(0.385, abs=0.01)


def test_rase_is_no_multiple_of_ergas_where_the_audit_says_so(published):
    networks = published.drop("cnmf", level="method")
    factor = (networks.paper_rase / networks.paper_ergas).groupby(level=["dataset", "ratio"])
    assert factor.min()["harvard", 8] > 4.02
    assert factor.max()["wdcm", 4] - factor.min()["wdcm", 4] > 1
    assert factor.max()["harvard", 4] - factor.min()["harvard", 4] < 0.003


@pytest.mark.parametrize(("ratio", "pixels"), [(4, 2), (8, 4)])
@pytest.mark.parametrize("metric", ["paper_psnr", "paper_rase", "paper_rmse"])
def test_a_displaced_lr_hsi_brings_cnmf_near_its_row_on_cave(published, ratio, pixels, metric):
    folders = (plugins.ROOT / "results" / "reference" / name for name in ("cave_cnmf", "cave_cnmf_x8"))
    rows = pd.concat([load_results(folder) for folder in folders]).query("ratio == @ratio")
    means = rows.groupby("protocol")[metric].mean()
    aligned, moved = means["block-gauss-s2/1"], means[f"block-gauss-s2/1+misregistration={pixels},{pixels}"]
    printed = published.loc["cave", ratio, "cnmf"][metric]
    assert abs(moved - printed) < 0.5 * abs(aligned - printed)
    assert abs(moved - printed) == min(abs(means - printed))
    assert "half an LR pixel off" in cell(audit(runs()), metric, ratio=ratio, method="cnmf").remark


@pytest.mark.parametrize("ratio", [4, 8])
def test_cnmf_follows_other_formulas_and_on_wdcm_another_scale(published, ratio):
    def implied(dataset, method):
        row = published.loc[dataset, ratio, method]
        return 10 ** (row.paper_psnr / 20) * row.paper_rmse

    for dataset in ("cave", "harvard"):
        cnmf = published.loc[dataset, ratio, "cnmf"]
        assert cnmf.paper_rase / cnmf.paper_ergas < 3.6, "four in the networks' rows"
    cave = published.loc["cave", ratio]
    angle = np.tan(np.radians(cave.paper_sam)) / (cave.paper_rase / 100)
    assert angle["cnmf"] > 0.99
    assert angle.drop("cnmf").max() < 0.62
    assert implied("wdcm", "cnmf") == pytest.approx(0.62, abs=0.005)
    assert implied("wdcm", "ssr_net") == pytest.approx(0.987, abs=0.005)
