"""The audit: every cell of the SMIF-NET paper's Tables 1-5 beside ours, with a verdict and its reason."""

import math
from collections.abc import Mapping, Set
from dataclasses import asdict, dataclass

import pandas as pd
import scipy

from smifbench.evaluation.results import seed_means
from smifbench.metrics import METRICS
from smifbench.paper.layout import (
    DATASETS,
    FLOPS,
    FLOPS_SLIPS,
    METHODS,
    contradiction,
    displaced,
    incomparable,
    published_options,
)
from smifbench.paper.published import published_as_printed

COLUMNS = [
    *["table", "dataset", "ratio", "method", "variant", "metric", "published", "decimals", "ours", "low", "high"],
    *["seeds", "status", "reason", "remark"],
]

STATUSES = ("reproduced", "differs", "not comparable", "not run")

ABSENT = "not in these results"
"""How the reason begins where the results hold nothing of a cell."""

PAPER_CELL = ["dataset", "ratio", "method", "variant"]

LEVEL = 0.95
"""Coverage of the interval between `low` and `high`."""

Key = tuple[str, int, str, str]
"""Data set, ratio, method and variant of a cell."""


@dataclass(frozen=True)
class Printed:
    """A cell as the paper prints it."""

    table: int
    dataset: str
    ratio: int
    method: str
    variant: str
    metric: str
    text: str

    @property
    def key(self) -> Key:
        """What it is of."""
        return self.dataset, self.ratio, self.method, self.variant

    @property
    def published(self) -> float:
        """Its value."""
        return float(self.text)

    @property
    def decimals(self) -> int:
        """Number of its decimals."""
        return len(self.text.partition(".")[2])


@dataclass(frozen=True)
class Verdict:
    """What is said of a cell: fields are columns of `audit`."""

    status: str
    reason: str
    remark: str
    ours: float = math.nan
    low: float = math.nan
    high: float = math.nan
    seeds: int = 0


def audit(df: pd.DataFrame, cost: pd.DataFrame | None = None, experiment: Mapping | None = None) -> pd.DataFrame:
    """Judge every published cell of Tables 1-5 by our results.

    Parameters
    ----------
    df
        Rows as from `load_results`. Where several experiments or protocols hold a cell, the first one counts.
    cost
        Rows of `cost.csv`, for the FLOPs column; without them no such cell is counted.
    experiment
        Contents of `experiment.json`; tells whether a network was built with the published options.

    Returns
    -------
    DataFrame
        A row for each printed cell (those that Table 4 prints twice, once): `table`, `dataset`, `ratio`, `method`,
        `variant`, `metric` (a `paper_*` column, or `published_tflops` in 10^12), `published`, `decimals` in print,
        `ours` (mean over seeds), `low` and `high`, number of `seeds`, `status`, its `reason` in words (never empty but
        for "reproduced"), and a `remark`: what is odd about the printed cell, or what may explain it. Statuses:

        - "reproduced": `published` lies between `low` and `high`, where one more seed of ours would fall with 95 %
          probability (Student's prediction interval), widened by half a unit of the last printed decimal. With one
          seed there is no such interval, and the values must agree in print.
        - "differs": it does not.
        - "not comparable": the printed number follows another formula, is a slip, or is of another network than ours.
        - "not run": we have no value. The reason quotes a run that failed, or begins with "not in these results".

    Examples
    --------
    >>> audited = audit(load_results("results/paper", "results/ablation"))  # doctest: +SKIP
    >>> audited.groupby(["table", "status"]).size()  # doctest: +SKIP
    """
    printed = published_as_printed().melt(
        id_vars=["table", "dataset", "ratio", "method", "variant"], var_name="metric", value_name="text"
    )
    printed = printed.dropna(subset="text").sort_values("table", kind="stable")
    first = df.groupby(PAPER_CELL, sort=False)[["experiment", "protocol"]].transform("first")
    df = df[(df.experiment == first.experiment) & (df.protocol == first.protocol)]
    seeds = dict(iter(seed_means(df, PAPER_CELL).groupby(level=PAPER_CELL, sort=False)))
    failures = df[df.status != "ok"].drop_duplicates(PAPER_CELL).set_index(PAPER_CELL)
    failures = (failures.status.replace("not run", "no data") + ": " + failures.message).to_dict()
    held = {key[:length] for key in [*seeds, *failures] for length in (1, 2, 4)}
    rows = []
    for cell in (Printed(**row) for row in printed.to_dict("records")):
        if cell.metric == FLOPS:
            verdict = _audit_flops(cell, cost, experiment)
        else:
            failure = failures.get(cell.key) or _absence(cell, held)
            verdict = _audit_metric(cell, seeds.get(cell.key), failure, experiment)
        rows.append({**asdict(cell), "published": cell.published, "decimals": cell.decimals, **asdict(verdict)})
    types = {"dataset": "string", "method": "string", "variant": "string"}
    return pd.DataFrame(rows)[COLUMNS].astype(types)


