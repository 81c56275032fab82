"""Simulate the pairs of all prepared scenes of a data set under one protocol and ratio."""

import argparse
from pathlib import Path

from smifbench.degradation.degrade import degrade


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    parser.add_argument("--prepared", type=Path, nargs="+", required=True, help="the prepared scenes (.npy)")
    parser.add_argument("--protocol", required=True)
    parser.add_argument("--ratio", type=int, required=True)


def run(args: argparse.Namespace) -> None:
    """Simulate the pairs."""
    degrade(args.prepared, args.protocol, args.ratio, args.output)
