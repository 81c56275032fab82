"""Read one scene of a data set and write it in canonical form."""

import argparse
from pathlib import Path

from smifbench import plugins
from smifbench.data.scenes import prepare, prepare_missing
from smifbench.steps import _arguments
from smifbench.system.files import read_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    _arguments.of_data_set(parser)
    parser.add_argument("--dataset", required=True, help="the data set's name in the experiment")
    parser.add_argument("--scene", required=True)
    parser.add_argument("--fetched", type=Path, help="what the download wrote down")


def run(args: argparse.Namespace) -> None:
    """Prepare the scene, or an empty one in its place where the data set could not be had."""
    dataset = plugins.build_dataset(args.reader, **args.options)
    reason = read_json(args.fetched)["unavailable"] if args.fetched else ""
    if reason:
        prepare_missing(dataset, args.dataset, args.scene, reason, args.output)
    else:
        prepare(dataset, args.dataset, args.scene, args.raw, args.output)
