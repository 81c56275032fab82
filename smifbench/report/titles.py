"""How methods, data sets and settings are called in print."""

from collections.abc import Mapping

import pandas as pd


def variant_title(title: str, variant: str) -> str:
    """Title of a method's variant, from that of the method.

    Examples
    --------
    >>> variant_title("SMIF-NET", "no_csca"), variant_title("SMIF-NET", "default")
    ('SMIF-NET no csca', 'SMIF-NET')
    """
    return title if variant == "default" else f"{title} {variant.replace('_', ' ')}"


def method_titles(experiment: Mapping) -> dict[str, str]:
    """Titles by "method/variant" in an experiment (the contents of `experiment.json`)."""
    return {key: about["title"] for key, about in experiment["methods"].items()}


def dataset_titles(experiment: Mapping) -> dict[str, str]:
    """Titles of an experiment's data sets by their names."""
    return {name: about["title"] for name, about in experiment["datasets"].items()}


def title_of(experiment: Mapping, name: str) -> str:
    """Title of a "method" or "method/variant"; its name where the experiment does not hold it."""
    return method_titles(experiment).get(name if "/" in name else f"{name}/default", name)


def named(rows: pd.DataFrame, experiment: Mapping) -> pd.DataFrame:
    """Add what charts and the report print: `title` of the method, `dataset_title`, and `setting`, which has the ratio.

    What the experiment does not hold keeps its name.
    """
    keys = rows.method + "/" + rows.variant
    datasets = rows.dataset.map(dataset_titles(experiment)).fillna(rows.dataset)
    return rows.assign(
        title=keys.map(method_titles(experiment)).fillna(keys.str.removesuffix("/default")),
        dataset_title=datasets,
        setting=datasets + ", ratio " + rows.ratio.astype(str),
    )
