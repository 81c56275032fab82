"""The cost of every network at the sizes of the SMIF-NET paper, and what each cell of its FLOPs column holds.

Counts need shapes alone, so no data set and no GPU: `python -m smifbench cost` takes minutes.
"""

import math

import pandas as pd

from smifbench import plugins
from smifbench.evaluation.cost import count_macs, count_macs_thop, count_parameters
from smifbench.fusion import build
from smifbench.paper.layout import DATASETS, FLOPS, RATIOS
from smifbench.paper.published import published_tflops
from smifbench.problem import FusionProblem


def paper_cost() -> pd.DataFrame:
    """Count every network at every setting of Tables 1-3.

    Returns
    -------
    DataFrame
        `dataset`, `ratio`, `method`, `height`, `width`, `params`; `gmacs` by fvcore's and `gmacs_thop` by thop's rules,
        in 10^9; `published_tflops`, the paper's cell in 10^12; and `explanation`, what that cell is.
    """
    rows = [
        _count(method, dataset, ratio)
        for dataset in DATASETS
        for ratio in RATIOS
        for method in plugins.names("methods")
        if plugins.method_class(method).trainable
    ]
    counted = pd.DataFrame(rows)
    keys = counted[["dataset", "ratio", "method"]].itertuples(index=False, name=None)
    counted[FLOPS] = [published_tflops(*key) for key in keys]
    counted["explanation"] = [_explain(row, counted) for row in counted.itertuples()]
    return counted


def _count(method: str, dataset: str, ratio: int) -> dict:
    data = DATASETS[dataset]
    network, side = build.build_method(method, FusionProblem(data.bands, data.msi_bands, ratio)), data.side
    return {
        "dataset": dataset,
        "ratio": ratio,
        "method": method,
        "height": side,
        "width": side,
        "params": count_parameters(network),
        "gmacs": count_macs(network, side, side) / 1e9,
        "gmacs_thop": count_macs_thop(network, side, side) / 1e9,
    }


def _explain(cell: pd.Series, counted: pd.DataFrame) -> str:
    """Find what a published cell holds, the likeliest reading first."""
    if math.isnan(cell.published_tflops):
        return "the paper has no such row"
    at_ratio_4 = counted[(counted.dataset == cell.dataset) & (counted.ratio == 4)].set_index("method")
    if _is_cut_off(cell.gmacs_thop / 1e3, cell.published_tflops):
        return "thop's count, cut off"
    if _is_cut_off(at_ratio_4.gmacs_thop[cell.method] / 1e3, cell.published_tflops):
        return "thop's count at ratio 4, cut off and repeated"
    if _is_cut_off(cell.params / 1e6, cell.published_tflops):
        return "not a count: the parameters in millions"
    for other, count in at_ratio_4.gmacs_thop.items():
        if _is_cut_off(count / 1e3, cell.published_tflops):
            return f"not its own: thop's count of {other}"
    difference = 100 * (at_ratio_4.gmacs_thop[cell.method] / 1e3 / cell.published_tflops - 1)
    return f"differs: thop's count at ratio 4 is {difference:+.2f} %"


def _is_cut_off(value: float, published: float) -> bool:
    """Tell whether `published` is `value` with its last digits cut off: three decimals, or two from 10 on."""
    unit = 100 if published >= 10 else 1000
    return math.floor(value * unit) == round(published * unit)
