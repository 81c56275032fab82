"""The LaTeX document: written with or without a LaTeX, and a LaTeX error is told."""

import json
import re
import shutil
import time

import pytest
from conftest import needs_latex

from smifbench import UserError
from smifbench.report.document import write_document


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


@needs_latex
def test_a_latex_that_lacks_a_package_leaves_the_pdf_out(results, capsys):
    (results / "tables" / "table.tex").write_text(r"\input{nosuch.sty}")
    write_document(results, results / "paper.tex")
    assert "paper.pdf is left out: LaTeX says: File `nosuch.sty' not found; install a LaTeX" in capsys.readouterr().err
    assert not (results / "paper.pdf").exists()


@needs_latex
def test_tables_stand_in_the_papers_order_however_many_there_are(results):
    from smifbench.report.latex import table

    for name in ("audit", "complexity", *(f"table{index:02d}" for index in range(80))):
        (results / "tables" / f"{name}.tex").write_text(table(name, [r"\rule{1cm}{9cm}"]))
    write_document(results, results / "paper.tex")
    inputs = re.findall(r"input\{tables/(\w+)\}", (results / "paper.tex").read_text())
    assert inputs == ["table", *(f"table{index:02d}" for index in range(80)), "complexity", "audit"]
    assert (results / "paper.pdf").read_bytes().startswith(b"%PDF")


@needs_latex
def test_the_pdf_is_the_same_byte_for_byte_elsewhere_and_later(results, tmp_path_factory):
    from matplotlib import pyplot as plt

    from smifbench.report import style

    style.save(plt.figure(figsize=(1, 1)), results / "figures", "fig2_pseudo_colour")
    elsewhere = shutil.copytree(results, tmp_path_factory.mktemp("elsewhere") / "results")
    write_document(results, results / "paper.tex")
    written = time.time()
    while int(time.time()) == int(written):  # a PDF's dates count seconds
        time.sleep(0.05)
    write_document(elsewhere, elsewhere / "paper.tex")
    assert (results / "paper.pdf").read_bytes() == (elsewhere / "paper.pdf").read_bytes()


@needs_latex
def test_latexs_own_words_are_quoted_and_no_half_pdf_is_left(results):
    (results / "tables" / "table.tex").write_text(r"\undefinedcommand")
    with pytest.raises(UserError, match=r"paper\.tex: ! Undefined control sequence"):
        write_document(results, results / "paper.tex")
    assert not (results / "paper.pdf").exists()
