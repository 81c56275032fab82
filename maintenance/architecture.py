"""Draw docs/architecture.svg from the imports of the code: `python maintenance/architecture.py`.

Modules are listed below in layers; which layer uses which is read from the code. A module imports from its own layer
and from those to its left, and no modules import each other in a circle: a test holds the code to that.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "architecture.svg"


@dataclass(frozen=True)
class Layer:
    """Modules that do one thing: its name, its column from the left, the stages that it serves, and their names."""

    name: str
    column: int
    stages: str
    modules: tuple[str, ...]


BASE = Layer(
    "base",
    0,
    "used by all",
    ("errors", "files", "revision", "devices", "memory", "numerics", "checkpoint", "interruption"),
)
LAYERS = (
    BASE,
    Layer(
        "data sets",
        1,
        "download, prepare",
        (
            *("datasets/*.py", "dataset", "spectral", "download", "archives", "cubes", "cube_content", "cube_envi"),
            *("cube_matlab", "cube_numpy", "cube_tiff", "cube_writing"),
        ),
    ),
    Layer("degradation", 2, "degrade", ("degradation", "estimation")),
    Layer("methods", 3, "what is compared", ("methods/*.py", "problem", "method", "blind", "plugins")),
    Layer("metrics", 3, "how it is judged", ("metrics", "quality")),
    Layer(
        "runs",
        4,
        "train, fuse, cost",
        ("run", "experiment", "scenes", "patches", "scaling", "training", "inference", "execution", "cost"),
    ),
    Layer(
        "results",
        5,
        "score, collect",
        ("results", "scoring", "robustness", "comparison", "statistics", "auditing"),
    ),
    Layer(
        "pages",
        6,
        "tables, figures",
        (
            *("provenance", "latex", "tables", "figures", "charts", "gallery", "spread", "viewer", "document"),
            "report",
        ),
    ),
    Layer(
        "commands",
        7,
        "all stages, all tools",
        (
            *("steps", "__main__", "__init__", "plan", "paper_cost", "throughput", "inspection", "own_pair"),
            *("own_fusion", "scaffold", "verification"),
        ),
    ),
)

MARGIN, GAP, BOX, LINE, HEAD, BAR = 14, 20, 122, 19, 54, 44
"""Pixels: around the picture, between boxes; width of a box, height of a line, of a box's head, of the bar below."""


def imports() -> dict[str, set[str]]:
    """Which modules each module imports, anywhere in it; those for type checkers alone do not count.

    All plug-ins of a folder count as one module, `methods/*.py` or `datasets/*.py`.
    """
    found: dict[str, set[str]] = {}
    for folder in ("smifbench", "methods", "datasets"):
        for path in sorted(ROOT.joinpath(folder).glob("*.py")):
            name = path.stem if folder == "smifbench" else f"{folder}/*.py"
            found.setdefault(name, set()).update(imported(ast.parse(path.read_text(encoding="utf-8"))))
    return found


def uses(found: dict[str, set[str]]) -> set[tuple[Layer, Layer]]:
    """Pairs of layers (left, right) of which the right one imports from the left one, without what others imply."""
    home = {module: layer for layer in LAYERS for module in layer.modules}
    pairs = {(home[other], home[name]) for name, others in found.items() for other in others}
    pairs = {(left, right) for left, right in pairs if left is not right and left is not BASE}
    return {
        (left, right)
        for left, right in pairs
        if not any((left, between) in pairs and _reaches(between, right, pairs) for between in LAYERS)
    }


def picture() -> str:
    """Text of the picture."""
    places = {}
    for column in range(1, max(layer.column for layer in LAYERS) + 1):
        top = MARGIN
        for layer in (layer for layer in LAYERS if layer.column == column):
            height = HEAD + LINE * len(layer.modules) + 8
            places[layer] = (MARGIN + (column - 1) * (BOX + GAP), top, height)
            top += height + GAP
    bottom = max(top + height for _, top, height in places.values())
    width = max(left for left, _, _ in places.values()) + BOX + MARGIN
    parts = [_arrow(places[left], places[right]) for left, right in sorted(uses(imports()), key=str)]
    parts += [part for layer, place in places.items() for part in _box(layer, *place)]
    parts += _bar(BASE, bottom + GAP, width)
    height = bottom + GAP + BAR + MARGIN
    size = f'width="{width}" height="{height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width} {height}">',
            "<title>Layers of smifbench: an arrow leads from a layer to one that imports from it</title>",
            f"<style>{STYLE}</style>",
            f'<rect class="paper" {size} rx="6"/>',
            *parts,
            "</svg>\n",
        ]
    )


