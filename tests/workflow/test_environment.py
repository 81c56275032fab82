"""The three lists of dependencies agree, and steps import no more than they need."""

import re
import subprocess
import sys

import pytest
import yaml
from requirements import declared, requirement

from smifbench import plugins

CONDA_ONLY = {"python", "make", "pip"}


def test_conda_users_get_the_same_packages():
    listed = yaml.safe_load((plugins.ROOT / "environment.yml").read_text())["dependencies"]
    flat = [*[entry for entry in listed if isinstance(entry, str)], *listed[-1]["pip"]]
    conda = dict(requirement(text) for text in flat)
    assert {name: bounds for name, bounds in conda.items() if name not in CONDA_ONLY} == declared()


def test_lock_pins_every_declared_package_and_names_no_index():
    text = (plugins.ROOT / "requirements.lock").read_text()
    pinned = dict(re.findall(r"^([A-Za-z0-9_.-]+)==([^ ;\n]+)", text, re.MULTILINE))
    assert declared().keys() <= pinned.keys()
    assert pinned["torch"] == "2.13.0"
    assert "://" not in text
    assert not [name for name in pinned if name.startswith(("nvidia", "cuda", "triton"))]


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("smifbench", ["torch", "pandas"]),
        ("smifbench.steps", ["torch", "pandas", "matplotlib"]),
        ("smifbench.evaluation.scoring", ["torch", "matplotlib", "snakemake", "rasterio"]),
        ("smifbench.steps.train", ["snakemake", "matplotlib", "fvcore", "requests", "tensorly", "rasterio"]),
        ("smifbench.report.pictures", ["torch"]),
        ("smifbench.report.page", ["torch"]),
    ],
)
def test_a_module_imports_no_more_than_it_needs(module, absent):
    code = f"import sys, {module}; print([name for name in {absent!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_method_imports_a_tool_of_the_suite():
    code = (
        "import sys; from smifbench import plugins; [plugins.method_class(name) for name in plugins.names('methods')]; "
        "print([name for name in ('snakemake', 'matplotlib', 'fvcore', 'requests', 'tensorly', 'rasterio') "
        "if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.xdist_group("kept")
def test_groups_of_tests_are_kept_together(request):
    """With pytest 9.2, xdist 3.8 forgets groups without a word: every worker makes what they share."""
    if getattr(request.config.option, "loadgroup", False):
        assert request.node.nodeid.endswith("@kept")
