"""Writes the LaTeX tables of an experiment: quality, ablation, cost, statistics and the audit of published cells."""

import itertools
import math
import string
import textwrap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from smifbench.evaluation import significance
from smifbench.evaluation.columns import CELL
from smifbench.evaluation.likeness import refuse_unlike
from smifbench.evaluation.reading import load_costs
from smifbench.evaluation.results import load_results, seed_means
from smifbench.metrics import CONVENTIONS, METRICS, Metric
from smifbench.paper.audit import ABSENT, STATUSES, audit
from smifbench.paper.layout import (
    ABLATED_DATASET,
    ABLATIONS,
    DATASETS,
    FLOPS,
    METHODS,
    NAME,
    OWN,
    PAPER_METRICS,
    RATIOS,
    incomparable,
    published_options,
)
from smifbench.paper.published import published_as_printed
from smifbench.report import latex
from smifbench.report.latex import MISSING, Cell, Row, escape, mark_best, number
from smifbench.report.titles import dataset_titles, distinct_methods, method_titles, title_of, variant_title
from smifbench.system.files import read_json, replacing_folder, write_text

WALD_METRICS = tuple(name.removeprefix(CONVENTIONS["paper"]) for name in PAPER_METRICS)
"""The metrics of the paper's tables by their definitions, which tables have where the config names no others."""

RANKED = ("psnr", "ssim", "sam", "rmse", "ergas")
"""Metrics by which methods are ranked."""

WORDS = {True: r"$\checkmark$", False: r"$\times$"}
"""What stands in an ablation's row for a module that is there, or is not."""

NOT_RUN = r"\textit{not run}"

Lines = list[Row | str]
"""Rows of a table, and LaTeX between them."""


def table_name(
    dataset: str, protocol: str, convention: str, protocols: Sequence[str], ablation: int | None = None
) -> str:
    """File name, without suffix, of the table of a data set in a metric convention ("wald" or "paper").

    The paper's data sets under the first protocol have the paper's table numbers; its ablations, 4 and 5, are on CAVE.
    """
    if ablation:
        base = f"table{ablation}" if dataset == ABLATED_DATASET else f"table{ablation}_{dataset}"
    else:
        base = f"table{DATASETS[dataset].table}" if dataset in DATASETS else f"table_{dataset}"
    if protocol != protocols[0]:
        base += "_" + protocol.replace("/", "-v")
    return base if convention == "wald" else f"{base}_paper"


def write_tables(results: Path, target: Path) -> None:
    """Write all tables of the experiment in the folder `results` as `.tex` into the folder `target`.

    The audit of the published cells is there as `audit.csv` too.
    """
    experiment, metrics = read_json(results / "experiment.json"), load_results(results)
    refuse_unlike(metrics)
    cost = load_costs(results)
    audited = audit(metrics, cost, experiment)
    texts = {
        "complexity": complexity_table(cost, experiment),
        "statistics": statistics_tables(metrics, experiment),
        "audit": audit_tables(audited, experiment),
    }
    protocols = list(experiment["protocols"])
    for (dataset, protocol), rows in metrics.groupby(["dataset", "protocol"], sort=False):
        changed = set().union(*(ablation.variants for ablation in ABLATIONS.values())) - {"default"}
        ablated = rows[(rows.method == OWN) & rows.variant.isin(changed)]
        compared = rows.drop(ablated.index)
        for convention, columns in (("wald", metrics_of(experiment)), ("paper", PAPER_METRICS)):
            if ablated.empty or set(compared.method) != {OWN}:
                name = _free(table_name(dataset, protocol, convention, protocols), texts)
                texts[name] = quality_table(compared, columns, experiment)
            for table, ablation in ABLATIONS.items():
                if ablation.variants & set(ablated.variant):
                    name = _free(table_name(dataset, protocol, convention, protocols, table), texts)
                    texts[name] = ablation_table(table, rows, convention, experiment)
    with replacing_folder(target) as folder:
        for name, text in texts.items():
            write_text(folder / f"{name}.tex", text)
        audited.to_csv(folder / "audit.csv", index=False)


