"""Arguments that several steps share."""

import argparse
import json
from pathlib import Path

from smifbench.run import Run


def of_run(parser: argparse.ArgumentParser) -> None:
    """Add the run and its pairs."""
    parser.add_argument("--run", type=Run.of_folder, required=True, help="the run by its folder below runs/")
    parser.add_argument("--pairs", type=Path, required=True, help="folder of the pairs")


def of_network(parser: argparse.ArgumentParser) -> None:
    """Add a method's options and where it computes; `__main__` sets the threads before anything else is imported."""
    parser.add_argument("--options", type=json.loads, default={}, help="the method's options as JSON")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--attempt", type=int, default=1, help="number of the attempt: one more after each failure")


def of_fusing(parser: argparse.ArgumentParser) -> None:
    """Add what fusing needs beside the images."""
    parser.add_argument("--trained", type=Path, help="folder of the training, for a network")
    parser.add_argument("--memory-gb", type=float, help="bound that fusing keeps")


def of_data_set(parser: argparse.ArgumentParser) -> None:
    """Add a data set's reader with its options, and where its files lie."""
    parser.add_argument("--reader", required=True, help="name of the file under datasets/")
    parser.add_argument("--options", type=json.loads, default={}, help="its options as JSON")
    parser.add_argument("--raw", type=Path, required=True, help="folder of downloaded files")


def of_results(parser: argparse.ArgumentParser, pairs: bool = False) -> None:
    """Add the experiment's folder and, where a step shows images, that of all pairs."""
    parser.add_argument("--results", type=Path, required=True, help="the experiment's folder")
    if pairs:
        parser.add_argument("--pairs", type=Path, required=True, help="folder of all pairs")
