"""The command line as a whole."""

import subprocess
import sys

from smifbench import plugins


def test_a_reader_that_has_seen_enough_is_no_mistake():
    """As `smifbench methods | head -1`: the pipe's other end closes before anything is written."""
    line = [sys.executable, "-m", "smifbench", "methods"]
    with subprocess.Popen(line, cwd=plugins.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