def _free(name: str, taken: Collection[str]) -> str:
    """Return a file name that no table has: a data set may be called like another with a suffix."""
    numbered = (f"{name}_{number}" for number in itertools.count(2))
    return name if name not in taken else next(other for other in numbered if other not in taken)


def metrics_of(experiment: Mapping) -> Sequence[str]:
    """Metrics by definition that an experiment's tables have; one described by an earlier version names none."""
    return experiment.get("metrics", WALD_METRICS)


def quality_table(rows: pd.DataFrame, columns: Sequence[str], experiment: Mapping) -> str:
    """One data set under one protocol: a row for each method, a block for each ratio, means over scenes and seeds.

    The standard deviation over seeds follows where there are several, and a dagger marks a method of which not all runs
    went well. The paper's methods and ratios that were not run are named. In the paper's convention the published
    value stands below ours.
    """
    dataset, width = rows.dataset.iloc[0], len(columns) + 1
    published = _published((1, 2, 3)) if _in_paper(columns) else {}
    expected = list(METHODS) if dataset in DATASETS else []
    ratios = sorted({*rows.ratio, *(RATIOS if expected else ())})
    lines: Lines = []
    for ratio in ratios:
        setting = rows[rows.ratio == ratio]
        keys = _methods(setting[setting.status != "not run"])
        measured = _measured(setting, columns, keys)
        lines += latex.block(f"Ratio {ratio}", width, first=ratio == ratios[0])
        for key in keys:
            lines.append(Row([_title(experiment, *key) + _dagger(setting, *key)], measured[key]))
            if _is_published_network(experiment, *key):
                lines += _published_rows(published, (dataset, ratio, *key), columns)
        absent = {(method, "default"): escape(METHODS[method]) for method in expected}
        absent |= {key: _title(experiment, *key) for key in _methods(setting)}
        if not keys and not published:
            lines.append(latex.across("All methods", NOT_RUN, width - 1))
            continue
        for key, title in absent.items():
            if key not in measured:
                lines.append(latex.across(title, NOT_RUN, width - 1))
                lines += _published_rows(published, (dataset, ratio, *key), columns)
    heads = ["Method", *(_heading(column) for column in columns)]
    origin = f" (Table {DATASETS[dataset].table} of the {NAME})" if expected else ""
    caption = f"Results on {_dataset_title(experiment, dataset)} {_ratios(ratios)}{origin}. {_about(rows, columns)}"
    return latex.table(caption, latex.tabular(heads, lines), _notes(rows, columns, experiment))


def ablation_table(table: int, rows: pd.DataFrame, convention: str, experiment: Mapping) -> str:
    """Return the paper's Table 4 or 5 for one data set and protocol: variants of its method, a block for each ratio."""
    ablation, dataset = ABLATIONS[table], rows.dataset.iloc[0]
    columns = [CONVENTIONS[convention] + metric for metric in ablation.metrics]
    labels = len(ablation.labels)
    published = _published((table,)) if _in_paper(columns) else {}
    rows = rows[(rows.method == OWN) & rows.variant.isin(ablation.variants)]
    ratios = sorted(set(rows.ratio))
    lines: Lines = []
    for ratio in ratios:
        setting = rows[rows.ratio == ratio]
        lines += latex.block(f"Ratio {ratio}", labels + len(columns), first=ratio == ratios[0])
        for index, group in enumerate(ablation.groups):
            lines += [r"\addlinespace"] if index else []
            keys = [(OWN, variant) for variant in group if variant in set(setting.variant)]
            measured = _measured(setting, columns, keys)
            for variant, values in group.items():
                key = (OWN, variant)
                named = [WORDS[value] if isinstance(value, bool) else str(value) for value in values]
                if key in measured:
                    lines.append(Row([*named[:-1], named[-1] + _dagger(setting, *key)], measured[key]))
                else:
                    lines.append(latex.across(" & ".join(named), NOT_RUN, len(columns)))
                if key not in measured or _is_published_network(experiment, *key):
                    lines += _published_rows(published, (dataset, ratio, *key), columns, labels)
    heads = [*ablation.labels, *(_heading(column) for column in columns)]
    title = f"{_dataset_title(experiment, dataset)} {_ratios(ratios)}"
    caption = (
        f"Ablation of {METHODS[OWN]} on {title}: {ablation.what} (its paper's Table {table}). {_about(rows, columns)}"
    )
    return latex.table(caption, latex.tabular(heads, lines), _notes(rows, columns, experiment))


