"""Fetch a data set's files and verify them, and write down whether it can be had."""

import argparse
import logging
import sys

from smifbench import plugins
from smifbench.errors import UserError
from smifbench.steps import _arguments
from smifbench.system.files import locked, write_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    _arguments.of_data_set(parser)
    parser.add_argument("--attempt", type=int, default=1, help="number of the attempt")


def run(args: argparse.Namespace) -> None:
    """Fetch the files. Where they cannot be had, rows, tables and summary give the reason and the rest goes on."""
    reason = ""
    with locked(args.raw):  # another experiment may want the same files at the same time
        try:
            plugins.build_dataset(args.reader, **args.options).fetch(args.raw)
        except UserError as error:
            logging.exception("%s", error)
            print(f"smifbench: {error}", file=sys.stderr)
            reason = str(error)
    write_json(args.output, {"attempt": args.attempt, "unavailable": reason})
