"""Rewrite the tables of docs/config.md: `python maintenance/config_page.py`.

Keys come from the schema that checks configs; meanings and defaults of a recipe's fields from `smifbench.Recipe`, those
of a data set's options from its class; what the configs under `config/` are for from their first comments.
"""

import inspect
import re
from dataclasses import asdict
from itertools import takewhile

import yaml
from tracked import tracked

from smifbench import Recipe, plugins
from smifbench.experiment.config import SCHEMA
from smifbench.system.files import write_text

PAGE = plugins.ROOT / "docs" / "config.md"
KINDS = {
    "object": "mapping",
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "`true` or `false`",
    "null": "`null`",
}
BOUNDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}


def main() -> None:
    """Rewrite the page."""
    write_text(PAGE, page(PAGE.read_text(encoding="utf-8")))


def page(text: str) -> str:
    """Return the page with all its tables as the code has them now."""
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    keys = schema["properties"]
    method = keys["methods"]["additionalProperties"]
    tables = {
        "keys": [row(key, about, key in schema["required"]) for key, about in keys.items()],
        "method": [row(key, about) for key, about in method["properties"].items()],
        "recipe": recipe_rows(schema["$defs"]["recipe"]["properties"]),
    }
    head = ["key", "type", "default", "meaning", "for example"]
    blocks = {name: _table(head, rows) for name, rows in tables.items()}
    blocks["datasets"] = _table(["data set", "option", "default", "meaning"], dataset_rows())
    blocks["configs"] = _table(["file", "what it is for"], configs())
    for name, lines in blocks.items():
        before, _, rest = text.partition(f"<!-- {name} -->\n")
        text = "\n".join([f"{before}<!-- {name} -->", *lines, rest[rest.index("<!-- end -->") :]])
    return text


def row(key: str, about: dict, required: bool = False) -> list[str]:
    """One row of a table of keys: name, type, default, meaning, the line to write."""
    default = "must be given" if required else code(about["default"]) if about.get("default", "") != "" else ""
    return [f"`{key}`", kind(about), default, about["description"], f"`{key}: {flow(about['examples'][0])}`"]


def recipe_rows(fields: dict[str, dict]) -> list[list[str]]:
    """One row a field of a recipe; where another field's description tells of it too, it refers to that one."""
    defaults, described = asdict(Recipe()), described_parameters(Recipe)
    rows: list[list[str]] = []
    shown: dict[str, str] = {}
    for name, about in fields.items():
        meaning = described.get(name) or next(text for text in described.values() if f"`{name}`" in text)
        first = shown.setdefault(meaning, name)
        rows.append(row(name, about | {"default": defaults[name], "description": _seen(meaning, first, name)}))
    return rows


def dataset_rows() -> list[list[str]]:
    """One row an option of a data set in the repository, as its class describes it."""
    rows = []
    for path in tracked("datasets/*.py"):
        if path.stem.startswith("_"):
            continue
        described = described_parameters(plugins.dataset_class(path.stem))
        shown: dict[str, str] = {}
        for name, default in plugins.dataset_options(path.stem).items():
            first = shown.setdefault(described[name], name)
            text = "must be given" if default == "" else code(default)
            rows.append([f"`{path.stem}`", f"`{name}`", text, _seen(described[name], first, name)])
    return rows


def described_parameters(documented: type) -> dict[str, str]:
    """What a class's docstring says of each parameter, in one line of Markdown."""
    section = (inspect.getdoc(documented) or "").partition("Parameters\n----------\n")[2].partition("\n\n")[0]
    found = re.findall(r"^(\w[\w, ]*)\n((?:    .*\n?)+)", section, re.MULTILINE)
    return {name: _markdown(text) for names, text in found for name in names.split(", ")}


def _seen(meaning: str, first: str, name: str) -> str:
    return meaning if first == name else f"see `{first}`"


def _markdown(text: str) -> str:
    """Words of a docstring as a page on YAML has them: `null` for None, no quotes about text."""
    return re.sub(r"\bNone\b", "`null`", re.sub(r'`"([^"`]*)"`', r"`\1`", " ".join(text.split()))).replace("|", "\\|")


def kind(about: dict) -> str:
    """Return the type of a key in words, with its bounds."""
    if "enum" in about:
        return " or ".join(f"`{flow(value)}`" for value in about["enum"])
    if about.get("type") == "array":
        inner = kind(about["items"]).replace("text", "texts").replace("number", "numbers", 1)
        return f"list of {about['maxItems']} {inner}" if "maxItems" in about else f"list of {inner}"
    kinds = about.get("type", "object")
    words = [KINDS[name] for name in ([kinds] if isinstance(kinds, str) else kinds)]
    bounds = " and ".join(f"{word} {flow(about[bound])}" for bound, word in BOUNDS.items() if bound in about)
    words[0] = f"{words[0]} {bounds}".rstrip()
    return " or ".join(words)


def configs() -> list[list[str]]:
    """One row a config in the repository: its file, and the first comment in it."""
    rows = []
    for path in tracked("config/*.yaml"):
        lines = path.read_text(encoding="utf-8").splitlines()
        comment = " ".join(line.lstrip("# ") for line in takewhile(lambda line: line.startswith("#"), lines))
        rows.append([f"[`{path.name}`](../config/{path.name})", comment])
    return rows


def code(value: object) -> str:
    """Return a value's YAML as code in Markdown."""
    return f"`{flow(value)}`"


def flow(value: object) -> str:
    """Return a value's YAML on one line."""
    value = list(value) if isinstance(value, tuple) else value
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1000)
    return text.removesuffix("\n").removesuffix("\n...")


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


if __name__ == "__main__":
    main()
