"""Results as tidy pandas frames: a row for each scene, method, variant and seed.

>>> import smifbench
>>> df = smifbench.load_results("results/demo")  # doctest: +SKIP
>>> df[df.status == "ok"].groupby("method").psnr.mean()  # doctest: +SKIP
>>> smifbench.leaderboard(df, ["psnr", "sam"], sort=True)  # doctest: +SKIP
"""

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pandas as pd

from smifbench.errors import UserError, unknown

PUBLISHED = Path(__file__).resolve().parent.parent / "results" / "published"


@dataclass(frozen=True)
class Metric:
    """How a metric is printed: its name in tables, unit, direction and number of decimals."""

    label: str
    unit: str
    higher_better: bool
    digits: int


_WALD = {
    "psnr": Metric("PSNR", "dB", True, 2),
    "mpsnr": Metric("mPSNR", "dB", True, 2),
    "ssim": Metric("SSIM", "", True, 4),
    "sam": Metric("SAM", "°", False, 3),
    "rase": Metric("RASE", "%", False, 3),
    "rmse": Metric("RMSE", "", False, 4),
    "ergas": Metric("ERGAS", "", False, 4),
}
_PAPER = {
    f"paper_{name}": replace(_WALD[name], label=f"{_WALD[name].label} (paper)")
    for name in ("psnr", "ssim", "sam", "rase", "rmse", "ergas")
}
METRICS = _WALD | _PAPER
"""Every metric column, as `smifbench.metrics.score` orders them, with the decimals of the published tables."""

CONVENTIONS = {"wald": "", "paper": "paper_"}
"""Conventions and the prefix of their columns."""

FULL = {"n2": 5, "s": 4, "csca": 1, "msfe": 1, "is2f2": 1}
"""The full SMIF-NET in the columns of Tables 4 and 5: blocks in a layer, stages, modules."""

CELL = ["dataset", "protocol", "ratio", "method", "variant"]
"""What one number of a table is of."""

_DTYPES = {
    **dict.fromkeys(["experiment", "dataset", "protocol"], "string"),
    "ratio": "int64",
    **dict.fromkeys(["method", "variant"], "string"),
    "seed": "int64",
    **dict.fromkeys(["scene", "status", "message"], "string"),
    **dict.fromkeys([*METRICS, "train_steps", "train_seconds", "fuse_seconds"], "float64"),
    **dict.fromkeys(["device", "code", "data"], "string"),
}

METRICS_COLUMNS = list(_DTYPES)
"""Columns of `metrics.csv`. A row whose `status` is not "ok" has a message and no metrics: "failed" is a method's
error, "skipped" a problem that it does not take, "not run" a data set that could not be had."""

COST_COLUMNS = [
    *["dataset", "ratio", "method", "variant", "height", "width", "params", "gmacs", "gmacs_thop"],
    *["published_tflops", "latency_ms", "peak_memory_mb", "device"],
]
"""Columns of `cost.csv`."""


def load_results(*folders: str | Path) -> pd.DataFrame:
    """Read the `metrics.csv` of one or several experiments into one tidy frame.

    Parameters
    ----------
    *folders
        Result folders such as `results/demo`.

    Returns
    -------
    DataFrame
        Columns `METRICS_COLUMNS` in that order: text (never missing), integers (`ratio`, `seed`), and float64 with NaN
        for what a row does not have.

    Raises
    ------
    UserError
        When a file is missing, incomplete or broken, or when the folders hold the same rows.

    Examples
    --------
    >>> df = load_results("results/demo", "results/ablation")  # doctest: +SKIP
    >>> df.query("ratio == 4 and method == 'smif_net'")[["scene", "psnr", "sam"]]  # doctest: +SKIP
    """
    if not folders:
        raise UserError("name at least one result folder, such as load_results('results/demo')")
    df = pd.concat([_read_metrics(Path(folder) / "metrics.csv") for folder in folders], ignore_index=True)
    twice = df[df.duplicated(["experiment", *CELL, "seed", "scene"])]
    if len(twice):
        row = twice.iloc[0]
        raise UserError(
            f"scene {row.scene} of {row.method}/{row.variant} on {row.dataset} x{row.ratio} occurs twice in experiment "
            f"{row.experiment}; load copies of an experiment one at a time, or compare them with compare(a, b)"
        )
    return df


