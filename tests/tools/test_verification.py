"""Verifying results: an untouched folder holds, and whatever was touched is found and named."""

import shutil

import numpy as np
import pandas as pd
import pytest
from prepared import write_scene

from smifbench import UserError
from smifbench.__main__ import main
from smifbench.degradation import degrade
from smifbench.fusion.build import RunMethod
from smifbench.run import Run
from smifbench.steps.fuse import fuse
from smifbench.steps.score import score
from smifbench.system.files import write_json
from smifbench.tools.verification import verify

METHODS = ("bicubic", "gsa")
PAIRS = "data/pairs/toy-1234/block-gauss-s2/1/x4"
SRF = [[0.5, 0.5, 0, 0, 0, 0], [0, 0, 0, 0.5, 0.5, 0]]


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    """A folder with data and results of two methods on two test scenes."""
    folder = tmp_path_factory.mktemp("untouched")
    generator = np.random.default_rng(0)
    prepared = [folder / "data" / "scenes" / "toy-1234" / f"{scene}.npy" for scene in ("first", "second")]
    for path in prepared:
        write_scene(path, generator.random((6, 32, 32), dtype=np.float32), srf=SRF)
    degrade.degrade(prepared, "block-gauss-s2/1", 4, folder / PAIRS)
    tables = []
    for method in METHODS:
        run = Run("toy", "block-gauss-s2/1", 4, method, "default", 0)
        place = folder / "results" / "tiny" / "runs" / run.folder
        fuse(RunMethod(run, {}), folder / PAIRS, place / "fused")
        score("tiny", run, folder / PAIRS, place / "fused", place / "scores.csv")
        tables.append(pd.read_csv(place / "scores.csv", dtype=str, keep_default_na=False))
    pd.concat(tables).to_csv(folder / "results" / "tiny" / "metrics.csv", index=False)
    write_json(folder / "results" / "tiny" / "experiment.json", {"datasets": {"toy": {"data": "toy-1234"}}})
    return folder


@pytest.fixture
def copy(untouched, tmp_path):
    """A copy that a test may damage; its result folder, and where the run of GSA lies in it."""
    shutil.copytree(untouched, tmp_path / "copy")
    return tmp_path / "copy" / "results" / "tiny"


def complaints(results, **options):
    return [verdict.complaint for verdict in verify(results, rows=None, **options)]


def fused(results, method="gsa"):
    return results / "runs" / "toy" / "block-gauss-s2" / "1" / "x4" / method / "default" / "seed0" / "fused"


def edit(results, column, text, row=2):
    """Write `text` into a cell of metrics.csv; row 2 is GSA on the first scene."""
    df = pd.read_csv(results / "metrics.csv", dtype=str, keep_default_na=False)
    df.loc[row, column] = text
    df.to_csv(results / "metrics.csv", index=False)


def test_an_untouched_folder_holds(untouched, capsys):
    results = untouched / "results" / "tiny"
    assert complaints(results) == [""] * 4
    assert main(["verify", str(results), "--rows", "3"]) == 0
    assert capsys.readouterr().out.endswith("all 3 rows computed anew hold\n")


def test_rows_are_drawn_by_the_seed(untouched):
    results = untouched / "results" / "tiny"
    draws = [[verdict.row for verdict in verify(results, rows=2, seed=seed)] for seed in (0, 0, *range(1, 9))]
    assert draws[0] == draws[1]
    assert all(len(set(draw)) == 2 for draw in draws)
    assert {row for draw in draws for row in draw} == {verdict.row for verdict in verify(results, rows=99)}


def test_it_finds_the_pairs_wherever_it_is_called_from(untouched, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a link").symlink_to(untouched / "results" / "tiny")
    assert complaints("a link") == [""] * 4
    shutil.copytree(untouched / "results" / "tiny", tmp_path / "elsewhere")
    assert "pairs.json is missing" in complaints("elsewhere")[0]
    assert complaints("elsewhere", pairs=untouched / "data" / "pairs") == [""] * 4


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("psnr", "30.0"),
        ("paper_ergas", ""),
        ("data", "0123456789ab"),
        ("fuse_seconds", "0.0"),
        ("train_steps", "5.0"),
        ("device", "a faster one"),
        ("code", "v9"),
        ("message", "excellent"),
    ],
)
def test_an_edited_row_is_found(copy, column, text):
    edit(copy, column, text)
    first, second, third, fourth = complaints(copy)
    assert (first, second, fourth) == ("", "", "")
    assert f"{column} is {text or 'nan'} in metrics.csv and " in third


def test_the_smallest_step_that_float64_cannot_explain_is_found(copy):
    value = float(pd.read_csv(copy / "metrics.csv").psnr[2])
    edit(copy, "psnr", str(np.nextafter(value, 0)))
    assert complaints(copy) == [""] * 4
    edit(copy, "psnr", str(value * (1 + 1e-8)))
    assert complaints(copy)[2].startswith("psnr is ")


def test_an_edited_estimate_is_found(copy, capsys):
    path = fused(copy) / "first.npy"
    estimate = np.load(path)
    estimate[0, 0, 0] += 1e-3
    np.save(path, estimate)
    assert complaints(copy)[2].startswith("psnr is ")
    assert main(["verify", str(copy), "--all"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("smifbench: 1 of 4 rows of")
    assert told.count("\n") == 1
    assert told.endswith("gsa/default/seed0, first\n")


@pytest.mark.parametrize(
    "image", [f"{PAIRS}/second.lr_hsi.npy", f"{PAIRS}/second.hr_msi.npy", "data/scenes/toy-1234/second.npy"]
)
def test_one_flipped_bit_in_a_pair_is_found(copy, image):
    path = copy.parent.parent / image
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    found = complaints(copy)
    assert [bool(complaint) for complaint in found] == [False, True, False, True]
    assert found[1].startswith("the images of scene second have the hash ")


def test_what_is_missing_or_cut_off_is_named(copy):
    (fused(copy) / "first.npy").unlink()
    path = fused(copy) / "second.npy"
    path.write_bytes(path.read_bytes()[:-1])
    shutil.rmtree(fused(copy, "bicubic"))
    found = complaints(copy)
    assert "bicubic/default/seed0/fused/facts.json is missing" in found[0]
    assert "first.npy is missing" in found[2]
    assert "second.npy is damaged" in found[3]
    shutil.rmtree(copy.parent.parent / "data")
    assert all("pairs.json is missing" in complaint for complaint in complaints(copy)[2:])


def test_a_folder_without_results_is_one_sentence(copy):
    for row in range(4):
        edit(copy, "status", "failed", row)
    with pytest.raises(UserError, match="has no row with a result"):
        verify(copy)
    with pytest.raises(UserError, match=r"metrics\.csv does not exist"):
        verify(copy.parent)


@pytest.mark.parametrize("rows", ["0", "-1", "many"])
def test_a_number_of_rows_that_is_none(untouched, rows, capsys):
    with pytest.raises(SystemExit):
        main(["verify", str(untouched), f"--rows={rows}"])
    assert f"'{rows}' is no whole number of at least 1" in capsys.readouterr().err
