"""Draw docs/architecture.svg from the folders and imports of the code: `python maintenance/architecture.py`.

A room is a folder of `smifbench/`; what it is for is the docstring of its `__init__.py`. `methods/` and `datasets/` are
rooms of plug-ins, of which each file is loaded by its name. A room stands one floor below the lowest room that it
imports from, so that imports lead upwards alone. Rooms or modules that import each other in a circle have no such
order: `graphlib.CycleError` names them.
"""

import ast
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from html import escape
from itertools import pairwise
from pathlib import Path

from tracked import REPOSITORY, tracked

PACKAGE = REPOSITORY / "smifbench"
PICTURE = REPOSITORY / "docs" / "architecture.svg"

ROOT = "smifbench"
ENTRY = "command line"
PLUGINS = ("methods", "datasets")
ABOUT = {
    ROOT: "The contracts that all rooms, plug-ins and notebooks share.",
    ENTRY: "What users call: smifbench COMMAND.",
    "methods": "Plug-ins: one file a method.",
    "datasets": "Plug-ins: one file a data set.",
}
"""What the rooms are for that have no `__init__.py` to say it: the package's own modules and the plug-ins."""


@dataclass(frozen=True)
class Box:
    """Where a room is drawn: the pixels of its left upper corner and its size, and the lines of text in it."""

    room: str
    left: int
    top: int
    width: int
    height: int
    about: list[str]
    modules: list[str]

    @property
    def right(self) -> int:
        """The pixel after its last column."""
        return self.left + self.width

    @property
    def bottom(self) -> int:
        """The pixel after its last row."""
        return self.top + self.height


def room_of(module: str) -> str:
    """Return the room of a module: `data` of `data.cubes.reading`, `methods` of `methods/*.py`."""
    if module == "__main__":
        return ENTRY
    if module.endswith("/*.py"):
        return module.removesuffix("/*.py")
    return module.partition(".")[0] if PACKAGE.joinpath(module.partition(".")[0]).is_dir() else ROOT


def imports() -> dict[str, set[str]]:
    """Which modules each module imports, anywhere in it; those for type checkers alone do not count.

    Modules go by their names within the package (`run`, `data.cubes.reading`), an `__init__.py` by that of its folder.
    All plug-ins of a folder count as one module, `methods/*.py` or `datasets/*.py`.
    """
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[1:] and parts[-1] == "__init__" else parts)] = imported(_tree(path))
    for folder in PLUGINS:
        found[f"{folder}/*.py"] = {name for path in tracked(f"{folder}/*.py") for name in imported(_tree(path))}
    return found


def imported(tree: ast.AST) -> set[str]:
    """Names of the package's modules that a syntax tree imports, anywhere but under `TYPE_CHECKING`."""
    return {_module(name) for name in imported_names(tree)}


def imported_names(tree: ast.AST) -> Iterator[str]:
    """Dotted names of all that is imported from the package, `from a import b` being `a.b`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        yield from (name for name in names if name.split(".")[0] == "smifbench")
        yield from imported_names(node)


def between_rooms(modules: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    """From the imports of modules, which other rooms each room imports from."""
    rooms: dict[str, set[str]] = {room_of(module): set() for module in modules}
    for module, others in modules.items():
        rooms[room_of(module)] |= {room_of(other) for other in others} - {room_of(module)}
    return rooms


def floors(rooms: Mapping[str, set[str]]) -> list[list[str]]:
    """Rooms by floors from the top: a room stands one floor below the lowest one that it imports from.

    Raises `graphlib.CycleError` for rooms that import each other in a circle.
    """
    floor: dict[str, int] = {}
    for room in TopologicalSorter(rooms).static_order():
        floor[room] = 1 + max((floor[other] for other in rooms[room]), default=-1)
    return [sorted(room for room in floor if floor[room] == number) for number in range(max(floor.values()) + 1)]


def arrows(rooms: Mapping[str, set[str]]) -> list[tuple[str, str]]:
    """Pairs of a room and one that imports from it, without those that others imply; of rooms without a circle."""

    def reaches(room: str, other: str) -> bool:
        return other in rooms[room] or any(reaches(between, other) for between in rooms[room])

    return sorted(
        (other, room)
        for room, others in rooms.items()
        for other in others
        if not any(reaches(between, other) for between in others)
    )


def about(room: str) -> str:
    """What a room is for, in one sentence."""
    return ABOUT.get(room) or (ast.get_docstring(_tree(PACKAGE / room / "__init__.py")) or "").partition("\n")[0]


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _is_folder(module: str) -> bool:
    return PACKAGE.joinpath(*module.split(".")).is_dir()


def _module(name: str) -> str:
    """Return the module that holds an imported name: `degradation.pairs` for `smifbench.degradation.pairs.Pair`."""
    parts = name.split(".")[1:]
    while parts and not _is_folder(".".join(parts)) and not PACKAGE.joinpath(*parts).with_suffix(".py").exists():
        parts.pop()
    return ".".join(parts) or "__init__"


WIDTH, MARGIN, GAP, FLOOR_GAP = 860, 12, 28, 26
"""Pixels: of the whole picture, around it, between rooms of a floor, and between floors."""
HEAD, LINE, FOOT, PAD = 24, 17, 7, 12
"""Pixels in a box: its name, a line of text, what is left below it and on both sides."""
LETTER = 7.3
"""Pixels of a letter of the modules' names; letters of the sentences are narrower."""
LANE, CORNER = 6, 40
"""Pixels: from the middle, of arrows that pass a floor; from a box's side, of those that come from beside it."""