def complexity_table(cost: pd.DataFrame, experiment: Mapping) -> str:
    """A table of costs for each data set: parameters, both counts of multiply-adds and the published, time, memory."""
    heads = [
        *["Method", r"Params (\num{e6})", r"MACs (\num{e9})", r"thop (\num{e9})", r"Published (\num{e12})"],
        *["Latency (ms)", "Memory (MB)"],
    ]
    devices = ", ".join(sorted(set(cost.device.dropna()) - {""})) or "no device"
    tables = []
    for dataset, counted in cost.groupby("dataset", sort=False):
        lines: Lines = []
        for (ratio, height, width), rows in counted.groupby(["ratio", "height", "width"], sort=False):
            size = rf"Ratio {ratio}, ${height} \times {width}$ pixels"
            lines += latex.block(size, len(heads), first=not lines)
            lines += [Row([_title(experiment, row.method, row.variant)], _cost_cells(row)) for row in rows.itertuples()]
        caption = (
            f"Cost of fusing one test image of {_dataset_title(experiment, dataset)}. A multiply-add counts 1; "
            r"\emph{thop} is the same network under the rules of the paper's counter. "
            f"Latency and peak memory on: {escape(devices)}."
        )
        tables.append(latex.table(caption, latex.tabular(heads, lines), _note(experiment)))
    return "\n".join(tables)


def statistics_tables(metrics: pd.DataFrame, experiment: Mapping) -> str:
    """Intervals of every method's PSNR, a table a data set and protocol; then mean ranks.

    Tests against the experiment's reference stand beside the intervals, where the experiment has rows of it.
    """
    reference = significance.reference_of(experiment)
    bounds, tested = significance.intervals(metrics), significance.has_rows(metrics, reference)
    if tested:
        bounds = bounds.merge(significance.significance(metrics, reference), on=CELL, how="left")
    name = escape(title_of(experiment, reference, escape))
    heads = ["Method", "PSNR (dB)", r"95\,\% interval"]
    heads += ["Pairs", "Median difference (dB)", "$p$ (Holm)", "Verdict"] if tested else []
    how = (
        f"; Wilcoxon's signed-rank test against {name} over scenes, each the mean of its seeds "
        "(the unit of analysis is the scene), two-sided, corrected by Holm's method within a ratio."
        if tested
        else f". No method is tested against another: the results hold no rows of the reference {name}."
    )
    tables = []
    for (dataset, protocol), rows in bounds.groupby(["dataset", "protocol"], sort=False):
        lines: Lines = []
        for ratio, block in rows.groupby("ratio", sort=True):
            lines += latex.block(f"Ratio {ratio}", len(heads), first=not lines)
            for row in block.itertuples():
                cells = _interval_cells(row) + (_test_cells(row) if tested else [])
                words = [_verdict(row.verdict, name)] if tested else []
                lines.append(Row([_title(experiment, row.method, row.variant)], cells, words))
        caption = (
            rf"PSNR on {_dataset_title(experiment, dataset)}, protocol \texttt{{{escape(protocol)}}}: means with "
            f"bootstrap intervals over scenes and seeds{how}"
        )
        few = rows.verdict[rows.verdict.str.startswith(significance.TOO_FEW, na=False)].unique() if tested else []
        notes = [f"{escape(reason).capitalize()}." for reason in few]
        body = latex.tabular(heads, lines, words="l" if tested else "")
        tables.append(latex.table(caption, body, [*notes, *_note(experiment)]))
    return "\n".join([*tables, _ranks_table(metrics, experiment)])


