"""Every command of the hosted checks, of .ci/run, of the hooks and of the demo's last words is there."""

import re
import shlex
import subprocess

import pytest
import yaml

from smifbench import plugins

TARGETS = set(re.search(r"^\.PHONY: (.*)$", (plugins.ROOT / "Makefile").read_text(), re.MULTILINE).group(1).split())
CI = (plugins.ROOT / ".ci" / "run").read_text()
WORKFLOWS = sorted((plugins.ROOT / ".github" / "workflows").glob("*.yml"))


def commands(job):
    """The commands of a job's steps, once for each entry of its matrix."""
    matrix = job.get("strategy", {}).get("matrix", {})
    single = [{"make": make} for make in matrix.get("make", [])]
    for entry in [*single, *matrix.get("include", [])] or [{}]:
        for step in job["steps"]:
            if "run" in step:
                yield step["run"].replace("${{ matrix.make }}", entry.get("make", ""))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_command_of_a_workflow_exists(path):
    workflow = yaml.safe_load(path.read_text())
    found = [command for job in workflow["jobs"].values() for command in commands(job)]
    assert found
    for command in found:
        words = shlex.split(command)
        if words[0] == "make":
            assert set(words[1:]) <= TARGETS, command
            assert words[1:], command
        else:
            assert (plugins.ROOT / words[-1]).exists(), command


def test_the_checks_are_parts_of_the_gate_on_every_supported_python():
    matrix = yaml.safe_load((plugins.ROOT / ".github" / "workflows" / "checks.yml").read_text())["jobs"]["part"]
    matrix = matrix["strategy"]["matrix"]
    parts = {word for make in [*matrix["make"], *(each["make"] for each in matrix["include"])] for word in make.split()}
    assert parts == {"style", "types", "site", "demo", "demo-check", "test"}
    assert parts <= set(re.findall(r"^make ([a-z-]+)", CI, re.MULTILINE))
    assert {each["python"] for each in matrix["include"] if each["make"] == "test"} == {"3.11", "3.12", "3.13"}


def test_every_part_of_the_gate_is_a_target():
    parts = re.findall(r"^make ([a-z-]+)", CI, re.MULTILINE)
    assert len(parts) > 8
    assert set(parts) <= TARGETS


def test_hooks_run_what_make_lint_runs():
    hooks = yaml.safe_load((plugins.ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    lint = subprocess.run(["make", "-n", "lint"], cwd=plugins.ROOT, capture_output=True, text=True, check=True).stdout
    for hook in hooks:
        assert re.sub(" --fix", "", hook["entry"]) in lint


def test_forms_ask_in_words_that_the_host_takes():
    for path in (plugins.ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        form = yaml.safe_load(path.read_text())
        if path.stem == "config":
            continue
        assert {"name", "description", "body"} <= form.keys()
        for field in form["body"]:
            assert field["type"] in {"input", "textarea", "dropdown", "checkboxes", "markdown"}
            assert field["attributes"]["label"]
        labels = [field["attributes"]["label"] for field in form["body"]]
        assert len(set(labels)) == len(labels)
    named = re.findall(r"(?<![\w/])((?:docs/)?\w+\.md)", " ".join(map(str, _texts())))
    assert named
    assert [name for name in named if not (plugins.ROOT / name).exists()] == []


def _texts():
    return [path.read_text() for path in (plugins.ROOT / ".github").rglob("*") if path.is_file()]


def test_the_demo_ends_with_three_things_to_do_that_are_there():
    """Whether or not the demo's results are there: `make -n` prints the recipe and runs nothing."""
    words = subprocess.run(["make", "-n", "demo"], cwd=plugins.ROOT, capture_output=True, text=True, check=True).stdout
    before, after = words.split("bin/snakemake\n")
    assert "first picture, results/demo/figures/fig2_pseudo_colour.png" in before
    things = re.findall(r'^echo "(\d)\. (.*)"$', after, re.MULTILINE)
    assert [number for number, _ in things] == ["1", "2", "3"]
    named = re.findall(r"docs/\w+\.\w+", after)
    assert len(named) == 3
    assert [name for name in named if not (plugins.ROOT / name).exists()] == []
    code = (plugins.ROOT / "smifbench" / "__main__.py").read_text()
    for command in re.findall(r"-m smifbench ([a-z-]+)", after):
        assert f'command("{command}"' in code


def test_the_time_that_the_demo_announces_is_a_number_of_minutes():
    done = subprocess.run(["make", "-n", "demo"], cwd=plugins.ROOT, capture_output=True, text=True, check=True).stdout
    announced = re.search(r'echo "The first.*?(?<!\\)"$', done, re.DOTALL | re.MULTILINE).group(0)
    said = subprocess.run(["sh", "-c", announced], capture_output=True, text=True, check=True).stdout
    assert re.search(r" in about \d+ minutes: ", said)
