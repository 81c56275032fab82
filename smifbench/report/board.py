"""The standing leaderboard: one page of all results that were handed in, and of the printed ones beside them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from smifbench.errors import UserError
from smifbench.evaluation.columns import CELL
from smifbench.evaluation.likeness import SETTING
from smifbench.evaluation.reading import load_costs
from smifbench.evaluation.results import load_results, run_of, seed_means
from smifbench.evaluation.submission import EVIDENCE, LACKS, Submission, read_submission, verified_runs
from smifbench.metrics import METRICS, PAPER
from smifbench.paper import layout
from smifbench.paper.published import load_published, published_as_printed
from smifbench.report.pieces import PLACE, PROTOCOL, Column, heading, marks, render, table
from smifbench.report.tables import WALD_METRICS
from smifbench.report.titles import named, variant_title
from smifbench.system.files import read_json, write_text

COLUMNS = (
    PLACE
    | PROTOCOL
    | {
        name: Column(
            heading(metric), metric.digits, "paper" if name in PAPER else "wald" if name in WALD_METRICS else "further"
        )
        for name, metric in METRICS.items()
    }
    | {
        "seeds": Column("Seeds", 0),
        "scenes": Column("Scenes", 0),
        "train_steps": Column("Training (steps)", 0),
        "train_minutes": Column("Training (min)", 0),
        "fuse_seconds": Column("Fusing (s)", 2),
        "params_millions": Column("Parameters (10⁶)", 3),
        "gmacs": Column("MACs (10⁹)", 1),
        "peak_memory_mb": Column("Peak memory (MB)", 0),
        "device": Column("Device", css="long"),
        "code": Column("Code"),
        "date": Column("Date"),
        "source": Column("Submission", css="long"),
        "evidence": Column("What stands behind it", css="long"),
    }
)

PRINTED_PROTOCOL = "as printed"
"""Stands for the protocol of rows whose publication does not name one of ours."""

PROVENANCE = ("code", "date", "device", "data")
"""What no measured entry may be without."""


WEAKNESS = list(EVIDENCE)
"""What stands behind an entry, weaker and weaker."""


def write_board(reference: Path, target: Path) -> int:
    """Write the leaderboard of all submissions in the folder `reference` to the HTML file `target`.

    Returns
    -------
    int
        How many entries it has, the printed ones included.

    Raises
    ------
    UserError
        When there is no submission, or one without provenance.
    """
    rows = entries(reference)
    page = render(
        "board.html.j2",
        board=table(rows, COLUMNS, ["dataset_title", "ratio", "protocol", "evidence"]),
        paper=layout.NAME,
        counts=[(name, text, int((rows.evidence == text).sum())) for name, text in EVIDENCE.items()],
        lacks=_lacks(reference),
    )
    write_text(target, page)
    return len(rows)


def entries(reference: Path) -> pd.DataFrame:
    """Return all entries: those measured, best first within their setting, then those that are only printed.

    Returns
    -------
    DataFrame
        The columns of `COLUMNS`, of a metric also `<name>_note`, its deviation over seeds, and `<name>_mark`, "best"
        or "second" among the measured entries of a setting with the same images. What several submissions hold with the
        same values is one entry, of the one that has most behind it. A SAM by an older rule has no mark.
    """
    folders = sorted(path.parent for path in reference.glob("*/metrics.csv"))
    if not folders:
        raise UserError(f"{reference} holds no submission; name a folder of folders that smifbench submit wrote")
    measured = _once(pd.concat([_measured(folder) for folder in folders], ignore_index=True))
    measured = measured.sort_values([*SETTING, "psnr"], ascending=[True, True, True, False], kind="stable")
    for name, metric in METRICS.items():
        values = measured[name].where(~measured.older_sam) if name == "sam" else measured[name]
        groups = values.groupby([measured[key] for key in [*SETTING, "data"]], sort=False)
        measured[f"{name}_mark"] = groups.transform(marks, metric.higher_better, metric.digits)
    rows = pd.concat([measured, _printed()], ignore_index=True)
    noted = {column: rows[column].fillna("") for column in rows if column.endswith(("_note", "_mark"))}
    return rows.assign(**noted, title_note=rows.evidence)


def _measured(folder: Path) -> pd.DataFrame:
    """A submission's entries: means over scenes, then over seeds that have all of them."""
    submission, experiment = read_submission(folder), read_json(folder / "experiment.json")
    df = named(load_results(folder), experiment)
    df, verified = df[df.status == "ok"], verified_runs(folder)
    df = df.assign(weakness=[WEAKNESS.index(verified.get(run_of(row).folder, "")) for row in df.itertuples()])
    seeds = seed_means(df).groupby(level=CELL, sort=False)
    groups = df.groupby(CELL, sort=False)
    facts = groups.agg(
        title=("title", "first"),
        dataset_title=("dataset_title", "first"),
        name=("name", "first"),
        seeds=("seed", "nunique"),
        scenes=("scene", "nunique"),
        train_steps=("train_steps", "mean"),
        train_minutes=("train_seconds", lambda seconds: seconds.mean() / 60),
        fuse_seconds=("fuse_seconds", "mean"),
        device=("device", _joined),
        code=("code", _joined),
        data=("data", _joined),
        weakness=("weakness", "max"),  # an entry is as weak as the weakest of its runs
    )
    board = facts.join(seeds.mean()).join(seeds.std().add_suffix("_deviation")).reset_index()
    for name, metric in METRICS.items():
        deviations = board[f"{name}_deviation"]
        board[f"{name}_note"] = [f"± {value:.{metric.digits}f}" if value == value else "" for value in deviations]
    board = _with_costs(board, folder).assign(date=submission.date, source=submission.name)
    board = board.assign(options=board.name.map(lambda name: json.dumps(experiment["methods"][name]["options"])))
    return _with_provenance(board, submission)


