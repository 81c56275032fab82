"""`make help` is the list of the Makefile's targets."""

import re
import subprocess

from smifbench import plugins


def test_help_tells_every_target_with_what_it_does():
    done = subprocess.run(["make", "help"], cwd=plugins.ROOT, capture_output=True, text=True, check=True)
    told = dict(re.findall(r"^make (\S+) +(\S.*)$", done.stdout, re.MULTILINE))
    targets = re.search(r"^\.PHONY: (.*)$", (plugins.ROOT / "Makefile").read_text(), re.MULTILINE).group(1).split()
    assert set(told) == set(targets)
