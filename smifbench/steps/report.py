"""Write the self-contained HTML report."""

import argparse

from smifbench.report.page import write_report
from smifbench.steps import _arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    _arguments.of_results(parser, pairs=True)


def run(args: argparse.Namespace) -> None:
    """Write them."""
    write_report(args.results, args.pairs, args.output)
