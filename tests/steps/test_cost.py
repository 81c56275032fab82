"""The step that counts and times methods."""

import json

import pytest
import torch
from prepared import make_pairs

from smifbench.steps import __main__, cost


@pytest.fixture
def flags():
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32, torch.are_deterministic_algorithms_enabled()
    yield lambda: (products.allow_tf32, convolutions.allow_tf32, torch.are_deterministic_algorithms_enabled())
    products.allow_tf32, convolutions.allow_tf32 = before[:2]
    torch.use_deterministic_algorithms(before[2])


def test_latency_is_taken_by_the_rules_of_fusing(flags, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(cost, "cost_row", lambda *_, **__: seen.append(flags()) or {})
    methods = json.dumps([{"method": "gsa", "variant": "default", "options": {}}])
    arguments = ["--dataset", "toy", "--pairs", str(make_pairs(tmp_path)), "--methods", methods, "--device", "cpu"]
    assert __main__.main(["cost", *arguments, "--output", str(tmp_path / "cost.csv")]) == 0
    assert seen == [(False, False, True)]
