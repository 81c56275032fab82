"""Results as tidy pandas frames: a row for each scene, method, variant and seed.

>>> import smifbench
>>> df = smifbench.load_results("results/demo")  # doctest: +SKIP
>>> df[df.status == "ok"].groupby("method").psnr.mean()  # doctest: +SKIP
>>> smifbench.leaderboard(df, ["psnr", "sam"], sort=True)  # doctest: +SKIP
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from smifbench.errors import UserError, unknown
from smifbench.evaluation.columns import CELL, DTYPES, EXTERNAL, LATER_COLUMNS
from smifbench.evaluation.likeness import refuse_mixture, refuse_other_data, refuse_unlike
from smifbench.evaluation.reading import read_table
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
        Rows as from `load_results`, one protocol for each data set and ratio, with the same scenes for all methods.
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
    refuse_unlike(df)
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


def compare(a: str | Path | pd.DataFrame, b: str | Path | pd.DataFrame) -> pd.DataFrame:
    """Subtract the metric means of `a` from those of `b`, over the scenes that both have.

    Parameters
    ----------
    a, b
        Result folders such as `results/demo`, or rows as from `load_results`.

    Returns
    -------
    DataFrame
        A row for each dataset, protocol, ratio, method and variant; `found_in` is "both", "a" or "b"; `scenes` counts
        those that both have, over which the means are, `left_out` those that only one has; then b - a for every metric:
        positive where `b` has the larger value. NaN unless both have a mean (see `leaderboard`).

    Raises
    ------
    UserError
        Where a scene has other data in `b` than in `a`.

    Examples
    --------
    >>> diff = compare("results/demo", "results/demo_gpu")  # doctest: +SKIP
    >>> diff[(diff.found_in != "both") | (diff.left_out > 0) | (diff.psnr.abs() > 0.1)]  # doctest: +SKIP
    """
    rows = {name: side if isinstance(side, pd.DataFrame) else load_results(side) for name, side in (("a", a), ("b", b))}
    for side in rows.values():
        refuse_mixture(side, CELL, "experiment")
    both = pd.concat([side.assign(experiment=name) for name, side in rows.items()], ignore_index=True)
    refuse_other_data(both)
    shared = both.groupby([*CELL, "scene"], sort=False).experiment.transform("nunique") == 2
    scenes = shared[~both.duplicated([*CELL, "scene"])].groupby([both[key] for key in CELL], sort=False)
    found_in = both.groupby(CELL, sort=False).experiment.agg(lambda sides: "/".join(sides.unique()))
    counts = {"scenes": scenes.sum(), "left_out": scenes.size() - scenes.sum()}
    told = pd.DataFrame({"found_in": found_in.replace("a/b", "both"), **counts})
    before, after = (
        _means(both[shared & (both.experiment == name)], CELL).reindex(found_in.index) for name in ("a", "b")
    )
    difference = (after - before).mask(before == after, 0.0)  # inf - inf is NaN where both are exact
    return pd.concat([told, difference], axis=1).reset_index()


def summary(metrics_csv: str | Path) -> tuple[str, list[str]]:
    """Sum up an experiment for a terminal.

    Returns
    -------
    str
        A leaderboard of PSNR and SAM for each protocol, what was not run, and where pixels are missing.
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
    text = "\n\n".join(tables + not_run + _gaps(df))
    return text, [_failure(row, Path(metrics_csv).parent) for row in failed.itertuples()]


def _gaps(df: pd.DataFrame) -> list[str]:
    """Sentences on the scenes with missing pixels."""
    scenes = df[df["pixels_missing"] > 0].drop_duplicates(["dataset", "scene"])
    return [
        f"note: {row.dataset}/{row.scene} has {row.pixels_missing:.0f} missing pixels, which no metric counts; every "
        "method saw values filled in there from their neighbours, so its result elsewhere may differ from that of a "
        "whole scene; state regions without them where that must not be"
        for row in scenes.itertuples()
    ]


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
    return read_table(path, DTYPES, LATER_COLUMNS)


def _metric_columns(metrics: Sequence[str], convention: str) -> list[str]:
    """Return the columns of `metrics` in a convention."""
    if convention not in CONVENTIONS:
        raise unknown("convention", convention, CONVENTIONS)
    known = [name for name in WALD if CONVENTIONS[convention] + name in METRICS]
    for name in metrics:
        if name not in known:
            raise unknown(f"metric of convention {convention}", name, known)
    return [CONVENTIONS[convention] + name for name in metrics]


def seed_means(df: pd.DataFrame, keys: Sequence[str] = CELL) -> pd.DataFrame:
    """Mean of every metric over the scenes.

    Returns
    -------
    DataFrame
        Index `keys` and `seed`; NaN for a seed without a value on some scene, because means over different scenes do
        not compare. Seeds of which every mean is that of an earlier seed are one run made again, and left out.
    """
    cells = [df[key] for key in keys]
    scores = df[list(METRICS)].where(df["status"] == "ok").groupby([*cells, df["seed"]], sort=False)
    means, scenes = scores.mean(), df["scene"].groupby(cells, sort=False).nunique()
    means = means.where(scores.count().eq(scenes[means.index.droplevel("seed")].to_numpy(), axis=0))
    again = means.reset_index().drop(columns="seed").duplicated().to_numpy()
    return means[~again]


def _means(df: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Mean of every metric over the scenes, then over the seeds that have all of them."""
    return seed_means(df, keys).groupby(level=keys, sort=False).mean()
