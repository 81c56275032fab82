"""Count and time the methods at the size of one test image."""

import argparse
import json
import logging
import sys
from pathlib import Path

import pandas as pd

from smifbench.degradation.pairs import load_pairs, load_problem, unavailable
from smifbench.evaluation.columns import COST_COLUMNS
from smifbench.evaluation.cost import cost_row
from smifbench.steps import _arguments
from smifbench.system.devices import pick_device
from smifbench.system.files import replacing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    _arguments.of_network(parser)
    parser.add_argument("--dataset", required=True, help="the data set's name in the experiment")
    parser.add_argument("--pairs", type=Path, required=True, help="folder of the pairs")
    parser.add_argument("--methods", type=json.loads, required=True, help="methods, variants and options as JSON")


def run(args: argparse.Namespace) -> None:
    """Write a row for each method; one that cannot be counted keeps an empty row and does not stop the others."""
    rows = []
    if not unavailable(args.pairs):
        problem, device = load_problem(args.pairs), pick_device(args.device)
        height, width = load_pairs(args.pairs, "test")[0].hr_hsi.shape[1:]
        for about in args.methods:
            names = {"dataset": args.dataset, "method": about["method"], "variant": about["variant"]}
            sizes = {"height": height, "width": width}
            try:
                rows.append(
                    cost_row(**names, **sizes, problem=problem, options=about["options"], repeats=3, device=device)
                )
            except Exception as error:  # a plug-in may raise anything
                logging.exception("%s", about)
                print(f"smifbench: no cost for {about['method']}/{about['variant']}: {error}", file=sys.stderr)
                rows.append({**names, "ratio": problem.ratio, **sizes})
    with replacing(args.output) as temporary:
        pd.DataFrame(rows, columns=COST_COLUMNS).to_csv(temporary, index=False)