def audit_tables(audited: pd.DataFrame, experiment: Mapping) -> str:
    """Count the published cells by verdict, then print ours minus published for every cell."""
    counts = pd.crosstab(audited.table, audited.status).reindex(columns=STATUSES, fill_value=0)
    lines: Lines = [Row([f"Table {table}"], [Cell(str(count)) for count in row]) for table, row in counts.iterrows()]
    lines += [r"\midrule", Row(["All"], [Cell(str(count)) for count in counts.sum()])]
    caption = (
        f"Audit: the {NAME}'s cells by what these results say of them. Reproduced: the published value lies "
        r"where one more seed of ours would fall with 95\,\% probability, widened by the rounding in print; with one "
        "seed, ours prints alike. Not comparable: the cell follows another formula or is a slip, or ours is another "
        "network."
    )
    heads = ["", *(status.capitalize() for status in STATUSES)]
    tables = [latex.table(caption, latex.tabular(heads, lines), _note(experiment))]
    return "\n".join([*tables, *(_audit_table(table, rows) for table, rows in audited.groupby("table"))])


def _audit_table(table: int, rows: pd.DataFrame) -> str:
    """Print ours minus published for each cell of one of the paper's tables; letters refer to remarks below."""
    metrics = list(rows.metric.unique())
    letters: dict[str, str] = {}
    lines: Lines = []
    for ratio, block in rows.groupby("ratio"):
        lines += latex.block(f"Ratio {ratio}", 1 + len(metrics), first=not lines)
        for (method, variant), row in block.groupby(["method", "variant"], sort=False):
            cells = {cell.metric: _audited(cell, letters) for cell in row.itertuples()}
            lines.append(
                Row([variant_title(METHODS[method], variant)], [cells.get(metric, Cell("")) for metric in metrics])
            )
    caption = (
        rf"Audit of the paper's Table {table} ({DATASETS[rows.dataset.iloc[0]].title}): ours minus published. "
        rf"{WORDS[True]}\ reproduced; unmarked: differs; in grey brackets: not comparable; --: not run."
    )
    notes = [rf"\textsuperscript{{{letter}}}\,{_short(remark)}." for remark, letter in letters.items()]
    heads = ["Method", *(r"FLOPs (\num{e12})" if metric == FLOPS else _heading(metric) for metric in metrics)]
    return latex.table(caption, latex.tabular(heads, lines), notes, separation="8pt")


