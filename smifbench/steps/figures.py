"""Draw the figures."""

import argparse

from smifbench.report.figures import draw_figures
from smifbench.steps import _arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    _arguments.of_results(parser, pairs=True)


def run(args: argparse.Namespace) -> None:
    """Write them."""
    draw_figures(args.results, args.pairs, args.output)
