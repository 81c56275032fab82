"""Files, links, modules and commands that pages name are there."""

import pkgutil
import re

import pytest
from tracked import REPOSITORY, tracked

from smifbench.fusion import zoo

PAGES = tracked("*.md")
FOLDERS = "smifbench|methods|datasets|config|docs|maintenance|profiles|tests|workflow"
TO_BE_WRITTEN = {"methods/my_net.py", "config/mine.yaml", "config/my_scene.yaml", "tests/datasets/test_town.py"}
"""Files that pages tell the reader to write."""

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))


@every_page
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    files = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert [file for file in files if file and not (page.parent / file).exists()] == []


@every_page
def test_files_are_there(page):
    found = re.findall(rf"(?<![\w/.<>-])((?:{FOLDERS})/[\w./-]*\.\w+)\b", page.read_text())
    assert [file for file in {*found} - TO_BE_WRITTEN if not (REPOSITORY / file).exists()] == []


@every_page
def test_modules_are_there(page):
    for name in re.findall(r"`(smifbench(?:\.\w+)+)", page.read_text()):
        assert pkgutil.resolve_name(name) is not None


@every_page
def test_make_has_the_targets(page):
    targets = re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(), re.MULTILINE)) <= set(targets)


@every_page
def test_the_command_line_has_the_commands(page):
    commands = re.findall(r"command\(\"([a-z-]+)\"", (REPOSITORY / "smifbench" / "__main__.py").read_text())
    named = re.findall(r"(?:python -m |`)smifbench ([a-z-]+)", page.read_text())
    assert len(commands) > 5
    assert set(named) <= set(commands)


@every_page
def test_the_zoo_has_the_entries(page):
    named = set(re.findall(r"zoo:([\w-]+)", page.read_text()))
    assert not zoo.names() or named <= set(zoo.names()), "pages name weights that are not shipped"