def _absence(cell: Printed, held: Set[tuple]) -> str:
    """Say what the results lack of a cell; `held` are the keys of their rows, whole, by data set and by ratio."""
    place = DATASETS[cell.dataset].title
    if cell.key[:1] not in held:
        return f"{ABSENT}: {place}"
    place += f" at ratio {cell.ratio}"
    if cell.key[:2] not in held:
        return f"{ABSENT}: {place}"
    variant = "" if cell.variant == "default" else f" ({cell.variant})"
    if cell.key not in held:
        return f"{ABSENT}: {METHODS[cell.method]}{variant} on {place}"
    return f"{cell.metric} is undefined there"


def _audit_metric(cell: Printed, seeds: pd.DataFrame | None, failure: str, experiment: Mapping | None) -> Verdict:
    """Judge a cell of metrics by the means of our seeds; None where there is no run."""
    doubt = incomparable(cell.dataset, cell.ratio, cell.method, cell.metric)
    remark = doubt or contradiction(cell.table, cell.dataset, cell.ratio, cell.method, cell.metric)
    remark = remark or displaced(cell.table, cell.dataset, cell.method, cell.metric)
    values = pd.Series(dtype="float64") if seeds is None else seeds[cell.metric].dropna()
    if values.empty:
        return Verdict("not run", _join(failure, remark), remark)
    low, high = _interval(values, cell.decimals)
    found = values.mean(), low, high, len(values)
    doubt = doubt or _other_run(cell, experiment)
    if doubt:
        return Verdict("not comparable", doubt, remark, *found)
    if low <= cell.published <= high:
        return Verdict("reproduced", remark, remark, *found)
    return Verdict("differs", _join(_difference(cell, values), remark), remark, *found)


def _interval(values: pd.Series, decimals: int) -> tuple[float, float]:
    """Where one more seed would fall, widened by what rounding in print may hide."""
    half_unit = 0.5 * 10**-decimals
    spread = 0.0
    if len(values) > 1:
        quantile = scipy.stats.t.ppf(0.5 + LEVEL / 2, len(values) - 1)
        spread = quantile * values.std() * math.sqrt(1 + 1 / len(values))
    return values.mean() - spread - half_unit, values.mean() + spread + half_unit


def _difference(cell: Printed, values: pd.Series) -> str:
    metric = METRICS[cell.metric]
    difference = values.mean() - cell.published
    judgement = "better" if (difference > 0) == metric.higher_better else "worse"
    size = f"{abs(difference):.{cell.decimals + 1}f}{' ' + metric.unit if metric.unit else ''}"
    of = f"mean of {len(values)} seeds" if len(values) > 1 else "one seed, so no interval"
    return f"ours is {judgement} by {size} ({of})"


def _other_run(cell: Printed, experiment: Mapping | None) -> str:
    """Say that our network has other options than the published one, or that our data are others of that name."""
    data = (experiment or {}).get("datasets", {}).get(cell.dataset, {})
    if data.get("reader", cell.dataset) != cell.dataset:
        return "ours is another data set of that name"
    about = (experiment or {}).get("methods", {}).get(f"{cell.method}/{cell.variant}")
    if about is None or dict(about["options"]) == published_options(cell.variant):
        return ""
    options = ", ".join(f"{name} = {value}" for name, value in about["options"].items())
    return f"ours is another network than the published one: {options}"


def _audit_flops(cell: Printed, cost: pd.DataFrame | None, experiment: Mapping | None) -> Verdict:
    """Judge a cell of the FLOPs column by thop's count at ratio 4, its digits cut off, as the paper prints it."""
    slip = FLOPS_SLIPS.get((cell.dataset, cell.method), "")
    repeated = " and repeated from ratio 4" if cell.ratio == 8 else ""
    remark = slip or f"thop's count, its last digits cut off{repeated}"
    count = _our_count(cell, cost)
    if math.isnan(count):
        return Verdict("not run", _join("not counted at the paper's size", remark), remark)
    doubt = slip or _other_run(cell, experiment)
    if doubt:
        return Verdict("not comparable", doubt, remark, ours=count)
    unit = 10**cell.decimals
    if math.floor(count * unit) == round(cell.published * unit):
        return Verdict("reproduced", remark, remark, ours=count)
    percent = 100 * (count / cell.published - 1)
    reason = f"thop's count of our network is {percent:+.2f} % of what is printed"
    return Verdict("differs", reason, reason, ours=count)


def _our_count(cell: Printed, cost: pd.DataFrame | None) -> float:
    """Thop's count in 10^12 at ratio 4 and the paper's size; NaN where it was not made."""
    if cost is None:
        return math.nan
    keys = {"dataset": cell.dataset, "ratio": 4, "method": cell.method, "variant": cell.variant}
    side = DATASETS[cell.dataset].side
    rows = cost[(cost[list(keys)] == pd.Series(keys)).all(axis=1) & (cost.height == side) & (cost.width == side)]
    return float(rows.gmacs_thop.iloc[0]) / 1e3 if len(rows) else math.nan


def _join(*sentences: str) -> str:
    return "; ".join(sentence for sentence in sentences if sentence)
