"""Where the suite's files lie: beside the package in a checkout, in the same order inside an installed package."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent

INSTALLED = (PACKAGE / "methods").is_dir()
"""Whether this package was installed from a wheel; what needs the checkout, the workflow above all, is not in it."""

ROOT = PACKAGE if INSTALLED else PACKAGE.parent
"""Folder of `methods/`, `datasets/` and the files below: the checkout, or the installed package."""

RESPONSES = ROOT / "datasets" / "srf"
PUBLISHED = ROOT / "results" / "published"
REFERENCE = ROOT / "results" / "reference"
ZOO = ROOT / "zoo"
DEMO = ROOT / "config" / "demo.yaml"
