"""How much accuracy each method loses under protocols and ratios that it was not trained for: a table and curves."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from smifbench import plugins
from smifbench.errors import UserError
from smifbench.report import latex
from smifbench.report.style import STYLE, WIDTH, save, styles
from smifbench.report.titles import variant_title
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


class Test(NamedTuple):
    """A test: the kind of its change ("" for the protocol of the training), and its label on an axis."""

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
    rows = pd.read_csv(table, keep_default_na=False, na_values={"psnr": ""})
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
        below that `mean_loss` and `worst_loss` over all tests, with `worst_test`, and the worst loss of each kind of
        test. A test counts where all scenes and seeds went well.
    """
    tests = _tests(rows)
    records = []
    for key, part in _mean_psnr(rows).groupby(METHOD, sort=False):
        levels = {tests[row.protocol, row.ratio, row.trained_on]: row.psnr for row in part.itertuples()}
        trained = next(psnr for test, psnr in levels.items() if not test.family)
        losses = {test: trained - psnr for test, psnr in levels.items() if test.family and not math.isnan(psnr)}
        worst = max(losses, key=lambda test: losses[test], default=None)
        record = dict(zip(METHOD, key, strict=True)) | {
            "title": _title(*key[2:]),
            "psnr": trained,
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
    return latex.table(caption, latex.tabular(heads, rows))


def curves(rows: pd.DataFrame) -> Figure:
    """Curves of every method over the tests of each kind: PSNR minus that under the protocol of the training, in dB.

    `rows` are those of one data set and training. Every panel has a scale of its own.
    """
    means = _mean_psnr(rows)
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
                axis.plot(
                    heights, linewidth=0.9, markersize=2.5, label=_title(*method), **look.line, marker=look.marker
                )
            axis.set_xticks(
                range(len(shown)), [test.label for test in shown.values()], rotation=35, ha="right", fontsize=6
            )
            axis.set_title(family)
            axis.grid(alpha=0.3)
        figure.supylabel("change of PSNR (dB)", fontsize=8)
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False)
    return figure


def _at(means: pd.DataFrame, key: tuple[str, int, str]) -> pd.Series:
    """PSNR of every method and variant in one test."""
    chosen = (means[["protocol", "ratio", "trained_on"]] == pd.Series(key, ["protocol", "ratio", "trained_on"])).all(
        axis=1
    )
    return means[chosen].set_index(["method", "variant"]).psnr


def _tests(rows: pd.DataFrame) -> dict[tuple[str, int, str], Test]:
    """Every test by protocol, ratio and training, in the order of the rows."""
    keys = rows[["protocol", "ratio", "trained_on"]].drop_duplicates()
    return {key: _describe(*key) for key in keys.itertuples(index=False, name=None)}


def _describe(protocol: str, ratio: int, trained_on: str) -> Test:
    trained_protocol, _, trained_ratio = trained_on.rpartition("/x")
    if ratio != int(trained_ratio):
        return Test(RATIO, f"x{ratio}")
    if protocol == trained_protocol:
        return Test("", "as trained")
    (name, *changes), (trained_name, *same) = protocol.split("+"), trained_protocol.split("+")
    if name != trained_name:
        return Test(PRESETS, protocol)
    changed = [change.partition("=")[::2] for change in changes if change not in same]
    of_kind = (family for family, fields in FAMILIES.items() if {field for field, _ in changed} & set(fields))
    family = next(of_kind, PRESETS)
    return Test(family, " ".join(_labels(family, changed)))


def _labels(family: str, changed: list[tuple[str, str]]) -> Iterator[str]:
    for field, value in changed:
        plain = FAMILIES.get(family) == (field,) or field in UNITS or field == "response"
        yield value + UNITS.get(field, "") if plain else f"{field}={value}"


def _mean_psnr(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean over scenes and seeds, NaN where one of them has none."""
    keys = [*METHOD, "protocol", "ratio"]
    groups = rows.assign(psnr=rows.psnr.where(rows.status == "ok")).groupby(keys, sort=False).psnr
    return groups.mean().where(groups.count() == groups.size()).reset_index()


def _title(method: str, variant: str) -> str:
    return variant_title(plugins.method_class(method).title, variant)
