"""Run one experiment on prepared pairs on a GPU, then measure training there, over as many short calls as it takes.

    python maintenance/gpu_check.py --pairs data/pairs/cave/block-gauss-s2/1/x4 --output results/gpu_check

For a node that has this checkout, the folder of pairs (prepared elsewhere) and the scenes beside it, and of packages
torch, NumPy and what training imports: SciPy, pandas, safetensors, tqdm, PyYAML. No network, no Snakemake. A call ends
before `--minutes` are over, with status 3 where work is left: the same call goes on from there, on another node too if
the output folder comes along (of a half-trained state `last.pt` is enough; `compiled` only saves compiling again).
Methods take their turn in the config's order; what is fused is scored while the next one has the GPU.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from smifbench import plugins  # noqa: E402
from smifbench.experiment.recipes import resolved_recipe  # noqa: E402
from smifbench.run import Run  # noqa: E402

GRACE_SECONDS = 25
"""What a training that is told to stop may take to finish its step and save its state."""


def main() -> int:
    """Do what is left to do; returns 0 when all is done, 3 when time ran out before, else the status of what failed."""
    parser = _parser()
    args = parser.parse_args()
    for path, of in ((args.pairs, "snakemake --until degrade makes it"), (args.config, "config/ has some")):
        if not path.exists():
            parser.error(f"there is no {path}; {of}")
    deadline = time.monotonic() + 60 * args.minutes - GRACE_SECONDS
    _keep_compiled(args.output / "compiled")
    scoring: list[subprocess.Popen] = []
    try:
        for command in _commands(args):
            print("$ python -m", *(part if len(part) < 60 else "..." for part in command), flush=True)
            status = _run(command, scoring, deadline)
            if status is None:
                print("time is up; the same call goes on from here")
                return 3
            if status:
                return status
    finally:
        for process in scoring:
            _wait(process, deadline)
    print(f"done: {args.output / 'throughput.csv'} and {args.output / 'metrics.csv'}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, required=True, help="folder of pairs: data/pairs/DATASET/PROTOCOL/xRATIO")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=ROOT / "config" / "cave_gpu.yaml")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--threads", type=int, default=min(4, os.cpu_count() or 1), help="CPU threads of training")
    parser.add_argument("--minutes", type=float, default=8.5, help="time that one call may take")
    parser.add_argument(
        "--throughput", default="--patch 128 --batch 32", help='arguments of that command, as in --throughput="ssr_net"'
    )
    return parser


def _commands(args: argparse.Namespace) -> list[list[str]]:
    """Everything to be done, in order, each part a module and its arguments; what has its output is left out."""
    config = yaml.safe_load(args.config.read_text(encoding="utf-8"))
    *_, dataset, protocol, version, ratio = args.pairs.resolve().parts
    setting = {
        "dataset": dataset,
        "protocol": f"{protocol}/{version}",
        "ratio": int(ratio.removeprefix("x")),
        "seed": 0,
    }
    device, pairs = ["--device", args.device], ["--pairs", str(args.pairs)]
    table = ["--output", str(args.output / "throughput.csv")]
    commands: list[list[str]] = []
    scores = []
    for key, about in config["methods"].items():
        method, _, variant = key.partition("/")
        folder = args.output / "runs" / method / (variant or "default")
        state, trained, fused, score = (str(folder / name) for name in ("state", "trained", "fused", "scores.csv"))
        scores.append(score)
        run = Run(**setting, method=method, variant=variant or "default")
        of_run = ["--run", run.folder, *pairs]
        options = about.get("options", {})
        network = ["--options", json.dumps(options), *device, "--threads", str(args.threads)]
        changes = [config.get("training", {}), about.get("recipe", {})]
        recipe = asdict(resolved_recipe(method, config.get("recipe", "own"), *changes))
        steps = [
            ("train", trained, [*of_run, *network, "--recipe", json.dumps(recipe), "--state", state]),
            ("fuse", fused, [*of_run, *network, "--trained", trained]),
            ("score", score, [*of_run, "--experiment", config["experiment"], "--fused", fused]),
        ]
        if not plugins.method_class(method).trainable:
            steps[:2] = [("fuse", fused, [*of_run, *network])]
        for step, output, arguments in steps:
            if not Path(output).exists():
                log = ["--log", str(folder / f"{step}.log")]
                commands.append(["smifbench.steps", step, *arguments, "--output", output, *log])
    commands.append(["smifbench.steps", "collect", "--tables", *scores, "--output", str(args.output / "metrics.csv")])
    commands.append(["smifbench", "throughput", *shlex.split(args.throughput), *device, *table])
    return commands


def _keep_compiled(folder: Path) -> None:
    """Let torch keep what it compiles beside the results, and not lose memory to gaps between its blocks."""
    for name, value in {
        "TORCHINDUCTOR_CACHE_DIR": str(folder.resolve() / "inductor"),
        "TRITON_CACHE_DIR": str(folder.resolve() / "triton"),
        "PYTORCH_ALLOC_CONF": "expandable_segments:True",
    }.items():
        os.environ.setdefault(name, value)


def _run(command: list[str], scoring: list[subprocess.Popen], deadline: float) -> int | None:
    """Run a command, or add it to those that are `scoring`, which end before rows are collected; returns as `_wait`."""
    if command[1] == "score":
        scoring.append(_start(command))
        return 0
    if command[1] == "collect":
        for status in [_wait(process, deadline) for process in scoring]:
            if status != 0:
                return status
    return _wait(_start(command), deadline)


def _start(command: list[str]) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-m", *command], cwd=Path.cwd(), env=environment)


def _wait(process: subprocess.Popen, deadline: float) -> int | None:
    """Return a command's status, or None when it had to be stopped, which it knows how to go on from."""
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
