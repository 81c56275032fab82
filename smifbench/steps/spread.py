"""Summarise a robustness experiment: table, LaTeX, curves and text."""

import argparse
from pathlib import Path

from smifbench.report.losses import write_spread


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    parser.add_argument("--rows", type=Path, required=True, help="metrics.csv of the tests")
    parser.add_argument("--folder", type=Path, required=True, help="folder for curves, LaTeX and text")


def run(args: argparse.Namespace) -> None:
    """Write the summary."""
    write_spread(args.rows, args.output, args.folder)