def leaderboard(
    df: pd.DataFrame, metric: str | Sequence[str] = "psnr", *, convention: str = "wald", sort: bool = False
) -> pd.DataFrame:
    """Pivot results like the paper's tables: means over scenes, then over seeds.

    Parameters
    ----------
    df
        Rows as from `load_results`, one protocol for each data set and ratio.
    metric
        One or several metrics without prefix, such as `["psnr", "ssim", "sam", "rase", "rmse", "ergas"]`.
    convention
        `"wald"` or `"paper"` (see `smifbench.metrics`).
    sort
        Best method first, by the first column, instead of the order in `df`, which is the config's.

    Returns
    -------
    DataFrame
        Rows (method, variant), columns (dataset, ratio, metric). NaN where a method was not run, or where no seed has
        all scenes: a mean over fewer scenes would not compare.

    Raises
    ------
    UserError
        For an unknown metric or convention, and for rows that must not be averaged.

    Examples
    --------
    >>> leaderboard(df, ["psnr", "sam"], convention="paper")["cave"][4]  # doctest: +SKIP
    >>> leaderboard(df[df.protocol == "fwhm/1"], sort=True)  # doctest: +SKIP
    """
    names = _metric_columns([metric] if isinstance(metric, str) else metric, convention)
    refuse_mixture(df, ["dataset", "ratio"], "protocol")
    refuse_mixture(df, ["dataset", "ratio", "method", "variant"], "experiment")
    rows, settings = (df[keys].drop_duplicates() for keys in (["method", "variant"], ["dataset", "ratio"]))
    columns = [(*setting, name) for setting in settings.itertuples(index=False, name=None) for name in names]
    table = _means(df, ["method", "variant", "dataset", "ratio"])[names].unstack(["dataset", "ratio"])
    table = table.reorder_levels([1, 2, 0], axis=1)
    table = table.reindex(
        index=pd.MultiIndex.from_frame(rows),
        columns=pd.MultiIndex.from_tuples(columns, names=["dataset", "ratio", "metric"]),
    )
    if sort and columns:
        table = table.sort_values(columns[0], ascending=not METRICS[names[0]].higher_better, kind="stable")
    return table


def compare(a: str | Path, b: str | Path) -> pd.DataFrame:
    """Subtract the metric means of result folder `a` from those of `b`.

    Returns
    -------
    DataFrame
        A row for each dataset, protocol, ratio, method and variant; `found_in` is "both", "a" or "b"; then b - a for
        every metric, NaN unless both have a mean (see `leaderboard`).

    Examples
    --------
    >>> diff = compare("results/demo", "results/demo_gpu")  # doctest: +SKIP
    >>> diff[(diff.found_in != "both") | (diff.psnr.abs() > 0.1)]  # doctest: +SKIP
    """
    first, second = (_means(load_results(folder), CELL) for folder in (a, b))
    cells = first.index.union(second.index, sort=False)
    found_in = [("both" if cell in second.index else "a") if cell in first.index else "b" for cell in cells]
    first, second = first.reindex(cells), second.reindex(cells)
    difference = (second - first).mask(first == second, 0.0)  # inf - inf is NaN where both are exact
    difference.insert(0, "found_in", found_in)
    return difference.reset_index()


def load_published() -> pd.DataFrame:
    """Read Tables 1-5 of the SMIF-NET paper.

    Returns
    -------
    DataFrame
        `table`, `dataset`, `ratio`, `method`, `variant` as in our rows, the metrics as `paper_*`, and
        `published_tflops`; NaN where a table has no such column. Variants of Table 4 are named after the blocks or
        stages that differ ("blocks6"), those of Table 5 after the modules taken out ("no_msfe"); "default" is the full
        network, which occurs in Tables 1, 4 and 5. CNMF's SAM and ERGAS follow other formulas than the networks'.

    Examples
    --------
    >>> published = load_published()
    >>> published.query("table == 1 and ratio == 4 and method == 'smif_net'").paper_psnr.item()
    50.63
    >>> published[published.table == 5].variant.tolist()
    ['no_csca_no_msfe_no_is2f2', 'no_csca', 'no_msfe', 'no_is2f2', 'default']
    """
    published = published_as_printed()
    return published.astype(dict.fromkeys([*_PAPER, "published_tflops"], "float64"))


