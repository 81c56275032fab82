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


def download(args: argparse.Namespace) -> None:
    """Fetch a data set's files and verify them, and write down whether it can be had."""
    from smifbench import plugins
    from smifbench.system.files import locked, write_json

    unavailable = ""
    with locked(args.raw):  # another experiment may want the same files at the same time
        try:
            plugins.build_dataset(args.reader, **args.options).fetch(args.raw)
        except UserError as error:  # the rest of the experiment goes on; rows, tables and summary give the reason
            logging.exception("%s", error)
            print(f"smifbench: {error}", file=sys.stderr)
            unavailable = str(error)
    write_json(args.output, {"attempt": args.attempt, "unavailable": unavailable})


def prepare(args: argparse.Namespace) -> None:
    """Read one scene of a data set and write it in canonical form."""
    from smifbench import plugins
    from smifbench.data import scenes
    from smifbench.system.files import read_json

    dataset = plugins.build_dataset(args.reader, **args.options)
    unavailable = read_json(args.fetched)["unavailable"] if args.fetched else ""
    if unavailable:
        scenes.prepare_missing(dataset, args.dataset, args.scene, unavailable, args.output)
    else:
        scenes.prepare(dataset, args.dataset, args.scene, args.raw, args.output)


def degrade(args: argparse.Namespace) -> None:
    """Simulate the pairs of all prepared scenes of a data set under one protocol and ratio."""
    from smifbench.degradation.degrade import degrade

    degrade(args.prepared, args.protocol, args.ratio, args.output)


def train(args: argparse.Namespace) -> None:
    """Train one network."""
    _use_threads(args.threads)
    from smifbench.experiment import config, execution
    from smifbench.system import precision

    precision.be_exact()
    recipe = config.recipe_of(args.run.method, args.recipe["base"], *args.recipe["changes"])
    execution.train_run(args.run, args.pairs, args.options, recipe, args.device, args.state, args.output)


def fuse(args: argparse.Namespace) -> None:
    """Fuse the test scenes with one method."""
    _use_threads(args.threads)
    from smifbench.experiment import execution
    from smifbench.system import precision

    precision.be_exact()
    execution.fuse_run(args.run, args.pairs, args.options, args.device, args.trained, args.output, args.memory_gb)


def score(args: argparse.Namespace) -> None:
    """Score one run's estimates."""
    from smifbench.steps.score import score_run

    score_run(args.experiment, args.run, args.pairs, args.fused, args.output)


def robustness(args: argparse.Namespace) -> None:
    """Fuse and score the test scenes of one run under other protocols and ratios."""
    _use_threads(args.threads)
    from smifbench.steps.robustness import run_tests
    from smifbench.system import precision

    precision.be_exact()
    run_tests(
        args.experiment,
        args.run,
        args.tests,
        args.prepared,
        args.pairs,
        args.options,
        args.device,
        args.trained,
        args.output,
        args.memory_gb,
    )


def spread(args: argparse.Namespace) -> None:
    """Summarise a robustness experiment: table, LaTeX, curves and text."""
    from smifbench.report.losses import write_spread

    write_spread(args.rows, args.output, args.folder)


def collect(args: argparse.Namespace) -> None:
    """Put the rows of several tables into one."""
    import pandas as pd

    from smifbench.system.files import replacing

    with replacing(args.output) as temporary:
        rows = [pd.read_csv(path, dtype=str, keep_default_na=False) for path in args.tables]
        pd.concat(rows).to_csv(temporary, index=False)


def cost(args: argparse.Namespace) -> None:
    """Count and time the methods at the size of one test image."""
    _use_threads(args.threads)
    from smifbench.degradation import pairs
    from smifbench.evaluation.columns import COST_COLUMNS
    from smifbench.evaluation.cost import cost_row
    from smifbench.system.devices import pick_device

    if pairs.unavailable(args.pairs):
        return _write_table(args.output, [], COST_COLUMNS)
    problem = pairs.load_problem(args.pairs)
    height, width = pairs.load_pairs(args.pairs, "test")[0].hr_hsi.shape[1:]
    device = pick_device(args.device)
    rows = []
    for about in args.methods:
        names = {"dataset": args.dataset, "method": about["method"], "variant": about["variant"]}
        try:
            rows.append(
                cost_row(
                    **names,
                    problem=problem,
                    options=about["options"],
                    height=height,
                    width=width,
                    repeats=3,
                    device=device,
                )
            )
        except Exception as error:  # a plug-in may raise anything; the others are still counted
            logging.exception("%s", about)
            print(f"smifbench: no cost for {about['method']}/{about['variant']}: {error}", file=sys.stderr)
            rows.append({**names, "ratio": problem.ratio, "height": height, "width": width})
    _write_table(args.output, rows, COST_COLUMNS)


def describe(args: argparse.Namespace) -> None:
    """Write down what the experiment is and where it runs."""
    from smifbench.experiment.config import check_experiment
    from smifbench.steps.describe import describe
    from smifbench.system.files import write_json

    write_json(args.output, describe(check_experiment(args.config)))


def tables(args: argparse.Namespace) -> None:
    """Render the LaTeX tables."""
    from smifbench.report.tables import write_tables

    write_tables(args.results, args.output)


