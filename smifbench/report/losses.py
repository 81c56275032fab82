"""How much accuracy each method loses under protocols and ratios that it was not trained for: a table and curves."""

import math
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from smifbench import plugins
from smifbench.errors import UserError
from smifbench.evaluation.columns import DTYPES
from smifbench.evaluation.reading import read_table
from smifbench.report import latex
from smifbench.report.style import STYLE, WIDTH, drawn, legend_columns, save, styles
from smifbench.report.titles import distinct_methods, variant_title
from smifbench.system.files import replacing, replacing_folder, write_text

FAMILIES = {
    "blur": ("size", "sigma", "border"),
    "motion": ("motion",),
    "phase": ("shift",),
    "misregistration": ("misregistration",),
    "SNR of HSI": ("snr_hsi_db",),
    "SNR of MSI": ("snr_msi_db",),
    "response": ("response", "response_shift_nm"),
}
"""Kinds of tests and the fields of a protocol that they change; a test that changes several counts for the first."""

PRESETS, RATIO = "other protocols", "ratio"
UNITS = {"snr_hsi_db": " dB", "snr_msi_db": " dB", "response_shift_nm": " nm"}
PANELS = 3
"""Panels side by side."""

METHOD = ["dataset", "trained_on", "method", "variant"]

TEST = ["protocol", "ratio"]

ROWS_DTYPES = {"trained_on": "string"} | {
    column: DTYPES[column]
    for column in ("dataset", "protocol", "ratio", "method", "variant", "seed", "scene", "status", "message", "psnr")
}
"""Types of the columns of a robustness experiment's `metrics.csv` that are looked at."""

SPREAD_DTYPES = dict.fromkeys([*METHOD, "title", "worst_test"], "string") | {"tests": "int64"}
"""Types of the columns of `spread` that are no numbers."""


class Test(NamedTuple):
    """A test: the kind of its change ("" for the protocol of the training), and its label on an axis.

    No two tests of one training share both.
    """

    family: str
    label: str


def write_spread(table: Path, target: Path, folder: Path) -> None:
    """Summarise a robustness experiment.

    Parameters
    ----------
    table
        Its `metrics.csv`.
    target
        CSV file to write what `spread` returns to.
    folder
        Folder to write `spread.tex`, `summary.txt` and the curves to, a PDF and a PNG for each data set and ratio.

    Raises
    ------
    UserError
        After all is written, where a method failed.
    """
    rows = read_table(table, ROWS_DTYPES)
    found = spread(rows)
    with replacing(target) as temporary:
        found.to_csv(temporary, index=False)
    with replacing_folder(folder) as temporary:
        for (dataset, trained_on), part in rows.groupby(["dataset", "trained_on"], sort=False):
            if part.psnr.notna().any():
                save(curves(part), temporary, f"curves_{dataset}_{trained_on.rpartition('/')[2]}")
        write_text(temporary / "spread.tex", to_latex(found))
        write_text(temporary / "summary.txt", f"{found.round(2).to_string(index=False)}\n\n{folder}\n")
    failed = rows[rows.status == "failed"].drop_duplicates(["method", "variant", "message"])
    if len(failed):
        told = "; ".join(
            f"{row.method}/{row.variant} under {row.protocol}: {row.message}" for row in failed.itertuples()
        )
        raise UserError(f"some tests failed, the others are done: {told}")


def spread(rows: pd.DataFrame) -> pd.DataFrame:
    """Tabulate the losses of every method.

    Parameters
    ----------
    rows
        Rows as the step `robustness` writes them.

    Returns
    -------
    DataFrame
        A row for each data set, training, method and variant, in the order of the rows: `psnr` in dB as trained; in dB
        below that `mean_loss` and `worst_loss` over so many `tests`, with `worst_test`, and the worst loss of each kind
        of test. A test counts where all scenes and seeds went well.
    """
    tests, titles = _tests(rows), _titles(rows)
    records = []
    for key, part in _mean_psnr(rows).groupby(METHOD, sort=False):
        levels = {tests[row.protocol, row.ratio, row.trained_on]: row.psnr for row in part.itertuples()}
        trained = next((psnr for test, psnr in levels.items() if not test.family), math.nan)
        losses = {test: trained - psnr for test, psnr in levels.items() if test.family and not math.isnan(psnr)}
        worst = max(losses, key=lambda test: losses[test], default=None)
        record = dict(zip(METHOD, key, strict=True)) | {
            "title": titles["/".join(key[2:])],
            "psnr": trained,
            "tests": len(losses),
            "mean_loss": sum(losses.values()) / len(losses) if losses else math.nan,
            "worst_loss": losses[worst] if worst else math.nan,
            "worst_test": f"{worst.family}: {worst.label}" if worst else "",
        }
        for family in dict.fromkeys(test.family for test in tests.values() if test.family):
            record[family] = max((loss for test, loss in losses.items() if test.family == family), default=math.nan)
        records.append(record)
    return pd.DataFrame(records)


def to_latex(found: pd.DataFrame) -> str:
    """Set the table of `spread` in LaTeX."""
    families = list(found.columns[found.columns.get_loc("worst_test") + 1 :])
    rows: list[latex.Row | str] = []
    for (dataset, trained_on), part in found.groupby(["dataset", "trained_on"], sort=False):
        rows += latex.block(latex.escape(f"{dataset}, {trained_on}"), 4 + len(families), first=not rows)
        for record in part.to_dict("records"):
            cells = [
                latex.number(round(record[name], 2) + 0.0, 2) for name in ("psnr", "mean_loss", "worst_loss", *families)
            ]
            rows.append(latex.Row([latex.escape(record["title"])], cells))
    heads = ["Method", "PSNR", "mean", "worst", *map(latex.escape, families)]
    caption = (
        "Robustness: PSNR (dB) under the protocol of the training, and the loss (dB) in tests under others without "
        "training anew: the mean, the worst, and the worst of each kind of change."
    )
    most = found.groupby(["dataset", "trained_on"]).tests.transform("max")
    fewer = [
        rf"{latex.escape(row.title)}: mean and worst of {row.tests} tests, of others {of}."
        for row, of in zip(found.itertuples(), most, strict=True)
        if row.tests < of
    ]
    return latex.table(caption, latex.tabular(heads, rows), fewer)


