"""Methods of a config whose estimates were made elsewhere: `their_net: {estimates: path/to/folder}`."""

import re
import string
from collections.abc import Mapping, Sequence
from pathlib import Path

from smifbench import plugins
from smifbench.errors import UserError, unknown
from smifbench.run import Run

KEYS = ("estimates", "title", "variable", "band_axis", "scale", "cost")
"""Keys of a method that only stand beside `estimates`, it included."""

PLACES = ("dataset", "protocol", "ratio")
"""What the path of a folder of estimates may hold in braces."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
"""What such a method may be called, for its name is one of folders."""


def folder_of(about: Mapping, run: Run) -> Path:
    """Return the folder of a run's estimates; `about` is what the config says of its method."""
    return Path(about["estimates"].format(**{place: getattr(run, place) for place in PLACES})).expanduser()


def title_of(method: str, about: Mapping) -> str:
    """Return what tables, figures and the report call such a method, without its variant."""
    return str(about.get("title", method))


def reading_of(about: Mapping) -> dict:
    """Return how its files are read: the fields of `smifbench.evaluation.estimates.Reading` that the config states."""
    return {key: about[key] for key in ("variable", "band_axis", "scale") if key in about}


def check_external(key: str, about: Mapping, ratios: Sequence, protocols: Sequence, scenes: Mapping[str, list]) -> None:
    """Refuse what cannot be right of a method, whether or not its estimates come from outside.

    Parameters
    ----------
    key, about
        The method as "method/variant", and what the config says of it.
    ratios, protocols, scenes
        Those of the experiment; `scenes` are the test scenes by data set.

    Raises
    ------
    UserError
        One sentence with the key and the remedy.
    """
    where = f"methods.{key.removesuffix('/default')}"
    method = key.partition("/")[0]
    if "estimates" not in about:
        for other in KEYS:
            if other in about:
                raise UserError(f"{where}: {other} goes with estimates; name their folder, or drop {other}")
        return
    if method in plugins.names("methods"):
        raise UserError(
            f"{where}: {method} is a method of the suite; call estimates from outside otherwise, such as their_{method}"
        )
    if not NAME.fullmatch(method):
        raise UserError(f"{where}: call the method by letters, digits, dots, dashes and the like; title is free")
    if about["options"] or about["recipe"]:
        raise UserError(f"{where}: options and recipe are of methods that run here; drop them beside estimates")
    named = _places(where, about["estimates"])
    for place, several in (("ratio", ratios), ("protocol", protocols)):
        if len(several) > 1 and place not in named:
            raise UserError(
                f"{where}: the experiment has {place}s {', '.join(map(str, several))}, whose estimates differ; write "
                f"{{{place}}} in estimates where the path has it"
            )
    names = [scene for several in scenes.values() for scene in several]
    if len(set(names)) < len(names) and "dataset" not in named:
        raise UserError(
            f"{where}: test scenes of {' and '.join(scenes)} have the same names; write {{dataset}} in estimates where "
            "the path has it"
        )
    if len(scenes) * len(ratios) > 1 and set(about.get("cost", {})) - {"params"}:
        raise UserError(f"{where}: a cost is of one data set and ratio, and there are several; state params alone")


def _places(where: str, template: str) -> set[str]:
    """Return what stands in braces in a path."""
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise UserError(f"{where}: estimates is no path: {error}") from error
    named = {field for _, field, _, _ in parts if field is not None}
    for field in named - {*PLACES}:
        raise unknown(f"place in {where}.estimates", field, PLACES)
    if any(form or conversion for _, _, form, conversion in parts):
        raise UserError(f"{where}: write no more than the name of a place between the braces of estimates")
    if "{{" in template or "}}" in template:
        raise UserError(f"{where}: estimates holds braces that name no place; rename the folder")
    return named
