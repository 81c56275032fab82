"""The kept rows load like any results, and the page on them prints what they hold."""

import itertools

import pandas as pd
import pytest
from printed import table_after

from smifbench import load_results, plugins
from smifbench.paper.published import published_as_printed
from smifbench.system.files import read_json

REFERENCE = plugins.ROOT / "results" / "reference"
FOLDERS = sorted(path.parent for path in REFERENCE.glob("*/metrics.csv"))
PAGE = (plugins.ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
TEXT = " ".join(PAGE.split())
PAPER = [f"paper_{name}" for name in ("psnr", "ssim", "sam", "rase", "rmse", "ergas")]
METHODS = {plugins.method_class(name).title: name for name in plugins.names("methods")}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_rows_are_complete_and_say_where_they_come_from(folder):
    df = load_results(folder)
    assert set(df.status) == {"ok"}
    assert set(df.experiment) == {folder.name}
    about = read_json(folder / "experiment.json")
    assert about["experiment"] == folder.name
    assert df.code.nunique() == 1
    assert not df.code.str.contains("dirty").any()
    assert (plugins.ROOT / "config" / f"{folder.name}.yaml").exists()


def printed_rows(heading):
    """Rows of the first table under a heading."""
    return table_after(PAGE, f"## {heading}")


def test_the_page_prints_the_means_of_the_solvers_rows():
    df = load_results(REFERENCE / "cave_solvers")
    means = df.groupby(["method", "protocol", "ratio"]).paper_psnr.mean()
    cost = pd.read_csv(REFERENCE / "cave_solvers" / "cost.csv").set_index(["method", "ratio"])
    table = {title: cells for title, *cells in printed_rows("Classical solvers on CAVE")}
    assert {METHODS[title] for title in table} == set(df.method)
    for title, cells in table.items():
        method = METHODS[title]
        found = [means[method, protocol, ratio] for protocol in df.protocol.unique() for ratio in (4, 8)]
        seconds = [f"{cost.latency_ms[method, ratio] / 1000:.2g}" for ratio in (4, 8)]
        assert cells == [f"{value:.2f}" for value in found] + [*seconds, f"{cost.peak_memory_mb[method, 4]:.0f}"]
    difference = df.groupby("protocol").apply(lambda rows: (rows.psnr - rows.paper_psnr).mean())
    assert difference.round(2).eq(0.67).all()


def test_the_page_prints_what_lttr_reaches():
    means = load_results(REFERENCE / "cave_lttr").groupby("ratio").paper_psnr.mean()
    assert f"{means[4]:.2f} and {means[8]:.2f} dB at ratios 4 and 8" in TEXT


def test_the_page_prints_what_displacements_do_to_cnmf():
    df = pd.concat([load_results(REFERENCE / name) for name in ("cave_cnmf", "cave_cnmf_x8")])
    draws = df.groupby(["protocol", "ratio", "seed"])[["paper_psnr", "sam", "paper_rase", "paper_rmse"]].mean()
    means, spread = (getattr(draws.groupby(["protocol", "ratio"]), what)() for what in ("mean", "std"))
    printed = published_as_printed().query("table == 1 and method == 'cnmf'").set_index("ratio")
    rows = printed_rows("CNMF on CAVE")
    assert len(rows) == len(means) + 2
    for protocol, ratio, *cells in rows:
        key = protocol.strip("`"), int(ratio)
        if protocol == "printed":
            columns = ["paper_psnr", "paper_sam", "paper_rase", "paper_rmse"]
            assert cells == printed.loc[int(ratio), columns].tolist()
            continue
        mean = means.loc[key]
        psnr = f"{mean.paper_psnr:.2f} ± {spread.paper_psnr[key]:.2f}"
        assert cells == [psnr, f"{mean.sam:.2f}", f"{mean.paper_rase:.2f}", f"{mean.paper_rmse:.4f}"]


def test_the_page_says_how_near_half_an_lr_pixel_comes_to_cnmfs_row():
    df = pd.concat([load_results(REFERENCE / name) for name in ("cave_cnmf", "cave_cnmf_x8")])
    pairs = {ratio: f"block-gauss-s2/1+misregistration={ratio // 2},{ratio // 2}" for ratio in (4, 8)}
    means = df.groupby(["ratio", "protocol"]).mean(numeric_only=True)
    here = pd.DataFrame({ratio: means.loc[ratio, protocol] for ratio, protocol in pairs.items()}).T
    printed = published_as_printed().query("table == 1 and method == 'cnmf'").set_index("ratio")[PAPER].astype(float)
    apart = (here.paper_psnr - printed.paper_psnr).abs()
    assert f"PSNR is within {apart[4]:.1f} and {apart[8]:.1f} dB of print" in TEXT
    for column, of_print in {"sam": "paper_sam", "paper_rase": "paper_rase", "paper_rmse": "paper_rmse"}.items():
        assert (here[column] / printed[of_print] - 1).abs().max() < 0.08
    aligned = means.xs("block-gauss-s2/1", level="protocol").paper_psnr - printed.paper_psnr
    assert f"CNMF is {aligned[4]:.1f} and {aligned[8]:.1f} dB better" in TEXT
    by_25 = here.ergas * here.index / 4  # Wald's factor is 100 over the ratio
    doubled = f"give {2 * by_25[4]:.2f} and {2 * by_25[8]:.2f}"
    assert f"{doubled}, printed {printed.paper_ergas[4]} and {printed.paper_ergas[8]}." in TEXT
    factors = here.paper_rase / by_25
    assert f"RASE is {factors[4]:.1f} and {factors[8]:.1f} times ERGAS here" in TEXT
    assert (printed.paper_rase / printed.paper_ergas).round(1).eq(1.9).all()
    scene = ["protocol", "ratio", "scene"]
    spread = {
        name: rows.groupby(level=keys).agg(lambda draws: draws.max() - draws.min()).max()
        for name, keys, rows in (
            ("means", scene[:2], df.groupby([*scene[:2], "seed"]).paper_psnr.mean()),
            ("scenes", scene, df.set_index(scene).paper_psnr),
        )
    }
    told = "differ by up to {means:.1f} dB between draws, a single scene by up to {scenes:.1f} dB"
    assert told.format(**spread) in TEXT


def test_the_page_prints_what_ssr_net_reaches():
    df = load_results(REFERENCE / "cave_ssr_net")
    means = df.groupby("method").mean(numeric_only=True)
    rows = [line.strip("| ").split(" | ") for line in PAGE.splitlines()]
    table = {title: cells for title, *cells in rows if len(cells) == len(PAPER)}
    printed = published_as_printed().query("table == 1 and ratio == 4 and method == 'ssr_net'")
    assert table["printed"] == printed[PAPER].iloc[0].tolist()
    for title, method in (("SSR-NET here", "ssr_net"), ("GSA here", "gsa")):
        digits = [len(text.partition(".")[2]) for text in table["printed"]]
        assert table[title] == [f"{means.loc[method, name]:.{n}f}" for name, n in zip(PAPER, digits, strict=True)]
    assert f"In `psnr` it is {means.psnr.ssr_net:.2f} dB." in TEXT
    network = df[df.method == "ssr_net"]
    assert set(network.train_steps) == {11000}
    scenes = network.set_index("scene").paper_psnr.sort_values()
    low, high = (f"{scenes.iloc[end]:.2f} dB (`{scenes.index[end]}`)" for end in (0, -1))
    assert f"{low} to {high}" in TEXT
    curve = pd.read_csv(REFERENCE / "cave_ssr_net" / "history.csv").val_psnr
    step, last = curve.tail(11).diff().abs().max(), ", ".join(curve.tail(3).map("{:.2f}".format))
    assert f"up to {step:.1f} dB: {last} are the last three" in TEXT
    assert curve.iloc[-1] == curve.max()
    assert f"(mean of the last ten: {curve.tail(10).mean():.2f})" in TEXT
    assert f"{curve.iloc[-1] - means.psnr.ssr_net:.1f} dB above" in TEXT


def test_the_page_prints_how_bright_the_papers_scenes_look():
    printed = published_as_printed().query("table == 1 and ratio == 4 and method != 'cnmf'")
    theirs = printed.paper_rmse.astype(float) / printed.paper_rase.astype(float)
    ours = load_results(REFERENCE / "cave_ssr_net").groupby("method").mean(numeric_only=True).loc["ssr_net"]
    assert len(printed) == 8
    words = f"{theirs.min():.5f} to {theirs.max():.5f} in all networks' rows of its table at ratio 4"
    assert f"{words}, and {ours.paper_rmse / ours.paper_rase:.5f} here" in TEXT


def test_the_page_prints_how_ssr_net_bears_other_protocols():
    df = pd.read_csv(REFERENCE / "cave_ssr_net" / "robustness" / "metrics.csv")
    means = df.groupby(["method", "protocol"]).mean(numeric_only=True)
    reached = means.paper_psnr.ssr_net
    words = [f"{reached[protocol]:.2f} dB (`{protocol}`)" for protocol in ("fwhm/1", "shifted-gauss/1", "lttr/1")]
    assert f"{words[0]}, {words[1]} and {words[2]}" in TEXT
    told = "{:.2f}, {:.2f} and {:.2f} dB".format(*means.paper_psnr.gsa[["fwhm/1", "shifted-gauss/1", "lttr/1"]])
    assert f"falls to {told}" in TEXT
    parts = 1000 * means.xs("block-gauss-s2/1", level="protocol")
    detail, blocks = parts.rmse_detail, parts.rmse_blocks
    assert f"(root mean square {detail.ssr_net:.1f} and {detail.gsa:.1f} thousandths" in TEXT
    assert f"by {blocks.ssr_net:.1f} thousandths and GSA by {blocks.gsa:.1f}" in TEXT


def test_the_page_prints_what_the_kernel_is_worth_to_ssr_net():
    df = load_results(REFERENCE / "cave_ssr_net_kernels")
    reached = df[df.method == "ssr_net"].groupby(["protocol", "seed"]).paper_psnr.mean()
    means = reached.groupby("protocol").mean()
    words = [f"{means[id]:.2f} dB (`{id}`)" for id in ("block-gauss-s2/1", "fwhm/1", "shifted-gauss/1", "lttr/1")]
    assert f"{', '.join(words[:3])} and {words[3]}" in TEXT
    apart = reached.groupby("protocol").agg(lambda psnr: psnr.max() - psnr.min()).max()
    assert f"two seeds that lie up to {apart:.2f} dB apart" in TEXT


def test_the_page_prints_what_the_authors_recipe_reaches():
    df = load_results(REFERENCE / "cave_ssr_net_authors")
    means = df.groupby(["method", "ratio"])[["paper_psnr", "psnr"]].mean()
    here = means.loc["ssr_net"]
    assert f"It reaches {here.paper_psnr[4]:.2f} dB at ratio 4 and {here.paper_psnr[8]:.2f} at ratio 8" in TEXT
    assert f"({here.psnr[4]:.2f} and {here.psnr[8]:.2f} in `psnr`)" in TEXT
    below = means.paper_psnr.gsa - here.paper_psnr
    assert f"{below[4]:.1f} and {below[8]:.1f} dB below the linear control" in TEXT


def test_the_page_prints_what_the_small_budget_brings():
    df = load_results(REFERENCE / "cave_small")
    means = df.groupby(["method", "ratio"])[["paper_psnr", "sam", "train_steps"]].mean()
    cost = pd.read_csv(REFERENCE / "cave_small" / "cost.csv").set_index(["method", "ratio"])
    printed = published_as_printed().query("table == 1").set_index(["method", "ratio"]).paper_psnr
    patch = read_json(REFERENCE / "cave_small" / "experiment.json")["methods"]["ssr_net/default"]["recipe"]["patch"]
    table = {
        METHODS[title]: cells for title, *cells in printed_rows("All networks of the paper under one small budget")
    }
    assert set(table) == set(df.method)
    for method, cells in table.items():
        steps, params = means.train_steps[method, 4], cost.params[method, 4]
        budget = [f"{steps:.0f}", f"{steps * patch**2 / 1e6:.1f}", f"{params / 1000:.0f} k"] if params else [""] * 3
        of_ratios = [
            (
                f"{cost.gmacs[method, ratio]:.2g}" if params else "",
                printed.get((method, ratio), ""),
                f"{means.paper_psnr[method, ratio]:.2f}",
                f"{means.sam[method, ratio]:.2f}",
            )
            for ratio in (4, 8)
        ]
        assert cells == budget + list(itertools.chain(*of_ratios))
    apart = df.psnr - df.paper_psnr
    assert apart.groupby([df.method, df.ratio]).mean().round(2).eq(0.67).all()
