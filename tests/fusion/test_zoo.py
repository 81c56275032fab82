"""The zoo: an entry comes back as the network that was trained, what is wrong with one is told, and ours are whole."""

import json

import numpy as np
import pytest
import torch
from tiny_zoo import NAME, RUN

import smifbench
from smifbench import FusionProblem, UserError, plugins
from smifbench.__main__ import main
from smifbench.evaluation.results import load_results, run_of
from smifbench.fusion import zoo
from smifbench.metrics import METRICS

SHIPPED = zoo.names()
MOST_MEGABYTES = 4


def test_an_entry_is_the_network_that_was_trained(tiny_zoo):
    network, trained = smifbench.load_method(f"zoo:{NAME}"), smifbench.load_method("results/tiny", "ssr_net")
    assert network.state_dict().keys() == trained.state_dict().keys()
    assert all(torch.equal(weight, network.state_dict()[name]) for name, weight in trained.state_dict().items())
    images = [np.load(f"pairs/two.{image}.npy") for image in ("lr_hsi", "hr_msi")]
    stored = np.load(tiny_zoo / "results" / "tiny" / "runs" / RUN.folder / "fused" / "two.npy")
    assert np.array_equal(smifbench.fuse(network, *images), stored)


def test_the_list_names_what_an_entry_is_and_reaches(tiny_zoo, capsys):
    assert main(["zoo"]) == 0
    line = capsys.readouterr().out
    psnr = load_results("results/tiny").psnr.mean()
    assert line.startswith(f"{NAME} ")
    assert line.count("\n") == 1
    assert all(part in line for part in ("SSR-NET", "Toy x4, 6 with 2 bands", f"psnr {psnr:.2f}, sam ", "on 2 scenes"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("zoo:ssr_net-toy-x8",), f"the zoo holds no 'ssr_net-toy-x8'; it holds: {NAME}"),
        (("zoo:../zoo/" + NAME,), "the zoo holds no '../zoo/"),
        ((f"zoo:{NAME}", "ssr_net"), f"zoo:{NAME} names one network by itself; leave out method"),
        (("results/tiny",), "name the method, as in load_method('results/tiny', 'ssr_net')"),
    ],
)
def test_what_cannot_be_loaded_is_told_in_one_sentence(tiny_zoo, arguments, sentence):
    with pytest.raises(UserError) as error:
        smifbench.load_method(*arguments)
    assert sentence in str(error.value)


def test_a_changed_file_is_refused(tiny_zoo):
    path = tiny_zoo / "zoo" / f"{NAME}.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="is not the file that its card describes"):
        smifbench.load_method(f"zoo:{NAME}")
    path.unlink()
    with pytest.raises(UserError, match="the zoo lacks"):
        smifbench.load_method(f"zoo:{NAME}")


@pytest.mark.parametrize("change", [{"run": None}, {"rows": ...}, {"more": 1}, None])
def test_a_broken_card_is_told_in_one_sentence(tiny_zoo, change):
    path = tiny_zoo / "zoo" / f"{NAME}.json"
    about = json.loads(path.read_text()) | (change or {})
    kept = {key: value for key, value in about.items() if value is not ...}
    path.write_text(json.dumps(kept) if change else path.read_text()[:-9])
    with pytest.raises(UserError, match=f"{NAME}.json is no whole card"):
        zoo.find(NAME)


@pytest.mark.parametrize(
    ("method", "problem", "sentence"),
    [
        ("tsfn", (6, 2, 4), "holds weights of ssr_net and not of tsfn"),
        ("ssr_net", (7, 2, 4), "fuses 6 with 2 bands at ratio 4 and these images have 7 with 2 bands at ratio 4"),
        ("ssr_net", (6, 3, 4), "these images have 6 with 3 bands at ratio 4"),
        ("ssr_net", (6, 2, 8), "these images have 6 with 2 bands at ratio 8"),
    ],
)
def test_weights_for_other_images_are_refused(tiny_zoo, method, problem, sentence):
    entry = zoo.find(NAME)
    entry.check_fits("ssr_net", FusionProblem(6, 2, 4))
    with pytest.raises(UserError, match=sentence):
        entry.check_fits(method, FusionProblem(*problem))


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_entry_is_whole(name):
    entry = zoo.find(name)
    network = entry.load()
    assert (network.problem.bands, network.problem.ratio) == (entry.problem.bands, entry.run.ratio)
    assert all(value not in ("", None, []) for value in vars(entry).values())
    assert entry.training["steps"] > 0
    assert not [code for code in entry.code.values() if "dirty" in code]
    assert all(set(row) >= {"scene", "data", *METRICS} for row in entry.rows)
    splits = plugins.build_dataset(entry.data["reader"], **entry.data["options"]).scenes()
    assert [row["scene"] for row in entry.rows] == [scene for scene, split in splits.items() if split == "test"]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_entry_states_the_reference_rows(name):
    entry = zoo.find(name)
    df = load_results(plugins.ROOT / "results" / "reference" / entry.experiment)
    rows = df[[run_of(row) == entry.run for row in df.itertuples()]].set_index("scene")
    assert list(rows.index) == [row["scene"] for row in entry.rows]
    for row in entry.rows:
        assert {key: rows.loc[row["scene"], key] for key in ["data", *METRICS]} == {
            key: row[key] for key in ["data", *METRICS]
        }


def test_shipped_weights_have_cards_and_are_small():
    files = [path for path in zoo.ZOO.iterdir() if path.suffix in (".json", ".safetensors")]
    assert sorted(path.stem for path in files) == sorted(2 * SHIPPED)
    assert sum(path.stat().st_size for path in files) < MOST_MEGABYTES * 1e6
