"""Statistics of differences between methods: tests, ranks, intervals, and sentences on what the tests found."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import scipy  # loads its statistics when they are first used, which takes half a second

from smifbench.errors import UserError, unknown
from smifbench.evaluation.columns import CELL
from smifbench.evaluation.likeness import SETTING, refuse_unlike
from smifbench.metrics import METRICS

ALPHA = 0.05
"""Level of every test, and one minus the coverage of every interval."""

REFERENCE = "smif_net"
"""Method that the others are compared with where nobody names another."""

BETTER, WORSE, ALIKE, TOO_FEW = "reference is better", "reference is worse", "no difference shown", "too few pairs"
"""Verdicts of a test; a colon and the reason follow the last one."""

DIGITS = 10
"""Decimals of a difference: what lies below is rounding, which would split ties."""


def reference_of(experiment: Mapping) -> str:
    """Return the "method" or "method/variant" that an experiment (the contents of `experiment.json`) compares with."""
    return experiment.get("reference", REFERENCE)


def has_rows(df: pd.DataFrame, name: str) -> bool:
    """Whether a "method" or "method/variant" has rows; a method alone stands for its variant "default"."""
    method, variant = _split(name)
    return bool(((df.method == method) & (df.variant == variant)).any())


def significance(df: pd.DataFrame, reference: str = REFERENCE, metric: str = "psnr") -> pd.DataFrame:
    """Compare every method with the reference by Wilcoxon's signed-rank test over scenes.

    The unit of analysis is the scene: a pair is the means of both methods over their seeds on one scene. Seeds of one
    scene are not independent of each other, so they are no pairs of their own. Pairs without a difference are left out
    of the ranks, and differences of one size share theirs. Holm's correction (1979) is over the methods of one setting.

    Parameters
    ----------
    df
        Rows as from `load_results`, with the same scenes for all methods of a setting.
    reference
        Method or "method/variant" that the others are compared with.
    metric
        Column such as "psnr" or "paper_sam".

    Returns
    -------
    DataFrame
        A row for each setting and other method: `dataset`, `protocol`, `ratio`, `method`, `variant`, `pairs`,
        `median_difference` (method minus reference, in the metric's unit), two-sided `p`, `p_holm`, `significant`
        (`p_holm` < 0.05), and `verdict`: "reference is better", "reference is worse", "no difference shown", or
        "too few pairs: ..." where even a difference of one sign in all pairs would not be significant.

    Raises
    ------
    UserError
        For an unknown metric, where the reference has no rows, and for rows that do not compare.

    Examples
    --------
    >>> tests = significance(df, metric="sam")  # doctest: +SKIP
    >>> tests[tests.significant].groupby("method").size()  # doctest: +SKIP
    """
    if metric not in METRICS:
        raise unknown("metric", metric, METRICS)
    if not has_rows(df, reference):
        raise UserError(f"no rows of the reference {reference}; pass one of {_names(df)} as reference=")
    refuse_unlike(df)
    rows = [
        {**dict(zip(SETTING, setting, strict=True)), **test}
        for setting, block in df.groupby(SETTING, sort=False)
        for test in _tests(block, metric, _split(reference))
    ]
    columns = [*CELL, "pairs", "median_difference", "p", "p_holm", "significant", "verdict"]
    return pd.DataFrame(rows, columns=columns)


def ranks(df: pd.DataFrame, metric: str = "psnr") -> pd.DataFrame:
    """Rank the methods on every test scene, with the difference of mean ranks that is significant.

    A block is a scene: methods are ranked by their means over seeds in each of its settings, then by their mean rank
    over these, as the same scene under other protocols and ratios is no other scene. A method that lacks all scenes of
    a setting that others have is left out, then a scene of a setting that lacks a method.

    Returns
    -------
    DataFrame
        Index (method, variant), best first: `rank` (mean over blocks, 1 is best, ties share), `blocks`, `friedman_p`
        (that all methods are alike) and `critical_difference` (Nemenyi's, at 0.05; Demsar 2006); the last three are the
        same in all rows, NaN where there are too few methods or blocks.

    Raises
    ------
    UserError
        For an unknown metric, and for rows that do not compare.

    Examples
    --------
    >>> ranks(df, "sam").query("rank < 3")  # doctest: +SKIP
    """
    if metric not in METRICS:
        raise unknown("metric", metric, METRICS)
    refuse_unlike(df)
    table = _scene_means(df, metric).dropna(how="all")
    everywhere = table.notna().groupby(level=SETTING, sort=False).any().all()
    table = table.loc[:, everywhere].dropna()
    in_settings = table.rank(axis=1, ascending=not METRICS[metric].higher_better)
    ranked = in_settings.groupby(level=["dataset", "scene"], sort=False).mean().round(DIGITS).rank(axis=1)
    blocks, methods = ranked.shape
    result = ranked.mean().rename("rank").to_frame().sort_values("rank", kind="stable")
    result["blocks"] = blocks
    # The test's chi-squared needs three methods; ranks that are all tied have no spread to test.
    testable = methods >= 3 and blocks >= 2 and ranked.nunique(axis=1).max() > 1
    result["friedman_p"] = scipy.stats.friedmanchisquare(*ranked.to_numpy().T).pvalue if testable else math.nan
    result["critical_difference"] = critical_difference(methods, blocks) if testable else math.nan
    return result


def critical_difference(methods: int, blocks: int) -> float:
    """Nemenyi's critical difference of mean ranks at level 0.05 (Demsar 2006, section 3.2.2).

    Examples
    --------
    >>> round(critical_difference(4, 14), 2)
    1.25
    """
    quantile = scipy.stats.studentized_range.ppf(1 - ALPHA, methods, np.inf) / math.sqrt(2)
    return float(quantile * math.sqrt(methods * (methods + 1) / (6 * blocks)))


def intervals(df: pd.DataFrame, metric: str = "psnr", *, resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Bootstrap intervals of the means over scenes and seeds.

    Scenes and seeds are resampled independently of each other (Owen 2007), so that the interval stands for other scenes
    of the kind and other seeds. Seeds that lack a scene are left out, and so are those that repeat another's values.

    Returns
    -------
    DataFrame
        A row for each dataset, protocol, ratio, method and variant: `mean`, `low` and `high` (95 %, percentiles),
        `scenes`, `seeds`. One scene and one seed have no interval: NaN.

    Raises
    ------
    UserError
        For an unknown metric, and for rows that do not compare.

    Examples
    --------
    >>> intervals(df, "sam").query("dataset == 'cave' and ratio == 4")  # doctest: +SKIP
    """
    if metric not in METRICS:
        raise unknown("metric", metric, METRICS)
    refuse_unlike(df)
    rows = []
    for cell, block in df.assign(**{metric: df[metric].where(df.status == "ok")}).groupby(CELL, sort=False):
        table = block.pivot(index="scene", columns="seed", values=metric).dropna(axis=1)
        values = table.T.drop_duplicates().T.to_numpy()
        low, high = _bootstrap(values, resamples, np.random.default_rng(seed))
        scenes, seeds = values.shape
        mean = values.mean() if seeds else math.nan
        rows.append([*cell, mean, low, high, scenes, seeds])
    return pd.DataFrame(rows, columns=[*CELL, "mean", "low", "high", "scenes", "seeds"])


def claims(
    df: pd.DataFrame, reference: str = REFERENCE, metric: str = "psnr", titles: Mapping[str, str] | None = None
) -> list[str]:
    """Say in a sentence for each method what `significance` found over all settings.

    One sentence says so where nothing could be tested. `titles` maps "method/variant" to a title for print.

    Examples
    --------
    >>> claims(df)  # doctest: +SKIP
    ['By PSNR, SMIF-NET is significantly better than PSRT on 4 of 6 settings, with too few pairs to tell on 2.', ...]
    """
    if metric not in METRICS:
        raise unknown("metric", metric, METRICS)
    name, label = _title(_split(reference), titles or {}), METRICS[metric].label
    if not has_rows(df, reference):
        return [f"By {label}, no method is tested against another: there are no rows of the reference {name}."]
    tests = significance(df, reference, metric).query("pairs > 0")
    if tests.empty:
        return [f"By {label}, no method is tested: none has a value on a scene on which {name} has one."]
    if tests.verdict.str.startswith(TOO_FEW).all():
        reason = tests.loc[tests.pairs.idxmax(), "verdict"].removeprefix(f"{TOO_FEW}: ")
        return [f"By {label}, no difference from {name} can be significant on {_settings(tests)}: {reason}."]
    others = tests.groupby(["method", "variant"], sort=False)
    return [f"By {label}, {_claim(name, _title(other, titles or {}), rows)}." for other, rows in others]


def holm(p: Sequence[float]) -> list[float]:
    """Correct p-values for their number by Holm's step-down method (1979).

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(np.asarray(p, float)[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(steps, 1)
    return corrected.tolist()


def _scene_means(df: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Mean over the seeds on every scene: a row for each scene of a setting, a column for each (method, variant)."""
    values = df[metric].where(df.status == "ok")
    keys = [*SETTING, "scene", "method", "variant"]
    return values.groupby([df[key] for key in keys], sort=False).mean().unstack(["method", "variant"])


def _tests(block: pd.DataFrame, metric: str, reference: tuple[str, str]) -> list[dict]:
    """Test every other method of one setting against the reference."""
    values = _scene_means(block, metric)
    if reference not in values:
        return []
    differences = {other: _differences(values[other], values[reference]) for other in values if other != reference}
    p = [_wilcoxon(difference) for difference in differences.values()]
    corrected = holm(p)
    return [
        {
            **dict(zip(["method", "variant"], other, strict=True)),
            "pairs": len(difference),
            "median_difference": difference.median(),
            "p": p[index],
            "p_holm": corrected[index],
            "significant": corrected[index] < ALPHA,
            "verdict": _verdict(difference, corrected[index], len(p), METRICS[metric].higher_better),
        }
        for index, (other, difference) in enumerate(differences.items())
    ]


def _differences(ours: pd.Series, reference: pd.Series) -> pd.Series:
    """Differences of the pairs in which both have a value; 0 where the two are the same, infinite or not."""
    pairs = ours.notna() & reference.notna()
    return (ours - reference).mask(ours == reference, 0.0)[pairs].round(DIGITS)


def _wilcoxon(difference: pd.Series) -> float:
    if not difference.any():
        return 1.0  # no pairs, or all alike
    return float(scipy.stats.wilcoxon(difference).pvalue)


def _verdict(difference: pd.Series, p: float, tests: int, higher_better: bool) -> str:
    if difference.empty:
        return f"{TOO_FEW}: there are none"
    if p < ALPHA:
        return BETTER if (difference.median() < 0) == higher_better else WORSE
    ranked = int((difference != 0).sum())
    smallest = smallest_p(ranked)
    if ranked and smallest * tests >= ALPHA:
        alike = f", {len(difference) - ranked} of them alike," if ranked < len(difference) else ""
        pairs = f"{len(difference)} pair{'' if len(difference) == 1 else 's'}{alike}"
        corrected = f", {min(1, smallest * tests):.2g} after Holm's correction" if smallest < ALPHA else ""
        return f"{TOO_FEW}: with {pairs} the smallest possible p is {smallest:.2g}{corrected}"
    return ALIKE


def smallest_p(pairs: int) -> float:
    """Smallest two-sided p that Wilcoxon's test can give: all differences of one sign.

    Examples
    --------
    >>> smallest_p(5)
    0.0625
    """
    return 2.0 ** (1 - pairs)


def _bootstrap(values: np.ndarray, resamples: int, generator: np.random.Generator) -> tuple[float, float]:
    """Percentiles of the means of `values` (scenes, seeds) with rows and columns resampled."""
    if values.size < 2:
        return math.nan, math.nan
    scenes, seeds = (generator.integers(size, size=(resamples, size)) for size in values.shape)
    means = values[scenes[:, :, None], seeds[:, None, :]].mean(axis=(1, 2))
    low, high = np.percentile(means, [50 * ALPHA, 100 - 50 * ALPHA])
    return float(low), float(high)


def _claim(reference: str, other: str, rows: pd.DataFrame) -> str:
    """Sum up one method's tests over all settings."""
    counts = rows.verdict.str.partition(":")[0].value_counts()
    parts = [f"{reference} is significantly better than {other} on {counts.get(BETTER, 0)} of {_settings(rows)}"]
    parts += [
        f"{words} on {counts[verdict]}"
        for verdict, words in (
            (WORSE, "significantly worse"),
            (ALIKE, "not distinguishable from it"),
            (TOO_FEW, "with too few pairs to tell"),
        )
        if verdict in counts
    ]
    return ", ".join(parts)


def _settings(rows: pd.DataFrame) -> str:
    count = len(rows[SETTING].drop_duplicates())
    return f"{count} setting{'' if count == 1 else 's'}"


def _split(name: str) -> tuple[str, str]:
    """Split "method/variant" or "method"."""
    method, _, variant = name.partition("/")
    return method, variant or "default"


def _names(df: pd.DataFrame) -> str:
    """Every "method" and "method/variant" that has rows."""
    keys = df[["method", "variant"]].drop_duplicates().itertuples(index=False, name=None)
    return ", ".join(_title(key, {}) for key in keys)


def _title(key: tuple[str, str], titles: Mapping[str, str]) -> str:
    method, variant = key
    return titles.get(f"{method}/{variant}", method if variant == "default" else f"{method}/{variant}")