def curves(rows: pd.DataFrame) -> Figure:
    """Curves of every method over the tests of each kind: PSNR minus that under the protocol of the training, in dB.

    `rows` are those of one data set and training. Every panel has a scale of its own.
    """
    means, titles = _mean_psnr(rows), _titles(rows)
    tests = {key: test for key, test in _tests(rows).items() if _at(means, key).notna().any()}
    trained = next(_at(means, key) for key, test in tests.items() if not test.family)
    families = list(dict.fromkeys(test.family for test in tests.values() if test.family))
    looks = styles(means[["method", "variant"]].drop_duplicates().itertuples(index=False, name=None))
    with plt.rc_context(STYLE):
        lines = -(-len(families) // PANELS)
        figure, axes = plt.subplots(
            lines, PANELS, figsize=(WIDTH, 2 * lines + 0.7), squeeze=False, layout="constrained"
        )
        for axis in axes.flat[len(families) :]:
            axis.axis("off")
        for axis, family in zip(axes.flat, families, strict=False):
            shown = {key: test for key, test in tests.items() if test.family in ("", family)}
            changes = [_at(means, key) - trained for key in shown]
            for method, look in looks.items():
                heights = [change.get(method, math.nan) for change in changes]
                axis.plot(heights, linewidth=0.9, markersize=2.5, **look.line, marker=look.marker)
            axis.set_xticks(
                range(len(shown)), [drawn(test.label) for test in shown.values()], rotation=35, ha="right", fontsize=6
            )
            axis.set_title(family)
            axis.grid(alpha=0.3)
        figure.supylabel("change of PSNR (dB)", fontsize=8)
        handles = [
            Line2D(
                [], [], label=titles["/".join(method)], linewidth=0.9, markersize=2.5, **look.line, marker=look.marker
            )
            for method, look in looks.items()
        ]
        abreast = legend_columns(titles.values())
        figure.legend(handles=handles, loc="outside lower center", ncols=abreast, frameon=False)
    return figure


def _at(means: pd.DataFrame, key: tuple[str, int, str]) -> pd.Series:
    """PSNR of every method and variant in one test."""
    chosen = (means[["protocol", "ratio", "trained_on"]] == pd.Series(key, ["protocol", "ratio", "trained_on"])).all(
        axis=1
    )
    return means[chosen].set_index(["method", "variant"]).psnr


def _tests(rows: pd.DataFrame) -> dict[tuple[str, int, str], Test]:
    """Every test by protocol, ratio and training, in the order of the rows."""
    keys = list(rows[[*TEST, "trained_on"]].drop_duplicates().itertuples(index=False, name=None))
    described = {key: _describe(*key) for key in keys}
    counts = Counter((test, trained_on) for (_, _, trained_on), test in described.items())
    return {
        key: test if counts[test, key[2]] == 1 else Test(test.family, f"{key[0]}/x{key[1]}")
        for key, test in described.items()
    }


def _describe(protocol: str, ratio: int, trained_on: str) -> Test:
    trained_protocol, _, trained_ratio = trained_on.rpartition("/x")
    if ratio != int(trained_ratio):
        return Test(RATIO, f"x{ratio}")
    if protocol == trained_protocol:
        return Test("", "as trained")
    (name, *changes), (trained_name, *same) = protocol.split("+"), trained_protocol.split("+")
    if name != trained_name:
        return Test(PRESETS, protocol)
    fields, trained_fields = (dict(change.partition("=")[::2] for change in given) for given in (changes, same))
    changed = {field: value for field, value in fields.items() if trained_fields.get(field) != value}
    taken = {field: value for field, value in trained_fields.items() if field not in fields}
    of_kind = (family for family, kind in FAMILIES.items() if {*changed, *taken} & {*kind})
    family = next(of_kind, PRESETS)
    words = [_label(family, field, value) for field, value in changed.items()]
    words += [f"without {_label(family, field, value)}" for field, value in taken.items()]
    return Test(family, " ".join(words) or protocol)


def _label(family: str, field: str, value: str) -> str:
    """What a field says of a test; its name is left out where the kind of the test or the unit tells it."""
    kind = FAMILIES.get(family, ())
    told = kind == (field,) or (field in kind and field in (*UNITS, "response"))
    return value + UNITS.get(field, "") if told else f"{field}={value}"


def _mean_psnr(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean over scenes and seeds, NaN where a run of a training or a scene has none."""
    psnr = rows.psnr.where(rows.status == "ok")
    by_test = [rows[key] for key in [*METHOD, *TEST]]
    runs = (
        rows[["scene", "seed"]].astype(str).agg("/".join, axis=1).groupby(by_test[: len(METHOD)]).transform("nunique")
    )
    whole = psnr.groupby(by_test).transform("count") == runs
    return psnr.where(whole).groupby(by_test, sort=False).mean().reset_index()


def _titles(rows: pd.DataFrame) -> dict[str, str]:
    """Titles of the methods by "method/variant", no two alike in LaTeX either."""
    methods = rows[["method", "variant"]].drop_duplicates().itertuples(index=False, name=None)
    titles = {
        f"{method}/{variant}": variant_title(plugins.method_class(method).title, variant) for method, variant in methods
    }
    return distinct_methods(titles, latex.escape)
