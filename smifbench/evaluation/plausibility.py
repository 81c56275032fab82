"""Laws that rows of results obey whoever computed them: a row that breaks one was not computed, or was changed."""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from smifbench.evaluation.columns import CELL
from smifbench.evaluation.likeness import SETTING
from smifbench.metrics import METRICS

TOLERANCE = 1e-6
"""Largest relative difference between two ways to one number."""

RANGES = {
    **dict.fromkeys(["sam", "paper_sam"], (0, 180)),
    **dict.fromkeys(["ssim", "paper_ssim"], (-1, 1)),
    **dict.fromkeys(["rmse", "paper_rmse"], (0, 1)),
    **dict.fromkeys(["rase", "paper_rase", "ergas", "paper_ergas"], (0, np.inf)),
}
"""Lowest and highest value of a metric, as references and scored estimates lie in [0,1]."""

IDENTITIES: dict[str, tuple[str, Callable[[pd.DataFrame], pd.Series]]] = {
    "psnr": ("-20 log10(rmse)", lambda df: -20 * np.log10(df.rmse)),
    "paper_rmse": ("rmse", lambda df: df.rmse),
    "paper_rase": ("rase", lambda df: df.rase),
    "paper_ergas": ("rase / 4", lambda df: df.rase / 4),
}
"""Metrics that follow from others of the same row."""

OF_THE_REFERENCE: dict[str, tuple[str, Callable[[pd.DataFrame], pd.Series]]] = {
    "psnr - paper_psnr": ("the reference's largest value", lambda df: df.psnr - df.paper_psnr),
    "rase / rmse": ("the reference's mean", lambda df: df.rase / df.rmse),
}
"""What depends on the reference alone, so that it is the same in all rows of one pair."""


def broken_laws(df: pd.DataFrame) -> list[str]:
    """Return a sentence for each law that rows as from `load_results` break, with the first row that does."""
    ok = df[df.status == "ok"]
    with np.errstate(divide="ignore", invalid="ignore"):  # a perfect estimate has infinite PSNR and no quotients
        return [*_out_of_range(ok), *_other_identities(ok), *_other_references(ok), *_budgets(ok), *_copied_seeds(ok)]


def place(row: pd.Series) -> str:
    """Say which row it is."""
    return (
        f"scene {row.scene} of {row.method}/{row.variant} seed {row.seed} on {row.dataset} x{row.ratio} {row.protocol}"
    )


def _out_of_range(df: pd.DataFrame) -> Iterator[str]:
    for name in METRICS:
        low, high = RANGES.get(name, (-np.inf, np.inf))
        wrong = df[(df[name] < low) | (df[name] > high)]
        if len(wrong):
            yield f"{name} of {place(wrong.iloc[0])} is {wrong[name].iloc[0]}, outside {low} to {high}"
    for name in ("psnr", "rmse"):
        if df[name].isna().any():
            yield f"{name} of {place(df[df[name].isna()].iloc[0])} is missing"


def _other_identities(df: pd.DataFrame) -> Iterator[str]:
    for name, (formula, value) in IDENTITIES.items():
        expected = value(df)
        wrong = df[~_close(df[name], expected)]
        if len(wrong):
            value_by_law = expected[wrong.index[0]]
            yield f"{name} of {place(wrong.iloc[0])} is {wrong[name].iloc[0]}, but {formula} is {value_by_law}"
    wrong = df[df.mpsnr < df.psnr * (1 - TOLERANCE)]  # the mean of logarithms is at most the logarithm of the mean
    if len(wrong):
        yield f"mpsnr of {place(wrong.iloc[0])} is {wrong.mpsnr.iloc[0]}, below its psnr of {wrong.psnr.iloc[0]}"


def _other_references(df: pd.DataFrame) -> Iterator[str]:
    keys = [df[key] for key in [*SETTING, "scene", "data"]]
    for name, (what, value) in OF_THE_REFERENCE.items():
        values = value(df).where(np.isfinite)
        usual = values.groupby(keys, sort=False).transform("median")
        wrong = df[~_close(values, usual)]
        if len(wrong):
            row = wrong.iloc[0]
            yield (
                f"{name} of {place(row)} is {values[row.name]} and {usual[row.name]} in other rows of that pair, "
                f"although it depends on {what} alone"
            )


def _budgets(df: pd.DataFrame) -> Iterator[str]:
    for name in ("train_steps", "train_seconds", "fuse_seconds"):
        wrong = df[df[name] < 0]
        if len(wrong):
            yield f"{name} of {place(wrong.iloc[0])} is {wrong[name].iloc[0]}"
    for name in ("train_steps", "train_seconds"):
        counts = df.groupby([*CELL, "seed"], sort=False)[name].transform(lambda values: values.nunique(dropna=False))
        if (counts > 1).any():
            yield f"{name} of {place(df[counts > 1].iloc[0])} is another than that of another scene of its run"


def _copied_seeds(df: pd.DataFrame) -> Iterator[str]:
    """Two trainings of other seeds cannot give the same values."""
    trained = df[df.train_steps.notna()]
    copied = trained[trained.duplicated([*CELL, "scene", "psnr", "sam"])]
    if len(copied):
        yield f"{place(copied.iloc[0])} has the values of another seed"


def _close(values: pd.Series, expected: pd.Series) -> pd.Series:
    """Where two columns agree; a missing value agrees with everything."""
    same = np.isclose(values, expected, rtol=TOLERANCE, atol=1e-9) | (values.isna() | expected.isna())
    return pd.Series(same, index=values.index)
