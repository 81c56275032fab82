"""The page on local linear fusion prints what its rows hold."""

import pandas as pd
import pytest
from printed import table_after

from smifbench import load_results, plugins
from smifbench.paper.published import published_as_printed

PAGE = (plugins.ROOT / "docs" / "local_linear.md").read_text(encoding="utf-8")
TEXT = " ".join(PAGE.split())
REFERENCE = plugins.ROOT / "results" / "reference"
RATIOS = {4: REFERENCE / "cave_cpu", 8: REFERENCE / "cave_cpu_x8"}


def table(head):
    """Rows of the table whose header begins with `head`."""
    return table_after(PAGE, f"| {head} |")


def titled(variants):
    """Titles of (method, variant) as the page has them."""
    names = {"default": "", "refocused": ", refocused"}
    return [plugins.method_class(method).title + names[variant] for method, variant in variants]


@pytest.mark.parametrize("ratio", RATIOS)
def test_the_means_of_the_rows_and_what_they_cost(ratio):
    keys = ["method", "variant"]
    means = load_results(RATIOS[ratio]).groupby(keys)[["psnr", "paper_psnr", "sam", "ergas"]].mean()
    cost = pd.read_csv(RATIOS[ratio] / "cost.csv").set_index(keys).loc[means.index]
    rows = {title: cells for title, *cells in table(f"ratio {ratio}")}
    assert [title for title in rows if "printed" not in title] == titled(means.sort_values("psnr").index)
    for title, key in zip(titled(means.index), means.index, strict=True):
        digits = zip(means.loc[key], (2, 2, 3, 3), strict=True)
        assert rows[title][:4] == [f"{value:.{n}f}" for value, n in digits]
        params, gmacs = cost.params[key], cost.gmacs[key]
        assert rows[title][4:6] == ([f"{params / 1e6:.2g} M", f"{gmacs:.0f}"] if params else ["", ""])
        assert float(rows[title][6]) == pytest.approx(cost.latency_ms[key] / 1000, rel=0.05)


@pytest.mark.parametrize("ratio", RATIOS)
def test_what_the_paper_prints(ratio):
    printed = published_as_printed().query(f"table == 1 and ratio == {ratio}").set_index("method").paper_psnr
    rows = {title: cells for title, *cells in table(f"ratio {ratio}")}
    for method in ("smif_net", "dhif_net"):
        assert rows[f"{plugins.method_class(method).title}, printed"][1] == printed[method]


def test_the_seeds_of_lla_net():
    seeds = {ratio: load_results(folder).query("method == 'lla_net'") for ratio, folder in RATIOS.items()}
    reached = {ratio: df.groupby("seed").paper_psnr.mean() for ratio, df in seeds.items()}
    words = [
        "{:.2f}, {:.2f} and {:.2f} dB at ratio {} (mean {:.2f}, ".format(*psnr, ratio, psnr.mean())
        for ratio, psnr in reached.items()
    ]
    assert f"The seeds of LLA-Net reach {words[0]}standard deviation {reached[4].std():.2f}) and {words[1]}" in TEXT
    steps = {ratio: df.train_steps.unique() for ratio, df in seeds.items()}
    assert f"after {steps[4].item():.0f} and {steps[8].item():.0f} steps" in TEXT


def test_what_each_part_brings():
    df = load_results(REFERENCE / "lla_net_ablation").query("method == 'lla_net'")
    means = df.groupby("variant")[["psnr", "sam", "ergas", "train_seconds"]].mean()
    rows = {cells[0]: cells[2:] for cells in table("variant")}
    assert set(rows) == {f"`{variant}`" for variant in means.index}
    for variant, (psnr, sam, ergas, seconds) in means.iterrows():
        change = psnr - means.psnr.whole
        assert rows[f"`{variant}`"] == [f"{psnr:.2f}", f"{change:+.2f}", f"{sam:.3f}", f"{ergas:.3f}", f"{seconds:.0f}"]


def test_what_minutes_of_training_bring():
    df = load_results(REFERENCE / "lla_net_minutes").query("method == 'lla_net'")
    keys = ["train_steps", "variant"]
    means = df.groupby(keys)[["train_seconds", "psnr", "paper_psnr", "sam", "ergas"]].mean()
    rows = [
        [
            f"`{name}`",
            f"{steps:.0f}",
            f"{seconds / 60:.1f}",
            f"{psnr:.2f}",
            f"{paper:.2f}",
            f"{sam:.3f}",
            f"{ergas:.3f}",
        ]
        for (steps, name), (seconds, psnr, paper, sam, ergas) in means.iterrows()
    ]
    assert table("trained for") == rows
