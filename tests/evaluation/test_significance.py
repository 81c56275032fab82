"""Tests, ranks, intervals and the sentences about them."""

import doctest
import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import smifbench.evaluation.significance
from smifbench.errors import UserError
from smifbench.evaluation.columns import METRICS_COLUMNS
from smifbench.evaluation.significance import (
    claims,
    critical_difference,
    holm,
    intervals,
    ranks,
    reference_of,
    significance,
)
from smifbench.metrics import METRICS


def rows(psnr, scenes=4, seeds=3, **changes):
    """Rows of each method: `psnr[method]` is a number or a function of (scene, seed); None is a failure."""
    table = []
    for (method, value), scene, seed in itertools.product(psnr.items(), range(scenes), range(seeds)):
        found = value(scene, seed) if callable(value) else value
        table.append(
            dict.fromkeys(METRICS, found)
            | {"experiment": "e", "dataset": "cave", "protocol": "p/1", "ratio": 4, "method": method}
            | {"variant": "default", "seed": seed, "scene": f"s{scene}", "status": "failed" if found is None else "ok"}
            | changes
        )
    return pd.DataFrame(table).reindex(columns=METRICS_COLUMNS).astype(dict.fromkeys(METRICS, float))


def noise(scale, shift=0.0, salt=0):
    return lambda scene, seed: shift + scale * np.random.default_rng([scene, seed, salt]).standard_normal()


def one(table, method):
    return table[table.method == method].iloc[0]


def test_docstring_examples():
    assert doctest.testmod(smifbench.evaluation.significance).failed == 0


# significance


def test_p_is_wilcoxons_over_scenes_each_the_mean_of_its_seeds():
    ours, other = noise(1.0, 40.0, 1), noise(1.0, 39.5, 2)
    table = rows({"smif_net": ours, "psrt": other}).sample(frac=1, random_state=0)  # order must not matter
    found = one(significance(table), "psrt")
    pairs = [np.mean([other(scene, seed) - ours(scene, seed) for seed in range(3)]) for scene in range(4)]
    assert found.pairs == 4
    assert found.p == stats.wilcoxon(pairs).pvalue
    assert found.median_difference == pytest.approx(np.median(pairs))


def test_a_reference_without_randomness_is_not_paired_with_the_seeds_of_others():
    """Four scenes are four pairs, whose smallest p is 0.125, however many seeds a third method has."""
    fixed = {"bicubic": lambda scene, seed: 30.0 + scene, "gsa": lambda scene, seed: 31.0 + scene + 0.1 * scene**2}
    table = rows({**fixed, "smif_net": noise(1.0, 32.0)})
    table = table[(table.method == "smif_net") | (table.seed == 0)]
    found = one(significance(table, "gsa"), "bicubic")
    assert (found.pairs, found.p, found.significant) == (4, 0.125, False)
    assert one(significance(table, "gsa"), "smif_net").pairs == 4


def test_identical_runs_under_several_seeds_count_once():
    table = rows({"smif_net": lambda scene, seed: 40.0 + 0.1 * scene, "cnmf": lambda scene, seed: 39.0 - 0.3 * scene})
    assert one(significance(table), "cnmf").p == 0.125
    found = intervals(table)
    assert found.seeds.tolist() == [1, 1]
    assert found.low.equals(intervals(table[table.seed == 0]).low)


@pytest.mark.parametrize(
    "differences",
    [
        [1, 1, 2, 3, 4],
        [1, 1, 1, 1, 1],
        [1, 1, 1, 1, 1, -0.5],
        [0, 0, 1, 2, 3, 4, 5],
        [0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6],
        [2, -2, 2, 2, 2, 2, 2],
    ],
)
def test_ties_share_their_ranks_and_equal_pairs_have_none(differences):
    """p against all signs that the ranks may have; 0.1 and 1e7 make differences unequal that are not."""
    found = one(
        significance(
            rows({"smif_net": 0.1, "psrt": lambda scene, seed: 0.1 + differences[scene]}, scenes=len(differences))
        ),
        "psrt",
    )
    sizes = stats.rankdata([abs(value) for value in differences if value])
    signs = [value > 0 for value in differences if value]

    def distance(positive):
        return abs(sizes[np.array(positive)].sum() - sizes.sum() / 2)

    every = [distance(positive) for positive in itertools.product([False, True], repeat=len(sizes))]
    assert found.p == pytest.approx(np.mean(np.array(every) >= distance(signs) - 1e-9))
    assert found.pairs == len(differences)


def test_pairs_that_are_alike_cannot_make_a_difference_significant():
    table = rows({"smif_net": 40.0, "psrt": lambda scene, seed: 40.0 - max(0, scene - 3)}, scenes=8)
    assert one(significance(table), "psrt").verdict == (
        "too few pairs: with 8 pairs, 4 of them alike, the smallest possible p is 0.12"
    )


