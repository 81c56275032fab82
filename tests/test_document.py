"""The LaTeX document: written with or without a LaTeX, and a LaTeX error is told."""

import json
import shutil

import pytest

from smifbench import UserError
from smifbench.document import write_document


@pytest.fixture
def results(tmp_path):
    """Results with one small table and no figure."""
    (tmp_path / "tables").mkdir()
    (tmp_path / "figures").mkdir()
    (tmp_path / "experiment.json").write_text(json.dumps({"experiment": "under_score"}))
    (tmp_path / "tables" / "table.tex").write_text("A table.\n")
    return tmp_path


def test_without_a_latex_the_document_is_written_and_what_is_missing_is_said(results, monkeypatch, capsys):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    write_document(results, results / "paper.tex")
    assert r"\input{tables/table}" in (results / "paper.tex").read_text()
    assert r"under\_score" in (results / "paper.tex").read_text()
    assert not (results / "paper.pdf").exists()
    assert "paper.pdf is left out: no pdflatex was found; install a LaTeX" in capsys.readouterr().err


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no LaTeX is installed")
def test_latexs_own_words_are_quoted_and_no_half_pdf_is_left(results):
    (results / "tables" / "table.tex").write_text(r"\undefinedcommand")
    with pytest.raises(UserError, match=r"paper\.tex: ! Undefined control sequence"):
        write_document(results, results / "paper.tex")
    assert not (results / "paper.pdf").exists()
