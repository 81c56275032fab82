"""Configs: what is filled in, and one clear sentence for each mistake."""

import pytest
import yaml
from configs import EXPERIMENTS, TESTS

from smifbench import UserError
from smifbench.experiment import external
from smifbench.experiment.config import SCHEMA, check_experiment, load_experiment


def config(**changes):
    """A small valid config with `changes`; None removes a key."""
    base = {
        "experiment": "tiny",
        "datasets": {"indian_pines": {}},
        "ratios": [4],
        "training": {"patch": 16},
        "methods": {"bicubic": {}, "ssr_net": {"recipe": {"steps": 3}}},
    }
    return {key: value for key, value in {**base, **changes}.items() if value is not None}


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_config_in_the_repository_is_valid_and_named_after_its_file(path):
    assert load_experiment(path).name == path.stem


def test_defaults_are_filled_in():
    experiment = check_experiment(config())
    assert experiment.protocols == ["block-gauss-s2/1"]
    assert experiment.seeds == [0]
    assert experiment.methods["ssr_net", "default"] == {"options": {}, "recipe": {"steps": 3}}
    assert experiment.methods["bicubic", "default"] == {"options": {}, "recipe": {}}


def test_tests_go_on_top_of_any_experiment_of_one_protocol():
    tests = yaml.safe_load(TESTS.read_text())
    for path in EXPERIMENTS:
        base = yaml.safe_load(path.read_text())
        if len(base.get("protocols", [])) > 1:
            continue
        experiment = check_experiment({**base, **tests, "methods": base["methods"] | tests["methods"]})
        for run in experiment.runs():
            found = experiment.tests(run)
            assert found[0] == (run.protocol, run.ratio)
            assert len(set(found)) == len(found) >= len(tests["test_protocols"]) + 1


def test_other_ratios_are_tested_once():
    experiment = check_experiment(config(ratios=[4, 8], test_protocols=["fwhm/1"], test_ratios=[2, 8]))
    default = "block-gauss-s2/1"
    assert {run.ratio: experiment.tests(run) for run in experiment.runs()} == {
        4: [(default, 4), ("fwhm/1", 4), (default, 2)],
        8: [(default, 8), ("fwhm/1", 8)],
    }


def test_grid_repeats_only_random_methods_over_seeds():
    experiment = check_experiment(config(seeds=[0, 1, 2], ratios=[4, 8]))
    runs = experiment.runs()
    assert len(runs) == 2 * (1 + 3)
    assert {run.seed for run in runs if run.method == "bicubic"} == {0}
    assert len({run.folder for run in runs}) == len(runs)


