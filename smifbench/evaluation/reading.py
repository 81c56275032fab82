"""Reads the suite's CSV files: what a column holds goes by its name, never by how its cells look.

A data set may be called `NA`, `2018` or `01`; a reader that guesses makes a missing value or a number of it.
"""

import csv
from collections.abc import Collection, Mapping
from pathlib import Path

import pandas as pd

from smifbench.errors import UserError
from smifbench.evaluation.columns import COST_COLUMNS, DTYPES

REMEDY = "run snakemake to write it anew"

COST_DTYPES = (
    dict.fromkeys(COST_COLUMNS, "float64")
    | {column: DTYPES[column] for column in ("dataset", "ratio", "method", "variant", "device")}
    | {"height": "int64", "width": "int64"}
)
"""Types of the columns of `cost.csv`."""


def load_costs(folder: str | Path) -> pd.DataFrame:
    """Read the `cost.csv` of a result folder such as `results/demo`.

    Returns
    -------
    DataFrame
        Columns `COST_COLUMNS` in that order: text (never missing), integers (`ratio`, `height`, `width`), and float64
        with NaN for what was not counted or measured.

    Raises
    ------
    UserError
        When the file is missing, incomplete or broken.

    Examples
    --------
    >>> load_costs("results/demo").query("method == 'smif_net'").gmacs  # doctest: +SKIP
    """
    return read_table(Path(folder) / "cost.csv", COST_DTYPES)


def read_table(
    path: Path, dtypes: Mapping[str, str], later: Collection[str] = (), rest: str | None = None
) -> pd.DataFrame:
    """Read a CSV file and give its columns their types.

    Parameters
    ----------
    path
        The file.
    dtypes
        Types by column: "string", "int64" or "float64", in which an empty cell is NaN.
    later
        Columns that a file of an earlier version may lack; there they are empty.
    rest
        Type of all other columns; None leaves them out.

    Raises
    ------
    UserError
        When the file is missing, lacks a column, or holds a cell that is not of its column's type.
    """
    text = read_text(path)
    missing = [column for column in dtypes if column not in (*text, *later)]
    if missing:
        raise UserError(f"{path} lacks the columns {', '.join(missing)}; {REMEDY}")
    text = text.assign(**{column: "" for column in later if column not in text})
    types = {**dtypes, **({} if rest is None else {column: rest for column in text if column not in dtypes})}
    return pd.DataFrame({column: _typed(text[column], dtype, path) for column, dtype in types.items()})


def read_text(path: Path) -> pd.DataFrame:
    """Read a CSV file as it stands, every cell as text; raises UserError for one that is missing or no table."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; run snakemake to make it, or name a folder of results/") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as a table ({error}); {REMEDY}") from error
    header = rows.pop(0) if rows else []
    if len(set(header)) < len(header):
        raise UserError(f"{path} names a column twice; {REMEDY}")
    for number, row in enumerate(rows, 1):
        if len(row) != len(header):
            raise UserError(f"{path}: row {number} has {len(row)} fields instead of {len(header)}; {REMEDY}")
    return pd.DataFrame(rows, columns=header, dtype="string")


def _typed(column: pd.Series, dtype: str, path: Path) -> pd.Series:
    """Convert a column of text; an empty float is NaN."""
    try:
        return (column.replace("", "nan") if dtype == "float64" else column).astype(dtype)
    except (ValueError, OverflowError) as error:
        raise UserError(f"{path}: {error} in column {column.name} ({dtype}); {REMEDY}") from error
