"""Whether rows compare: same scenes, same data, one experiment. What does not is refused in a sentence."""

import pandas as pd

from smifbench.errors import UserError
from smifbench.evaluation.columns import CELL

SETTING = ["dataset", "protocol", "ratio"]
"""What methods are compared on."""


def common_scenes(df: pd.DataFrame) -> pd.DataFrame:
    """Keep the rows of those scenes that every run of a setting has, with the same data.

    Parameters
    ----------
    df
        Rows as from `load_results`, of one or several experiments.

    Returns
    -------
    DataFrame
        The rows that `leaderboard`, `ranks`, `intervals` and `significance` take; none of a setting in which the runs
        share no scene.

    Examples
    --------
    >>> leaderboard(common_scenes(load_results("results/mine", "results/theirs")))  # doctest: +SKIP
    """
    return df[_is_shared(df)]


def refuse_unlike(df: pd.DataFrame) -> None:
    """Raise UserError unless every setting's runs have the same scenes and data, and a cell is of one experiment."""
    refuse_mixture(df, CELL, "experiment")
    refuse_other_data(df)
    shared = _is_shared(df)
    if shared.all():
        return
    row = df[~shared].iloc[0]
    setting = df[(df[SETTING] == row[SETTING]).all(axis=1)]
    run = ["experiment", "method", "variant", "seed"]
    lacking = setting[run].drop_duplicates().merge(setting.loc[setting.scene == row.scene, run], "left", indicator=True)
    lacking = lacking[lacking["_merge"] == "left_only"].iloc[0]
    raise UserError(
        f"the rows do not compare: {lacking.method}/{lacking.variant} of experiment {lacking.experiment}, seed "
        f"{lacking.seed}, lacks scene {row.scene} of {_place(row)}, which others have; keep the scenes that all share "
        "by smifbench.common_scenes(df)"
    )


def refuse_other_data(df: pd.DataFrame) -> None:
    """Raise UserError where a scene of a setting has several data ids: images that differ under one name."""
    ids = _data(df).groupby([df[key] for key in [*SETTING, "scene"]], sort=False).transform("nunique")
    if (ids > 1).any():
        row = df[ids > 1].iloc[0]
        same = df[(df[[*SETTING, "scene"]] == row[[*SETTING, "scene"]]).all(axis=1)]
        found = same[["data", "experiment"]].drop_duplicates("data")
        told = " and ".join(f"{data} in experiment {experiment}" for data, experiment in found.to_numpy())
        raise UserError(
            f"the rows do not compare: the data of scene {row.scene} of {_place(row)} are {told}, other images under "
            f"one name; leave one of them out, as in df[df.data != '{row.data}']"
        )


def refuse_mixture(df: pd.DataFrame, keys: list[str], column: str) -> None:
    """Raise UserError when rows of the same `keys` differ in `column`, as a table would average or compare them."""
    values = df.groupby(keys, sort=False)[column].unique()
    mixed = values[values.map(len) > 1]
    if len(mixed):
        found = ", ".join(mixed.iloc[0])
        raise UserError(f"the rows mix several of {column} ({found}); choose one, as in df[df.{column} == '...']")


def _is_shared(df: pd.DataFrame) -> pd.Series:
    """Tell of each row whether all runs of its setting have its scene, with its data."""
    setting = [df[key] for key in SETTING]
    run = df.groupby([*CELL, "experiment", "seed"], sort=False, dropna=False).ngroup()
    runs = run.groupby(setting, sort=False).transform("nunique")
    having = run.groupby([*setting, df["scene"], _data(df)], sort=False).transform("nunique")
    return having == runs


def _data(df: pd.DataFrame) -> pd.Series:
    """Data id of every row; one without, as of a data set that could not be had, has that of its scene."""
    stated = df["data"].astype("string").replace("", pd.NA)
    of_scene = stated.groupby([df[key] for key in [*SETTING, "scene"]], sort=False).transform("first")
    return stated.fillna(of_scene).fillna("")


def _place(row: pd.Series) -> str:
    return f"{row.dataset} x{row.ratio} under {row.protocol}"