def _with_costs(board: pd.DataFrame, folder: Path) -> pd.DataFrame:
    if not (folder / "cost.csv").exists():
        return board.assign(**dict.fromkeys(("params_millions", "gmacs", "peak_memory_mb"), np.nan))
    cost = load_costs(folder)
    cost = cost.assign(params_millions=(cost.params / 1e6).where(cost.params > 0))
    keys = ["dataset", "ratio", "method", "variant"]
    return board.merge(cost[[*keys, "params_millions", "gmacs", "peak_memory_mb"]], on=keys, how="left")


def _with_provenance(board: pd.DataFrame, submission: Submission) -> pd.DataFrame:
    for column in PROVENANCE:
        if (board[column] == "").any():
            raise UserError(
                f"submission {submission.name} does not say the {column} of all its rows; smifbench check-submission "
                "says what it lacks"
            )
    older_sam = ("sam" in submission.lacks) & (board.weakness >= WEAKNESS.index(""))  # what holds anew has today's
    return board.assign(
        evidence=[EVIDENCE[WEAKNESS[rank]] for rank in board.weakness],
        older_sam=older_sam,
        sam_note=board.sam_note + older_sam.map({True: " older rule", False: ""}),
    )


def _once(board: pd.DataFrame) -> pd.DataFrame:
    """Keep one of the entries that have the same method, images and values, the one that has most behind it."""
    same = [*CELL, "options", "data", "train_steps", "rounded"]
    board["rounded"] = [tuple(f"{value:.9g}" for value in values) for values in board[["psnr", "sam"]].to_numpy()]
    groups = board.groupby(same, sort=False, dropna=False)
    board["source"] = groups["source"].transform(lambda names: ", ".join(dict.fromkeys(names)))
    return board.sort_values("weakness", kind="stable").drop_duplicates(same).sort_index()


def _printed() -> pd.DataFrame:
    """Rows of the paper's tables: their values as text, all decimals kept."""
    rows, texts = load_published(), published_as_printed()
    rows = rows.drop_duplicates(["dataset", "ratio", "method", "variant"])  # the full network stands in three tables
    return pd.DataFrame(
        {
            "title": [
                variant_title(layout.METHODS[method], variant)
                for method, variant in zip(rows.method, rows.variant, strict=True)
            ],
            "dataset_title": [layout.DATASETS[name].title for name in rows.dataset],
            "ratio": rows.ratio,
            "protocol": PRINTED_PROTOCOL,
            **{name: rows[name] for name in PAPER},
            **{f"{name}_text": texts.loc[rows.index, name].astype(object).where(rows[name].notna()) for name in PAPER},
            "source": [f"Table {number} of the {layout.NAME}" for number in rows.table],
            "evidence": EVIDENCE["print"],
        }
    )


def _lacks(reference: Path) -> dict[str, list[str]]:
    """What each submission says that it lacks, in words."""
    submissions = [read_submission(path.parent) for path in sorted(reference.glob("*/metrics.csv"))]
    return {each.name: [LACKS[key] for key in each.lacks] for each in submissions if each.lacks}


def _joined(values: pd.Series) -> str:
    return ", ".join(dict.fromkeys(values))