def published_as_printed() -> pd.DataFrame:
    """Return what `load_published` does with the metrics as the paper prints them: text, all decimals kept."""
    tables = [pd.read_csv(PUBLISHED / f"{name}.csv", dtype=str) for name in ("tables_1_to_3", "table_4", "table_5")]
    published = pd.concat(tables, ignore_index=True)
    published = published.fillna({key: str(size) for key, size in FULL.items()})
    published["variant"] = [_published_variant(row) for row in published.to_dict("records")]
    published = published.rename(columns={name: f"paper_{name}" for name in _WALD} | {"flops_1e12": "published_tflops"})
    keys = {"table": "int64", "dataset": "string", "ratio": "int64", "method": "string", "variant": "string"}
    published = published[[*keys, *_PAPER, "published_tflops"]].astype(keys)
    return published.drop_duplicates(list(keys), ignore_index=True)


def published_value(dataset: str, ratio: int, method: str, variant: str, metric: str) -> float:
    """Return a cell of Tables 1-3 that compares with ours; NaN where there is none, or where it does not compare.

    Examples
    --------
    >>> published_value("cave", 4, "smif_net", "default", "paper_psnr")
    50.63
    >>> published_value("cave", 4, "cnmf", "default", "paper_sam")
    nan
    """
    if metric not in _PAPER or incomparable(dataset, ratio, method, metric):
        return math.nan
    table = _published_tables()
    cells = table[(table.dataset == dataset) & (table.ratio == ratio) & (table.method == method) & (table.table <= 3)]
    cells = cells[cells.variant == variant]
    return float(cells[metric].iloc[0]) if len(cells) else math.nan


def incomparable(dataset: str, ratio: int, method: str, metric: str) -> str:
    """Say why a cell of Tables 1-3 does not compare with our value of the same name; "" where it does.

    Examples
    --------
    >>> incomparable("harvard", 8, "psrt", "paper_rase")
    'RASE is not four times ERGAS in any network row here, as it is at ratio 4: it was computed otherwise'
    """
    if method == "cnmf" and dataset == "wdcm":
        return (
            "CNMF's row is on another data scale: its RMSE is lower than SSR-NET's although its PSNR is lower too"
            if ratio == 4
            else "CNMF's row is on another data scale: its PSNR and RMSE imply a peak of 0.62, the networks' of 0.99"
        )
    if method == "cnmf" and metric == "paper_sam":
        return "CNMF's SAM is a mean of angles over pixels, the networks' is one angle between whole cubes"
    if method == "cnmf" and metric == "paper_ergas":
        return "CNMF's ERGAS is a mean over bands, the networks' is global: RMSE over mean"
    if metric == "paper_rase":
        if dataset == "wdcm":
            return "RASE on WDCM is no fixed multiple of ERGAS, as it is elsewhere: it follows no known formula"
        if (dataset, ratio) == ("harvard", 8) and method != "cnmf":
            return (
                "RASE is not four times ERGAS in any network row here, as it is at ratio 4: it was computed otherwise"
            )
        if (dataset, ratio, method) == ("cave", 8, "mog_dcn"):
            return "printed RASE is four times the ERGAS of ratio 4; four times its own is 5.605: a slip"
    if (dataset, ratio, method, metric) == ("harvard", 4, "dhif_net", "paper_rmse"):
        return "printed beside the RASE, ERGAS and SAM of PSRT's row, whose RMSE is 0.0031: a slip"
    return ""


def mark_best(values: Iterable[float], higher_better: bool, digits: int) -> tuple[list[int], list[int]]:
    """Find the best and the second-best values as they look in print.

    Parameters
    ----------
    values
        A column of a table; NaN never wins.
    higher_better
        Direction.
    digits
        Decimals in print: values that print alike are tied.

    Returns
    -------
    tuple of list of int
        Positions of the best value and of the next different one, each with its ties, either may be empty.

    Examples
    --------
    >>> mark_best([48.321, 50.63, 48.318, float("nan"), 47.1], higher_better=True, digits=2)
    ([1], [0, 2])
    """
    printed = [float(f"{value:.{digits}f}") for value in values]
    ranks = sorted({value for value in printed if value == value}, reverse=higher_better)
    best, second = ([i for i, value in enumerate(printed) if value in ranks[k : k + 1]] for k in (0, 1))
    return best, second