def figures(args: argparse.Namespace) -> None:
    """Draw the figures."""
    from smifbench.report.figures import draw_figures

    draw_figures(args.results, args.pairs, args.output)


def document(args: argparse.Namespace) -> None:
    """Put tables and figures into one LaTeX document, and compile it where a LaTeX is installed."""
    from smifbench.report.document import write_document

    write_document(args.results, args.output)


def report(args: argparse.Namespace) -> None:
    """Write the self-contained HTML report."""
    from smifbench.report.page import write_report

    write_report(args.results, args.pairs, args.output)


def summary(args: argparse.Namespace) -> None:
    """Write the leaderboard and where the report lies; raises UserError when a method failed."""
    from smifbench.evaluation import results, significance
    from smifbench.steps.describe import uncited
    from smifbench.system.files import read_json, write_text

    text, failures = results.summary(args.results / "metrics.csv")
    about = read_json(args.results / "experiment.json")
    titles = {key: method["title"] for key, method in about["methods"].items()}
    claims = significance.claims(results.load_results(args.results), titles=titles)
    text = "\n\n".join([text, *(["\n".join(claims)] if claims else [])])
    text += f"\n\nreport: {args.results / 'report.html'}\n"
    if missing := uncited(about):
        text += f"note: {missing}\n"
    if failures:
        print(text)
        raise UserError(
            f"{len(failures)} run{'s' if failures[1:] else ''} failed, the others are done: {'; '.join(failures)}"
        )
    write_text(args.output, text)


def _write_table(path: Path, rows: list[dict], columns: list[str]) -> None:
    import pandas as pd

    from smifbench.system.files import replacing

    with replacing(path) as temporary:
        pd.DataFrame(rows, columns=columns).to_csv(temporary, index=False)


def _use_threads(threads: int) -> None:
    """Let all libraries compute with so many threads; to be called before one of them is imported."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    os.environ.update(dict.fromkeys(names, str(threads)))
    import torch

    torch.set_num_threads(threads)


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
    bounded = argparse.ArgumentParser(add_help=False)
    bounded.add_argument("--memory-gb", type=float, help="bound that fusing keeps")
    steps = parser.add_subparsers(required=True, metavar="STEP")

    def step(function, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        command = steps.add_parser(function.__name__, parents=[common, *parents], help=function.__doc__)
        command.set_defaults(function=function)
        return command

    data = argparse.ArgumentParser(add_help=False)
    data.add_argument("--reader", required=True)
    data.add_argument("--options", type=json.loads, default={})
    data.add_argument("--raw", type=Path, required=True)
    command = step(download, data)
    command.add_argument("--attempt", type=int, default=1)
    command = step(prepare, data)
    command.add_argument("--dataset", required=True)
    command.add_argument("--scene", required=True)
    command.add_argument("--fetched", type=Path, help="what the download wrote down")
    command = step(degrade)
    command.add_argument("--prepared", type=Path, nargs="+", required=True)
    command.add_argument("--protocol", required=True)
    command.add_argument("--ratio", type=int, required=True)
    command = step(train, method, network)
    command.add_argument("--recipe", type=json.loads, required=True)
    command.add_argument("--state", type=Path, required=True)
    command = step(fuse, method, network, bounded)
    command.add_argument("--trained", type=Path)
    command = step(score, method)
    command.add_argument("--experiment", required=True)
    command.add_argument("--fused", type=Path, required=True)
    command = step(robustness, method, network, bounded)
    command.add_argument("--experiment", required=True)
    command.add_argument("--tests", type=json.loads, required=True)
    command.add_argument("--prepared", type=Path, required=True, help="the folder of the prepared scenes")
    command.add_argument("--trained", type=Path)
    command = step(spread)
    command.add_argument("--rows", type=Path, required=True)
    command.add_argument("--folder", type=Path, required=True, help="folder for curves, LaTeX and text")
    command = step(collect)
    command.add_argument("--tables", type=Path, nargs="+", required=True)
    command = step(cost, network)
    command.add_argument("--dataset", required=True)
    command.add_argument("--pairs", type=Path, required=True)
    command.add_argument("--methods", type=json.loads, required=True)
    command = step(describe)
    command.add_argument("--config", type=json.loads, required=True)
    for function in (tables, figures, document, report, summary):
        command = step(function)
        command.add_argument("--results", type=Path, required=True, help="the experiment's folder")
        if function in (figures, report):
            command.add_argument("--pairs", type=Path, required=True, help="the folder of all pairs")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one step; returns its exit status, 2 for a user's mistake."""
    args = _parser().parse_args(arguments)
    try:
        if args.log:
            args.log.parent.mkdir(parents=True, exist_ok=True)
            logging.basicConfig(filename=args.log, filemode="w", level=logging.INFO, format="%(asctime)s %(message)s")
        logging.info("%s", " ".join(sys.argv if arguments is None else arguments))
        args.function(args)
    except (UserError, OSError) as error:  # a full disk or a folder without write permission is no defect either
        logging.exception("%s", error)
        print(f"smifbench: {error}", file=sys.stderr)
        return 2
    except Exception:
        logging.exception("this is a defect of smifbench or of a plug-in")
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
