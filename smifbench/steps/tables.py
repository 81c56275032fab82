"""Render the LaTeX tables."""

import argparse

from smifbench.report.tables import write_tables
from smifbench.steps import _arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    _arguments.of_results(parser)


def run(args: argparse.Namespace) -> None:
    """Write them."""
    write_tables(args.results, args.output)
