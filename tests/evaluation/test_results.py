"""Result tables: reading, averaging, comparing, and marking the best."""

import doctest
import itertools
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import smifbench.evaluation.results
from smifbench import metrics
from smifbench.errors import UserError
from smifbench.evaluation import columns, results
from smifbench.evaluation.likeness import common_scenes
from smifbench.evaluation.significance import intervals, ranks, significance
from smifbench.metrics import METRICS
from smifbench.report import latex

COLUMNS = [
    *["experiment", "dataset", "protocol", "ratio", "method", "variant", "seed", "scene", "status", "message"],
    *["psnr", "mpsnr", "ssim", "sam", "rase", "rmse", "ergas", "uiqi", "q2n", "cc", "scc"],
    *["spectral_consistency", "spatial_consistency"],
    *["paper_psnr", "paper_ssim", "paper_sam", "paper_rase", "paper_rmse", "paper_ergas"],
    *["train_steps", "train_seconds", "fuse_seconds", "device", "code", "data", "pixels_missing", "sam_excluded"],
]
NUMBERS = dict.fromkeys(METRICS, 1.0)


def row(method="gsa", psnr=30.0, **changes):
    return {
        **{"experiment": "e", "dataset": "cave", "protocol": "p/1", "ratio": 4, "method": method, "variant": "default"},
        **{"seed": 0, "scene": "s1", "status": "ok", "message": ""},
        **{**NUMBERS, "psnr": psnr, "train_steps": None, "train_seconds": None},
        **{"fuse_seconds": 0.5, "device": "cpu", "code": "v1", "data": "abc"},
        **changes,
    }


def failed(method, **changes):
    return row(method, **{"status": "failed", "message": "out of memory", **dict.fromkeys(NUMBERS), **changes})


@pytest.fixture
def write(tmp_path):
    """Write rows to results/<name>/metrics.csv and return the folder."""

    def to_folder(rows, name="e"):
        folder = tmp_path / name
        folder.mkdir()
        pd.DataFrame(rows, columns=COLUMNS).to_csv(folder / "metrics.csv", index=False)
        return folder

    return to_folder


@pytest.fixture
def load(write):
    return lambda rows: results.load_results(write(rows))


# what is fixed


def test_columns_are_the_documented_ones():
    assert columns.METRICS_COLUMNS == COLUMNS


def test_metrics_are_those_that_are_computed():
    pair = [metrics.Observed(np.full((2, 3, 4), 0.5), lambda image: image)] * 2
    scores = metrics.score(np.full((2, 3, 4), 0.5), np.full((2, 3, 4), 0.6), 4, None, *pair)
    assert [*METRICS, "sam_excluded"] == list(scores)


@pytest.mark.parametrize("name", METRICS)
def test_direction_is_that_of_the_metric(name):
    reference = np.random.default_rng(0).random((8, 12, 12))
    noise = np.random.default_rng(1).standard_normal(reference.shape)
    pair = [metrics.Observed(reference, lambda image: image)] * 2
    near, far = (metrics.score(reference, reference + sigma * noise, 4, None, *pair)[name] for sigma in (0.01, 0.1))
    assert (near > far) == METRICS[name].higher_better


def test_labels_are_distinct():
    assert len({metric.label for metric in METRICS.values()}) == len(METRICS)


def test_docstring_examples():
    assert doctest.testmod(smifbench.evaluation.results).failed == 0


