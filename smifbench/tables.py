"""LaTeX tables of an experiment's results."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from smifbench.files import read_json, replacing_folder, write_text
from smifbench.results import METRICS, load_results, mark_best, published_value

WALD = ("psnr", "ssim", "sam", "rase", "rmse", "ergas")
PAPER = tuple(f"paper_{metric}" for metric in WALD)

TABLE_NUMBER = {"cave": 1, "harvard": 2, "wdcm": 3}
"""The paper's table of each of its data sets."""

SPECIAL = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
)


def escape(text: str) -> str:
    """Return `text` with LaTeX's special characters escaped."""
    return text.translate(SPECIAL)


def table_name(dataset: str, protocol: str, convention: str, protocols: Sequence[str]) -> str:
    """File name, without suffix, of the table of a data set in a metric convention ("wald" or "paper").

    The paper's data sets under the first protocol have the paper's table numbers.
    """
    base = f"table{TABLE_NUMBER[dataset]}" if dataset in TABLE_NUMBER else f"table_{dataset}"
    if protocol != protocols[0]:
        base += "_" + protocol.replace("/", "-v")
    return base if convention == "wald" else f"{base}_paper"


def write_tables(results: Path, target: Path) -> None:
    """Write all tables of the experiment in the folder `results` as `.tex` into the folder `target`."""
    experiment, metrics = read_json(results / "experiment.json"), load_results(results)
    protocols = list(experiment["protocols"])
    with replacing_folder(target) as folder:
        for (dataset, protocol), rows in metrics.groupby(["dataset", "protocol"], sort=False):
            for convention, columns in (("wald", WALD), ("paper", PAPER)):
                name = table_name(dataset, protocol, convention, protocols)
                write_text(folder / f"{name}.tex", quality_table(rows, columns, experiment))
        write_text(folder / "complexity.tex", complexity_table(pd.read_csv(results / "cost.csv"), experiment))


def quality_table(rows: pd.DataFrame, columns: Sequence[str], experiment: Mapping) -> str:
    """One data set under one protocol: a row for each method, a block for each ratio, means over scenes and seeds.

    The best value of a column is bold and the second underlined, by printed precision and with ties; the standard
    deviation over seeds follows where there are several. In the paper's convention the published value stands below.
    """
    dataset, protocol = rows.dataset.iloc[0], rows.protocol.iloc[0]
    in_paper = columns[0].startswith("paper_")
    lines = [f"Method & {' & '.join(_heading(column) for column in columns)} \\\\"]
    for ratio, block in rows.groupby("ratio", sort=True):
        lines += [r"\midrule", rf"\multicolumn{{{len(columns) + 1}}}{{l}}{{Ratio {ratio}}} \\"]
        lines += _quality_rows(block, columns, experiment)
    convention = (
        "Metrics as the SMIF-NET paper's tables contain them; its published values, where they compare, in grey."
        if in_paper
        else "Metrics by their definitions (Wald's protocol)."
    )
    title = experiment["datasets"][dataset]["title"]
    caption = f"{escape(title)}, protocol \\texttt{{{escape(protocol)}}}. {convention}"
    return _table("l" + "r" * len(columns), lines, caption, experiment["note"])


