"""Tables 1-5 of the SMIF-NET paper as data, and which of their cells compare with ours."""

from functools import cache

import pandas as pd

from smifbench.metrics import PAPER, WALD
from smifbench.places import PUBLISHED

FULL = {"n2": 5, "s": 4, "csca": 1, "msfe": 1, "is2f2": 1}
"""The full SMIF-NET in the columns of Tables 4 and 5: blocks in a layer, stages, modules."""


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
    published = published_as_printed()
    return published.astype(dict.fromkeys([*PAPER, "published_tflops"], "float64"))


def published_as_printed() -> pd.DataFrame:
    """Return what `load_published` does with the metrics as the paper prints them: text, all decimals kept."""
    tables = [pd.read_csv(PUBLISHED / f"{name}.csv", dtype=str) for name in ("tables_1_to_3", "table_4", "table_5")]
    published = pd.concat(tables, ignore_index=True)
    published = published.fillna({key: str(size) for key, size in FULL.items()})
    published["variant"] = [_published_variant(row) for row in published.to_dict("records")]
    published = published.rename(columns={name: f"paper_{name}" for name in WALD} | {"flops_1e12": "published_tflops"})
    keys = {"table": "int64", "dataset": "string", "ratio": "int64", "method": "string", "variant": "string"}
    published = published[[*keys, *PAPER, "published_tflops"]].astype(keys)
    return published.drop_duplicates(list(keys), ignore_index=True)


def incomparable(dataset: str, ratio: int, method: str, metric: str) -> str:
    """Say why a cell of Tables 1-3 does not compare with our value of the same name; "" where it does.

    Examples
    --------
    >>> incomparable("harvard", 8, "psrt", "paper_rase")
    'RASE is not four times ERGAS in any network row here, as it is at ratio 4: it was computed otherwise'
    """
    if method == "cnmf" and dataset == "wdcm":
        return (
            "CNMF's row is on another data scale: its RMSE is lower than SSR-NET's although its PSNR is lower too"
            if ratio == 4
            else "CNMF's row is on another data scale: its PSNR and RMSE imply a peak of 0.62, the networks' of 0.99"
        )
    if method == "cnmf" and metric == "paper_sam":
        return "CNMF's SAM is a mean of angles over pixels, the networks' is one angle between whole cubes"
    if method == "cnmf" and metric == "paper_ergas":
        return "CNMF's ERGAS is a mean over bands, the networks' is global: RMSE over mean"
    if metric == "paper_rase":
        if dataset == "wdcm":
            return "RASE on WDCM is no fixed multiple of ERGAS, as it is elsewhere: it follows no known formula"
        if (dataset, ratio) == ("harvard", 8) and method != "cnmf":
            return (
                "RASE is not four times ERGAS in any network row here, as it is at ratio 4: it was computed otherwise"
            )
        if (dataset, ratio, method) == ("cave", 8, "mog_dcn"):
            return "printed RASE is four times the ERGAS of ratio 4; four times its own is 5.605: a slip"
    if (dataset, ratio, method, metric) == ("harvard", 4, "dhif_net", "paper_rmse"):
        return "printed beside the RASE, ERGAS and SAM of PSRT's row, whose RMSE is 0.0031: a slip"
    return ""


@cache
def _published_tables() -> pd.DataFrame:
    return load_published()


def _published_variant(row: dict) -> str:
    """Name what a row of Table 4 or 5 changes in the full network."""
    changed = {key: row[key] for key, size in FULL.items() if row[key] != str(size)}
    sizes = [f"{name}{changed[key]}" for key, name in (("n2", "blocks"), ("s", "stages")) if key in changed]
    removed = [f"no_{key}" for key in ("csca", "msfe", "is2f2") if key in changed]
    return "_".join(sizes + removed) or "default"
