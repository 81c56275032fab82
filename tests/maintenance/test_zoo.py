"""The maintainer's tool makes an entry of what a run's facts and rows say, and refuses what cannot be traced."""

import json

import pandas as pd
import pytest
from tiny_zoo import COMMIT, NAME, RUN, state_code

import zoo as maker
from smifbench.evaluation.results import load_results
from smifbench.fusion import zoo
from smifbench.metrics import METRICS
from smifbench.system.identity import file_hash


@pytest.fixture
def results(tiny_zoo):
    """Results, and a zoo without an entry."""
    for path in (tiny_zoo / "zoo").iterdir():
        path.unlink()
    return tiny_zoo / "results" / "tiny"


def test_the_card_says_what_the_run_says(results, capsys):
    assert maker.main([str(results), "ssr_net", "4"]) == 0
    assert f"{NAME}.safetensors (0.0" in capsys.readouterr().out
    entry = zoo.find(NAME)
    trained = results / "runs" / RUN.folder / "trained"
    assert (entry.run, entry.title, entry.experiment) == (RUN, "SSR-NET", "tiny")
    assert entry.data == {"title": "Toy", "reader": "toy", "options": {"darker": 0.5}}
    assert (entry.training["steps"], entry.training["recipe"]["lr"]) == (2, 1e-3)
    assert entry.code == {"train": COMMIT, "fuse": COMMIT}
    assert entry.weights == file_hash(entry.path) == file_hash(trained / "weights.safetensors")
    df = load_results(results).dropna(axis="columns")
    stated = [name for name in ["scene", "data", *METRICS, "pixels_missing"] if name in df]
    assert len(stated) > 10
    assert entry.rows == df[stated].to_dict("records")


def test_a_card_can_be_read_by_people(results):
    maker.main([str(results), "ssr_net", "4"])
    text = (zoo.ZOO / f"{NAME}.json").read_text()
    assert '"wavelengths_nm": [400.0, 460.0, 520.0, 580.0, 640.0, 700.0]' in text
    assert json.loads(text)["problem"]["wavelengths_nm"][1] == 460.0
    assert text.count("\n") < 150


@pytest.mark.parametrize(("device", "threads"), [("A processor, 1 thread", 1), ("arm, 12 threads", 12), ("A GPU 3", 0)])
def test_the_card_has_the_threads_of_the_rows_and_no_gpu(results, capsys, device, threads):
    table = pd.read_csv(results / "metrics.csv", dtype=str, keep_default_na=False)
    table.assign(device=device).to_csv(results / "metrics.csv", index=False)
    assert maker.main([str(results), "ssr_net", "4"]) == (0 if threads else 2)
    if threads:
        assert zoo.find(NAME).fusing == {"device": device, "threads": threads}
    else:
        assert f"{RUN.folder} was fused on a GPU" in capsys.readouterr().err


@pytest.mark.parametrize("code", ["v9-dirty", "unknown", "v9+12345678"])
def test_code_that_is_no_commit_is_refused(results, capsys, code):
    state_code(results, code)
    assert maker.main([str(results), "ssr_net", "4"]) == 2
    assert f"was made by code '{code}', which is no commit" in capsys.readouterr().err
    assert zoo.names() == []


@pytest.mark.parametrize(
    ("column", "text", "sentence"),
    [("status", "failed", "has no complete result"), ("seed", "1", "has no complete result")],
)
def test_a_run_without_its_rows_is_refused(results, capsys, column, text, sentence):
    table = pd.read_csv(results / "metrics.csv", dtype=str, keep_default_na=False)
    table.assign(**{column: text}).to_csv(results / "metrics.csv", index=False)
    assert maker.main([str(results), "ssr_net", "4"]) == 2
    assert sentence in capsys.readouterr().err
    assert zoo.names() == []


def test_weights_that_are_not_those_of_the_facts_are_refused(results, capsys):
    with (results / "runs" / RUN.folder / "trained" / "weights.safetensors").open("ab") as file:
        file.write(b" ")
    assert maker.main([str(results), "ssr_net", "4"]) == 2
    assert "is not what its facts.json describes" in capsys.readouterr().err


def test_a_training_that_is_not_there_is_refused(results, capsys):
    assert maker.main([str(results), "ssr_net", "8"]) == 2
    assert "holds no training of ssr_net/default that was asked for; it has trained: toy/" in capsys.readouterr().err
