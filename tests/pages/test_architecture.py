"""Imports follow the layers of maintenance/architecture.py, and the picture shows them."""

import ast
import graphlib
from collections import Counter
from xml.etree import ElementTree

import pytest
from scripts import load

architecture = load("maintenance/architecture.py")
IMPORTS = architecture.imports()
HOME = {module: layer for layer in architecture.LAYERS for module in layer.modules}


def test_every_module_has_one_place():
    listed = Counter(module for layer in architecture.LAYERS for module in layer.modules)
    assert set(listed) == set(IMPORTS), "list new modules, and no others, in LAYERS of maintenance/architecture.py"
    assert set(listed.values()) == {1}


@pytest.mark.parametrize("name", IMPORTS)
def test_a_module_imports_from_its_own_layer_and_its_left(name):
    column = HOME[name].column
    assert [other for other in IMPORTS[name] if HOME[other] is not HOME[name] and HOME[other].column >= column] == []


def test_no_modules_import_each_other_in_a_circle():
    graphlib.TopologicalSorter(IMPORTS).prepare()


def test_methods_and_data_sets_need_little():
    right = {"runs", "results", "pages", "commands", "metrics"}
    assert {HOME[name].name for folder in ("methods/*.py", "datasets/*.py") for name in IMPORTS[folder]}.isdisjoint(
        right
    )
    assert {HOME[name].name for name in IMPORTS["metrics"]} == {"base"}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("from smifbench import plugins, fuse", {"plugins", "__init__"}),
        ("from smifbench.files import write_json", {"files"}),
        ("import smifbench.metrics", {"metrics"}),
        ("import smifbench", {"__init__"}),
        ("def lazy():\n    if True:\n        from smifbench.cost import count", {"cost"}),
        ("if TYPE_CHECKING:\n    from smifbench.cost import count", set()),
        ("from ._layers import upsample\nimport smifbenchmark\nfrom torch import nn", set()),
    ],
)
def test_which_imports_are_found(code, expected):
    assert set(architecture.imported(ast.parse(code))) == expected


def test_arrows_leave_out_what_others_imply():
    arrows = {(left.name, right.name) for left, right in architecture.uses(IMPORTS)}
    assert ("data sets", "degradation") in arrows
    assert ("data sets", "commands") not in arrows


def test_the_picture_is_of_the_code_as_it_is():
    text = architecture.PICTURE.read_text()
    assert text == architecture.picture(), "run `make docs`"
    shown = {element.text for element in ElementTree.fromstring(text).iter("{http://www.w3.org/2000/svg}text")}
    assert set(IMPORTS) <= shown
