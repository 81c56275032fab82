"""Measure training on a GPU, then run one experiment on prepared pairs, over as many short calls as it takes.

    python workflow/scripts/gpu_check.py --pairs data/pairs/cave/block-gauss-s2/1/x4 --output results/gpu_check

For a node that has this checkout, the folder of pairs (prepared elsewhere) and the scenes beside it, and of packages
torch, NumPy and what training imports: SciPy, pandas, safetensors, tqdm, PyYAML. No network, no Snakemake. A call ends
before `--minutes` are over, with status 3 where work is left: the same call goes on from there, on another node too if
the output folder comes along.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from smifbench import plugins  # noqa: E402

GRACE_SECONDS = 25
"""What a training that is told to stop may take to finish its step and save its state."""


def main() -> int:
    """Do what is left to do; returns 0 when all is done, 3 when time ran out before, else the status of what failed."""
    args = _parser().parse_args()
    deadline = time.monotonic() + 60 * args.minutes - GRACE_SECONDS
    for command in _commands(args):
        print("$ python -m", *(part if len(part) < 60 else "..." for part in command), flush=True)
        status = _run(command, deadline)
        if status is None:
            print("time is up; the same call goes on from here")
            return 3
        if status:
            return status
    print(f"done: {args.output / 'throughput.csv'} and {args.output / 'metrics.csv'}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, required=True, help="folder of pairs: data/pairs/DATASET/PROTOCOL/xRATIO")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=ROOT / "config" / "cave_gpu.yaml")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=8.5, help="time that one call may take")
    parser.add_argument(
        "--throughput", default="--patch 64 --batch 32", help='arguments of that command, as in --throughput="ssr_net"'
    )
    return parser


def _commands(args: argparse.Namespace) -> list[list[str]]:
    """Everything to be done, in order, each part a module and its arguments; what has its output is left out."""
    config = yaml.safe_load(args.config.read_text(encoding="utf-8"))
    device, pairs = ["--device", args.device], ["--pairs", str(args.pairs)]
    table = ["smifbench", "throughput", *shlex.split(args.throughput), *device, "--output", str(args.output / "throughput.csv")]
    commands, scores = [table], []
    *_, dataset, protocol, version, ratio = args.pairs.resolve().parts
    for key, about in config["methods"].items():
        method, _, variant = key.partition("/")
        folder = args.output / "runs" / method / (variant or "default")
        scores.append(str(folder / "scores.csv"))
        where = {"dataset": dataset, "protocol": f"{protocol}/{version}", "ratio": int(ratio.removeprefix("x"))}
        run = ["--run", json.dumps({**where, "method": method, "variant": variant or "default", "seed": 0}), *pairs]
        options = ["--options", json.dumps(about.get("options", {})), *device]
        recipe = {"base": config.get("recipe", "paper"), "changes": [config["training"], about.get("recipe", {})]}
        train = ["--recipe", json.dumps(recipe), "--state", str(folder / "state")]
        trained = ["--trained", str(folder / "trained")] if plugins.method_class(method).trainable else []
        steps = {
            "train": [*run, *options, *train, "--output", str(folder / "trained")] if trained else [],
            "fuse": [*run, *options, *trained, "--output", str(folder / "fused")],
            "score": [*run, "--experiment", config["experiment"], "--fused", str(folder / "fused")]
            + ["--output", str(folder / "scores.csv")],
        }
        for step, arguments in steps.items():
            if arguments and not Path(arguments[-1]).exists():
                commands.append(["smifbench.steps", step, "--log", str(folder / f"{step}.log"), *arguments])
    commands.append(["smifbench.steps", "collect", "--tables", *scores, "--output", str(args.output / "metrics.csv")])
    return commands


def _run(command: list[str], deadline: float) -> int | None:
    """Run a command; returns its status, or None when it had to be stopped, which it knows how to go on from."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-m", *command], cwd=Path.cwd(), env=environment)
    try:
        return process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.terminate()
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return None


if __name__ == "__main__":
    sys.exit(main())