def summary(metrics_csv: str | Path) -> tuple[str, list[str]]:
    """Return as text a leaderboard of PSNR and SAM for each protocol and what was not run; and a line for each failure.

    Raises
    ------
    UserError
        When no data set could be had.
    """
    df = _read_metrics(Path(metrics_csv))
    tables = [
        f"{protocol}\n{leaderboard(rows, ['psnr', 'sam']).round(3).to_string()}"
        for protocol, rows in df.groupby("protocol", sort=False)
    ]
    failed = df[df["status"] == "failed"].drop_duplicates([*CELL, "seed"])
    failures = [
        f"{row.method}/{row.variant} on {row.dataset} x{row.ratio} {row.protocol} seed {row.seed}: {row.message}"
        for row in failed.itertuples()
    ]
    absent = df[df["status"] == "not run"].drop_duplicates(["dataset", "message"])
    not_run = [f"not run: {row.dataset}: {row.message}" for row in absent.itertuples()]
    if (df["status"] == "not run").all():
        raise UserError("; ".join(not_run))
    return "\n\n".join(tables + not_run), failures


def _read_metrics(path: Path) -> pd.DataFrame:
    """Read one `metrics.csv` and give its columns their types."""
    remedy = "run snakemake to write it anew"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; run snakemake to make it, or name a folder of results/") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as a table ({error}); {remedy}") from error
    header = rows.pop(0) if rows else []
    missing = [column for column in METRICS_COLUMNS if column not in header]
    if missing:
        raise UserError(f"{path} lacks the columns {', '.join(missing)}; {remedy}")
    if len(set(header)) < len(header):
        raise UserError(f"{path} names a column twice; {remedy}")
    for number, row in enumerate(rows, 1):
        if len(row) != len(header):
            raise UserError(f"{path}: row {number} has {len(row)} fields instead of {len(header)}; {remedy}")
    text = pd.DataFrame(rows, columns=header, dtype="string")
    return pd.DataFrame({column: _typed(text[column], dtype, path) for column, dtype in _DTYPES.items()})


def _typed(column: pd.Series, dtype: str, path: Path) -> pd.Series:
    """Convert a column of text; an empty float is NaN."""
    try:
        return (column.replace("", "nan") if dtype == "float64" else column).astype(dtype)
    except (ValueError, OverflowError) as error:
        raise UserError(f"{path}: {error} in column {column.name} ({dtype}); run snakemake to write it anew") from error


def _metric_columns(metrics: Sequence[str], convention: str) -> list[str]:
    """Return the columns of `metrics` in a convention."""
    if convention not in CONVENTIONS:
        raise unknown("convention", convention, CONVENTIONS)
    known = [name for name in _WALD if CONVENTIONS[convention] + name in METRICS]
    for name in metrics:
        if name not in known:
            raise unknown(f"metric of convention {convention}", name, known)
    return [CONVENTIONS[convention] + name for name in metrics]


def refuse_mixture(df: pd.DataFrame, keys: list[str], column: str) -> None:
    """Refuse rows that would be averaged or set side by side although they differ in `column`."""
    values = df.groupby(keys, sort=False)[column].unique()
    mixed = values[values.map(len) > 1]
    if len(mixed):
        found = ", ".join(mixed.iloc[0])
        raise UserError(f"the rows mix several of {column} ({found}); choose one, as in df[df.{column} == '...']")


def seed_means(df: pd.DataFrame, keys: Sequence[str] = CELL) -> pd.DataFrame:
    """Mean of every metric over the scenes.

    Returns
    -------
    DataFrame
        Index `keys` and `seed`; NaN for a seed that lacks a scene, because a mean over fewer would not compare.
    """
    scores = df[list(METRICS)].where(df["status"] == "ok")
    scenes = scores.groupby([df[key] for key in [*keys, "seed"]], sort=False)
    return scenes.mean().where(scenes.count().eq(scenes.size(), axis=0))


def _means(df: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Mean of every metric over the scenes, then over the seeds that have all of them."""
    return seed_means(df, keys).groupby(level=keys, sort=False).mean()


@cache
def _published_tables() -> pd.DataFrame:
    return load_published()


def _published_variant(row: dict) -> str:
    """Name what a row of Table 4 or 5 changes in the full network."""
    changed = {key: row[key] for key, size in FULL.items() if row[key] != str(size)}
    sizes = [f"{name}{changed[key]}" for key, name in (("n2", "blocks"), ("s", "stages")) if key in changed]
    removed = [f"no_{key}" for key in ("csca", "msfe", "is2f2") if key in changed]
    return "_".join(sizes + removed) or "default"
