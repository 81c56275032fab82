"""The commands that the DAG's rules call: `python -m smifbench.steps STEP ...`.

Each reads files, calls one function of the library and writes files. What a step imports is what it needs, so that
scoring starts without torch, and training without plotting.
"""

import argparse
import json
import logging
import os
import sys
from pathlib import Path

from smifbench.errors import UserError
from smifbench.run import Run


def prepare(args: argparse.Namespace) -> None:
    """Read one scene of a data set and write it in canonical form."""
    from smifbench import plugins, scenes

    dataset = plugins.build_dataset(args.dataset, **args.options)
    scenes.prepare(dataset, args.dataset, args.scene, args.raw, args.output)


def degrade(args: argparse.Namespace) -> None:
    """Simulate the pairs of all prepared scenes of a data set under one protocol and ratio."""
    from smifbench import scenes

    scenes.degrade(args.prepared, args.protocol, args.ratio, args.output)


def train(args: argparse.Namespace) -> None:
    """Train one network."""
    from smifbench import execution

    _use_threads(args.threads)
    recipe = execution.resolve_recipe(args.run.method, args.recipe["base"], *args.recipe["changes"])
    execution.train_run(args.run, args.pairs, args.options, recipe, args.device, args.state, args.output)


def fuse(args: argparse.Namespace) -> None:
    """Fuse the test scenes with one method."""
    from smifbench import execution

    _use_threads(args.threads)
    execution.fuse_run(args.run, args.pairs, args.options, args.device, args.trained, args.output)


def score(args: argparse.Namespace) -> None:
    """Score one run's estimates."""
    from smifbench import scoring

    scoring.score_run(args.experiment, args.run, args.pairs, args.fused, args.output)


def collect(args: argparse.Namespace) -> None:
    """Put the rows of all runs into one table."""
    import pandas as pd

    from smifbench.files import replacing

    with replacing(args.output) as temporary:
        pd.concat([pd.read_csv(path) for path in args.scores]).to_csv(temporary, index=False)


def _use_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)


def _run(text: str) -> Run:
    return Run(**json.loads(text))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m smifbench.steps")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--log", type=Path, help="file that gets the step's log, tracebacks included")
    common.add_argument("--output", type=Path, required=True)
    method = argparse.ArgumentParser(add_help=False)
    method.add_argument("--run", type=_run, required=True)
    method.add_argument("--pairs", type=Path, required=True)
    network = argparse.ArgumentParser(add_help=False)
    network.add_argument("--options", type=json.loads, default={})
    network.add_argument("--device", default="auto")
    network.add_argument("--threads", type=int, default=1)
    steps = parser.add_subparsers(required=True, metavar="STEP")

    def step(function, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        command = steps.add_parser(function.__name__, parents=[common, *parents], help=function.__doc__)
        command.set_defaults(function=function)
        return command

    command = step(prepare)
    command.add_argument("--dataset", required=True)
    command.add_argument("--options", type=json.loads, default={})
    command.add_argument("--scene", required=True)
    command.add_argument("--raw", type=Path, required=True)
    command = step(degrade)
    command.add_argument("--prepared", type=Path, nargs="+", required=True)
    command.add_argument("--protocol", required=True)
    command.add_argument("--ratio", type=int, required=True)
    command = step(train, method, network)
    command.add_argument("--recipe", type=json.loads, required=True)
    command.add_argument("--state", type=Path, required=True)
    command = step(fuse, method, network)
    command.add_argument("--trained", type=Path)
    command = step(score, method)
    command.add_argument("--experiment", required=True)
    command.add_argument("--fused", type=Path, required=True)
    command = step(collect)
    command.add_argument("--scores", type=Path, nargs="+", required=True)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one step; returns its exit status, 2 for a user's mistake."""
    args = _parser().parse_args(arguments)
    if args.log:
        args.log.parent.mkdir(parents=True, exist_ok=True)
        logging.basicConfig(filename=args.log, filemode="w", level=logging.INFO, format="%(asctime)s %(message)s")
    logging.info("%s", " ".join(sys.argv if arguments is None else arguments))
    try:
        args.function(args)
    except UserError as error:
        logging.error("%s", error)
        print(f"smifbench: {error}", file=sys.stderr)
        return 2
    except Exception:
        logging.exception("this is a defect of smifbench or of a plug-in")
        raise
    return 0


if __name__ == "__main__":
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    sys.exit(main())
