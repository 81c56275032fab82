"""docs/config.md has every key as the code has it, and the lines that it shows are accepted."""

import re

import config_page
import pytest
import yaml
from tracked import tracked

from smifbench import Recipe, plugins
from smifbench.experiment.config import SCHEMA, check_experiment

PAGE = config_page.PAGE.read_text()
SCHEMA_KEYS = yaml.safe_load(SCHEMA.read_text())["properties"]
METHOD_KEYS = list(SCHEMA_KEYS["methods"]["additionalProperties"]["properties"])
WHOLE = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL).group(1)
EXAMPLES = re.findall(r"\| `([a-z_]+: [^`]*)` \|$", PAGE, re.MULTILINE)


def test_the_page_is_of_the_code_as_it_is():
    assert config_page.page(PAGE) == PAGE, "run `make docs`"


def test_the_config_of_the_page_is_complete():
    assert check_experiment(yaml.safe_load(WHOLE)).name == "my_experiment"


def test_every_key_and_every_field_of_a_recipe_has_a_line():
    assert [yaml.safe_load(line).popitem()[0] for line in EXAMPLES] == [
        *SCHEMA_KEYS,
        *METHOD_KEYS,
        *yaml.safe_load(SCHEMA.read_text())["$defs"]["recipe"]["properties"],
    ]
    assert set(vars(Recipe())) <= {line.partition(":")[0] for line in EXAMPLES}


@pytest.mark.parametrize("line", EXAMPLES[: len(SCHEMA_KEYS)])
def test_a_line_for_an_experiment_is_accepted(line):
    check_experiment(yaml.safe_load(WHOLE) | {"training": {"patch": 16}} | yaml.safe_load(line))


@pytest.mark.parametrize("line", EXAMPLES[len(SCHEMA_KEYS) + 2 : len(SCHEMA_KEYS) + len(METHOD_KEYS)])
def test_a_line_for_a_method_that_ran_elsewhere_is_accepted(line):
    theirs = {"estimates": "fused/x{ratio}"} | yaml.safe_load(line)
    check_experiment(yaml.safe_load(WHOLE) | {"training": {"patch": 16}, "ratios": [4], "methods": {"theirs": theirs}})


@pytest.mark.parametrize("line", EXAMPLES[len(SCHEMA_KEYS) + len(METHOD_KEYS) :])
def test_a_line_for_a_recipe_is_accepted(line):
    check_experiment(yaml.safe_load(WHOLE) | {"training": yaml.safe_load(line)})


def test_every_data_set_of_the_repository_has_its_options_there():
    for path in tracked("datasets/*.py"):
        for option in plugins.dataset_options(path.stem) if not path.stem.startswith("_") else ():
            assert f"| `{path.stem}` | `{option}` |" in PAGE


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({"type": "integer", "minimum": 2}, "whole number at least 2"),
        (
            {"type": ["number", "null"], "exclusiveMinimum": 0, "exclusiveMaximum": 1},
            "number above 0 and below 1 or `null`",
        ),
        ({"enum": ["auto", "cpu"]}, "`auto` or `cpu`"),
        ({"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}, "list of 2 numbers"),
    ],
)
def test_types_are_told_in_words(about, words):
    assert config_page.kind(about) == words
