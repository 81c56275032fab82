"""Count and time the methods at the size of one test image."""

import argparse
import json
import logging
import math
import sys
from pathlib import Path

import pandas as pd

from smifbench.degradation.pairs import load_pairs, load_problem, unavailable
from smifbench.evaluation.columns import COST_COLUMNS
from smifbench.evaluation.cost import FusedImage, cost_row
from smifbench.paper.published import published_tflops
from smifbench.steps import _arguments
from smifbench.system.devices import pick_device
from smifbench.system.files import replacing
from smifbench.system.precision import be_exact


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    _arguments.of_network(parser)
    parser.add_argument("--dataset", required=True, help="the data set's name in the experiment")
    parser.add_argument("--pairs", type=Path, required=True, help="folder of the pairs")
    parser.add_argument("--methods", type=json.loads, required=True, help="methods, variants and options as JSON")


def run(args: argparse.Namespace) -> None:
    """Write a row for each method; one that cannot be counted keeps an empty row and does not stop the others."""
    be_exact()
    rows = []
    if not unavailable(args.pairs):
        problem, device = load_problem(args.pairs), pick_device(args.device)
        height, width = load_pairs(args.pairs, "test")[0].hr_hsi.shape[1:]
        image = FusedImage(args.dataset, problem, height, width)
        for about in args.methods:
            names = {"dataset": args.dataset, "method": about["method"], "variant": about["variant"]}
            size = {"ratio": problem.ratio, "height": height, "width": width}
            if stated := about.get("cost"):  # it ran elsewhere
                where = f"{stated.get('device', 'elsewhere')}, as stated"
                rows.append({**names, **size, **stated, "device": where})
                continue
            known = math.nan if about["options"] else published_tflops(args.dataset, problem.ratio, about["method"])
            try:
                row = cost_row(image, about["method"], about["variant"], about["options"], repeats=3, device=device)
                rows.append({**row, "published_tflops": known})
            except Exception as error:  # a plug-in may raise anything
                logging.exception("%s", about)
                print(f"smifbench: no cost for {about['method']}/{about['variant']}: {error}", file=sys.stderr)
                rows.append({**names, **size})
    with replacing(args.output) as temporary:
        pd.DataFrame(rows, columns=COST_COLUMNS).to_csv(temporary, index=False)
