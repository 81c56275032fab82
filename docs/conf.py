"""The documentation site: `make site` writes it to build/site, offline."""

import re
import sys
from pathlib import Path

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import smifbench  # noqa: E402
from smifbench.places import REFERENCE  # noqa: E402
from smifbench.report.board import write_board  # noqa: E402

project = "smifbench"
author = "The smifbench authors"
copyright = author
version = release = smifbench.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_nb"]
exclude_patterns = ["README.md"]
default_role = "literal"

myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # the notebook keeps its outputs; tests/pages/test_first_hour.py executes it

autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring = False
napoleon_use_rtype = False

html_theme = "furo"
html_title = f"smifbench {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_math_renderer = "mathml"


AT_THE_ROOT = {
    "contributing": "CONTRIBUTING.md",
    "changes": "CHANGELOG.md",
    "conduct": "CODE_OF_CONDUCT.md",
    "security": "SECURITY.md",
    "notices": "THIRD_PARTY_NOTICES.md",
}
"""Pages of the site whose text stands where people look for it, at the root of the repository."""


def setup(app: Sphinx) -> None:
    """Print formulas as MathML, which browsers draw by themselves: no script is fetched and no LaTeX needed."""
    app.add_html_math_renderer("mathml", (_formula(block=False), None), (_formula(block=True), None))
    app.connect("source-read", _read_from_the_root)
    app.connect("build-finished", _add_the_leaderboard)


def _read_from_the_root(app: Sphinx, page: str, source: list[str]) -> None:
    """Give a page the text of the file at the root, its links as seen from here."""
    if page not in AT_THE_ROOT:
        return
    path, pages = ROOT / AT_THE_ROOT[page], {name: f"{page}.md" for page, name in AT_THE_ROOT.items()}

    def seen_from_here(link: re.Match) -> str:
        name = link[1]
        return f"]({pages.get(name) or (name.removeprefix('docs/') if name.startswith('docs/') else f'../{name}')})"

    app.env.note_dependency(str(path))
    source[0] = re.sub(r"\]\((?!\w+:)([^)\s#]+)\)", seen_from_here, path.read_text(encoding="utf-8"))


def _add_the_leaderboard(app: Sphinx, error: Exception | None) -> None:
    """Write the page to which docs/leaderboard.md leads."""
    if app.builder.format == "html" and error is None:
        write_board(REFERENCE, Path(app.outdir) / "board.html")


def _formula(block: bool):
    def visit(translator: object, node: nodes.Element) -> None:
        markup = tex2mathml(node.astext(), as_block=block)
        translator.body.append(f'<div class="formula">{markup}</div>' if block else markup)
        raise nodes.SkipNode

    return visit