def test_importing_needs_neither_torch_nor_matplotlib():
    code = (
        "import sys, smifbench.evaluation.results, smifbench.metrics; print({'torch', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# load_results


def test_types_do_not_depend_on_the_values(load):
    df = load([row(code="0123456", data="12e5", scene="007"), failed("cnmf", code="NA", message="", scene="nan")])
    assert list(df.columns) == COLUMNS
    assert df.dtypes.astype(str).value_counts().to_dict() == {"float64": 24, "string": 11, "int64": 2}
    assert df[["code", "data", "scene"]].to_numpy().tolist() == [["0123456", "12e5", "007"], ["NA", "abc", "nan"]]
    assert df["message"].tolist() == ["", ""]
    assert df.loc[1, list(METRICS)].isna().all()


def test_values_survive_exactly(load):
    df = load([row(psnr=0.1 + 0.2, ssim=np.inf, train_steps=300, message='a "quoted", long\nmessage')])
    assert df.loc[0, "psnr"] == 0.1 + 0.2
    assert df.loc[0, "ssim"] == np.inf
    assert df.loc[0, "train_steps"] == 300
    assert df.loc[0, "message"] == 'a "quoted", long\nmessage'


def test_several_folders_are_stacked(write):
    df = results.load_results(write([row()], "a"), str(write([row(experiment="f", psnr=20)], "b")))
    assert df["experiment"].tolist() == ["e", "f"]
    assert df.index.tolist() == [0, 1]


def test_the_same_rows_twice_are_refused(write):
    folder = write([row()])
    with pytest.raises(UserError, match=r"s1 of gsa/default on cave x4 occurs twice .* compare\(a, b\)"):
        results.load_results(folder, folder)


def test_missing_file_is_told(tmp_path):
    with pytest.raises(UserError, match=r"nowhere/metrics\.csv does not exist; run snakemake"):
        results.load_results(tmp_path / "nowhere")
    with pytest.raises(UserError, match="name at least one result folder"):
        results.load_results()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda text: text.replace("paper_sam", "x").replace("seed", "y"),
            "lacks the columns seed, paper_sam",
        ),
        (lambda text: "", "lacks the columns experiment"),
        (lambda text: text[: text.rindex(",cpu")], f"row 2 has {len(COLUMNS) - 5} fields instead of {len(COLUMNS)}"),
        (lambda text: text.strip() + ",more\n", f"row 2 has {len(COLUMNS) + 1} fields instead of {len(COLUMNS)}"),
        (lambda text: text.replace("30.0", "thirty"), "'thirty' in column psnr"),
        (lambda text: text.replace("p/1,4,", "p/1,four,"), "'four' in column ratio"),
        (lambda text: text.replace("p/1,4,", "p/1,,"), "in column ratio"),
    ],
)
def test_broken_file_is_told(change, message, write):
    path = write([row(), row(scene="s2")]) / "metrics.csv"
    path.write_text(change(path.read_text()))
    with pytest.raises(UserError, match=rf"metrics\.csv.*{message}.*run snakemake"):
        results.load_results(path.parent)


def test_file_that_is_no_text_is_told(write):
    path = write([row()]) / "metrics.csv"
    path.write_bytes(b"\x89PNG\r\n\xff\xfe\x00")
    with pytest.raises(UserError, match="cannot be read as a table"):
        results.load_results(path.parent)


# leaderboard


def test_mean_over_scenes_then_over_seeds(load):
    # A failed scene counts in no mean: one over all values would give 24 and not 20.
    rows = [row(psnr=10, scene="s1"), row(psnr=30, scene="s2"), row(psnr=20, scene="s3")]
    again = [row(psnr=30, seed=1), row(psnr=30, scene="s2", seed=1), failed("gsa", scene="s3", seed=1)]
    assert results.leaderboard(load([*rows, *again])).loc[("gsa", "default"), ("cave", 4, "psnr")] == 20
    whole = [*rows, *(row(psnr=30, scene=scene, seed=1) for scene in ("s1", "s2", "s3"))]
    assert results.leaderboard(load_only(whole)).loc[("gsa", "default"), ("cave", 4, "psnr")] == 25


def test_a_seed_that_repeats_another_counts_once(load):
    df = load([row(psnr=psnr, seed=seed) for seed, psnr in enumerate([20, 20, 30])])
    assert results.seed_means(df).psnr.tolist() == [20, 30]
    assert results.leaderboard(df).iloc[0, 0] == 25


def test_rows_and_columns_keep_the_order_of_the_config(load):
    settings = itertools.product(["wdcm", "cave"], [8, 4], ["psrt", "bicubic", "gsa"])
    df = load([row(method, dataset=dataset, ratio=ratio) for dataset, ratio, method in settings])
    table = results.leaderboard(df, ["sam", "psnr"])
    assert [method for method, _ in table.index] == ["psrt", "bicubic", "gsa"]
    assert table.columns.tolist() == [
        *[("wdcm", 8, "sam"), ("wdcm", 8, "psnr"), ("wdcm", 4, "sam"), ("wdcm", 4, "psnr")],
        *[("cave", 8, "sam"), ("cave", 8, "psnr"), ("cave", 4, "sam"), ("cave", 4, "psnr")],
    ]
    assert table.columns.names == ["dataset", "ratio", "metric"]
    assert table.index.names == ["method", "variant"]


