"""`smifbench verify --zoo` computes an entry's rows anew from its weights and the user's files of the data set."""

import json
from functools import partial

import numpy as np
import pytest
import torch
from tiny_zoo import NAME

from smifbench.__main__ import main
from smifbench.fusion import zoo
from smifbench.tools import rerun


def verify(*options):
    return main(["verify", *map(str, options)])


def edit(card, change):
    """Change a card by a function."""
    about = json.loads(card.read_text())
    change(about)
    card.write_text(json.dumps(about))


@pytest.fixture
def card(tiny_zoo):
    return tiny_zoo / "zoo" / f"{NAME}.json"


@pytest.mark.parametrize("entries", [[], [NAME]])
def test_untouched_rows_hold_with_nothing_but_the_test_scenes(tiny_zoo, capsys, entries):
    (tiny_zoo / "files" / "one.npy").unlink()
    before = sorted(tiny_zoo.rglob("*"))
    assert verify("--zoo", *entries, "--data", "files") == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{NAME}, two: holds",
        f"{NAME}, three: holds",
        "all 2 rows computed anew hold",
    ]
    assert sorted(path for path in tiny_zoo.rglob("*") if "__pycache__" not in path.parts) == [
        path for path in before if "__pycache__" not in path.parts
    ]


@pytest.mark.parametrize(("key", "value"), [("psnr", 30.0), ("data", "0123456789ab"), ("paper_ergas", 1.0)])
def test_an_edited_card_is_found(card, capsys, key, value):
    edit(card, lambda about: about["rows"][1].update({key: value}))
    assert verify("--zoo", NAME, "--data", "files") == 2
    told = capsys.readouterr()
    assert told.out.splitlines()[0] == f"{NAME}, two: holds"
    assert told.out.splitlines()[1].startswith(f"{NAME}, three: {key} is {value} in its card and ")
    assert told.err == f"smifbench: 1 of 2 rows of the zoo do not hold, first {NAME}, three\n"


@pytest.mark.parametrize(("change", "status"), [(1e-7, 0), (1e-5, 2)])
def test_rounding_of_another_processor_holds_and_more_does_not(card, change, status):
    edit(card, lambda about: about["rows"][0].update(psnr=about["rows"][0]["psnr"] * (1 + change)))
    assert verify("--zoo", "--data", "files") == status


def test_as_many_threads_compute_as_made_the_rows(card, monkeypatch):
    used, fuse, before = [], rerun.fuse, torch.get_num_threads()
    monkeypatch.setattr(rerun, "fuse", lambda *args: (used.append(torch.get_num_threads()), fuse(*args)))
    edit(card, lambda about: about["fusing"].update(threads=before + 1))
    verify("--zoo", "--data", "files")
    assert (used, torch.get_num_threads()) == ([before + 1], before)


def test_other_data_are_found(card, capsys):
    image = np.load("files/three.npy")
    image[0, 0, 0] = 1 - image[0, 0, 0]
    np.save("files/three.npy", image)
    assert verify("--zoo", "--data", "files") == 2
    assert f"{NAME}, three: data is " in capsys.readouterr().out


def test_a_network_that_fails_holds_nothing(card, monkeypatch, capsys):
    failing = partial(rerun.fuse, memory_gb=1e-9)
    monkeypatch.setattr(rerun, "fuse", failing)
    status = verify("--zoo", "--data", "files")
    told = capsys.readouterr()
    assert status == 2
    assert "holds" not in told.out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--zoo"], f"{NAME} was scored on Toy; name the folder that holds its files by --data"),
        (["--zoo", "--data", "nowhere"], "Toy: its option folder names nowhere, which is no folder"),
        (["--zoo", "--data", "pairs"], "Toy: pairs lacks two.npy and 1 more; put its files there"),
        (["--zoo", "other", "--data", "files"], f"the zoo holds no 'other'; it holds: {NAME}"),
        (["--zoo", "--data", "files", "--all"], "--all is for result folders"),
        (["--zoo", "--data", "files", "--seed", "0"], "--seed is for result folders"),
        (["results/tiny", "--data", "files"], "--data is for --zoo"),
    ],
)
def test_what_cannot_be_verified_is_one_sentence(card, capsys, options, sentence):
    assert verify(*options) == 2
    told = capsys.readouterr()
    assert told.err.startswith(f"smifbench: {sentence}")
    assert told.err.count("\n") == 1
    assert told.out == ""


def test_data_that_come_with_a_package_are_not_asked_for(card, capsys):
    edit(card, lambda about: about["data"].update(title="Indian Pines", reader="indian_pines", options={}))
    assert verify("--zoo", "--data", "files") == 2
    told = capsys.readouterr().err
    assert told == f"smifbench: Indian Pines, on which {NAME} was scored, comes with a package; leave out --data\n"


def test_a_folder_or_the_zoo_must_be_named_and_not_both(card, capsys):
    for options in ([], ["results/tiny", "--zoo"]):
        with pytest.raises(SystemExit):
            verify(*options)
    assert "one of the arguments folder --zoo is required" in capsys.readouterr().err


def test_an_empty_zoo_is_not_verified(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(zoo, "ZOO", tmp_path)
    assert verify("--zoo", "--data", tmp_path) == 2
    assert "the zoo holds nothing yet" in capsys.readouterr().err