def test_variants_are_methods_of_their_own():
    experiment = check_experiment(config(methods={"smif_net": {}, "smif_net/no_csca": {"options": {"csca": False}}}))
    assert [(run.method, run.variant) for run in experiment.runs()] == [
        ("smif_net", "default"),
        ("smif_net", "no_csca"),
    ]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"methods": {"ssrnet": {}}}, "unknown method 'ssrnet'; did you mean 'ssr_net'?"),
        ({"datasets": {"indian_pine": {}}}, "unknown data set 'indian_pine'; did you mean 'indian_pines'?"),
        ({"protocols": ["block-gaus-s2/1"]}, "unknown protocol 'block-gaus-s2/1'; did you mean 'block-gauss-s2/1'?"),
        ({"method": {}}, "unknown key 'method'; did you mean 'methods'?"),
        ({"training": {"learning_rate": 1}}, "unknown key in training 'learning_rate'"),
        (
            {"methods": {"ssr_net": {"recipe": {"step": 1}}}},
            "in methods.ssr_net.recipe 'step'; did you mean 'steps'?",
        ),
        (
            {"methods": {"smif_net": {"options": {"widht": 8}}}},
            "method smif_net 'widht'; did you mean 'width'?",
        ),
        (
            {"datasets": {"indian_pines": {"bining": 5}}},
            "indian_pines 'bining'; did you mean 'binning'?",
        ),
        ({"ratios": None}, "the key 'ratios' is missing"),
        ({"ratios": [1]}, "key 'ratios.0': 1 is less than the minimum of 2"),
        ({"seeds": []}, "key 'seeds': [] should be non-empty"),
        ({"training": {"lr": 0}}, "key 'training.lr'"),
        ({"recipe": "author"}, "key 'recipe': 'author' is not one of"),
        ({"experiment": "Demo run"}, "key 'experiment': 'Demo run' does not match"),
        ({"test_protocols": ["fwmh/1"]}, "unknown protocol 'fwmh/1'; did you mean 'fwhm/1'?"),
        ({"test_protocols": ["fwhm/1+sgima=3"]}, "did you mean 'sigma'?"),
        ({"test_protocols": ["fwhm/1+shift=0.5"]}, "has its taps between pixels"),
        ({"test_protocols": ["paper-wdcm/1"]}, "paper-wdcm/1 rescales the reference"),
        ({"test_ratios": [2], "protocols": ["fwhm/1", "lttr/1"]}, "need one training protocol"),
        ({"device": "gpu"}, "key 'device': 'gpu' is not one of"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(changes, sentence):
    with pytest.raises(UserError) as error:
        check_experiment(config(**changes), "config/tiny.yaml")
    assert str(error.value).startswith("config/tiny.yaml: ")
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "problem", "line"),
    [
        ("methods: {gsa: }", "key 'methods.gsa' is empty", "gsa: {}"),
        ("methods: [gsa, cnmf]", "key 'methods' must be a mapping", "methods: {gsa: {}, cnmf: {}}"),
        ("methods: {smif_net: {options: }}", "key 'methods.smif_net.options' is empty", "options: {}"),
        ("datasets: cave", "key 'datasets' must be a mapping", "datasets: {cave: {}}"),
        ("training: {lr: 1e-3}", "key 'training.lr': YAML reads 1e-3 as text", "lr: 1.0e-3"),
        ("training: {lr: 1.5E3}", "key 'training.lr': YAML reads 1.5E3 as text", "lr: 1.5e+3"),
        ("training: {steps: 1e3}", "key 'training.steps': YAML reads 1e3 as text", "steps: 1000"),
        ("training: {steps: 1000.0}", "key 'training.steps' must be a whole number or null", "steps: 1000"),
        ("training: {augment: 'True'}", "key 'training.augment': YAML reads True as text", "augment: true"),
        ("ratios: 4", "key 'ratios' must be a list, not 4", "ratios: [4]"),
        ("ratios: '4'", "key 'ratios' must be a list, not '4'", "ratios: [4]"),
        ("ratios: [4.0]", "key 'ratios.0' must be a whole number, not 4.0", "4"),
        ("protocols: fwhm/1", "key 'protocols' must be a list", "protocols: [fwhm/1]"),
        ("experiment: 2024", "key 'experiment' must be text, not 2024", "experiment: '2024'"),
        ("memory_gb: '8'", "key 'memory_gb': YAML reads 8 as text", "memory_gb: 8"),
        ("gsa:", "the key 'gsa' does not belong at the top", "methods: {gsa: {}}"),
        ("cave:", "the key 'cave' does not belong at the top", "datasets: {cave: {}}"),
        ("steps: 100", "the key 'steps' does not belong at the top", "training: {steps: 100}"),
        ("methods: {ssr_net: {steps: 9}}", "'steps' does not belong in ssr_net", "ssr_net: {recipe: {steps: 9}}"),
        ("methods: {smif_net/a: {width: 8}}", "not belong in smif_net/a", "smif_net/a: {options: {width: 8}}"),
    ],
)
def test_a_value_in_the_wrong_form_is_told_with_the_line_to_write(text, problem, line):
    written = yaml.safe_load(text)
    with pytest.raises(UserError) as error:
        check_experiment(config(**written) | {key: value for key, value in written.items() if value is None})
    assert problem in str(error.value)
    assert str(error.value).endswith(f"; write `{line}`")
    mended = yaml.safe_load(line)
    if isinstance(mended, dict) and mended.keys() <= {"experiment", "datasets", "protocols", "ratios", "methods"}:
        check_experiment(config(**mended))


@pytest.mark.parametrize(
    ("text", "example"),
    [
        ("training: {lr: fast}", "lr: 0.001"),
        ("training: {betas: 0.9}", "betas: [0.9, 0.99]"),
        ("training: 100", "training: {steps: 2000, batch: 16, patch: 64}"),
        ("seeds: 1, 2", "seeds: [0, 1, 2]"),
        ("memory_gb: 8GB", "memory_gb: 8"),
        ("methods: {gsa: 5}", "gsa: {recipe: {steps: 2000}}"),
    ],
)
def test_where_nobody_can_know_what_was_meant_an_example_is_shown(text, example):
    with pytest.raises(UserError) as error:
        check_experiment(config(**yaml.safe_load(text)))
    assert str(error.value).endswith(f"; write for example `{example}`")