def test_each_value_is_in_its_own_cell(load):
    names = ["psnr", "sam"]
    cells = list(itertools.product(["a", "b"], ["wdcm", "cave"], [8, 4]))
    rows = [row(m, dataset=d, ratio=r, psnr=10.0 * i, sam=10.0 * i + 1) for i, (m, d, r) in enumerate(cells)]
    table = results.leaderboard(load(rows), names)
    for i, (method, dataset, ratio) in enumerate(cells):
        assert table.loc[(method, "default")][dataset][ratio].tolist() == [10.0 * i, 10.0 * i + 1]


@pytest.mark.parametrize(("metric", "order"), [("psnr", ["b", "c", "a", "d"]), ("sam", ["a", "c", "b", "d"])])
def test_best_first_and_failed_last(metric, order, load):
    values = {"a": 10, "b": np.inf, "c": 20}
    rows = [failed("d"), *(row(method, value, sam=value) for method, value in values.items())]
    table = results.leaderboard(load(rows), metric, sort=True)
    assert [method for method, _ in table.index] == order


def test_failed_and_missing_cells_are_nan(load):
    table = results.leaderboard(load([row("a"), row("a", ratio=8), failed("b"), row("b", ratio=8)]))
    assert np.isnan(table.loc[("b", "default"), ("cave", 4, "psnr")])
    assert table.loc[("b", "default"), ("cave", 8, "psnr")] == 30
    table = results.leaderboard(load_only([row("a"), row("b", ratio=8)]))
    assert np.isnan(table.to_numpy()).tolist() == [[False, True], [True, False]]


def load_only(rows):
    return pd.DataFrame(rows, columns=COLUMNS)


def test_a_seed_that_failed_on_one_scene_does_not_count(load):
    rows = [row(psnr=40, scene="s1"), failed("gsa", scene="s2")]
    assert np.isnan(results.leaderboard(load(rows)).iloc[0, 0])
    complete = [row(psnr=20, scene="s1", seed=1), row(psnr=30, scene="s2", seed=1)]
    assert results.leaderboard(load_only(rows + complete)).iloc[0, 0] == 25


def test_values_of_a_failed_row_do_not_count(load):
    assert np.isnan(results.leaderboard(load([row(status="failed")])).iloc[0, 0])


def test_undefined_and_infinite_values_stay_so(load):
    df = load([row(ergas=np.nan), row(ergas=2.0, psnr=np.inf, scene="s2")])
    table = results.leaderboard(df, ["ergas", "psnr"])
    assert np.isnan(table.iloc[0, 0])
    assert table.iloc[0, 1] == np.inf


def test_convention_chooses_the_columns(load):
    df = load([row(paper_psnr=29)])
    table = results.leaderboard(df, ["psnr", "sam"], convention="paper")
    assert table.columns.get_level_values("metric").tolist() == ["paper_psnr", "paper_sam"]
    assert table.iloc[0, 0] == 29
    with pytest.raises(UserError, match=r"unknown metric of convention paper 'mpsnr'; did you mean 'psnr'\?"):
        results.leaderboard(df, "mpsnr", convention="paper")
    with pytest.raises(UserError, match=r"unknown metric of convention wald 'ergass'; did you mean 'ergas'\?"):
        results.leaderboard(df, "ergass")
    with pytest.raises(UserError, match=r"unknown convention 'walt'; did you mean 'wald'\?"):
        results.leaderboard(df, convention="walt")


def test_variants_have_their_own_rows(load):
    table = results.leaderboard(load([row(), row(variant="narrow", psnr=20)]))
    assert table.iloc[:, 0].to_dict() == {("gsa", "default"): 30, ("gsa", "narrow"): 20}


