"""Tables 1-5 of the SMIF-NET paper as data."""

import math
from functools import cache
from pathlib import Path

import pandas as pd

from smifbench.errors import UserError
from smifbench.metrics import PAPER, WALD
from smifbench.paper.layout import FILES, FLOPS, FULL_NETWORK, published_variant
from smifbench.places import PUBLISHED


def load_published() -> pd.DataFrame:
    """Read Tables 1-5 of the SMIF-NET paper.

    Returns
    -------
    DataFrame
        `table`, `dataset`, `ratio`, `method`, `variant` as in our rows, the metrics as `paper_*`, and
        `published_tflops`; NaN where a table has no such column. Variants of Table 4 are named after the blocks or
        stages that differ ("blocks6"), those of Table 5 after the modules taken out ("no_msfe"); "default" is the full
        network, which occurs in Tables 1, 4 and 5. CNMF's SAM and ERGAS follow other formulas than the networks'.

    Examples
    --------
    >>> published = load_published()
    >>> published.query("table == 1 and ratio == 4 and method == 'smif_net'").paper_psnr.item()
    50.63
    >>> published[published.table == 5].variant.tolist()
    ['no_csca_no_msfe_no_is2f2', 'no_csca', 'no_msfe', 'no_is2f2', 'default']
    """
    return published_as_printed().astype(dict.fromkeys([*PAPER, FLOPS], "float64"))


def published_as_printed() -> pd.DataFrame:
    """Return what `load_published` does with the metrics as the paper prints them: text, all decimals kept."""
    tables = [_printed(PUBLISHED / f"{name}.csv") for name in FILES]
    published = pd.concat(tables, ignore_index=True).fillna(FULL_NETWORK)
    published["variant"] = [published_variant(row) for row in published.to_dict("records")]
    published = published.rename(columns={name: f"paper_{name}" for name in WALD} | {"flops_1e12": FLOPS})
    keys = {"table": "int64", "dataset": "string", "ratio": "int64", "method": "string", "variant": "string"}
    published = published[[*keys, *PAPER, FLOPS]].astype(keys)
    return published.drop_duplicates(list(keys), ignore_index=True)


def _printed(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, dtype=str)
    except FileNotFoundError as error:
        raise UserError(f"{path} comes with the suite and is gone; get it back: git checkout {path.parent}") from error


def published_tflops(dataset: str, ratio: int, method: str) -> float:
    """Return a cell of the FLOPs column of Tables 1-3, in 10^12 operations; NaN where there is none.

    Examples
    --------
    >>> published_tflops("cave", 4, "ssr_net")
    0.006
    """
    return _tflops().get((dataset, ratio, method), math.nan)


@cache
def _tflops() -> dict[tuple[str, int, str], float]:
    printed = load_published().dropna(subset=FLOPS)
    return {(row.dataset, row.ratio, row.method): getattr(row, FLOPS) for row in printed.itertuples()}
