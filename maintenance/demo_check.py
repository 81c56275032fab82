"""Fail where a network of the demo has not learnt: 4 dB above bicubic, with a smaller spectral angle.

`make demo-check` runs it on `results/demo`.
"""

import sys

import pandas as pd

import smifbench
from smifbench import plugins

GAIN_DB = 4
NETWORKS = 8


def main() -> None:
    """Print the scores, and end with the networks that are too weak."""
    rows = smifbench.load_results(plugins.ROOT / "results" / "demo").set_index("method")
    print(rows[["psnr", "sam"]])
    sys.exit(complaint(rows))


def complaint(rows: pd.DataFrame) -> str | None:
    """Name what is wrong with the rows of a demo, by method, or return None."""
    floor, networks = rows.loc["bicubic"], rows[rows.train_steps.notna()]
    if len(networks) < NETWORKS:
        return f"only {len(networks)} of {NETWORKS} networks have rows"
    weak = networks[~((networks.psnr >= floor.psnr + GAIN_DB) & (networks.sam < floor.sam))]
    return f"too weak: {', '.join(weak.index)}" if len(weak) else None


if __name__ == "__main__":
    main()