def test_rows_that_do_not_compare_are_not_mixed(load):
    df = load([row(), row("cnmf", protocol="fwhm/1"), row(dataset="wdcm", protocol="fwhm/1")])
    with pytest.raises(UserError, match=r"mix several of protocol \(p/1, fwhm/1\); .* df\[df\.protocol == '\.\.\.'\]"):
        results.leaderboard(df)
    assert len(results.leaderboard(df[df.method != "cnmf"]).columns) == 2
    with pytest.raises(UserError, match=r"mix several of experiment \(e, f\)"):
        results.leaderboard(load_only([row(), row(experiment="f")]))


# compare


def test_compare_subtracts_means_over_common_scenes_and_names_what_is_in_one_only(write):
    a = write([row(psnr=30), row(psnr=40, scene="s2"), row("cnmf"), failed("psrt"), row("exact", np.inf)], "a")
    b = write([row(psnr=36), row("tsfn"), row("psrt"), row("exact", np.inf), row(ratio=8)], "b")
    table = results.compare(a, b)
    about = ["dataset", "protocol", "ratio", "method", "variant", "found_in", "scenes", "left_out"]
    assert list(table.columns) == [*about, *METRICS]
    found = {(line.method, line.ratio): line.found_in for line in table.itertuples()}
    assert found == {
        **{("gsa", 4): "both", ("cnmf", 4): "a", ("psrt", 4): "both", ("exact", 4): "both"},
        **{("tsfn", 4): "b", ("gsa", 8): "b"},
    }
    counts = {(line.method, line.ratio): (line.scenes, line.left_out) for line in table.itertuples()}
    assert counts["gsa", 4] == (1, 1)
    assert counts["exact", 4] == (1, 0)
    assert counts["tsfn", 4] == (0, 1)
    psnr = table.set_index(["method", "ratio"]).psnr
    assert psnr["gsa", 4] == 6, "on s1; a mean over s2 too would not compare"
    assert psnr["exact", 4] == 0
    assert psnr.isna().sum() == 4


def test_compare_with_itself_is_zero(write):
    folder = write([row(), row("cnmf", 20), row(scene="s2")])
    table = results.compare(folder, folder)
    assert (table.found_in == "both").all()
    assert (table.left_out == 0).all()
    assert (table[list(METRICS)] == 0).all(axis=None)


def test_compare_refuses_other_data_and_takes_frames(write):
    a, b = write([row(), row(dataset="wdcm")], "a"), write([row(data="def"), row(dataset="wdcm")], "b")
    with pytest.raises(
        UserError, match="scene s1 of cave x4 under p/1 are abc in experiment a and def in experiment b"
    ):
        results.compare(a, b)
    rest = [results.load_results(folder).query("dataset != 'cave'") for folder in (a, b)]
    assert results.compare(*rest).psnr.tolist() == [0]


def test_scenes_that_nothing_shares_have_no_difference(write):
    table = results.compare(write([row()], "a"), write([row(scene="s2")], "b"))
    assert table[["found_in", "scenes", "left_out"]].to_numpy().tolist() == [["both", 0, 2]]
    assert table.psnr.isna().all()


# likeness


def test_methods_on_other_scenes_are_refused_or_taken_on_the_common_ones(write):
    """45 dB on the easy scene alone is no better than 35 dB over all four, of which it has 50."""
    easy = [row("ssr_net", 45, experiment="f", scene="s3")]
    df = results.load_results(write([row(psnr=20 + 10 * i, scene=f"s{i}") for i in range(4)], "a"), write(easy, "b"))
    for use in (results.leaderboard, ranks, intervals, lambda df: significance(df, "gsa")):
        with pytest.raises(UserError, match="ssr_net/default of experiment f, seed 0, lacks scene s0 of cave x4"):
            use(df)
    shared = common_scenes(df)
    assert results.leaderboard(shared).iloc[:, 0].tolist() == [50, 45]
    assert ranks(shared)["rank"].tolist() == [1, 2]
    assert intervals(shared)["mean"].tolist() == [50, 45]


def test_scenes_of_other_data_are_refused_and_not_common():
    df = load_only([row(scene=scene, data=scene) for scene in ("s1", "s2")])
    other = df.assign(method="ssr_net", experiment="f", data=["s1", "another"])
    both = pd.concat([df, other], ignore_index=True)
    for use in (results.leaderboard, ranks, intervals, lambda df: significance(df, "gsa")):
        with pytest.raises(UserError, match="scene s2 of cave x4 under p/1 are s2 in experiment e and another in exp"):
            use(both)
    assert common_scenes(both).scene.tolist() == ["s1", "s1"]


