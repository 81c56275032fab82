"""The standing leaderboard: every entry once, with what stands behind it, and none without provenance."""

import re
import shutil

import numpy as np
import pandas as pd
import pytest

from smifbench import load_results
from smifbench.__main__ import main
from smifbench.errors import UserError
from smifbench.evaluation.submission import EVIDENCE, read_submission, record_verified
from smifbench.paper.published import load_published
from smifbench.places import REFERENCE
from smifbench.report.board import entries, write_board
from smifbench.system.files import write_json

GSA = "cave/block-gauss-s2/1/x4/gsa/default/seed0"


@pytest.fixture
def two(tmp_path):
    """Submissions that share the rows of both controls."""
    for name in ("cave_ssr_net", "cave_ssr_net_kernels"):
        shutil.copytree(REFERENCE / name, tmp_path / name)
    (tmp_path / "cave_ssr_net" / "verification.json").unlink(missing_ok=True)
    (tmp_path / "cave_ssr_net_kernels" / "verification.json").unlink(missing_ok=True)
    return tmp_path


def of(rows, method, protocol="block-gauss-s2/1"):
    return rows[(rows.title == method) & (rows.protocol == protocol) & (rows.evidence != EVIDENCE["print"])]


def test_scores_are_means_with_the_spread_over_seeds(two):
    row = of(entries(two), "SSR-NET").set_index("source").loc["cave_ssr_net_kernels"]
    df = load_results(two / "cave_ssr_net_kernels")
    seeds = df[(df.method == "ssr_net") & (df.protocol == "block-gauss-s2/1")].groupby("seed").psnr.mean()
    assert row.psnr == pytest.approx(seeds.mean())
    assert row.psnr_note == f"± {seeds.std():.2f}"
    assert (row.seeds, row.scenes, row.train_steps, row.code, row.date) == (2, 5, 1000, "bf6ebfa", "2026-11-23")


def test_what_several_submissions_hold_alike_is_one_entry(two):
    rows = entries(two)
    assert of(rows, "GSA").source.tolist() == ["cave_ssr_net, cave_ssr_net_kernels"]
    assert sorted(of(rows, "SSR-NET").train_steps) == [1000, 11000], "other budgets are other entries"


def test_the_mark_is_what_stands_behind_the_weakest_run(two):
    record_verified(two / "cave_ssr_net_kernels", {GSA: "code"}, "v9", "2026-11-26")
    rows = entries(two)
    assert of(rows, "GSA").evidence.tolist() == [EVIDENCE["code"]]
    assert of(rows, "GSA", "fwhm/1").evidence.tolist() == [EVIDENCE[""]]
    one_seed = GSA.replace("gsa", "ssr_net")
    record_verified(two / "cave_ssr_net_kernels", {one_seed: "weights"}, "v9", "2026-11-26")
    assert set(of(entries(two), "SSR-NET").evidence) == {EVIDENCE[""]}
    record_verified(two / "cave_ssr_net_kernels", {one_seed.replace("seed0", "seed1"): "estimates"}, "v9", "2026-11-26")
    row = of(entries(two), "SSR-NET").set_index("source").loc["cave_ssr_net_kernels"]
    assert row.evidence == EVIDENCE["estimates"]


def test_printed_rows_carry_their_mark_their_decimals_and_no_rank(two):
    rows = entries(two)
    printed = rows[rows.evidence == EVIDENCE["print"]]
    assert len(printed) == len(load_published().drop_duplicates(["dataset", "ratio", "method", "variant"]))
    assert set(rows.title_note) == {EVIDENCE["print"], EVIDENCE[""]}
    assert printed.psnr.isna().all()
    assert set(printed[[column for column in rows if column.endswith("_mark")]].to_numpy().ravel()) == {""}
    row = printed[(printed.title == "SSR-NET") & (printed.dataset_title == "CAVE") & (printed.ratio == 4)].iloc[0]
    assert (row.paper_rase_text, row.source) == ("5.020", "Table 1 of the SMIF-NET paper")


def test_best_is_marked_among_entries_of_the_same_images_alone(two):
    table = pd.read_csv(two / "cave_ssr_net" / "metrics.csv", dtype=str, keep_default_na=False)
    table.assign(data="0123456789ab").to_csv(two / "cave_ssr_net" / "metrics.csv", index=False)
    assert of(entries(two), "GSA").psnr_mark.tolist() == ["best", "best"]


@pytest.mark.parametrize("column", ["code", "device", "data"])
def test_an_entry_without_provenance_is_refused(two, column):
    table = pd.read_csv(two / "cave_ssr_net" / "metrics.csv", dtype=str, keep_default_na=False)
    table.assign(**{column: ""}).to_csv(two / "cave_ssr_net" / "metrics.csv", index=False)
    with pytest.raises(UserError, match=f"cave_ssr_net does not say the {column} of all its rows"):
        entries(two)


def test_a_submission_without_its_sheet_or_date_is_refused(two):
    write_json(two / "cave_ssr_net" / "submission.json", vars(read_submission(two / "cave_ssr_net")) | {"date": ""})
    with pytest.raises(UserError, match="does not say the date"):
        entries(two)
    (two / "cave_ssr_net" / "submission.json").unlink()
    with pytest.raises(UserError, match=r"submission\.json does not exist; make the folder by"):
        entries(two)


def test_one_command_makes_a_page_of_all_that_is_kept(tmp_path, capsys):
    assert main(["leaderboard", "--output", str(tmp_path / "board.html")]) == 0
    told = capsys.readouterr().out
    page = (tmp_path / "board.html").read_text(encoding="utf-8")
    assert int(re.search(r"with (\d+) entries", told)[1]) == page.count("<tr data-title")
    for path in REFERENCE.glob("*/metrics.csv"):
        assert path.parent.name in page
    assert not re.search(r"""(src|href)=["']?https?:""", page), "it opens offline"


def test_an_empty_folder_is_one_sentence(tmp_path, capsys):
    assert main(["leaderboard", "--results", str(tmp_path), "--output", str(tmp_path / "board.html")]) == 2
    assert "holds no submission" in capsys.readouterr().err
    assert not (tmp_path / "board.html").exists()


def test_costs_are_shown_where_they_were_counted():
    rows = entries(REFERENCE)
    counted = [folder.name for folder in REFERENCE.iterdir() if (folder / "cost.csv").is_file()]
    uncounted = rows[~rows.source.isin(counted) & rows.source.isin([folder.name for folder in REFERENCE.iterdir()])]
    networks = rows[rows.source.isin(counted) & rows.train_steps.notna()]
    assert {"real_eo1", "cave_cpu"} <= {*networks.source}
    assert (networks.params_millions > 0).all()
    assert "cave_ssr_net" in {*uncounted.source}
    assert np.isnan(uncounted.params_millions).all()
    assert np.isnan(uncounted.peak_memory_mb).all()
    solvers = rows[(rows.source == "cave_solvers") & (rows.ratio == 4)].set_index("method")
    stored = pd.read_csv(REFERENCE / "cave_solvers" / "cost.csv").query("ratio == 4").set_index("method")
    assert {"hysure", "fuse", "mtf_glp_hs", "sfim_hs"} <= {*solvers.index}
    assert (solvers.peak_memory_mb == stored.peak_memory_mb[solvers.index]).all()
    assert (solvers.fuse_seconds > 0).all()


def test_write_board_counts_its_entries(two, tmp_path):
    assert write_board(two, tmp_path / "board.html") == len(entries(two))