STYLE = (
    "text{font-family:system-ui,'Segoe UI',Helvetica,Arial,sans-serif;fill:#1f2328}"
    ".paper{fill:#fdfcf9}.box{fill:#fff;stroke:#c9c4b8}.head{fill:#00639c}.plugins .head{fill:#b34700}"
    ".name{font-size:15px;font-weight:600}.about{font-size:13px;fill:#4a5159}"
    ".modules{font-family:ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;font-size:12px;fill:#00507f}"
    ".plugins .modules{fill:#b34700}.arrow{fill:none;stroke:#5c636b;stroke-width:1.6}.tip{fill:#5c636b}"
)


def picture() -> str:
    """Text of the picture."""
    modules = imports()
    rooms = between_rooms(modules)
    levels, lead = floors(rooms), arrows(rooms)
    boxes = _boxes(_without_crossings(levels, lead), modules)
    height = max(box.bottom for floor in boxes for box in floor) + MARGIN
    size = f'width="{WIDTH}" height="{height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {WIDTH} {height}">',
            "<title>Rooms of smifbench: an arrow leads from a room to one that imports from it</title>",
            f"<style>{STYLE}</style>",
            f'<rect class="paper" {size} rx="6"/>',
            *_drawn_arrows(lead, boxes),
            *(line for floor in boxes for box in floor for line in _drawn_box(box)),
            "</svg>\n",
        ]
    )


def main() -> None:
    """Write the picture."""
    PICTURE.write_text(picture(), encoding="utf-8")


def _without_crossings(levels: list[list[str]], lead: list[tuple[str, str]]) -> list[list[str]]:
    """Order each floor by where what its rooms import from stands on the floor above."""
    place: dict[str, float] = {}
    ordered = []
    for level in levels:
        above = {room: [place[other] for other, below in lead if below == room and other in place] for room in level}
        ordered.append(sorted(level, key=lambda room: sum(above[room]) / max(1, len(above[room]))))
        place = {room: (number + 0.5) / len(level) for number, room in enumerate(ordered[-1])}
    return ordered


def _boxes(levels: list[list[str]], modules: Iterable[str]) -> list[list[Box]]:
    boxes, top = [], MARGIN
    for level in levels:
        width = (WIDTH - 2 * MARGIN - GAP * (len(level) - 1)) // len(level)
        row = [_box(room, MARGIN + number * (width + GAP), top, width, modules) for number, room in enumerate(level)]
        height = max(box.height for box in row)
        boxes.append([Box(box.room, box.left, top, width, height, box.about, box.modules) for box in row])
        top += height + FLOOR_GAP
    return boxes


def _box(room: str, left: int, top: int, width: int, modules: Iterable[str]) -> Box:
    within = [module for module in modules if room_of(module) == room and not _is_folder(module)]
    names = [module if room in PLUGINS else module.removeprefix(f"{room}.").replace(".", "/") for module in within]
    letters = int((width - 2 * PAD) / LETTER)
    sentence, listed = textwrap.wrap(about(room), letters), textwrap.wrap("  ".join(names), letters)
    return Box(room, left, top, width, HEAD + LINE * len(sentence + listed) + FOOT, sentence, listed)


def _drawn_box(box: Box) -> Iterator[str]:
    left, base = box.left + PAD, box.top + 21
    yield f'<g class="{"plugins" if box.room in PLUGINS else "room"}">'
    yield f'<rect class="box" x="{box.left}" y="{box.top}" width="{box.width}" height="{box.height}" rx="5"/>'
    yield f'<rect class="head" x="{box.left}" y="{box.top}" width="4" height="{box.height}" rx="2"/>'
    yield f'<text class="name" x="{left}" y="{base}">{escape(box.room)}</text>'
    for kind, line in [("about", line) for line in box.about] + [("modules", line) for line in box.modules]:
        base += LINE
        yield f'<text class="{kind}" x="{left}" y="{base}" xml:space="preserve">{escape(line)}</text>'
    yield "</g>"


def _drawn_arrows(lead: list[tuple[str, str]], boxes: list[list[Box]]) -> Iterator[str]:
    """Arrows from floor to floor; those over several floors pass behind the boxes, through the gap in the middle."""
    at = {box.room: (number, box) for number, floor in enumerate(boxes) for box in floor}
    for start, end in lead:
        (upper, first), (lower, last) = at[start], at[end]
        passed = boxes[upper + 1 : lower]
        lane = WIDTH // 2 + (LANE if first.left > last.left else -LANE)
        x, end_x = (_near(first, lane), _near(last, lane)) if passed else (_facing(first, last), _facing(last, first))
        points = [(x, first.bottom)]
        points += [(lane, y) for floor in passed for y in (floor[0].top, floor[0].bottom)]
        points.append((end_x, last.top - 5))
        line = f"M{x} {first.bottom}"
        for (x_above, y_above), (x, y) in pairwise(points):
            half = (y_above + y) // 2
            line += f"C{x_above} {half} {x} {half} {x} {y}"
        yield f'<path class="arrow" d="{line}"/><path class="tip" d="M{end_x} {last.top - 1}l-4.5 -8h9z"/>'


def _facing(box: Box, other: Box) -> int:
    """X coordinate at which an arrow between two boxes meets the first: straight where one is above the other."""
    left, right = max(box.left, other.left), min(box.right, other.right)
    return (left + right) // 2 if left < right else _near(box, other.left)


def _near(box: Box, x: int) -> int:
    """X coordinate in a box towards `x`."""
    return max(box.left + CORNER, min(x, box.right - CORNER))


if __name__ == "__main__":
    main()
