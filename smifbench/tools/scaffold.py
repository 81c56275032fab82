"""Writes a new method's file from the skeleton that the tests keep working."""

import keyword
import re
from pathlib import Path

from smifbench import plugins
from smifbench.errors import UserError
from smifbench.places import INSTALLED, ROOT
from smifbench.system.files import write_text


def new_method(name: str) -> Path:
    """Write a small network that trains as a new method, and return the file's path.

    It is `methods/<name>.py` of the checkout where this is called in one, else of the current directory.

    Raises
    ------
    UserError
        When the name is no lower-case Python name, or such a method exists.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise UserError(f"'{name}' cannot name a method; use lower-case letters, digits and underscores")
    if name in plugins.names("methods"):
        raise UserError(f"{plugins.source('methods', name)} exists already; choose another name or edit it")
    words = name.split("_")
    text = (ROOT / "methods" / "_skeleton.py").read_text(encoding="utf-8")
    for old, new in {
        "Skeleton:": f"{name}:",
        "class Skeleton": f"class {''.join(word.capitalize() for word in words)}",
        'at_least(1, "skeleton"': f'at_least(1, "{name}"',
        'title = "Skeleton"': f'title = "{" ".join(words).title()}"',
        "2026skeleton": f"2026{''.join(words)}",
    }.items():
        text = text.replace(old, new, 1)
    here = Path.cwd()
    folder = ROOT if here.is_relative_to(ROOT) and not INSTALLED else here
    path = folder / "methods" / f"{name}.py"
    write_text(path, text)
    return path
