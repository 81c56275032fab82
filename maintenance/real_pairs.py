"""Keep the rows of results/real_eo1 and bring the table on real pairs in docs/limits.md up to them.

`python maintenance/real_pairs.py` after `snakemake --configfile config/real_eo1.yaml`: copies rows and costs to
results/reference/real_eo1, and adds `no_reference.csv`, the QNR of each estimate.
"""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from smifbench import load_results, plugins
from smifbench.degradation.pairs import load_pairs, load_problem
from smifbench.evaluation.no_reference import assess
from smifbench.report.titles import method_titles
from smifbench.run import Run
from smifbench.system.files import read_json, write_text

PAGE = plugins.ROOT / "docs" / "limits.md"
RESULTS = plugins.ROOT / "results" / "real_eo1"
REFERENCE = plugins.ROOT / "results" / "reference" / "real_eo1"
SIMULATED = "block-gauss-s2/1"
MEASURED = f"{SIMULATED}+msi=measured"
KEYS = ["protocol", "ratio", "method", "variant"]


def main() -> None:
    """Copy what is kept, judge the estimates, and rewrite the table."""
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for name in ("metrics.csv", "cost.csv", "experiment.json"):
        shutil.copy(RESULTS / name, REFERENCE / name)
    no_reference(RESULTS, plugins.ROOT / "data" / "pairs").to_csv(REFERENCE / "no_reference.csv", index=False)
    write_text(PAGE, with_table(PAGE.read_text(encoding="utf-8"), table(REFERENCE)))


def no_reference(results: Path, pairs: Path) -> pd.DataFrame:
    """QNR of every estimate and its two parts; the consistency with the pair is in the rows already."""
    data = read_json(results / "experiment.json")["datasets"]["eo1"]["data"]
    rows = []
    for row in load_results(results).query("status == 'ok'").to_dict("records"):
        run = Run(*(row[key] for key in Run.__dataclass_fields__))
        folder = pairs / data / run.protocol / f"x{run.ratio}"
        problem = load_problem(folder)
        pair = next(pair for pair in load_pairs(folder, "test") if pair.scene == row["scene"])
        estimate = np.load(results / "runs" / run.folder / "fused" / f"{pair.scene}.npy")
        found = assess(estimate, np.array(pair.lr_hsi), np.array(pair.hr_msi), problem.psf, problem.srf, run.ratio)
        rows.append({key: row[key] for key in KEYS} | {name: found[name] for name in ("qnr", "d_lambda", "d_s")})
    return pd.DataFrame(rows)


def table(reference: Path) -> str:
    """Lines of the table: PSNR with both MSIs and what the measured one costs, SAM, and QNR, at both ratios."""
    titles = method_titles(read_json(reference / "experiment.json"))
    rows = pd.read_csv(reference / "metrics.csv").merge(pd.read_csv(reference / "no_reference.csv"), on=KEYS)
    cells = rows.set_index(KEYS)
    lines = []
    for method, variant in dict.fromkeys(zip(rows.method, rows.variant, strict=True)):
        values = []
        for ratio in (4, 2):
            real, made = (cells.loc[(protocol, ratio, method, variant)] for protocol in (MEASURED, SIMULATED))
            values.append(f"{real.psnr:.2f} / {made.psnr:.2f}")
            values.append(f"{made.psnr - real.psnr:.2f}")
            if ratio == 4:
                values += [f"{real.sam:.2f} / {made.sam:.2f}", f"{real.qnr:.3f} / {made.qnr:.3f}"]
        title = titles[f"{method}/{variant}"].replace(" estimated", ", operators estimated")
        lines.append(f"| {' | '.join([title, *values])} |\n")
    return "".join(lines)


def with_table(page: str, lines: str) -> str:
    """Return the page with other lines below the head of its table on real pairs."""
    return re.sub(r"(?<=\n)(\| method \| PSNR x4 \|.*\n.*\n)(?:\|.*\n)*", lambda old: old[1] + lines, page)


if __name__ == "__main__":
    main()
