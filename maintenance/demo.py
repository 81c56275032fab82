"""Bring the README's picture and table of the demo up to results/demo: `python maintenance/demo.py`; needs pdftoppm."""

import re
import subprocess
from pathlib import Path

from smifbench import plugins
from smifbench.evaluation.reading import read_table
from smifbench.evaluation.results import load_results
from smifbench.metrics import METRICS
from smifbench.system.files import read_json, write_text

README = plugins.ROOT / "README.md"
PICTURE = plugins.ROOT / "docs" / "demo_pseudo_colour.png"
SHOWN = ("psnr", "ssim", "sam", "ergas")


def main() -> None:
    """Rewrite both from the demo's results."""
    results = plugins.ROOT / "results" / "demo"
    text = README.read_text(encoding="utf-8")
    write_text(
        README, re.sub(r"(?<=\| --- \|\n)\| Bicubic .*?\n(?=\n)", lambda _: table(results), text, flags=re.DOTALL)
    )
    figure = results / "figures" / "fig2_pseudo_colour.pdf"
    subprocess.run(["pdftoppm", "-png", "-singlefile", "-r", "150", figure, PICTURE.with_suffix("")], check=True)


def table(results: Path) -> str:
    """Rows of the README's table: a method's metrics, parameters in millions and training steps."""
    titles = read_json(results / "experiment.json")["methods"]
    costs = read_table(results / "cost.csv", {"method": "string", "variant": "string", "params": "float64"})
    rows = load_results(results).merge(costs, on=["method", "variant"])
    lines = []
    for row in rows.itertuples():
        metrics = [f"{getattr(row, name):.{METRICS[name].digits}f}" for name in SHOWN]
        network = [f"{row.params / 1e6:.2f} M", f"{row.train_steps:.0f}"] if row.params else ["", ""]
        lines.append(f"| {' | '.join([titles[f'{row.method}/{row.variant}']['title'], *metrics, *network])} |\n")
    return "".join(lines)


if __name__ == "__main__":
    main()
