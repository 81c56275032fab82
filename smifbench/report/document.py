"""Writes the LaTeX document with all tables and figures of an experiment, and compiles it."""

import logging
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from smifbench.errors import UserError
from smifbench.report.figures import CAPTIONS
from smifbench.report.latex import PACKAGES, escape
from smifbench.system.files import read_json, replacing, write_text

PREAMBLE = rf"""\documentclass[10pt,a4paper]{{article}}
\usepackage[T1]{{fontenc}}
\usepackage[margin=2cm]{{geometry}}
\usepackage{{mathptmx,graphicx,float}}
\usepackage{{{",".join(PACKAGES)}}}
\usepackage[font=small,labelfont=bf]{{caption}}
\date{{}}
% Tables and figures stand in their order, however many there are.
\floatplacement{{table}}{{H}}
\floatplacement{{figure}}{{H}}
% No dates and no random identifier: the same tables and figures give the same file.
\ifdefined\pdftrailerid\pdfinfoomitdate=1\pdftrailerid{{}}\pdfsuppressptexinfo=-1\fi
"""

LAST = ("complexity", "statistics", "audit")
"""Tables that follow those of quality, in this order."""


def write_document(results: Path, target: Path) -> None:
    """Write `paper.tex` to `target`, and compile it to the PDF beside it where a complete LaTeX is installed.

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
    missing = _compile(target) if shutil.which("pdflatex") else "no pdflatex was found"
    if missing:
        message = f"paper.pdf is left out: {missing}; install a LaTeX with siunitx and compile {target}"
        logging.warning(message)
        print(f"smifbench: {message}", file=sys.stderr)


def _figure(name: str) -> str:
    return "\n".join(
        [
            r"\begin{figure}\centering",
            rf"\includegraphics[width=\linewidth,height=0.85\textheight,keepaspectratio]{{figures/{name}.pdf}}",
            rf"\caption{{{escape(CAPTIONS[name])}}}",
            r"\end{figure}",
        ]
    )


def _compile(source: Path) -> str:
    """Run LaTeX in a scratch folder, with `source`'s folder as the current one, and keep the PDF.

    Returns what the LaTeX lacks, "" where it lacks nothing.
    """
    with tempfile.TemporaryDirectory() as scratch:
        command = [
            "pdflatex",
            "-interaction=nonstopmode",
            "-halt-on-error",
            f"-output-directory={scratch}",
            source.name,
        ]
        done = subprocess.run(command, cwd=source.parent, capture_output=True, text=True, errors="replace", check=False)
        missing = re.search(r"File `\S+\.\w+' not found|Font \S+ not loadable", done.stdout)
        if done.returncode and missing:
            return f"LaTeX says: {missing.group()}"
        if done.returncode:
            message = next((line for line in done.stdout.splitlines() if line.startswith("!")), "no message")
            raise UserError(f"LaTeX could not compile {source}: {message}")
        with replacing(source.with_suffix(".pdf")) as temporary:
            shutil.copyfile(Path(scratch) / source.with_suffix(".pdf").name, temporary)
    return ""