STYLE = (
    "text{font-family:system-ui,'Segoe UI',Helvetica,Arial,sans-serif;fill:#1f2328}"
    ".paper{fill:#fdfcf9}.box{fill:#fff;stroke:#dcd8cf}.head{fill:#00639c}"
    ".name{font-size:15px;font-weight:600}.stages{font-size:11px;fill:#5c636b}"
    ".module{font-family:ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;font-size:12px}"
    ".plugin{fill:#b34700}.arrow{fill:none;stroke:#5c636b;stroke-width:1.6}.tip{fill:#5c636b}"
)


def main() -> None:
    """Write the picture."""
    PICTURE.write_text(picture(), encoding="utf-8")


def imported(tree: ast.AST) -> Iterator[str]:
    """Names of the package's modules that a syntax tree imports, anywhere but under `TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom) and node.module == "smifbench":
            names = [alias.name for alias in node.names]
            yield from (name if (ROOT / "smifbench" / f"{name}.py").exists() else "__init__" for name in names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("smifbench."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            names = [alias.name.partition(".") for alias in node.names]
            yield from (module or "__init__" for package, _, module in names if package == "smifbench")
        yield from imported(node)


def _reaches(start: Layer, end: Layer, pairs: set[tuple[Layer, Layer]]) -> bool:
    return any(left is start and (right is end or _reaches(right, end, pairs)) for left, right in pairs)


def _box(layer: Layer, left: int, top: int, height: int) -> Iterator[str]:
    yield f'<rect class="box" x="{left}" y="{top}" width="{BOX}" height="{height}" rx="5"/>'
    yield f'<rect class="head" x="{left}" y="{top}" width="{BOX}" height="4" rx="2"/>'
    yield f'<text class="name" x="{left + 10}" y="{top + 25}">{escape(layer.name)}</text>'
    yield f'<text class="stages" x="{left + 10}" y="{top + 41}">{escape(layer.stages)}</text>'
    for row, module in enumerate(layer.modules):
        yield _module(module, left + 10, top + HEAD + LINE * row + 12)


def _bar(layer: Layer, top: int, width: int) -> Iterator[str]:
    yield f'<rect class="box" x="{MARGIN}" y="{top}" width="{width - 2 * MARGIN}" height="{BAR}" rx="5"/>'
    yield f'<rect class="head" x="{MARGIN}" y="{top}" width="4" height="{BAR}" rx="2"/>'
    yield f'<text class="name" x="{MARGIN + 14}" y="{top + 20}">{escape(layer.name)}</text>'
    yield f'<text class="stages" x="{MARGIN + 14}" y="{top + 35}">{escape(layer.stages)}</text>'
    step = (width - 2 * MARGIN - BOX - GAP) // len(layer.modules)
    for column, module in enumerate(layer.modules):
        yield _module(module, MARGIN + BOX + GAP + step * column + 10, top + 27)


def _module(name: str, left: int, base: int) -> str:
    kind = "module plugin" if "/" in name else "module"
    return f'<text class="{kind}" x="{left}" y="{base}">{escape(name)}</text>'


def _arrow(start: tuple[int, int, int], end: tuple[int, int, int]) -> str:
    """From the side of one box to that of another one, level; from below the first where it ends higher up."""
    (left, top, height), right, level = start, end[0], max(start[1], end[1]) + 27
    beside = level < top + height
    begin = f"M{left + BOX} {level}" if beside else f"M{left + BOX // 2} {top + height}V{level}"
    return f'<path class="arrow" d="{begin}H{right - 5}"/><path class="tip" d="M{right - 1} {level}l-8 -4.5v9z"/>'


if __name__ == "__main__":
    main()