def test_a_missing_or_broken_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.yaml does not exist"):
        load_experiment(tmp_path / "nowhere.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("methods: [")
    with pytest.raises(UserError, match=r"broken\.yaml is not valid YAML"):
        load_experiment(broken)
    broken.write_text("- a list")
    with pytest.raises(UserError, match=r"broken\.yaml: the config must be a mapping"):
        load_experiment(broken)


def test_schema_describes_every_key():
    schema = yaml.safe_load(SCHEMA.read_text())
    assert all(about.get("description") or "$ref" in about for about in schema["properties"].values())


@pytest.mark.parametrize("where", ["training", "method"])
def test_a_loss_that_a_method_does_not_know_is_told(where):
    change = {"loss": "huber"}
    config = {
        "experiment": "losses",
        "ratios": [4],
        "datasets": {"indian_pines": {}},
        "training": {"patch": 16} | (change if where == "training" else {}),
        "methods": {"ssr_net": {"recipe": change if where == "method" else {}}},
    }
    with pytest.raises(UserError, match="unknown loss 'huber' in a recipe of ssr_net; known: l1, mse, rmse, authors "):
        check_experiment(config)


@pytest.mark.parametrize("seed", [0, 5])
def test_a_seed_is_the_experiments_and_no_option(seed):
    """It would make one run, and its row would name another seed."""
    methods = {"cnmf": {"options": {"seed": seed}}}
    with pytest.raises(UserError, match=r"methods\.cnmf/default states the option seed, .* list it under seeds"):
        check_experiment(config(seeds=[0, 1, 2], methods=methods))


# methods that ran elsewhere


def test_a_method_that_ran_elsewhere_has_one_run_a_setting_and_is_stated_whole():
    theirs = {"estimates": "fused/x{ratio}", "title": "Theirs", "cost": {"params": 5}}
    experiment = check_experiment(config(ratios=[4, 8], seeds=[3, 4], methods={"gsa": {}, "theirs/v2": theirs}))
    runs = [run for run in experiment.runs() if run.method == "theirs"]
    assert [(run.ratio, run.variant, run.seed) for run in runs] == [(4, "v2", 3), (8, "v2", 3)]
    about = experiment.methods["theirs", "v2"]
    assert [str(external.folder_of(about, run)) for run in runs] == ["fused/x4", "fused/x8"]
    assert check_experiment(experiment.as_config()).methods == experiment.methods
    assert not experiment.trains("theirs")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gsa": {"estimates": "f"}}, "methods.gsa: gsa is a method of the suite; call estimates .* such as their_gsa"),
        ({"theirs": {"title": "T"}}, "methods.theirs: title goes with estimates"),
        ({"theirs": {}}, "unknown method 'theirs'"),
        ({"a b;": {"estimates": "f"}}, "call the method by letters"),
        ({"theirs": {"estimates": "f", "options": {"width": 3}}}, "options and recipe are of methods that run here"),
        ({"theirs": {"estimates": "f", "recipe": {"steps": 3}}}, "options and recipe are of methods that run here"),
        ({"theirs": {"estimates": "f{ratoi}"}}, "unknown place in methods.theirs.estimates 'ratoi'.*'ratio'"),
        ({"theirs": {"estimates": "f{}"}}, "unknown place"),
        ({"theirs": {"estimates": "f{ratio:03d}"}}, "no more than the name of a place"),
        ({"theirs": {"estimates": "f{ratio"}}, "estimates is no path"),
        ({"theirs": {"estimates": "f{{1}}"}}, "braces that name no place"),
        ({"theirs": {"estimates": ["f"]}}, "key 'methods.theirs.estimates' must be text"),
        ({"theirs": {"estimates": "f", "scale": 0}}, "methods.theirs.scale"),
        ({"theirs": {"estimates": "f", "cost": {"parms": 1}}}, "unknown key in methods.theirs.cost 'parms'.*'params'"),
    ],
)
def test_mistakes_in_methods_that_ran_elsewhere(changes, message):
    with pytest.raises(UserError, match=message):
        check_experiment(config(methods={"bicubic": {}, **changes}))


@pytest.mark.parametrize(
    ("changes", "theirs", "message"),
    [
        ({"ratios": [4, 8]}, {}, r"has ratios 4, 8, whose estimates differ; write \{ratio\}"),
        ({"protocols": ["fwhm/1", "lttr/1"]}, {}, r"has protocols fwhm/1, lttr/1, .* write \{protocol\}"),
        (
            {"datasets": {"a": {"reader": "indian_pines"}, "b": {"reader": "indian_pines", "binning": 10}}},
            {},
            r"test scenes of a and b have the same names; write \{dataset\}",
        ),
        ({"ratios": [4, 8]}, {"estimates": "x{ratio}", "cost": {"gmacs": 1}}, "there are several; state params alone"),
        ({"test_protocols": ["fwhm/1"]}, {}, "test methods that run here"),
    ],
)
def test_one_folder_serves_one_setting(changes, theirs, message):
    with pytest.raises(UserError, match=message):
        check_experiment(config(methods={"theirs": {"estimates": "fused", **theirs}}, **changes))


def test_tables_have_metrics_by_definition_alone():
    assert check_experiment(config(metrics=["psnr", "q2n"])).metrics == ["psnr", "q2n"]
    for name, hint in (("qn2", "did you mean 'q2n'"), ("paper_psnr", "unknown metric 'paper_psnr'")):
        with pytest.raises(UserError, match=hint):
            check_experiment(config(metrics=[name]))
