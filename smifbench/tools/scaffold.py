"""Writes a new method's file from the skeleton that the tests keep working."""

import keyword
import re
from pathlib import Path

from smifbench import plugins
from smifbench.errors import UserError
from smifbench.system.files import write_text


def new_method(name: str) -> Path:
    """Write `methods/<name>.py`, a small network that trains, and return its path.

    Raises
    ------
    UserError
        When the name is no lower-case Python name, or such a method exists.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise UserError(f"'{name}' cannot name a method; use lower-case letters, digits and underscores")
    path = plugins.ROOT / "methods" / f"{name}.py"
    if path.exists():
        raise UserError(f"methods/{name}.py exists already; choose another name or edit it")
    words = name.split("_")
    text = (plugins.ROOT / "methods" / "_skeleton.py").read_text(encoding="utf-8")
    text = text.replace("class Skeleton", f"class {''.join(word.capitalize() for word in words)}")
    text = text.replace('title = "Skeleton"', f'title = "{" ".join(words).title()}"').replace(
        "Skeleton:", f"{name}:", 1
    )
    write_text(path, text)
    return path