def test_two_experiments_are_never_averaged():
    df = load_only([row(), row(psnr=20, experiment="f")])
    for use in (results.leaderboard, ranks, intervals, lambda df: significance(df, "gsa")):
        with pytest.raises(UserError, match=r"mix several of experiment \(e, f\)"):
            use(df)


def test_rows_without_data_compare_by_their_scenes():
    lost = row("psrt", status="not run", message="no network", data="", **dict.fromkeys(NUMBERS))
    df = load_only([row(), lost])
    assert results.leaderboard(df).iloc[:, 0].isna().tolist() == [False, True]
    assert len(common_scenes(df)) == 2


# marking


@pytest.mark.parametrize(
    ("values", "higher", "digits", "expected"),
    [
        ([1.0, 3.0, 2.0], True, 2, ([1], [2])),
        ([1.0, 3.0, 2.0], False, 2, ([0], [2])),
        ([1.001, 1.004, 0.5], True, 2, ([0, 1], [2])),
        ([1.001, 1.004, 0.5], True, 3, ([1], [0])),
        ([2.0, 1.0, 0.999], True, 2, ([0], [1, 2])),
        ([np.nan, 2.0, np.inf, np.nan], True, 2, ([2], [1])),
        ([np.nan, 5.0], False, 2, ([1], [])),
        ([4.0, 4.0], True, 2, ([0, 1], [])),
        ([0.125, 0.1249, 0.3], False, 2, ([0, 1], [2])),
        ([-0.001, 0.001, 1.0], False, 2, ([0, 1], [2])),
        ([np.nan], True, 2, ([], [])),
        ([], True, 2, ([], [])),
    ],
)
def test_best_and_second_go_by_what_is_printed(values, higher, digits, expected):
    assert latex.mark_best(values, higher, digits) == expected


def test_mark_best_takes_a_column_of_a_leaderboard(load):
    table = results.leaderboard(load([row("a", 10), row("b", 30), row("c", 20)]))
    assert latex.mark_best(table["cave", 4, "psnr"], True, 2) == ([1], [2])


# summary


def test_summary_shows_each_protocol_and_names_failures(write):
    lost = [failed("psrt"), failed("psrt", scene="s2")]
    folder = write([row(), row(scene="s2"), row(protocol="fwhm/1", psnr=12.345), *lost])
    text, failures = results.summary(folder / "metrics.csv")
    assert "fwhm/1" in text
    assert "12.345" in text
    run = "cave/p/1/x4/psrt/default/seed0"
    assert failures == [f"psrt/default on cave x4 p/1 seed 0: out of memory (see {folder}/logs/fuse/{run}.log)"]


@pytest.mark.parametrize(("status", "step"), [("failed", "train"), ("ok", "fuse")])
def test_a_failures_log_is_that_of_the_step_that_failed(status, step, write):
    folder = write([failed("psrt")])
    trained = folder / "runs" / "cave/p/1/x4/psrt/default/seed0" / "trained"
    trained.mkdir(parents=True)
    (trained / "facts.json").write_text(f'{{"status": "{status}"}}')
    assert f"see {folder}/logs/{step}/cave" in results.summary(folder / "metrics.csv")[1][0]


def test_missing_pixels_are_told_once_for_a_scene(write):
    rows = [row(pixels_missing=12), row(method="gsa", pixels_missing=12), row(scene="s2", pixels_missing=0)]
    text, _ = results.summary(write(rows) / "metrics.csv")
    assert text.count("missing pixels") == 1
    assert "has 12 missing pixels, which no metric counts; every method saw values filled in" in text


def test_a_table_from_before_a_column_was_added_is_read(write):
    path = write([row()]) / "metrics.csv"
    pd.read_csv(path).drop(columns=list(columns.LATER_COLUMNS)).to_csv(path, index=False)
    df = results.load_results(path.parent)
    assert list(df.columns) == COLUMNS
    assert df[list(columns.LATER_COLUMNS)].isna().all(axis=None)
