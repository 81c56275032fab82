"""The commands that the workflow's rules call: `python -m smifbench.steps STEP ...`.

A step is a module of this folder, named like its rule. It reads files, calls the library and writes files. Only the
step that is called is imported, so that tables are collected without torch, and networks trained without plotting.
"""

import argparse
import importlib
import logging
import os
import sys
from pathlib import Path

from smifbench.errors import UserError

STEPS = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))


def main(arguments: list[str] | None = None) -> int:
    """Run one step; returns its exit status, 2 for a user's mistake."""
    given = sys.argv[1:] if arguments is None else arguments
    name = _parser().parse_args(given[:1]).step
    _use_threads(given)
    step = importlib.import_module(f"smifbench.steps.{name}")
    parser = argparse.ArgumentParser(prog=f"python -m smifbench.steps {name}", description=step.__doc__)
    parser.add_argument("--output", type=Path, required=True, help="what the step writes")
    parser.add_argument("--log", type=Path, help="file that gets the step's log, tracebacks included")
    step.add_arguments(parser)
    try:
        args = parser.parse_args(given[1:])
        if args.log:
            args.log.parent.mkdir(parents=True, exist_ok=True)
            logging.basicConfig(filename=args.log, filemode="w", level=logging.INFO, format="%(asctime)s %(message)s")
        logging.info("%s", " ".join(given))
        step.run(args)
    except (UserError, OSError) as error:  # a full disk or a folder without write permission is no defect either
        logging.exception("%s", error)
        print(f"smifbench: {error}", file=sys.stderr)
        return 2
    except Exception:
        logging.exception("this is a defect of smifbench or of a plug-in")
        raise
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m smifbench.steps", description=__doc__)
    parser.add_argument("step", choices=STEPS, metavar="STEP", help=", ".join(STEPS))
    return parser


def _use_threads(arguments: list[str]) -> None:
    """Let all libraries compute with the step's `--threads`, which they read when they are imported."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--threads", type=int)
    threads = parser.parse_known_args(arguments)[0].threads
    if threads:
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        os.environ.update(dict.fromkeys(names, str(threads)))


if __name__ == "__main__":
    sys.exit(main())