def test_seeds_that_average_to_the_same_are_alike():
    """(x + x + x) / 3 need not be x to the last bit, and is no difference."""
    table = rows(
        {"smif_net": lambda scene, seed: 40.1 + scene / 7, "gsa": lambda scene, seed: 40.1 + scene / 7}, scenes=9
    )
    found = one(significance(table[(table.method == "smif_net") | (table.seed == 0)]), "gsa")
    assert (found.p, found.verdict) == (1.0, "no difference shown")


def test_holms_correction_is_over_the_methods_of_a_setting():
    methods = {"smif_net": 40.0, **{name: noise(1.0, 39.5, salt) for salt, name in enumerate(["a", "b", "c"])}}
    table = rows(methods)
    tests = significance(pd.concat([table, table.assign(ratio=8)]))
    for _, block in tests.groupby("ratio"):
        assert block.p_holm.tolist() == holm(block.p.tolist())
    assert len(tests) == 6


@pytest.mark.parametrize("seed", range(5))
def test_holm_rejects_what_its_definition_rejects(seed):
    p = np.random.default_rng(seed).random(8) ** 4
    corrected = holm(p)
    for alpha in (0.01, 0.05, 0.3):
        rejected = set()
        for step, index in enumerate(np.argsort(p)):
            if p[index] > alpha / (len(p) - step):
                break
            rejected.add(index)
        assert {index for index, value in enumerate(corrected) if value <= alpha} == rejected


@pytest.mark.parametrize(("metric", "verdict"), [("psnr", "reference is better"), ("sam", "reference is worse")])
def test_verdict_goes_by_the_metrics_direction(metric, verdict):
    found = one(significance(rows({"smif_net": 40.0, "psrt": noise(0.1, 30.0)}, scenes=6), metric=metric), "psrt")
    assert found.significant
    assert found.verdict == verdict


def test_equal_methods_differ_by_nothing():
    found = one(significance(rows({"smif_net": 40.0, "psrt": 40.0})), "psrt")
    assert (found.p, found.median_difference, found.verdict) == (1.0, 0.0, "no difference shown")
    exact = rows({"smif_net": np.inf, "psrt": np.inf})
    assert one(significance(exact), "psrt").p == 1.0


def test_too_few_pairs_are_told_with_the_smallest_p():
    found = one(significance(rows({"smif_net": 40.0, "psrt": 30.0}, scenes=3)), "psrt")
    assert found.verdict == "too few pairs: with 3 pairs the smallest possible p is 0.25"
    many = {"smif_net": 40.0} | {name: noise(0.1, 30.0, salt) for salt, name in enumerate("abcdefghij")}
    found = one(significance(rows(many, scenes=6)), "a")
    assert found.p == 2 ** (1 - 6)
    assert found.verdict.endswith("smallest possible p is 0.031, 0.31 after Holm's correction")


def test_a_scene_counts_where_any_seed_has_a_value():
    failed = rows({"smif_net": 40.0, "psrt": lambda scene, seed: None if seed or not scene else 39.0})
    assert one(significance(failed), "psrt").pairs == 3


def test_a_reference_that_was_not_run_is_told():
    with pytest.raises(UserError, match="no rows of the reference smif_net; pass one of psrt, gsa as reference="):
        significance(rows({"psrt": 1.0, "gsa": 2.0}))
    assert claims(rows({"psrt": 1.0})) == [
        "By PSNR, no method is tested against another: there are no rows of the reference smif_net."
    ]
    assert one(significance(rows({"psrt": 1.0, "gsa": 2.0}), "gsa"), "psrt").pairs == 4
    with pytest.raises(UserError, match=r"unknown metric 'psmr'; did you mean 'psnr'\?"):
        significance(rows({"smif_net": 1.0}), metric="psmr")


# ranks


def test_ranks_are_means_over_scenes_with_ties_shared():
    table = rows({"a": lambda scene, seed: 10.0 + scene % 2, "b": 10.0, "c": 9.0, "d": 50.0}, scenes=2)
    ranked = ranks(table)
    assert ranked["rank"].droplevel("variant").to_dict() == {"d": 1.0, "a": 2.25, "b": 2.75, "c": 4.0}
    assert set(ranked.blocks) == {2}, "seeds of a scene are averaged"
    assert ranks(table, "sam")["rank"].index[0][0] == "c"


def test_friedmans_test_and_critical_difference_are_scipys_and_demsars():
    table = rows({name: noise(1.0, 40.0 + i, i) for i, name in enumerate("abcde")}, scenes=10, seeds=1)
    ranked = ranks(table)
    samples = table.pivot(index="scene", columns="method", values="psnr").to_numpy().T
    assert ranked.friedman_p.iloc[0] == pytest.approx(stats.friedmanchisquare(*samples).pvalue)
    # Demsar's table 5: q(0.05) of 5 classifiers is 2.728.
    assert ranked.critical_difference.iloc[0] == pytest.approx(2.728 * np.sqrt(5 * 6 / (6 * 10)), abs=0.001)
    assert critical_difference(10, 1) == pytest.approx(3.164 * np.sqrt(10 * 11 / 6), abs=0.003)


