"""Bring the tables and the picture of docs/limits.md up to results/demo/robustness: `python maintenance/limits.py`."""

import re
import shutil
from collections.abc import Iterable

import pandas as pd

from smifbench import plugins
from smifbench.evaluation.reading import read_table
from smifbench.report.losses import SPREAD_DTYPES
from smifbench.system.files import write_text

PAGE = plugins.ROOT / "docs" / "limits.md"
PICTURE = plugins.ROOT / "docs" / "demo_robustness.png"
TRAINED = "block-gauss-s2/1"
HARDEST = [f"{TRAINED}+{change}" for change in ("snr_hsi_db=20", "snr_msi_db=20", "response_shift_nm=20")]
MISREGISTERED = f"{TRAINED}+misregistration=2,2"
METHOD = ["method", "variant"]
ROWS_DTYPES = {"protocol": "string", "ratio": "int64", **dict.fromkeys(METHOD, "string")}
ROWS_DTYPES |= dict.fromkeys(["psnr", "rmse_blocks", "rmse_detail"], "float64")


def main() -> None:
    """Rewrite both tables and copy the picture from the robustness tests of the demo."""
    results = plugins.ROOT / "results" / "demo"
    losses = read_table(results / "robustness.csv", SPREAD_DTYPES, rest="float64").set_index(METHOD)
    rows = read_table(results / "robustness" / "metrics.csv", ROWS_DTYPES).query("ratio == 4")
    rows = rows.set_index(["protocol", *METHOD])
    text = PAGE.read_text(encoding="utf-8")
    for head, lines in (("PSNR", worst_losses(losses, rows)), ("as trained", errors(losses, rows))):
        text = re.sub(rf"(?<=\n)(\| method \| {head} \|.*\n.*\n)(?:\|.*\n)+", lambda old, new=lines: old[1] + new, text)
    write_text(PAGE, text)
    shutil.copy(results / "robustness" / "spread" / "curves_indian_pines_x4.png", PICTURE)


def worst_losses(losses: pd.DataFrame, rows: pd.DataFrame) -> str:
    """PSNR as trained and the worst loss of each kind of test, of noise and response the loss in the hardest; in dB."""
    lines = []
    for method, row in losses.iterrows():
        hardest = [row.psnr - rows.psnr[protocol, *method] for protocol in HARDEST]
        cells = [row.psnr, row.blur, row.phase, row.misregistration, *hardest, row.ratio]
        lines.append([row.title, *("does not take it" if pd.isna(cell) else f"{cell:.2f}" for cell in cells)])
    return _table(lines)


def errors(losses: pd.DataFrame, rows: pd.DataFrame) -> str:
    """Root-mean-square errors of LR pixels' means and of the detail within them, in thousandths of the full scale."""
    parts = 1000 * rows[["rmse_blocks", "rmse_detail"]]
    protocols = [TRAINED, MISREGISTERED, *HARDEST]
    return _table(
        [title, *("{:.1f} / {:.1f}".format(*parts.loc[(protocol, *method)]) for protocol in protocols)]
        for method, title in losses.title.items()
    )


def _table(lines: Iterable[list[str]]) -> str:
    text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return text.replace(" estimated |", ", operators estimated |")


if __name__ == "__main__":
    main()
