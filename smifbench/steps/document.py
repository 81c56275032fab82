"""Put tables and figures into one LaTeX document, and compile it where a LaTeX is installed."""

import argparse

from smifbench.report.document import write_document
from smifbench.steps import _arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    _arguments.of_results(parser)


def run(args: argparse.Namespace) -> None:
    """Write them."""
    write_document(args.results, args.output)
