"""A mistake in a config in one sentence, with the line to write instead."""

import dataclasses
import re

import yaml
from jsonschema import ValidationError

from smifbench import plugins
from smifbench.errors import UserError, unknown
from smifbench.method import Recipe

KINDS = {
    "object": "a mapping of keys to values",
    "array": "a list",
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "null": "null",
}
"""The types of JSON Schema, in words."""

LONGEST = 80
"""Letters of a value that is quoted; of a longer one an example is shown instead."""


def sentence(error: ValidationError) -> UserError:
    """Describe what a schema finds wrong: the key, what it holds, and the line to write."""
    path = list(error.absolute_path)
    where = ".".join(map(str, path))
    if error.validator == "additionalProperties" and error.schema.get("additionalProperties") is False:
        return _unknown_key(error, path)
    if error.validator == "required":
        key = next(key for key in error.validator_value if key not in error.instance)
        about = error.schema["properties"][key]
        return UserError(f"the key '{key}' is missing; {_example(key, about)}")
    if not path:
        return UserError(f"the config must be a mapping of keys to values, not {type(error.instance).__name__}")
    if error.validator == "type":
        return UserError(f"key '{where}'{_wrong_type(error.instance, error.schema)}; {_line(path[-1], error)}")
    hint = error.schema.get("description", "")
    return UserError(f"key '{where}': {error.message:.300}. {hint}".rstrip())


def _unknown_key(error: ValidationError, path: list[str | int]) -> UserError:
    """Describe a key that is not known where it stands; where it would be known elsewhere, show how to write it."""
    known = error.schema["properties"]
    key = next(key for key in error.instance if key not in known)
    place = _place(key, path)
    if not place:
        return unknown(f"key in {'.'.join(map(str, path))}" if path else "key", key, known)
    value = error.instance[key]
    text = (_scalar(value) or "...") if place[-1] not in ("methods", "datasets") else "{}"
    line = f"{key}: {text}"
    for outer in reversed(place):
        line = f"{outer}: {{{line}}}"
    return UserError(f"the key '{key}' does not belong {f'in {path[-1]}' if path else 'at the top'}; write `{line}`")


def _place(key: str, path: list[str | int]) -> list[str]:
    """Return the keys under which a misplaced key would be known; none where there is no such place."""
    recipe = {field.name for field in dataclasses.fields(Recipe)}
    if not path:
        folders = [folder for folder in ("methods", "datasets") if key in plugins.names(folder)]
        return folders[:1] or (["training"] if key in recipe else [])
    method = str(path[1]).partition("/")[0] if path[0] == "methods" and len(path) > 1 else ""
    if method in plugins.names("methods") and key in plugins.method_options(plugins.method_class(method)):
        return [str(path[1]), "options"]
    return [str(path[1]), "recipe"] if method and key in recipe else []


def _wrong_type(value: object, schema: dict) -> str:
    """Say what is wrong with a value of another type than its key takes."""
    kinds = _kinds(schema)
    if value is None:
        return " is empty"
    if isinstance(value, str) and kinds & {"integer", "number", "boolean"} and _rewritten(value, schema):
        return f": YAML reads {value} as text"
    found = _scalar(value) or f"a {type(value).__name__}"
    return f" must be {' or '.join(KINDS[kind] for kind in KINDS if kind in kinds)}, not {found}"


def _line(key: str | int, error: ValidationError) -> str:
    """Say what to write: the same value in the right form, or an example."""
    text = _rewritten(error.instance, error.schema)
    if text is None:
        return _example(key, error.schema)
    return f"write `{text}`" if isinstance(key, int) else f"write `{key}: {text}`"


def _example(key: str | int, schema: dict) -> str:
    text = yaml.safe_dump(schema["examples"][0], default_flow_style=True, sort_keys=False, width=1000)
    line = text.removesuffix("\n").removesuffix("\n...")
    return f"write for example `{line}`" if isinstance(key, int) else f"write for example `{key}: {line}`"


def _rewritten(value: object, schema: dict) -> str | None:
    """Return the YAML of a value in the type that its key takes; None where nobody can know what was meant."""
    kinds = _kinds(schema)
    if "array" in kinds and not isinstance(value, list):
        item = _rewritten(value, schema["items"]) if value is not None and schema.get("minItems", 1) == 1 else None
        return item and f"[{item}]"
    if "object" in kinds:
        return _mapping(value, schema)
    if {"integer", "number"} & kinds and isinstance(value, str | float):
        return _number(str(value), whole="number" not in kinds)
    if "boolean" in kinds and isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower()
    if "string" in kinds and isinstance(value, str | int | float):
        return _scalar(value if isinstance(value, str) else str(value).lower())
    return _scalar(value) if _is_of(value, kinds) else None


def _mapping(value: object, schema: dict) -> str | None:
    """A mapping from names to empty mappings for a list of names; an empty one for nothing, where it may be empty."""
    names = [value] if isinstance(value, str) else value
    if isinstance(schema.get("additionalProperties"), dict) and isinstance(names, list) and names:
        texts = [_scalar(name) for name in names]
        line = ", ".join(f"{text}: {{}}" for text in texts)
        return f"{{{line}}}" if all(texts) and len(line) <= LONGEST else None
    return "{}" if value in (None, []) and not schema.get("minProperties") else None


def _number(text: str, whole: bool) -> str | None:
    """Return a number as YAML reads it as one: `1.0e-3` for `1e-3`, `4` for `4.0` where it must be whole."""
    if not re.fullmatch(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*", text) or len(text) > LONGEST:
        return None
    if whole:
        return str(int(float(text))) if abs(float(text)) < 1e15 and float(text).is_integer() else None
    mantissa, e, exponent = text.strip().lower().partition("e")
    mantissa = mantissa if "." in mantissa or not e else f"{mantissa}.0"
    return f"{mantissa}{e}{exponent if exponent[:1] in ('', '-', '+') else f'+{exponent}'}"


def _scalar(value: object) -> str:
    """Return the YAML of a short text, number or truth value; nothing for all else."""
    if not isinstance(value, str | int | float):
        return ""
    text = yaml.safe_dump(value, width=1000, allow_unicode=True).removesuffix("\n").removesuffix("\n...")
    return text if len(text) <= LONGEST and "\n" not in text else ""


def _kinds(schema: dict) -> set[str]:
    kinds = schema.get("type", "string")  # keys of a few words have no type, which are text
    return {kinds} if isinstance(kinds, str) else set(kinds)


def _is_of(value: object, kinds: set[str]) -> bool:
    numbers = {"integer", "number"} & kinds
    return bool(numbers) and isinstance(value, int | float) and not isinstance(value, bool)
