"""Which code decides a step's numbers: by its imports, and by what of a module counts."""

import ast
import re

import pytest

from smifbench import plugins
from smifbench.experiment import causes

RULES = "\n".join(path.read_text() for path in sorted((plugins.ROOT / "workflow").rglob("*.smk")))
STEPS = sorted(set(re.findall(r"python -m smifbench\.steps (\w+)", RULES)))


def rule(step):
    """Text of the rules that call a step."""
    return [text for text in re.split(r"^rule ", RULES, flags=re.MULTILINE) if f"smifbench.steps {step} " in text]


@pytest.mark.parametrize("step", STEPS)
def test_every_rule_depends_on_the_code_of_its_step(step):
    for text in rule(step):
        assert re.search(rf'\b(code|method_code|all_methods_code)\(\s*"{step}"', text), text
        assert re.search(r"^        made_of=", text, re.MULTILINE), text


@pytest.mark.parametrize("step", STEPS)
def test_what_a_step_imports_counts_or_has_a_reason_not_to(step):
    neutral = {*causes.NEUTRAL, *causes.NEUTRAL_FOR.get(step, {})}
    counted = set(causes.modules(step))
    assert f"steps.{step}" in counted
    assert not counted & neutral
    for module in counted:
        tree = ast.parse(causes.PACKAGE.joinpath(*module.split(".")).with_suffix(".py").read_text())
        assert set(causes.imported(tree)) <= counted | neutral


def test_neutral_modules_are_there_and_say_why():
    for module, reason in [
        *causes.NEUTRAL.items(),
        *(item for about in causes.NEUTRAL_FOR.values() for item in about.items()),
    ]:
        assert causes.PACKAGE.joinpath(*module.split(".")).with_suffix(".py").exists(), module
        assert len(reason.split()) > 2, module


def test_the_steps_count_what_decides_their_numbers():
    assert {"training.loop", "training.patches", "method", "fusion.build"} <= set(causes.modules("train"))
    assert {"fusion.tiles", "fusion.weights"} <= set(causes.modules("fuse"))
    assert {"metrics", "evaluation.scoring"} <= set(causes.modules("score"))
    assert {"degradation.operators", "degradation.protocol"} <= set(causes.modules("degrade"))
    assert not {"metrics", "evaluation.scoring", "report.pictures"} & set(causes.modules("train"))
    assert "degradation.estimation" not in causes.modules("fuse")
    assert "degradation.estimation" in causes.modules("fuse", also=["fusion.blind"])


def test_what_a_plug_in_imports_counts(tmp_path):
    method = tmp_path / "mine.py"
    method.write_text("from smifbench import simulate\nfrom smifbench.data.cubes.reading import read_cube\n")
    counted = causes.modules("fuse", [method])
    assert {"degradation.simulation", "data.cubes.reading"} <= set(counted)


SOURCE = '''
"""A module."""
import math


def area(radius: float) -> float:
    """Area of a circle."""
    if radius < 0:
        raise ValueError(f"{radius} is negative")
    return math.pi * radius**2  # as always
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Area of a circle", "Area"),
        ("  # as always", ""),
        ("math.pi * radius**2", "(math.pi * radius ** 2)"),
        ("is negative", "lies below 0"),
        ("radius: float", "radius: int"),
        ('    """Area of a circle."""\n', ""),
    ],
)
def test_words_and_forms_do_not_count(tmp_path, old, new):
    assert hash_of(tmp_path / "edited.py", SOURCE.replace(old, new)) == hash_of(tmp_path / "written.py", SOURCE)


@pytest.mark.parametrize(
    ("old", "new"), [("**2", "**3"), ("radius < 0", "radius <= 0"), ("ValueError", "KeyError"), ("area(", "size(")]
)
def test_what_computes_counts(tmp_path, old, new):
    assert hash_of(tmp_path / "edited.py", SOURCE.replace(old, new)) != hash_of(tmp_path / "written.py", SOURCE)


def hash_of(path, text):
    path.write_text(text)
    return causes.digest("degrade", [path])
