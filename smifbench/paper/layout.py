"""What the SMIF-NET paper holds, and where: all that one replaces to compare with another paper.

The numbers themselves are in `results/published`, which `smifbench.paper.published` reads.
"""

import re
from dataclasses import dataclass

from smifbench.metrics import PAPER

FILES = ("tables_1_to_3", "table_4", "table_5")
"""Files of the printed tables, in the order of their numbers."""

NAME = "SMIF-NET paper"
"""What the paper is called in print, after an article."""

OWN = "smif_net"
"""The paper's own method, whose variants its ablation tables compare."""


@dataclass(frozen=True)
class PaperData:
    """One of the paper's data sets: its title, the number of its table, and what is fused there."""

    title: str
    table: int
    bands: int
    msi_bands: int
    side: int
    """Side in pixels of the test image whose operations the FLOPs column counts."""


DATASETS = {
    "cave": PaperData("CAVE", 1, 31, 3, 512),
    "harvard": PaperData("Harvard", 2, 31, 3, 1024),
    "wdcm": PaperData("WDCM", 3, 191, 10, 128),
}

RATIOS = (4, 8)

METHODS = {
    **{"cnmf": "CNMF", "ssr_net": "SSR-NET", "tsfn": "TSFN", "mog_dcn": "MoG-DCN", "mssjfl": "MSSJFL"},
    **{"dhif_net": "DHIF-Net", "psrt": "PSRT", "msst_net": "MSST-Net", "smif_net": "SMIF-NET"},
}
"""Titles of the methods of Tables 1-3, in order."""

PAPER_METRICS = tuple(PAPER)
"""Metrics of Tables 1-3, in order, in the paper's convention."""

FLOPS = "published_tflops"
"""Name of the FLOPs column, in 10^12 operations."""

FIGURE_RATIO, COLOUR_DATASET, GREY_DATASET = 8, "cave", "wdcm"
"""Ratio of all figures; data sets of Figures 2 and 3, in colour, and of Figures 4 and 5, in grey."""

FULL_NETWORK = {"n2": "5", "s": "4", "csca": "1", "msfe": "1", "is2f2": "1"}
"""The full SMIF-NET as Tables 4 and 5 print it: blocks in a layer, stages, and the modules that are there."""

SIZES = {"n2": "blocks", "s": "stages"}
"""The method's options behind the columns of Table 4."""

MODULES = ("csca", "msfe", "is2f2")
"""The method's options behind the columns of Table 5, each a module that is there or not."""


@dataclass(frozen=True)
class Ablation:
    """A table that compares variants of the paper's own method. Texts are LaTeX."""

    what: str
    """What the variants change."""
    labels: tuple[str, ...]
    """Heads of the columns that tell the variants apart."""
    metrics: tuple[str, ...]
    groups: tuple[dict[str, tuple[int | bool, ...]], ...]
    """Groups of rows: each variant with its values under `labels`."""

    @property
    def variants(self) -> set[str]:
        """Names of all variants, "default" included, which is the full network."""
        return {variant for group in self.groups for variant in group}


ABLATIONS = {
    4: Ablation(
        what="the number of blocks in a SMAT layer, $N_2$, and of fusion stages, $S$",
        labels=("$N_2$", "$S$"),
        metrics=("psnr", "sam", "ergas"),
        groups=(
            {"blocks4": (4, 4), "default": (5, 4), "blocks6": (6, 4)},
            {"stages3": (5, 3), "default": (5, 4), "stages5": (5, 5)},
        ),
    ),
    5: Ablation(
        what="the modules CSCA, MSFE and IS2F2",
        labels=("CSCA", "MSFE", "IS2F2"),
        metrics=("psnr", "ssim", "sam", "rmse", "ergas"),
        groups=(
            {
                "no_csca_no_msfe_no_is2f2": (False, False, False),
                "no_csca": (False, True, True),
                "no_msfe": (True, False, True),
                "no_is2f2": (True, True, False),
                "default": (True, True, True),
            },
        ),
    ),
}
"""The ablation tables by their numbers; both are on CAVE at ratio 8."""

ABLATED_DATASET = "cave"


def published_variant(printed: dict[str, str]) -> str:
    """Name a row of Table 4 or 5 after what it changes in the full network; the full network is "default".

    `printed` has the row's columns as in `FULL_NETWORK`.
    """
    changed = {column: printed[column] for column, full in FULL_NETWORK.items() if printed[column] != full}
    sizes = [f"{option}{changed[column]}" for column, option in SIZES.items() if column in changed]
    removed = [f"no_{module}" for module in MODULES if module in changed]
    return "_".join(sizes + removed) or "default"


def published_options(variant: str) -> dict[str, int | bool]:
    """Options of SMIF-NET behind a row of Tables 1-5, by the name of its variant.

    Examples
    --------
    >>> published_options("no_csca_no_msfe")
    {'csca': False, 'msfe': False}
    >>> published_options("blocks6")
    {'blocks': 6}
    """
    sizes = {name: int(size) for name, size in re.findall(rf"({'|'.join(SIZES.values())})(\d+)", variant)}
    return sizes | dict.fromkeys(re.findall(rf"no_({'|'.join(MODULES)})", variant), False)


FLOPS_SLIPS = {
    ("cave", "tsfn"): "the cell holds TSFN's parameters in millions (1.964), not a count, which is 0.516",
    ("cave", "mog_dcn"): "the cell holds TSFN's count, one row off; MoG-DCN's own is 4.396",
}
"""Cells of the FLOPs column that hold something else; `python -m smifbench cost` finds what."""


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


def displaced(table: int, dataset: str, method: str, metric: str) -> str:
    """Say what explains CNMF's cells on CAVE, as far as `results/reference/cave_cnmf` shows; "" for all others."""
    if (table, dataset, method) != (1, "cave", "cnmf") or metric not in ("paper_psnr", "paper_rase", "paper_rmse"):
        return ""
    return (
        "what comes nearest to CNMF's printed row is an LR-HSI about half an LR pixel off; with aligned blocks CNMF is "
        "3 to 5 dB better (docs/reference.md)"
    )


def contradiction(table: int, dataset: str, ratio: int, method: str, metric: str) -> str:
    """Say where a cell of SMIF-NET in Tables 1-3 contradicts others of its own row; "" where it does not."""
    if method != OWN or table > 3:
        return ""
    if (dataset, ratio) == ("cave", 4) and metric in ("paper_rase", "paper_ergas"):
        return "the printed RASE is 0.4 % below four times the printed ERGAS: one of the two is from another run"
    if dataset == "wdcm" and metric in ("paper_psnr", "paper_rmse", "paper_sam", "paper_ergas"):
        rmse, psnr = ("0.0047", "46.40") if ratio == 4 else ("0.0057", "44.85")
        return (
            f"the row contradicts itself: its ERGAS and SAM imply RMSE {rmse} and PSNR {psnr} dB, "
            "about 0.4 dB below what is printed"
        )
    return ""
