"""Imports lead one way, from room to room and from module to module, and docs/architecture.svg shows the rooms."""

import ast
import graphlib
from xml.etree import ElementTree

import architecture
import pytest

import smifbench

IMPORTS = architecture.imports()
ROOMS = architecture.between_rooms(IMPORTS)
FOLDERS = [path.parent for path in architecture.PACKAGE.glob("*/__init__.py")]


def test_no_rooms_import_each_other_in_a_circle():
    assert {folder.name for folder in FOLDERS} < set(ROOMS)
    graphlib.TopologicalSorter(ROOMS).prepare()


def test_no_modules_import_each_other_in_a_circle():
    graphlib.TopologicalSorter(IMPORTS).prepare()


def test_the_packages_own_modules_are_few_and_import_each_other_alone():
    assert len(list(architecture.PACKAGE.glob("*.py"))) <= 12, "a new module belongs in a room"
    assert ROOMS[architecture.ROOT] == set()


def test_no_module_imports_the_public_names_which_come_from_all_rooms():
    trees = [ast.parse(path.read_text()) for path in architecture.PACKAGE.rglob("*.py")]
    names = {name for tree in trees for name in architecture.imported_names(tree)}
    public = {f"smifbench.{name}" for name in set(smifbench.__all__) - {"metrics"}}
    assert names.isdisjoint(public)


def test_plug_ins_import_contracts_and_data_sets_the_readers_besides():
    assert ROOMS["methods"] == {architecture.ROOT}
    assert ROOMS["datasets"] == {architecture.ROOT, "data"}


def test_all_imports_within_the_package_are_absolute():
    trees = [ast.parse(path.read_text()) for path in architecture.PACKAGE.rglob("*.py")]
    assert not [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_room_says_in_one_line_what_it_is_for(folder):
    assert architecture.about(folder.name).endswith(".")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("from smifbench import plugins, fuse", {"plugins", "__init__"}),
        ("from smifbench.system.files import write_json", {"system.files"}),
        ("from smifbench.system import files, precision", {"system.files", "system.precision"}),
        ("import smifbench.metrics", {"metrics"}),
        ("import smifbench.data.cubes.reading as reading", {"data.cubes.reading"}),
        ("import smifbench", {"__init__"}),
        ("def lazy():\n    if True:\n        from smifbench.evaluation.cost import count", {"evaluation.cost"}),
        ("if TYPE_CHECKING:\n    from smifbench.evaluation.cost import count", set()),
        ("from ._layers import upsample\nimport smifbenchmark\nfrom torch import nn", set()),
    ],
)
def test_which_imports_are_found(code, expected):
    assert architecture.imported(ast.parse(code)) == expected


def test_a_room_stands_below_all_that_it_imports_from():
    rooms = {"top": {"left", "base"}, "left": {"base"}, "right": {"base"}, "base": set()}
    assert architecture.floors(rooms) == [["base"], ["left", "right"], ["top"]]
    assert architecture.arrows(rooms) == [("base", "left"), ("base", "right"), ("left", "top")]
    with pytest.raises(graphlib.CycleError):
        architecture.floors(rooms | {"base": {"top"}})


def test_the_picture_is_of_the_code_as_it_is():
    text = architecture.PICTURE.read_text()
    assert text == architecture.picture(), "run `make docs`"
    shown = {element.text for element in ElementTree.fromstring(text).iter("{http://www.w3.org/2000/svg}text")}
    assert set(ROOMS) <= shown
