"""The kept rows load like any results, and the page on them prints what they hold."""

import pandas as pd
import pytest

from smifbench import load_results, plugins
from smifbench.files import read_json

FOLDERS = sorted(path.parent for path in plugins.ROOT.glob("results/reference/*/metrics.csv"))
PAGE = (plugins.ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
METHODS = {"bicubic": "bicubic", "GSA": "gsa", "CNMF": "cnmf"}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_rows_are_complete_and_say_where_they_come_from(folder):
    df = load_results(folder)
    assert set(df.status) == {"ok"}
    assert set(df.experiment) == {folder.name}
    about = read_json(folder / "experiment.json")
    assert about["experiment"] == folder.name
    assert df.code.nunique() == 1
    assert "dirty" not in df.code.iloc[0]
    assert (plugins.ROOT / "config" / f"{folder.name}.yaml").exists()


def printed_table():
    """The page's table by protocol, its columns renamed to (method, ratio)."""
    rows = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")]
    head = [(METHODS[column.split()[0]], int(column[-1])) for column in rows[0][1:]]
    rows = [row for row in rows if row[0].startswith("`")]
    table = pd.DataFrame([row[1:] for row in rows], index=[row[0].strip("`") for row in rows], columns=head)
    return table.astype(float)


def test_the_page_prints_the_means_of_the_rows():
    df = load_results(plugins.ROOT / "results" / "reference" / "cave_solvers")
    means = df.groupby(["protocol", "method", "ratio"]).paper_psnr.mean()
    table = printed_table()
    assert set(table.index) == set(df.protocol)
    for protocol, row in table.iterrows():
        for (method, ratio), value in row.items():
            assert value == pytest.approx(means[protocol, method, ratio], abs=0.005001)
    by_scene = df[(df.method == "cnmf") & (df.ratio == 4)].set_index(["protocol", "scene"]).paper_psnr
    for protocol, scene, text in (
        ("block-gauss-s2/1", "sponges", "36.03"),
        ("lttr/1", "sponges", "39.51"),
        ("block-gauss-s2/1", "stuffed_toys", "45.07"),
        ("lttr/1", "stuffed_toys", "35.57"),
    ):
        assert f"{by_scene[protocol, scene]:.2f}" == text
        assert text in PAGE
    difference = df.groupby("protocol").apply(lambda rows: (rows.psnr - rows.paper_psnr).mean())
    assert difference.round(2).eq(0.67).all()


def test_the_page_prints_what_ssr_net_reaches():
    df = load_results(plugins.ROOT / "results" / "reference" / "cave_ssr_net_authors")
    means = df.groupby(["method", "ratio"])[["paper_psnr", "psnr"]].mean()
    here = means.loc["ssr_net"]
    assert f"It reaches {here.paper_psnr[4]:.2f} dB at ratio 4\nand {here.paper_psnr[8]:.2f} at ratio 8" in PAGE
    assert f"({here.psnr[4]:.2f} and {here.psnr[8]:.2f} in `psnr`)" in PAGE
    below = means.paper_psnr.gsa - here.paper_psnr
    assert f"{below[4]:.1f} and {below[8]:.1f} dB below the\nlinear control" in PAGE