def complexity_table(cost: pd.DataFrame, experiment: Mapping) -> str:
    """Parameters, multiply-adds by both counters, the published figure, latency and memory of every method."""
    heads = [
        ("Params", r"10$^6$"),
        ("MACs", r"10$^9$"),
        ("thop", r"10$^9$"),
        ("published", r"10$^{12}$"),
        ("latency", "ms"),
        ("memory", "MB"),
    ]
    lines = [
        f"Method & {' & '.join(head for head, _ in heads)} \\\\",
        f" & {' & '.join(unit for _, unit in heads)} \\\\",
    ]
    for (dataset, ratio, height, width), rows in cost.groupby(["dataset", "ratio", "height", "width"], sort=False):
        title = escape(experiment["datasets"][dataset]["title"])
        lines += [r"\midrule", rf"\multicolumn{{7}}{{l}}{{{title}, {height} $\times$ {width}, ratio {ratio}}} \\"]
        for row in rows.itertuples():
            values = [
                _number(row.params / 1e6 if row.params else float("nan"), 3),
                _number(row.gmacs, 3),
                _number(row.gmacs_thop, 3),
                _number(row.published_tflops, 3),
                _number(row.latency_ms, 1),
                _number(row.peak_memory_mb, 1),
            ]
            lines.append(f"{_title(experiment, row.method, row.variant)} & {' & '.join(values)} \\\\")
    devices = ", ".join(sorted(cost.device.dropna().unique()))
    caption = (
        "Cost of fusing one test image. A multiply-add counts 1; \\emph{thop} is the same network under the rules of "
        f"the paper's counter. Latency and peak memory on: {escape(devices)}."
    )
    return _table("l" + "r" * 6, lines, caption, experiment["note"])


def _quality_rows(block: pd.DataFrame, columns: Sequence[str], experiment: Mapping) -> list[str]:
    keys = ["method", "variant"]
    methods = block[keys].drop_duplicates()
    by_seed = block[block.status == "ok"].groupby([*keys, "seed"])[list(columns)].mean().groupby(level=keys)
    order = pd.MultiIndex.from_frame(methods)
    mean, deviation = (frame.reindex(order) for frame in (by_seed.mean(), by_seed.std()))
    cells = {column: _cells(mean[column], deviation[column], column) for column in columns}
    lines = []
    for index, (method, variant) in enumerate(order):
        lines.append(
            f"{_title(experiment, method, variant)} & {' & '.join(cells[column][index] for column in columns)} \\\\"
        )
        if not experiment["methods"][f"{method}/{variant}"].get("options"):
            cell = (block.dataset.iloc[0], int(block.ratio.iloc[0]), method, variant)
            lines += _published_row([published_value(*cell, column) for column in columns], columns)
    return lines


def _cells(mean: pd.Series, deviation: pd.Series, column: str) -> list[str]:
    """Print one column: bold for the best, underlined for the second, with the deviation where there is one."""
    metric = METRICS[column]
    best, second = mark_best(mean, metric.higher_better, metric.digits)
    cells = []
    for index, (value, spread) in enumerate(zip(mean, deviation, strict=True)):
        text = _number(value, metric.digits)
        if index in best:
            text = rf"\textbf{{{text}}}"
        elif index in second:
            text = rf"\underline{{{text}}}"
        cells.append(text if pd.isna(spread) else rf"{text} $\pm$ {spread:.{metric.digits}f}")
    return cells


def _published_row(values: Sequence[float], columns: Sequence[str]) -> list[str]:
    if all(math.isnan(value) for value in values):
        return []
    digits = [METRICS[column].digits for column in columns]
    cells = [rf"\textcolor{{gray}}{{{_number(*cell)}}}" for cell in zip(values, digits, strict=True)]
    return [f" & {' & '.join(cells)} \\\\"]


def _heading(column: str) -> str:
    metric = METRICS[column]
    unit = {"dB": " (dB)", "°": r" ($^\circ$)"}.get(metric.unit, "")
    arrow = r"$\uparrow$" if metric.higher_better else r"$\downarrow$"
    return f"{metric.label.removesuffix(' (paper)')}{unit} {arrow}"


def _title(experiment: Mapping, method: str, variant: str) -> str:
    return escape(experiment["methods"][f"{method}/{variant}"]["title"])


def _number(value: float, digits: int) -> str:
    if pd.isna(value):
        return "--"
    return r"$\infty$" if math.isinf(value) else f"{value:.{digits}f}"


def _table(columns: str, lines: Sequence[str], caption: str, note: str) -> str:
    below = [rf"\par\smallskip\parbox{{0.9\linewidth}}{{\footnotesize {escape(note)}}}"] if note else []
    return "\n".join(
        [
            r"\begin{table}[p]\centering",
            rf"\caption{{{caption}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            *below,
            r"\end{table}",
            "",
        ]
    )