def test_a_scene_at_several_ratios_and_under_several_protocols_is_one_block():
    """One scene in four settings is no four scenes: three methods on it cannot differ significantly."""
    one_scene = rows({"a": 3.0, "b": 2.0, "c": 1.0}, scenes=1)
    settings = [one_scene.assign(ratio=ratio, protocol=protocol) for ratio in (4, 8) for protocol in ("p/1", "q/1")]
    ranked = ranks(pd.concat(settings, ignore_index=True))
    assert set(ranked.blocks) == {1}
    assert ranked.friedman_p.isna().all()
    other = rows({"a": 1.0, "b": 2.0, "c": 3.0}, scenes=1, dataset="harvard")
    ranked = ranks(pd.concat([*settings, other], ignore_index=True))
    assert ranked["rank"].tolist() == [2, 2, 2], "the scene of another data set counts as much"
    assert set(ranked.blocks) == {2}


def test_a_method_that_misses_a_setting_is_left_out_of_the_ranks():
    table = pd.concat([rows({"a": 3.0, "b": 2.0, "c": 1.0}), rows({"a": 3.0, "b": 2.0}, ratio=8)])
    assert [method for method, _ in ranks(table).index] == ["a", "b"]
    failed = rows({"a": 3.0, "b": 2.0, "c": lambda scene, seed: None if scene == 0 else 1.0})
    assert len(ranks(failed)) == 3
    assert set(ranks(failed).blocks) == {3}


# intervals


def test_intervals_hold_the_mean_and_repeat_themselves():
    table = rows({"a": noise(1.0, 40.0), "b": noise(0.1, 40.0)})
    found = intervals(table)
    assert ((found.low < found["mean"]) & (found["mean"] < found.high)).all()
    assert found.equals(intervals(table.sample(frac=1, random_state=0).sort_values("method", kind="stable")))
    widths = (found.high - found.low).tolist()
    assert widths[0] == pytest.approx(10 * widths[1])
    assert found[["scenes", "seeds"]].to_numpy().tolist() == [[4, 3], [4, 3]]


def test_interval_of_scenes_covers_their_mean():
    """About 19 of 20 intervals of 25 scenes hold the true mean (the percentile bootstrap's are a little short)."""
    held = []
    for repeat in range(200):
        found = intervals(rows({"a": noise(1.0, 40.0, repeat)}, scenes=25, seeds=1), resamples=400).iloc[0]
        held.append(found.low <= 40.0 <= found.high)
    assert 0.88 <= np.mean(held) <= 0.985


def test_one_value_has_no_interval_and_an_incomplete_seed_no_part():
    assert intervals(rows({"a": 1.0}, scenes=1, seeds=1))[["low", "high"]].isna().all(axis=None)
    found = intervals(rows({"a": lambda scene, seed: None if (scene, seed) == (0, 0) else float(seed)})).iloc[0]
    assert (found.seeds, found["mean"]) == (2, 1.5)


# claims


def test_claims_compare_with_the_reference_that_is_named():
    table = rows({"psrt": 40.0, "gsa": noise(0.1, 39.0)}, scenes=6)
    assert claims(table, "psrt") == ["By PSNR, psrt is significantly better than gsa on 1 of 1 setting."]
    wide = table.assign(variant=table.method.map({"psrt": "wide", "gsa": "default"}))
    assert claims(wide, "psrt/wide") == ["By PSNR, psrt/wide is significantly better than gsa on 1 of 1 setting."]


def test_claims_never_are_silent():
    failed = rows({"smif_net": 40.0, "psrt": lambda scene, seed: None})
    assert claims(failed) == ["By PSNR, no method is tested: none has a value on a scene on which smif_net has one."]


def test_the_reference_of_an_experiment_is_smif_net_unless_stated():
    assert reference_of({}) == "smif_net"
    assert reference_of({"reference": "gsa/wide"}) == "gsa/wide"


def test_claims_count_settings():
    better = rows({"smif_net": 40.0, "psrt": noise(0.1, 39.0)}, scenes=6)
    worse = rows({"smif_net": 40.0, "psrt": noise(0.1, 41.0)}, scenes=6, dataset="harvard")
    alike = rows({"smif_net": 40.0, "psrt": noise(1.0, 40.0)}, scenes=6, ratio=8)
    few = rows({"smif_net": 40.0, "psrt": 39.0}, scenes=1, dataset="wdcm")
    titles = {"smif_net/default": "SMIF-NET", "psrt/default": "PSRT"}
    assert claims(pd.concat([better, worse, alike, few]), titles=titles) == [
        "By PSNR, SMIF-NET is significantly better than PSRT on 1 of 4 settings, significantly worse on 1, "
        "not distinguishable from it on 1, with too few pairs to tell on 1."
    ]


def test_where_nothing_can_be_significant_one_sentence_says_so():
    table = rows({"smif_net": 40.0, "psrt": 39.0, "gsa": 38.0}, scenes=1, seeds=1)
    sentence = "By PSNR, no difference from smif_net can be significant on 1 setting: "
    assert claims(table) == [sentence + "with 1 pair the smallest possible p is 1."]
