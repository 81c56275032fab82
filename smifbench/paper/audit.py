"""The audit: every cell of the SMIF-NET paper's Tables 1-5 beside ours, with a verdict and its reason."""

import math
import re
from collections.abc import Mapping

import pandas as pd
import scipy

from smifbench.evaluation.results import seed_means
from smifbench.metrics import METRICS
from smifbench.paper.published import incomparable, published_as_printed

COLUMNS = [
    *["table", "dataset", "ratio", "method", "variant", "metric", "published", "decimals", "ours", "low", "high"],
    *["seeds", "status", "reason", "remark"],
]

STATUSES = ("reproduced", "differs", "not comparable", "not run")

PAPER_CELL = ["dataset", "ratio", "method", "variant"]

LEVEL = 0.95
"""Coverage of the interval between `low` and `high`."""

FLOPS = "published_tflops"

FLOPS_SLIPS = {
    ("cave", "tsfn"): "the cell holds TSFN's parameters in millions (1.964), not a count, which is 0.516",
    ("cave", "mog_dcn"): "the cell holds TSFN's count, one row off; MoG-DCN's own is 4.396",
}
"""Cells of the FLOPs column that hold something else; `python -m smifbench cost` finds what."""

PAPER_SIDES = {"cave": 512, "harvard": 1024, "wdcm": 128}
"""Side of the test image that the FLOPs column counts, in pixels."""


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
        `ours` (mean over seeds), `low` and `high`, number of `seeds`, `status`, its `reason` in words, and a `remark`
        where the printed cell by itself is odd, whatever ours is. Statuses:

        - "reproduced": `published` lies between `low` and `high`, where one more seed of ours would fall with 95 %
          probability (Student's prediction interval), widened by half a unit of the last printed decimal. With one
          seed there is no such interval, and the values must agree in print.
        - "differs": it does not.
        - "not comparable": the printed number follows another formula, is a slip, or is of another network than ours.
        - "not run": we have no value; where a run failed, the reason says so.

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
    rows = []
    for cell in printed.itertuples():
        if cell.metric == FLOPS:
            rows.append(_audit_flops(cell, cost, experiment))
        else:
            rows.append(_audit_metric(cell, seeds.get(_key(cell)), failures.get(_key(cell), ""), experiment))
    facts = printed.assign(published=printed.text.astype(float), decimals=[_decimals(text) for text in printed.text])
    table = pd.concat([facts.reset_index(drop=True), pd.DataFrame(rows)], axis=1)
    return table[COLUMNS].astype({"ours": "float64", "low": "float64", "high": "float64"})


def published_options(variant: str) -> dict[str, int | bool]:
    """Options of SMIF-NET behind a row of Tables 1-5, by the name of its variant.

    Examples
    --------
    >>> published_options("no_csca_no_msfe")
    {'csca': False, 'msfe': False}
    >>> published_options("blocks6")
    {'blocks': 6}
    """
    sizes = {name: int(size) for name, size in re.findall(r"(blocks|stages)(\d+)", variant)}
    return sizes | dict.fromkeys(re.findall(r"no_(csca|msfe|is2f2)", variant), False)


def _key(cell: tuple) -> tuple[str, int, str, str]:
    return cell.dataset, cell.ratio, cell.method, cell.variant


def _audit_metric(cell: tuple, seeds: pd.DataFrame | None, failure: str, experiment: Mapping | None) -> dict:
    """Judge a cell of metrics by the means of our seeds; None where there is no run."""
    doubt = incomparable(cell.dataset, cell.ratio, cell.method, cell.metric)
    remark = doubt or _contradiction(cell)
    values = pd.Series(dtype="float64") if seeds is None else seeds[cell.metric].dropna()
    if values.empty:
        return _verdict("not run", _join(failure, remark), remark)
    low, high = _interval(values, cell.text)
    found = {"ours": values.mean(), "low": low, "high": high, "seeds": len(values)}
    doubt = doubt or _other_run(cell, experiment)
    if doubt:
        return _verdict("not comparable", doubt, remark, **found)
    if low <= float(cell.text) <= high:
        return _verdict("reproduced", remark, remark, **found)
    return _verdict("differs", _join(_difference(cell, values), remark), remark, **found)


def _verdict(status: str, reason: str, remark: str, **found: float) -> dict:
    nothing = {"ours": math.nan, "low": math.nan, "high": math.nan, "seeds": 0}
    return nothing | found | {"status": status, "reason": reason, "remark": remark}


def _interval(values: pd.Series, text: str) -> tuple[float, float]:
    """Where one more seed would fall, widened by what rounding in print may hide."""
    half_unit = 0.5 * 10 ** -_decimals(text)
    spread = 0.0
    if len(values) > 1:
        quantile = scipy.stats.t.ppf(0.5 + LEVEL / 2, len(values) - 1)
        spread = quantile * values.std() * math.sqrt(1 + 1 / len(values))
    return values.mean() - spread - half_unit, values.mean() + spread + half_unit


def _difference(cell: tuple, values: pd.Series) -> str:
    metric = METRICS[cell.metric]
    difference = values.mean() - float(cell.text)
    judgement = "better" if (difference > 0) == metric.higher_better else "worse"
    size = f"{abs(difference):.{_decimals(cell.text) + 1}f}{' ' + metric.unit if metric.unit else ''}"
    of = f"mean of {len(values)} seeds" if len(values) > 1 else "one seed, so no interval"
    return f"ours is {judgement} by {size} ({of})"


def _other_run(cell: tuple, experiment: Mapping | None) -> str:
    """Say that our network has other options than the published one, or that our data are others of that name."""
    data = (experiment or {}).get("datasets", {}).get(cell.dataset, {})
    if data.get("reader", cell.dataset) != cell.dataset:
        return "ours is another data set of that name"
    about = (experiment or {}).get("methods", {}).get(f"{cell.method}/{cell.variant}")
    if about is None or dict(about["options"]) == published_options(cell.variant):
        return ""
    options = ", ".join(f"{name} = {value}" for name, value in about["options"].items())
    return f"ours is another network than the published one: {options}"


def _contradiction(cell: tuple) -> str:
    """Say where a cell of SMIF-NET contradicts others of its own row."""
    if cell.method != "smif_net" or cell.table > 3:
        return ""
    if (cell.dataset, cell.ratio) == ("cave", 4) and cell.metric in ("paper_rase", "paper_ergas"):
        return "the printed RASE is 0.4 % below four times the printed ERGAS: one of the two is from another run"
    if cell.dataset == "wdcm" and cell.metric in ("paper_psnr", "paper_rmse", "paper_sam", "paper_ergas"):
        rmse, psnr = ("0.0047", "46.40") if cell.ratio == 4 else ("0.0057", "44.85")
        return (
            f"the row contradicts itself: its ERGAS and SAM imply RMSE {rmse} and PSNR {psnr} dB, "
            "about 0.4 dB below what is printed"
        )
    return ""


def _audit_flops(cell: tuple, cost: pd.DataFrame | None, experiment: Mapping | None) -> dict:
    """Judge a cell of the FLOPs column by thop's count at ratio 4, its digits cut off, as the paper prints it."""
    slip = FLOPS_SLIPS.get((cell.dataset, cell.method), "")
    repeated = " and repeated from ratio 4" if cell.ratio == 8 else ""
    remark = slip or f"thop's count, its last digits cut off{repeated}"
    count = _our_count(cell, cost)
    if math.isnan(count):
        return _verdict("not run", _join("not counted at the paper's size", remark), remark)
    doubt = slip or _other_run(cell, experiment)
    if doubt:
        return _verdict("not comparable", doubt, remark, ours=count)
    unit = 10 ** _decimals(cell.text)
    if math.floor(count * unit) == round(float(cell.text) * unit):
        return _verdict("reproduced", remark, remark, ours=count)
    percent = 100 * (count / float(cell.text) - 1)
    reason = f"thop's count of our network is {percent:+.2f} % of what is printed"
    return _verdict("differs", reason, reason, ours=count)


def _our_count(cell: tuple, cost: pd.DataFrame | None) -> float:
    """Thop's count in 10^12 at ratio 4 and the paper's size; NaN where it was not made."""
    if cost is None:
        return math.nan
    keys = {"dataset": cell.dataset, "ratio": 4, "method": cell.method, "variant": cell.variant}
    side = PAPER_SIDES[cell.dataset]
    rows = cost[(cost[list(keys)] == pd.Series(keys)).all(axis=1) & (cost.height == side) & (cost.width == side)]
    return float(rows.gmacs_thop.iloc[0]) / 1e3 if len(rows) else math.nan


def _join(*sentences: str) -> str:
    return "; ".join(sentence for sentence in sentences if sentence)


def _decimals(text: str) -> int:
    return len(text.partition(".")[2])
