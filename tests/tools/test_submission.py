"""Results are handed in as one small folder, and whatever is changed in it is found."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from tiny_zoo import COMMIT, RUN

from smifbench import load_results, plugins
from smifbench.__main__ import main
from smifbench.evaluation.plausibility import broken_laws
from smifbench.evaluation.submission import STATEMENT, hashes, read_submission, verified_runs, write_submission
from smifbench.places import REFERENCE
from smifbench.system.files import read_json, write_json
from smifbench.system.identity import file_hash
from smifbench.tools.submission_check import check

ADDRESS = "https://example.org/weights"
SUBMIT = ["submit", "results/tiny", "--name", "tiny", "--weights-at", ADDRESS, "--test-scenes-chose-nothing"]
FOLDERS = sorted(path.parent for path in REFERENCE.glob("*/metrics.csv"))


@pytest.fixture
def handed_in(tiny_zoo):
    """The submission that `submit` makes of results with one trained network."""
    about = read_json("results/tiny/experiment.json") | {"code": COMMIT}
    about["methods"]["ssr_net/default"]["recipe"].update(steps=2)  # as `tiny_zoo` trains
    write_json("results/tiny/experiment.json", about)
    assert main(SUBMIT) == 0
    return tiny_zoo / "results" / "reference" / "tiny"


@pytest.fixture
def kept(tmp_path):
    """A copy of kept rows: five test scenes, two seeds, four protocols."""
    return shutil.copytree(REFERENCE / "cave_ssr_net_kernels", tmp_path / "cave_ssr_net_kernels")


def edit_rows(folder, change):
    """Change the rows, and the hash too, as somebody would who means to deceive."""
    table = pd.read_csv(folder / "metrics.csv", dtype=str, keep_default_na=False)
    change(table).to_csv(folder / "metrics.csv", index=False)
    rehash(folder)


def edit_experiment(folder, change):
    about = read_json(folder / "experiment.json")
    change(about)
    write_json(folder / "experiment.json", about)
    rehash(folder)


def rehash(folder):
    about = vars(read_submission(folder))
    write_json(folder / "submission.json", about | {"files": hashes(folder)})


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_everything_on_the_leaderboard_is_whole_and_plausible(folder):
    assert check(folder) == []


def test_a_submission_has_rows_experiment_hashes_weights_and_the_statement(handed_in):
    assert {path.name for path in handed_in.iterdir()} == {"metrics.csv", "experiment.json", "submission.json"}
    about = read_submission(handed_in)
    assert (about.name, about.statement, about.lacks) == ("tiny", STATEMENT, ["cost"])
    assert about.files["metrics.csv"] == file_hash("results/tiny/metrics.csv")
    weights = file_hash(f"results/tiny/runs/{RUN.folder}/trained/weights.safetensors")
    assert about.weights == [{"run": RUN.folder, "sha256": weights, "address": ADDRESS}]
    assert {"torch", "numpy", "python"} < read_json(handed_in / "experiment.json")["versions"].keys()
    assert main(["check-submission", str(handed_in)]) == 0


@pytest.mark.parametrize(
    ("left_out", "sentence"),
    [
        ("--test-scenes-chose-nothing", "make it by --test-scenes-chose-nothing"),
        ("--weights-at", "say by --weights-at where the weights of toy/"),
    ],
)
def test_what_only_the_user_knows_is_asked_for(tiny_zoo, capsys, left_out, sentence):
    place = SUBMIT.index(left_out)
    options = SUBMIT[:place] + SUBMIT[place + (2 if left_out == "--weights-at" else 1) :]
    assert main(options) == 2
    assert sentence in capsys.readouterr().err.replace("Make", "make")
    assert not (tiny_zoo / "results" / "reference").exists()


def test_results_of_code_that_is_no_commit_are_not_written(tiny_zoo, capsys):
    table = pd.read_csv("results/tiny/metrics.csv", dtype=str, keep_default_na=False)
    table.assign(code="v1-dirty").to_csv("results/tiny/metrics.csv", index=False)
    assert main(SUBMIT) == 2
    assert "'v1-dirty', which is no commit" in capsys.readouterr().out
    assert not (tiny_zoo / "results" / "reference" / "tiny").exists()


def test_what_was_handed_in_is_not_written_over(handed_in, capsys):
    assert main(SUBMIT) == 2
    assert "is there already" in capsys.readouterr().err


def test_a_changed_file_is_found_by_its_hash(kept):
    table = (kept / "metrics.csv").read_text()
    (kept / "metrics.csv").write_text(table.replace(",0.9647", ",0.9648", 1))
    assert check(kept) == ["metrics.csv is not the file that was handed in (other SHA-256)"]


@pytest.mark.parametrize(
    ("column", "text", "law"),
    [
        ("psnr", "60.0", "psnr of scene sponges"),
        ("rmse", "0.001", "rmse"),
        ("mpsnr", "1.0", "mpsnr of scene sponges"),
        ("paper_psnr", "55.0", "psnr - paper_psnr of scene sponges"),
        ("paper_ergas", "0.1", "paper_ergas of scene sponges"),
        ("ssim", "1.01", "ssim of scene sponges"),
        ("sam", "-0.5", "sam of scene sponges"),
        ("psnr", "", "psnr of scene sponges"),
        ("train_steps", "900", "took 900 steps, and its recipe 1000"),
        ("train_steps", "", "has no train_steps"),
        ("data", "000000000000", "the data of scene sponges"),
        ("code", "unknown", "code 'unknown', which is no commit"),
        ("status", "failed", "has no result (failed"),
        ("protocol", "fwhm/2", "fwhm/2/x4/ssr_net/default/seed0 is not of the experiment"),
        ("experiment", "another", "experiment.json is of another"),
    ],
)
def test_a_tampered_row_is_found_though_its_hash_is_right(kept, column, text, law):
    def change(table):
        first = (table.method == "ssr_net") & (table.scene == "sponges")
        table.loc[table[first].index[0], column] = text
        return table

    edit_rows(kept, change)
    assert any(law in complaint for complaint in check(kept)), check(kept)


def test_a_missing_seed_is_found(kept):
    edit_rows(kept, lambda table: table[~((table.method == "ssr_net") & (table.seed == "1"))])
    (complaint,) = check(kept)
    assert "ssr_net/default/seed1 is missing (20 such rows)" in complaint


def test_a_seed_copied_from_another_is_found(kept):
    def change(table):
        trained = table[table.method == "ssr_net"]
        return pd.concat(
            [table[(table.method != "ssr_net")], *(trained[trained.seed == "0"].assign(seed=n) for n in "01")]
        )

    edit_rows(kept, change)
    assert any("has the values of another seed" in complaint for complaint in check(kept))


def test_a_missing_scene_is_found(kept):
    edit_rows(kept, lambda table: table[table.scene != "sponges"])
    assert any("the row of scene sponges" in complaint and "is missing" in complaint for complaint in check(kept))


def test_another_scene_list_is_found_though_experiment_and_rows_agree(kept):
    edit_rows(kept, lambda table: table[table.scene != "sponges"])
    edit_experiment(kept, lambda about: about["datasets"]["cave"]["scenes"].pop("sponges"))
    (complaint,) = check(kept)
    assert complaint.startswith("test scene sponges of cave was left out")


def test_a_test_scene_that_was_trained_on_is_found(kept):
    edit_experiment(kept, lambda about: about["datasets"]["cave"]["scenes"].update(sponges="train"))
    (complaint,) = check(kept)
    assert complaint == "scene sponges of cave is for train; in its data set: test"


def test_a_changed_protocol_is_found(kept):
    edit_experiment(kept, lambda about: about["protocols"]["fwhm/1"].update(border="reflect"))
    (complaint,) = check(kept)
    assert complaint == "protocol fwhm/1 was run with border 'reflect', and by its id it is 'own-block'"


def test_other_images_than_those_of_other_submissions_are_found(kept):
    shutil.copytree(REFERENCE / "cave_ssr_net", kept.parent / "cave_ssr_net")
    edit_rows(kept, lambda table: table.assign(data=table.data.str.replace("db9211829a85", "0123456789ab")))
    assert any("db9211829a85 in cave_ssr_net: other images" in complaint for complaint in check(kept))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda about: about["methods"].update({"no_net/default": about["methods"]["gsa/default"]}), "no_net"),
        (lambda about: about["methods"]["gsa/default"]["options"].update(secret=1), "gsa/default has no option secret"),
        (lambda about: about["methods"]["ssr_net/default"]["recipe"].update(secret=1), "recipe of ssr_net/default"),
        (lambda about: about["datasets"]["cave"].update(reader="no_set"), "no_set"),
        (lambda about: about["protocols"].update({"no/1": {}}), "no/1"),
        (lambda about: about["versions"].pop("torch"), "lacks versions.torch"),
    ],
)
def test_unknown_names_are_found(kept, change, sentence):
    edit_experiment(kept, change)
    assert any(sentence in complaint for complaint in check(kept)), check(kept)


@pytest.mark.parametrize("lacks", [[], ["statement", "weights"], ["statement", "weights", "cost", "more"]])
def test_what_is_lacking_must_be_said(kept, lacks):
    write_json(kept / "submission.json", vars(read_submission(kept)) | {"lacks": lacks})
    assert any("lacks" in complaint for complaint in check(kept))


def test_other_keys_are_refused(kept):
    write_json(kept / "submission.json", vars(read_submission(kept)) | {"score": 1})
    (complaint,) = check(kept)
    assert "submission.json: score is missing, unknown or of another type" in complaint


def test_rows_are_computed_anew_from_the_weights(handed_in, capsys):
    command = ["check-submission", "results/reference/tiny", "--run-again", "--data", "files", "--record"]
    assert main([*command, "--weights", "results/tiny/runs"]) == 0
    assert f"{RUN.folder}: all 2 rows hold, verified here from weights" in capsys.readouterr().out
    assert verified_runs(handed_in) == {RUN.folder: "weights"}


def test_rows_are_computed_anew_from_the_estimates(handed_in, capsys):
    place = (
        handed_in.parents[2] / "data" / "pairs" / read_json(handed_in / "experiment.json")["datasets"]["toy"]["data"]
    )
    shutil.copytree("pairs", place / RUN.protocol / f"x{RUN.ratio}")
    fused = f"results/tiny/runs/{RUN.folder}/fused/facts.json"
    write_json(fused, read_json(fused) | {"code": COMMIT})
    shutil.copytree("scenes", place / RUN.protocol / "scenes")  # pairs name their references beside themselves
    assert main(["check-submission", "results/reference/tiny", "--results", "results/tiny", "--record"]) == 0
    assert "all 2 rows hold, verified from estimates" in capsys.readouterr().out
    assert verified_runs(handed_in) == {RUN.folder: "estimates"}


def test_a_plausible_lie_is_found_by_computing_anew(handed_in, capsys):
    """SAM follows from no other column, so that no law holds it."""
    edit_rows(handed_in, lambda table: table.assign(sam=(table.sam.astype(float) / 2).map(repr)))
    command = ["check-submission", "results/reference/tiny", "--run-again", "--data", "files", "--record"]
    assert main([*command, "--weights", "results/tiny/runs"]) == 2
    assert "two: sam is " in capsys.readouterr().out
    assert verified_runs(handed_in) == {}


def test_weights_that_are_not_there_verify_nothing(handed_in, monkeypatch, capsys):
    for path in (handed_in.parents[2] / "zoo").iterdir():
        path.unlink()
    assert main(["check-submission", "results/reference/tiny", "--run-again", "--data", "files"]) == 2
    assert "no run of results/reference/tiny could be computed" in capsys.readouterr().err


def test_a_record_of_other_rows_is_refused(kept):
    write_json(kept / "verification.json", {"metrics": "0" * 64, "runs": {}})
    (complaint,) = check(kept)
    assert "was made of other rows" in complaint


def test_the_laws_hold_for_a_perfect_estimate_and_for_empty_tables():
    df = load_results(REFERENCE / "cave_ssr_net")
    assert broken_laws(df[:0]) == []
    perfect = {"psnr": np.inf, "mpsnr": np.inf, "paper_psnr": np.inf, "rmse": 0, "paper_rmse": 0, "rase": 0}
    assert broken_laws(df.assign(**perfect, paper_rase=0, ergas=0, paper_ergas=0, sam=0, train_steps=np.nan)) == []


def test_what_a_submission_says_can_be_read_again(tmp_path):
    about = read_submission(REFERENCE / "cave_ssr_net")
    write_submission(tmp_path, about)
    assert read_submission(tmp_path) == about
    assert json.loads((tmp_path / "submission.json").read_text()).keys() == vars(about).keys()
    assert plugins.ROOT in REFERENCE.parents
