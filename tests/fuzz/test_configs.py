"""Configs: whatever a mapping holds, it is an experiment that can be planned, or one sentence."""

import copy
import datetime
import json
import re

import pytest
import yaml
from fuzzing import damaged, fuzzed, sentence_or
from hypothesis import example, given
from hypothesis import strategies as st
from tracked import tracked

from smifbench import plugins
from smifbench.degradation.protocol import get_protocol
from smifbench.errors import UserError
from smifbench.experiment.config import check_experiment, load_experiment
from smifbench.method import Recipe

CONFIGS = [yaml.safe_load(path.read_text()) for path in tracked("config/*.yaml")]
CONFIGS.append(
    {
        "experiment": "own",
        "datasets": {
            "field": {
                "reader": "own",
                "path": "field.hdr",
                "wavelengths_nm": {"start": 400, "step": 10},
                "bandwidths_nm": [10, 10],
                "scale": 10000,
                "drop_bands": [0, [3, 5]],
                "response": {"gaussian": {"centres_nm": [450, 550], "widths_nm": 60}},
                "split": {"val": 0.2, "guard": 4},
                "regions": {"train": [0, 32, 0, 32], "test": [64, 96, 0, 32]},
            },
            "cave": {"scenes": ["beads"], "scale": "max", "folder": "/nowhere"},
            "harvard": {},
            "wdcm": {},
            "indian_pines": {"binning": 5},
        },
        "ratios": [4],
        "training": {name: getattr(Recipe(), name) for name in ("loss", "lr", "batch", "ema", "schedule")}
        | {"betas": [0.9, 0.99], "milestones": [0.5]},
        "methods": {"gsa": {}, "smif_net/small": {"options": {"width": 8}, "recipe": {"steps": 5}}},
    }
)

TEXTS = [yaml.safe_dump(config).encode() for config in CONFIGS]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
WORDS = [
    "indian_pines",
    "own",
    "cave",
    "smif_net",
    "steps",
    "nan",
    "",
    " ",
    "a/b",
    "../x",
    "é",
    "x" * 300,
    "a\nb",
    "\0",
]
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-3, 300)
    | st.sampled_from([2**31, 2**63, 10**30, -1, 1e300])
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(WORDS)
    | st.sampled_from([datetime.date(2026, 1, 1), b"bytes", {1, 2}])  # YAML has more types than JSON
)
KEYS = st.text(max_size=6) | st.sampled_from(WORDS) | st.integers(0, 3) | st.none() | st.booleans()
VALUES = st.recursive(LEAVES, lambda some: st.lists(some, max_size=4) | st.dictionaries(KEYS, some, max_size=3))


def places(value, path=()):
    """Paths of all items of nested mappings and lists."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


@st.composite
def mutated(draw):
    """A valid config of which one or two places are replaced, removed, renamed or joined by another."""
    config = {"top": copy.deepcopy(draw(st.sampled_from(CONFIGS)))}
    for _ in range(draw(st.integers(1, 2))):
        *path, key = draw(st.sampled_from(list(places(config))[1:]))
        parent = config
        for step in path:
            parent = parent[step]
        change = draw(st.sampled_from(["replace", "remove", "rename", "add"]))
        if change == "replace" or isinstance(parent, list):
            parent[key] = draw(draw(st.sampled_from([VALUES, LEAVES, st.integers(-2, 40), st.floats(-2, 2)])))
        elif change == "add":
            parent[draw(KEYS)] = draw(VALUES)
        else:
            value = parent.pop(key)
            if change == "rename":
                parent[draw(KEYS)] = value
    return config["top"]


def plan(experiment):
    """All that the rules ask of an experiment before a job runs."""
    assert NAME.fullmatch(experiment.name)
    assert all(map(NAME.fullmatch, experiment.datasets))
    assert all(type(number) is int for number in [*experiment.ratios, *experiment.seeds, experiment.threads])
    json.dumps([experiment.datasets, experiment.training, [*experiment.methods.values()]])
    for dataset in experiment.datasets:
        reader = experiment.build_dataset(dataset)
        assert set(reader.scenes().values()) <= {"train", "val", "test"}
        reader.sources()
    for run in experiment.runs():
        get_protocol(run.protocol)
        assert NAME.fullmatch(run.variant)
        if plugins.method_class(run.method).trainable:
            recipe = experiment.recipe_of(run.method, run.variant)
            assert recipe.lr > 0
            assert type(recipe.batch) is type(recipe.patch) is int
            assert type(recipe.steps) in (int, type(None))


@fuzzed
@given(mutated())
@example({**CONFIGS[-1], "ratios": [4.0]})
@example({**CONFIGS[-1], "experiment": "own\n"})
@example({**CONFIGS[-1], "methods": {"gsa": {}, "gsa/default": {}}})
@example({**CONFIGS[-1], "methods": {"smif_net/../../x": {}}})
@example({**CONFIGS[-1], "methods": {"smif_net/{seed}": {}}})
@example({**CONFIGS[-1], "seeds": [10**400], "threads": 10**400})
def test_a_mutated_config_is_an_experiment_or_a_sentence(config):
    experiment = sentence_or(check_experiment, config)
    if experiment:
        assert len(experiment.methods) == len(config["methods"])
        plan(experiment)


@fuzzed
@given(st.data())
def test_a_damaged_config_file_is_an_experiment_or_a_sentence(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "damaged.yaml"
    path.write_bytes(data.draw(damaged(data.draw(st.sampled_from(TEXTS)))))
    experiment = sentence_or(load_experiment, path)
    if experiment:
        plan(experiment)


def test_aliases_of_aliases_are_refused_at_once(tmp_path, little_memory):
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    (tmp_path / "laugh.yaml").write_text("\n".join([*lines, "experiment: *a11", "self: &self [*self]"]))
    with pytest.raises(UserError, match="more than 100000 values"):
        load_experiment(tmp_path / "laugh.yaml")
