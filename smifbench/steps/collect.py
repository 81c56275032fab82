"""Put the rows of several tables into one."""

import argparse
from pathlib import Path

import pandas as pd

from smifbench.evaluation.reading import read_text
from smifbench.system.files import replacing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    parser.add_argument("--tables", type=Path, nargs="+", required=True)


def run(args: argparse.Namespace) -> None:
    """Write the rows one table after the other, every cell as it stands."""
    with replacing(args.output) as temporary:
        pd.concat([read_text(path) for path in args.tables]).to_csv(temporary, index=False)
