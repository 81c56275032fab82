"""Verifying results: rows of `metrics.csv` must come out the same from the stored estimates and pairs."""

import math
import random
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from smifbench.degradation.pairs import load_pairs
from smifbench.errors import UserError
from smifbench.evaluation.columns import LATER_COLUMNS
from smifbench.evaluation.results import load_results
from smifbench.evaluation.scoring import score_pair, sensors_of
from smifbench.run import Run
from smifbench.system.files import read_json

TOLERANCE = 1e-9
"""Largest relative difference: the table keeps every digit, but another processor may add in another order."""

FACTS = ("status", "message", "train_steps", "train_seconds", "device", "code")
"""Columns that a run's `facts.json` decides."""


class Verdict(NamedTuple):
    """A row's name, and why it does not hold, or ""."""

    row: str
    complaint: str


def verify(folder: str | Path, rows: int | None = 5, seed: int = 0, pairs: str | Path | None = None) -> list[Verdict]:
    """Compute rows of `metrics.csv` anew and hold them against the table.

    A row holds when the pair still has the data id that the row states, the metrics of the stored estimate are those
    of the row within float64 rounding, and the run's facts are those of the row.

    Parameters
    ----------
    folder
        Result folder such as `results/demo`.
    rows
        How many rows with a result are drawn; None takes all.
    seed
        Decides which.
    pairs
        Folder of all pairs; `data/pairs` beside `results/` by default.

    Returns
    -------
    list of Verdict
        In the table's order.

    Raises
    ------
    UserError
        When the table cannot be read or has no row with a result.
    """
    folder = Path(folder)
    df = load_results(folder)
    if not (folder / "runs").is_dir():
        raise UserError(
            f"{folder} keeps no estimates (no folder runs), so its rows cannot be computed anew; nothing is said "
            "against them. Run its experiment, and verify that"
        )
    scored = df.index[df["status"] == "ok"].tolist()
    if not scored:
        raise UserError(f"{folder} has no row with a result; run snakemake, or read the messages in its metrics.csv")
    if rows is not None:
        scored = sorted(random.Random(seed).sample(scored, min(rows, len(scored))))
    return verify_rows(df.loc[scored], folder, pairs)


def verify_rows(df: pd.DataFrame, folder: Path, pairs: str | Path | None = None) -> list[Verdict]:
    """Compute rows with a result anew from the estimates in the results `folder`; see `verify`."""
    datasets = read_json(folder / "experiment.json")["datasets"]
    pairs = Path(pairs) if pairs else folder.resolve().parent.parent / "data" / "pairs"
    verdicts = []
    for row in df.to_dict("records"):
        run = Run(*(row[key] for key in Run.__dataclass_fields__))
        data = datasets.get(run.dataset, {}).get("data", run.dataset)
        try:
            complaint = complain(row, run, folder, pairs / data / run.protocol / f"x{run.ratio}")
        except KeyError as error:
            complaint = f"its facts.json or pairs.json lacks {error}"
        except (UserError, OSError) as error:
            complaint = str(error)
        verdicts.append(Verdict(f"{run.folder}, {row['scene']}", complaint))
    return verdicts


def complain(
    row: dict, run: Run, folder: Path, pairs: Path, table: str = "metrics.csv", tolerance: float = TOLERANCE
) -> str:
    """Compute a row anew from a run's estimates below `folder` and its pairs; return where it differs, or "".

    Columns that `row` lacks are not compared. `table` is what the sentence calls the place that states the row.
    """
    fused = folder / "runs" / run.folder / "fused"
    facts = read_json(fused / "facts.json", fused)
    pair = next((pair for pair in load_pairs(pairs, "test") if pair.scene == row["scene"]), None)
    if pair is None:
        return f"{pairs} holds no test scene {row['scene']}"
    sensors = sensors_of(pairs, run.protocol, run.ratio)
    anew = {key: facts.get(key) for key in FACTS} | score_pair(pair, facts, fused, run.ratio, sensors)
    wrong = [key for key, value in anew.items() if key in row and not _same(row[key], value, key, tolerance)]
    return ", ".join(f"{key} is {row[key]} in {table} and {anew[key]} anew" for key in wrong)


def _same(stated: object, anew: object, key: str, tolerance: float) -> bool:
    if key in LATER_COLUMNS and pd.isna(stated):  # a table from before that column
        return True
    if isinstance(stated, int | float) and isinstance(anew, int | float):
        return math.isclose(stated, anew, rel_tol=tolerance) or (math.isnan(stated) and math.isnan(anew))
    return stated == anew or (pd.isna(stated) and anew is None)
