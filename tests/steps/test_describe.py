"""What an experiment was: a BibTeX entry that is missing is told once, and stops nothing."""

import hashlib
import json
import shutil

import pytest

from smifbench.experiment.config import check_experiment
from smifbench.steps.__main__ import main
from smifbench.steps.describe import describe
from smifbench.steps.summary import uncited

METHOD = """
from smifbench.method import FusionMethod

class Mine(FusionMethod):
    title = "Mine"
    citation = "me2026mine"
    trainable = False
    def __init__(self, problem, size=1):
        super().__init__(problem)
"""
CONFIG = {
    "experiment": "tiny",
    "datasets": {"indian_pines": {}},
    "ratios": [4],
    "methods": {"gsa": {}, "mine": {}, "mine/two": {"options": {"size": 2}}},
}


def test_a_missing_entry_is_told_once_and_a_file_of_the_users_is_in_the_code_id(tmp_path, monkeypatch, caplog):
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "mine.py").write_text(METHOD)
    monkeypatch.chdir(tmp_path)
    told = describe(check_experiment(CONFIG))
    assert [record.getMessage() for record in caplog.records] == [
        "there is no BibTeX entry me2026mine; add it to methods/references.bib"
    ]
    assert uncited(told) == "methods/references.bib has no entry for mine"
    assert told["code"].endswith("+" + hashlib.sha256(METHOD.encode()).hexdigest()[:8])

    (tmp_path / "methods" / "references.bib").write_text("@misc{me2026mine,\n  title = {Mine},\n}\n")
    caplog.clear()
    assert uncited(describe(check_experiment(CONFIG))) == ""
    assert not caplog.records


@pytest.mark.parametrize("complete", [True, False])
def test_the_summary_names_a_method_without_an_entry(made_up, tmp_path, capsys, complete):
    shutil.copy(made_up[0] / "metrics.csv", tmp_path)
    told = json.loads((made_up[0] / "experiment.json").read_text())
    if not complete:
        told["methods"]["gsa/default"]["bibtex"] = ""
    (tmp_path / "experiment.json").write_text(json.dumps(told))
    main(["summary", "--results", str(tmp_path), "--output", str(tmp_path / "summary.txt")])
    note = "note: methods/references.bib has no entry for gsa"
    assert capsys.readouterr().out.count(note) == (not complete)
