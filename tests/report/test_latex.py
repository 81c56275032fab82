"""LaTeX columns: what siunitx is told, and that decimal points stand below each other on the page."""

import re
import shutil
import subprocess

import pytest

from smifbench.report.latex import PACKAGES, Cell, Row, escape, number, p_value, table, tabular


def column(*cells):
    lines = tabular(["", "x"], [Row(["a"], [cell]) for cell in cells])
    spec = re.search(r"\{@\{\}l(.*)@\{\}\}", lines[2]).group(1)
    return spec, [line.removeprefix("a & ").removesuffix(r" \\") for line in lines if line.startswith("a & ")]


def test_a_column_has_room_for_its_widest_number_and_deviation():
    spec, cells = column(number(9.5, 2, 0.123), number(48.321, 2), number(-100.0, 2, 12.0), Cell("not run"))
    assert spec == r"S[table-format=-3.2{\,$\pm$\,12.00}]"
    assert cells == [r"9.50 {\,$\pm$\,0.12}", "48.32", r"-100.00 {\,$\pm$\,12.00}", "{not run}"]


def test_a_column_without_numbers_is_centred():
    assert column(Cell("--"), Cell("--", after="x")) == ("c", ["--", r"--\rlap{x}"])


def test_text_is_escaped_and_what_latin_fonts_lack_is_a_question_mark():
    assert escape(r"a_b & 5 % \x") == r"a\_b \& 5 \% \textbackslash{}x"
    assert escape("Müller’s ±1°: \x1b[1m模型") == r"Müller’s $\pm$1\textdegree{}: ?[1m??"


def test_special_values_are_words():
    assert [number(value, 2).text for value in (float("nan"), float("inf"))] == ["--", r"$\infty$"]
    assert [p_value(p).text for p in (0.0004, 0.0104, 1.0)] == ["<0.001", "0.010", "1.000"]


WORD = re.compile(r'<word xMin="([\d.]+)" yMin="[\d.]+" xMax="([\d.]+)" yMax="[\d.]+">(.*?)</word>')
CELLS = [
    Cell("8.12"),
    Cell("48.21", mark="best"),
    Cell("7.32", "0.05", "second"),
    Cell("38.43", mark="second"),
    Cell("6.54", mark="doubtful"),
    Cell("5.6", mark="doubtful"),
    Cell("28.76", "10.05", "best", after=r"\textsuperscript{z}"),
    Cell("4.98", "0.00"),
    Cell("3.19", mark="published"),
]


@pytest.mark.skipif(not (shutil.which("pdflatex") and shutil.which("pdftotext")), reason="no LaTeX or no poppler")
def test_decimal_points_stand_below_each_other_whatever_the_mark(tmp_path):
    body = tabular(["Method", "PSNR"], [Row(["a"], [cell]) for cell in CELLS])
    document = [
        r"\documentclass{article}",
        r"\usepackage[T1]{fontenc}\usepackage{mathptmx}",
        rf"\usepackage{{{','.join(PACKAGES)}}}",
        r"\begin{document}",
        table("Caption.", body, ["Note."]),
        r"\end{document}",
    ]
    (tmp_path / "t.tex").write_text("\n".join(document))
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    missing = re.search(r"File `\S+' not found|not loadable", done.stdout)
    if missing:
        pytest.skip(f"the LaTeX here is not complete: {missing.group()}")
    assert done.returncode == 0, done.stdout[-2000:]
    subprocess.run(["pdftotext", "-bbox", "t.pdf", "t.html"], cwd=tmp_path, check=True)
    page = (tmp_path / "t.html").read_text()
    words = {text: (float(left), float(right)) for left, right, text in WORD.findall(page)}
    digit = (words["48.21"][1] - words["48.21"][0]) / 4.5  # Times: digits of one width, the point half as wide
    points = []
    for cell in CELLS:
        left, right = words[f"({cell.text})" if cell.mark == "doubtful" else cell.text]
        whole, decimals = cell.text.split(".")
        points.append((left + right) / 2 + digit * (len(whole) - len(decimals)) / 2)
    assert max(points) - min(points) < 0.02, dict(zip(CELLS, points, strict=True))