def _audited(cell: Any, letters: dict[str, str]) -> Cell:
    """Print one audited cell (a row of `audit`). `letters` maps remarks to letters; a new remark gets the next one."""
    told = cell.status == "not comparable" or (cell.status == "not run" and not cell.reason.startswith(ABSENT))
    remark = cell.reason if told else cell.remark
    if remark and remark not in letters:
        letters[remark] = string.ascii_lowercase[len(letters) % 26] * (1 + len(letters) // 26)
    after = (r"\,\checkmark" if cell.status == "reproduced" else "") + (
        rf"\textsuperscript{{{letters[remark]}}}" if remark else ""
    )
    if cell.status == "not run":
        return replace(MISSING, after=after)
    difference = f"{cell.ours - cell.published:+.{cell.decimals}f}"
    difference = difference if float(difference) else difference[1:]  # a zero in print has no sign
    return Cell(difference, mark="doubtful" if cell.status == "not comparable" else "", after=after)


def to_latex(board: pd.DataFrame, titles: Mapping[str, str] | None = None) -> str:
    """Set a leaderboard as a LaTeX tabular, best values bold and second-best underlined.

    Parameters
    ----------
    board
        As from `leaderboard`: rows (method, variant), columns (dataset, ratio, metric).
    titles
        What to call a "method/variant" in print, as in `experiment.json`; its name otherwise.

    Returns
    -------
    str
        A tabular that needs the packages booktabs and siunitx 3.

    Examples
    --------
    >>> print(to_latex(leaderboard(df, ["psnr", "sam"])))  # doctest: +SKIP
    """
    columns = [_marked(board[column], METRICS[column[-1]]) for column in board]
    given = {
        "/".join(key): (titles or {}).get("/".join(key), " ".join(key).removesuffix(" default")) for key in board.index
    }
    told = distinct_methods(given, escape)
    lines = [
        Row([escape(told["/".join(key)])], cells)
        for key, cells in zip(board.index, zip(*columns, strict=True), strict=True)
    ]
    settings = board.columns.droplevel("metric")
    spans = [
        rf"& \multicolumn{{{len(list(same))}}}{{c}}{{{escape(dataset)}, ratio {ratio}}}"
        for (dataset, ratio), same in itertools.groupby(settings)
    ]
    heads = ["Method", *(_heading(column[-1]) for column in board)]
    return "\n".join(latex.tabular(heads, lines, above=" ".join(spans) + r" \\")) + "\n"


def _methods(rows: pd.DataFrame) -> list[tuple[str, str]]:
    return list(rows[["method", "variant"]].drop_duplicates().itertuples(index=False, name=None))


def _measured(setting: pd.DataFrame, columns: Sequence[str], keys: Sequence[tuple[str, str]]) -> dict:
    """Cells of each (method, variant) in `keys` of one setting, the best and the second of each column marked."""
    if not keys:
        return {}
    by_method = seed_means(setting, ["method", "variant"])[list(columns)].groupby(level=["method", "variant"])
    order = pd.MultiIndex.from_tuples(keys)
    mean, deviation = by_method.mean().reindex(order), by_method.std().reindex(order)
    cells = [_marked(mean[column], METRICS[column], deviation[column]) for column in columns]
    return dict(zip(keys, zip(*cells, strict=True), strict=True))


def _marked(values: pd.Series, metric: Metric, deviations: Sequence[float] | None = None) -> list[Cell]:
    best, second = mark_best(values, metric.higher_better, metric.digits)
    marks = dict.fromkeys(second, "second") | dict.fromkeys(best, "best")
    spread = [math.nan] * len(values) if deviations is None else deviations
    return [
        number(value, metric.digits, deviation, marks.get(index, ""))
        for index, (value, deviation) in enumerate(zip(values, spread, strict=True))
    ]


def _published(tables: Sequence[int]) -> dict[tuple, pd.Series]:
    """What the paper prints in `tables`, by (dataset, ratio, method, variant)."""
    printed = published_as_printed()
    printed = printed[printed.table.isin(tables)].set_index(["dataset", "ratio", "method", "variant"])
    return dict(printed.iterrows())


def _published_rows(
    published: Mapping, key: tuple[str, int, str, str], columns: Sequence[str], labels: int = 1
) -> list[Row]:
    """Return the row of published values in grey, in brackets those that do not compare; none where there is none."""
    if key not in published:
        return []
    dataset, ratio, method, _ = key
    marks = ["doubtful" if incomparable(dataset, ratio, method, column) else "published" for column in columns]
    cells = [Cell(published[key][column], mark=mark) for column, mark in zip(columns, marks, strict=True)]
    return [Row([rf"\multicolumn{{{labels}}}{{@{{}}l}}{{\color{{gray}}\quad published}}"], cells)]


def _is_published_network(experiment: Mapping, method: str, variant: str) -> bool:
    return dict(experiment["methods"][f"{method}/{variant}"].get("options", {})) == published_options(variant)


def _cost_cells(row: Any) -> list[Cell]:
    published = row.published_tflops
    return [
        number(row.params / 1e6 if row.params else math.nan, 3),
        number(row.gmacs, 3),
        number(row.gmacs_thop, 3),
        number(published, 2 if published >= 10 else 3),
        number(row.latency_ms, 1),
        number(row.peak_memory_mb, 1),
    ]


def _interval_cells(row: Any) -> list[Cell]:
    bounds = MISSING if pd.isna(row.low) else Cell(f"[{row.low:.2f}, {row.high:.2f}]")
    return [number(row.mean, 2), bounds]


def _test_cells(row: Any) -> list[Cell]:
    pairs = MISSING if pd.isna(row.pairs) else Cell(f"{row.pairs:.0f}")
    return [pairs, number(row.median_difference, 2), latex.p_value(row.p_holm)]


def _verdict(verdict: str, reference: str) -> str:
    """Print a verdict of `significance` without its reason; "" for the reference itself, which has none."""
    return "" if pd.isna(verdict) else verdict.partition(":")[0].replace("reference", reference)


def _ranks_table(metrics: pd.DataFrame, experiment: Mapping) -> str:
    ranked = {column: significance.ranks(metrics, column) for column in RANKED}
    first = ranked["psnr"]
    if first.empty:
        return ""
    lines = [
        Row([_title(experiment, *key)], [number(ranked[column]["rank"].get(key, math.nan), 2) for column in RANKED])
        for key in first.index
    ]
    blocks, difference = int(first.blocks.iloc[0]), first.critical_difference.iloc[0]
    told = (
        f"Nemenyi's critical difference at 0.05 is {difference:.2f}; Friedman's test of PSNR gives "
        f"$p {latex.p_value(first.friedman_p.iloc[0]).text.rjust(6, '=')}$."
        if not math.isnan(difference)
        else "A critical difference needs two blocks and three methods."
    )
    scenes = f"{blocks} test scene{'' if blocks == 1 else 's'}, each by its mean rank over protocols and ratios"
    caption = f"Mean rank over {scenes}; 1 is best. {told}"
    heads = ["Method", *(METRICS[column].label for column in RANKED)]
    return latex.table(caption, latex.tabular(heads, lines), _note(experiment))


def _in_paper(columns: Sequence[str]) -> bool:
    return columns[0].startswith(CONVENTIONS["paper"])


def _heading(column: str) -> str:
    metric = METRICS[column]
    unit = f" ({escape(metric.unit)})" if metric.unit else ""
    arrow = r"$\uparrow$" if metric.higher_better else r"$\downarrow$"
    return f"{metric.symbol}{unit} {arrow}"


def _title(experiment: Mapping, method: str, variant: str) -> str:
    return escape(method_titles(experiment, escape)[f"{method}/{variant}"])


def _dataset_title(experiment: Mapping, dataset: str) -> str:
    return escape(dataset_titles(experiment, escape)[dataset])


def _ratios(ratios: Sequence[int]) -> str:
    return f"at ratio{'s' if ratios[1:] else ''} {' and '.join(map(str, ratios))}"


def _about(rows: pd.DataFrame, columns: Sequence[str]) -> str:
    """The part of a caption that says which metrics and which protocol the values follow."""
    how = f"as the {NAME}'s code computes them" if _in_paper(columns) else "by their definitions"
    protocol = escape(rows.protocol.iloc[0])
    return rf"Metrics {how}; protocol \texttt{{{protocol}}}. The best value is bold, the second-best underlined."


def _notes(rows: pd.DataFrame, columns: Sequence[str], experiment: Mapping) -> list[str]:
    """Notes below a table: what its marks mean, and which runs failed or were left out."""
    notes = []
    seeds = rows.groupby(["ratio", "method", "variant"]).seed.nunique().max()
    if seeds > 1:
        notes.append(rf"Mean $\pm$ standard deviation over {seeds} seeds; a method without randomness has one.")
    if _in_paper(columns) and rows.dataset.iloc[0] in DATASETS:
        notes.append("In grey the paper's values, in brackets those that do not compare with ours (see the audit).")
    notes += [f"Not run: {_short(reason)}." for reason in rows[rows.status == "not run"].message.unique()]
    bad = rows[rows.status.isin(["failed", "skipped"])].drop_duplicates(["ratio", "method", "variant", "seed"])
    for (ratio, method, variant, status, message), same in bad.groupby(
        ["ratio", "method", "variant", "status", "message"], sort=False
    ):
        count = rows[(rows.ratio == ratio) & (rows.method == method) & (rows.variant == variant)].seed.nunique()
        which = f", {len(same)} of {count} seeds" if count > 1 else ""
        title = _title(experiment, method, variant)
        notes.append(rf"$^\dagger${title}, ratio {ratio}{which}: {status}: {_short(message)}.")
    return notes + _note(experiment)


def _short(message: str) -> str:
    return escape(textwrap.shorten(message.rstrip("."), 200))


def _note(experiment: Mapping) -> list[str]:
    return [escape(experiment["note"])] if experiment["note"] else []


def _dagger(setting: pd.DataFrame, method: str, variant: str) -> str:
    rows = setting[(setting.method == method) & (setting.variant == variant)]
    return r"$^\dagger$" if (rows.status != "ok").any() else ""
