"""How methods, data sets and settings are called in print. Titles are to be read: what belongs together, names tell."""

import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping

import pandas as pd

Printed = Callable[[str], str]
"""What is left of a title in print, "?" for each letter that the font lacks."""


def plain(title: str) -> str:
    """Return a title as a page shows it: one way to write each letter, single spaces.

    Examples
    --------
    >>> plain("Own   scene ")
    'Own scene'
    """
    return " ".join(unicodedata.normalize("NFKC", title).split())


def distinct(titles: Mapping[str, str], printed: Printed = plain) -> dict[str, str]:
    """Tell titles apart that look alike in print, or lose letters there: the name follows in brackets.

    A name stands for an empty title.

    Examples
    --------
    >>> distinct({"field": "Own scene", "mine": "Own scene", "cave": "CAVE"})
    {'field': 'Own scene (field)', 'mine': 'Own scene (mine)', 'cave': 'CAVE'}
    """
    told = {name: title if plain(title) else name for name, title in titles.items()}
    lost = {name for name, title in told.items() if printed(title).count("?") > title.count("?")}
    told = {name: f"{title} ({name})" if name in lost else title for name, title in told.items()}
    while len(counts := Counter(map(printed, told.values()))) < len(told):
        alike = {name for name, title in told.items() if counts[printed(title)] > 1}
        told = {name: f"{title} ({name})" if name in alike else title for name, title in told.items()}
    return told


def variant_title(title: str, variant: str) -> str:
    """Title of a method's variant, from that of the method.

    Examples
    --------
    >>> variant_title("SMIF-NET", "no_csca"), variant_title("SMIF-NET", "default")
    ('SMIF-NET no csca', 'SMIF-NET')
    """
    return title if variant == "default" else f"{title} {variant.replace('_', ' ')}"


def distinct_methods(titles: Mapping[str, str], printed: Printed = plain) -> dict[str, str]:
    """`distinct` for titles by "method/variant"; a method alone stands for its variant "default"."""
    told = distinct({key.removesuffix("/default"): title for key, title in titles.items()}, printed)
    return {key: told[key.removesuffix("/default")] for key in titles}


def method_titles(experiment: Mapping, printed: Printed = plain) -> dict[str, str]:
    """Titles by "method/variant" in an experiment (the contents of `experiment.json`), no two alike."""
    return distinct_methods({key: about["title"] for key, about in experiment["methods"].items()}, printed)


def dataset_titles(experiment: Mapping, printed: Printed = plain) -> dict[str, str]:
    """Titles of an experiment's data sets by their names, no two alike."""
    return distinct({name: about["title"] for name, about in experiment["datasets"].items()}, printed)


def title_of(experiment: Mapping, name: str, printed: Printed = plain) -> str:
    """Title of a "method" or "method/variant"; its name where the experiment does not hold it."""
    return method_titles(experiment, printed).get(name if "/" in name else f"{name}/default", name)


def named(rows: pd.DataFrame, experiment: Mapping, printed: Printed = plain) -> pd.DataFrame:
    """Add what charts and the report need of names.

    `name` is "method/variant", by which methods are told apart. `title` of the method, `dataset_title`, and `setting`,
    which has the ratio, are for print. What the experiment does not hold keeps its name.
    """
    names = rows.method + "/" + rows.variant
    datasets = rows.dataset.map(dataset_titles(experiment, printed)).astype("string").fillna(rows.dataset)
    return rows.assign(
        name=names,
        title=names.map(method_titles(experiment, printed)).astype("string").fillna(names.str.removesuffix("/default")),
        dataset_title=datasets,
        setting=datasets + ", ratio " + rows.ratio.astype(str),
    )
