"""Results as tidy pandas frames: a row for each scene, method, variant and seed.

>>> import smifbench
>>> df = smifbench.load_results("results/demo")  # doctest: +SKIP
>>> df[df.status == "ok"].groupby("method").psnr.mean()  # doctest: +SKIP
>>> smifbench.leaderboard(df, ["psnr", "sam"], sort=True)  # doctest: +SKIP
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from smifbench.errors import UserError, unknown
from smifbench.evaluation.columns import CELL, DTYPES, EXTERNAL, LATER_COLUMNS, METRICS_COLUMNS
from smifbench.metrics import CONVENTIONS, METRICS, WALD
from smifbench.run import Run
from smifbench.system.files import read_json

RETRY = "mend the cause and call snakemake again, which tries what failed once more"
"""What to do about a failed run."""


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
        Rows (method, variant), where "(external)" follows the name of a method that ran elsewhere; columns (dataset,
        ratio, metric). NaN where a method was not run, or where no seed has
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
    df = df.assign(method=df.method.mask(df.device == EXTERNAL, df.method + f" ({EXTERNAL})"))
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
        every metric: positive where `b` has the larger value. NaN unless both have a mean (see `leaderboard`).

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


def summary(metrics_csv: str | Path) -> tuple[str, list[str]]:
    """Sum up an experiment for a terminal.

    Returns
    -------
    str
        A leaderboard of PSNR and SAM for each protocol, and what was not run.
    list of str
        A line for each run that failed: its message and its log. `RETRY` says how to try again.

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
    absent = df[df["status"] == "not run"].drop_duplicates(["dataset", "message"])
    not_run = [f"not run: {row.dataset}: {row.message}" for row in absent.itertuples()]
    if (df["status"] == "not run").all():
        raise UserError("; ".join(not_run))
    failed = df[df["status"] == "failed"].drop_duplicates([*CELL, "seed"])
    return "\n\n".join(tables + not_run), [_failure(row, Path(metrics_csv).parent) for row in failed.itertuples()]


def _failure(row: Any, results: Path) -> str:
    run = run_of(row)
    what = f"{run.method}/{run.variant} on {run.dataset} x{run.ratio} {run.protocol} seed {run.seed}"
    return f"{what}: {row.message} (see {log_of(results, run)})"


def log_of(results: Path, run: Run) -> Path:
    """Return the log of the step in which a run failed: of its training if that failed, else of its fusing."""
    trained = results / "runs" / run.folder / "trained" / "facts.json"
    step = "train" if trained.exists() and read_json(trained)["status"] == "failed" else "fuse"
    return results / "logs" / step / f"{run.folder}.log"


def run_of(row: Any) -> Run:
    """Return the run that a row of `metrics.csv` is of."""
    return Run(row.dataset, row.protocol, int(row.ratio), row.method, row.variant, int(row.seed))


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
    missing = [column for column in METRICS_COLUMNS if column not in (*header, *LATER_COLUMNS)]
    if missing:
        raise UserError(f"{path} lacks the columns {', '.join(missing)}; {remedy}")
    if len(set(header)) < len(header):
        raise UserError(f"{path} names a column twice; {remedy}")
    for number, row in enumerate(rows, 1):
        if len(row) != len(header):
            raise UserError(f"{path}: row {number} has {len(row)} fields instead of {len(header)}; {remedy}")
    text = pd.DataFrame(rows, columns=header, dtype="string")
    text = text.assign(**{column: "" for column in LATER_COLUMNS if column not in header})
    return pd.DataFrame({column: _typed(text[column], dtype, path) for column, dtype in DTYPES.items()})


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
    known = [name for name in WALD if CONVENTIONS[convention] + name in METRICS]
    for name in metrics:
        if name not in known:
            raise unknown(f"metric of convention {convention}", name, known)
    return [CONVENTIONS[convention] + name for name in metrics]


def refuse_mixture(df: pd.DataFrame, keys: list[str], column: str) -> None:
    """Raise UserError when rows of the same `keys` differ in `column`, as a table would average or compare them."""
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
        Index `keys` and `seed`; NaN for a seed without a value on some scene, because means over different scenes do
        not compare.
    """
    scores = df[list(METRICS)].where(df["status"] == "ok")
    scenes = scores.groupby([df[key] for key in [*keys, "seed"]], sort=False)
    return scenes.mean().where(scenes.count().eq(scenes.size(), axis=0))


def _means(df: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Mean of every metric over the scenes, then over the seeds that have all of them."""
    return seed_means(df, keys).groupby(level=keys, sort=False).mean()
