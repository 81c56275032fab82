"""Snakemake in a process forked from one that has imported what takes long, so that a dry run takes a second."""

import multiprocessing
import os
import sys
import tempfile
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["torch", "pandas", "jsonschema", "snakemake.cli", "forked"])


def call(arguments, folder, environment):
    """Run `python -m snakemake` in a folder; returns its exit status and all that it printed."""
    with tempfile.TemporaryDirectory() as place:
        output = Path(place, "output")
        process = CONTEXT.Process(target=_main, args=(arguments, folder, environment, output))
        process.start()
        process.join()
        return process.exitcode, output.read_text(errors="replace")


def _main(arguments, folder, environment, output):
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[:0] = ["", *environment["PYTHONPATH"].split(os.pathsep)]
    for name in [name for name in sys.modules if name.partition(".")[0] == "smifbench"]:
        del sys.modules[name]
    from snakemake.cli import main

    main(arguments)
