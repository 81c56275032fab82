"""The LaTeX document that holds an experiment's tables and figures."""

import logging
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from smifbench.errors import UserError
from smifbench.files import read_json, replacing, write_text
from smifbench.gallery import CAPTIONS
from smifbench.latex import PACKAGES, escape

PREAMBLE = rf"""\documentclass[10pt,a4paper]{{article}}
\usepackage[T1]{{fontenc}}
\usepackage[margin=2cm]{{geometry}}
\usepackage{{mathptmx,graphicx}}
\usepackage{{{",".join(PACKAGES)}}}
\usepackage[font=small,labelfont=bf]{{caption}}
\date{{}}
% Floats fill their pages from the top.
\renewcommand{{\topfraction}}{{0.95}}
\renewcommand{{\bottomfraction}}{{0.95}}
\renewcommand{{\textfraction}}{{0.05}}
\renewcommand{{\floatpagefraction}}{{0.6}}
\setcounter{{totalnumber}}{{9}}
\makeatletter\setlength{{\@fptop}}{{0pt}}\makeatother
"""

LAST = ("complexity", "statistics", "audit")
"""Tables that follow those of quality, in this order."""


def write_document(results: Path, target: Path) -> None:
    """Write `paper.tex` to `target`, and compile it to the PDF beside it where `pdflatex` is installed.

    Raises
    ------
    UserError
        When LaTeX refuses the document; the message quotes LaTeX's own.
    """
    experiment = read_json(results / "experiment.json")
    written = sorted(path.stem for path in (results / "tables").glob("*.tex"))
    tables = [name for name in written if name not in LAST] + [name for name in LAST if name in written]
    parts = [rf"\input{{tables/{name}}}" for name in tables]
    parts += [_figure(name) for name in CAPTIONS if (results / "figures" / f"{name}.pdf").exists()]
    title = escape(f"smifbench: experiment {experiment['experiment']}")
    body = "\n\n".join([rf"\title{{{title}}}", r"\begin{document}", r"\maketitle", *parts, r"\end{document}"])
    write_text(target, f"{PREAMBLE}{body}\n")
    if shutil.which("pdflatex"):
        _compile(target)
    else:
        message = f"paper.pdf is left out: no pdflatex was found; install a LaTeX and compile {target}"
        logging.warning(message)
        print(f"smifbench: {message}", file=sys.stderr)


def _figure(name: str) -> str:
    return "\n".join(
        [
            r"\begin{figure}[p]\centering",
            rf"\includegraphics[width=\linewidth,height=0.85\textheight,keepaspectratio]{{figures/{name}.pdf}}",
            rf"\caption{{{escape(CAPTIONS[name])}}}",
            r"\end{figure}",
        ]
    )


def _compile(source: Path) -> None:
    """Run LaTeX in a scratch folder, with `source`'s folder as the current one, and keep the PDF."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [
            "pdflatex",
            "-interaction=nonstopmode",
            "-halt-on-error",
            f"-output-directory={scratch}",
            source.name,
        ]
        done = subprocess.run(command, cwd=source.parent, capture_output=True, text=True, errors="replace", check=False)
        if done.returncode:
            message = next((line for line in done.stdout.splitlines() if line.startswith("!")), "no message")
            raise UserError(f"LaTeX could not compile {source}: {message}")
        with replacing(source.with_suffix(".pdf")) as temporary:
            shutil.copyfile(Path(scratch) / source.with_suffix(".pdf").name, temporary)
