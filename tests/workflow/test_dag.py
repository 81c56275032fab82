"""The DAG: what an experiment leaves, what a second run does, and how failures and mistakes end."""

import json
import re
import shutil
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
import yaml
from conftest import SHARED, needs_latex
from workbench import copy_code, planned, snakemake, write_config

pytestmark = pytest.mark.xdist_group("dag")  # one copy of the workbench for all

TINY = {
    "experiment": "tiny",
    "note": "Two steps of training: a test.",
    "datasets": {"indian_pines": {}},
    "ratios": [4],
    "training": {"patch": 16, "batch": 2, "steps": 2, "scaling": "standard"},
    "methods": {"bicubic": {}, "gsa": {}, "ssr_net": {}},
    "device": "cpu",
}

BROKEN_METHOD = '''
"""Fails on purpose."""
from smifbench.method import FusionMethod

class Broken(FusionMethod):
    title, citation, trainable = "Broken", "none", False

    def forward(self, lr_hsi, hr_msi):
        return {result}
'''


@pytest.fixture(scope="session")
def workbench(tmp_path_factory):
    """A copy of the code, behind a link and below a name that no shell must see, in which a tiny experiment has run."""
    place = tmp_path_factory.mktemp("a copy; ünï's $(exit 3) & more")
    folder = place.parent / "a link"
    folder.symlink_to(place, target_is_directory=True)
    copy_code(folder)
    write_config(folder, TINY)
    status, output = snakemake(folder)
    assert status == 0, output
    return folder


def attempt(folder, config, *arguments):
    """Run another config in the workbench; returns what `snakemake` does and leaves the tiny config as it was."""
    write_config(folder, config)
    try:
        return snakemake(folder, *arguments)
    finally:
        write_config(folder, TINY)


def test_robustness_takes_what_is_trained_and_disturbs_nothing(workbench):
    tests = {
        "test_protocols": ["block-gauss-s2/1+misregistration=0.5,-1"],
        "test_ratios": [8],
        "methods": {"gsa/estimated": {"options": {"operators": "estimated"}}},
    }
    (workbench / "tests.yaml").write_text(yaml.safe_dump(tests))
    status, output = snakemake(workbench, configs=["tiny.yaml", "tests.yaml"])
    assert status == 0, output
    assert "rule train" not in output
    assert "worst_test" in output
    rows = pd.read_csv(workbench / "results" / "tiny" / "robustness" / "metrics.csv")
    assert set(rows.status) == {"ok"}
    assert rows.groupby(["method", "variant"]).size().to_dict() == dict.fromkeys(
        [("bicubic", "default"), ("gsa", "default"), ("gsa", "estimated"), ("ssr_net", "default")], 3
    )
    before = pd.read_csv(workbench / "results" / "tiny" / "metrics.csv").set_index("method")
    same = rows[(rows.protocol == "block-gauss-s2/1") & (rows.ratio == 4) & (rows.variant == "default")]
    same = same.set_index("method")
    pd.testing.assert_frame_equal(same[["psnr", "sam", "data"]], before[["psnr", "sam", "data"]], rtol=1e-6)
    assert (workbench / "results" / "tiny" / "robustness" / "spread" / "curves_indian_pines_x4.pdf").exists()
    status, output = snakemake(workbench)
    assert "Nothing to be done" in output


def test_outputs_are_the_promised_ones(workbench):
    results = workbench / "results" / "tiny"
    metrics = pd.read_csv(results / "metrics.csv")
    assert list(metrics.method) == ["bicubic", "gsa", "ssr_net"]
    assert set(metrics.status) == {"ok"}
    assert metrics[["psnr", "ssim", "sam", "paper_psnr", "paper_ergas"]].notna().all(axis=None)
    assert metrics.data.str.fullmatch("[0-9a-f]{12}").all()
    assert list(metrics.train_steps.dropna()) == [2]
    cost = pd.read_csv(results / "cost.csv")
    assert cost.set_index("method").gmacs.notna().to_dict() == {"bicubic": False, "gsa": False, "ssr_net": True}
    for name in ("fig2_pseudo_colour", "fig3_error_maps", "fig4_grey_scale", "fig5_error_maps", "fig6_spectra"):
        assert (results / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        assert (results / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert TINY["note"] in (results / "tables" / "table_indian_pines.tex").read_text()
    assert "Ratio 4" in (results / "tables" / "table_indian_pines_paper.tex").read_text()
    assert "SSR-NET" in (results / "tables" / "complexity.tex").read_text()
    assert set(pd.read_csv(results / "tables" / "audit.csv").status) == {"not run"}
    page = (results / "report.html").read_text()
    assert TINY["note"] in page
    assert re.search(r"below the linear control GSA \(44\.\d\d dB by PSNR\): SSR-NET by \d", page)
    assert not re.search(r"""(src|href)=["']https?:""", page), "the report must open offline"


@needs_latex
def test_tables_and_figures_compile(workbench):
    assert (workbench / "results" / "tiny" / "paper.pdf").read_bytes().startswith(b"%PDF")


def test_snakemakes_own_report_has_categories_and_captions(workbench):
    status, output = snakemake(workbench, "--report", "tiny_report.html")
    assert status == 0, output
    page = (workbench / "tiny_report.html").read_text()
    for expected in ('"Figures"', '"Numbers"', '"Report"', "fig2_pseudo_colour", "a row for each scene", TINY["note"]):
        assert expected in page


MEASURED = [
    "train_seconds",
    "fuse_seconds",
    "seconds",
    "patches_per_second",
    "memory_mb",
    "latency_ms",
    "peak_memory_mb",
]


def content(path):
    """What two runs must have in common: a file's bytes, or a table's and a run's facts but for what was measured."""
    if path.suffix == ".csv":
        return pd.read_csv(path, dtype=str, keep_default_na=False).drop(columns=MEASURED, errors="ignore").to_csv()
    if path.name == "facts.json":
        return {key: value for key, value in json.loads(path.read_text()).items() if key not in MEASURED}
    return path.read_bytes()


def files(folder):
    """All files that an experiment leaves, logs aside, by their relative paths."""
    found = [path for name in ("data", "results/tiny") for path in (folder / name).rglob("*") if path.is_file()]
    return {path.relative_to(folder): path for path in found if "logs" not in path.relative_to(folder).parts}


def test_an_experiment_run_again_elsewhere_leaves_the_same_bytes(workbench, tmp_path):
    copy_code(tmp_path)
    write_config(tmp_path, TINY)
    status, output = snakemake(tmp_path)
    assert status == 0, output
    first, second = files(workbench), files(tmp_path)
    assert second.keys() <= first.keys()
    assert {".csv", ".json", ".npy", ".npz", ".safetensors", ".tex", ".png", ".pdf"} <= {path.suffix for path in second}
    differing = [path for path in second if content(first[path]) != content(second[path])]
    # Latency and peak memory are printed in the table of costs, whose columns they widen, and in the report.
    printed = {"complexity.tex": 1 + len(TINY["methods"]), "report.html": 2 * len(TINY["methods"])}
    for path in differing:
        if path.name != "paper.pdf":  # which holds that table
            pairs = zip(first[path].read_text().splitlines(), second[path].read_text().splitlines(), strict=True)
            lines = [pair for pair in pairs if pair[0] != pair[1]]
            assert len(lines) <= printed.get(path.name, 0), (path, lines)


@contextmanager
def edited(folder, edits):
    """Code of the workbench with an edit of each file: (what stands there, what comes in its place)."""
    before = {folder / path: (folder / path).read_text() for path in edits}
    try:
        for path, (old, new) in edits.items():
            text = before[folder / path]
            assert old in text, path
            (folder / path).write_text(text.replace(old, new, 1))
        yield
    finally:
        for path, text in before.items():
            path.write_text(text)


def planned_after(folder, edits):
    """Job counts of a dry run after edits; none where there is nothing to be done."""
    with edited(folder, edits):
        output = snakemake(folder, "--dry-run")[1]
    return {} if "Nothing to be done" in output else planned(output)


def test_words_decide_no_number(workbench):
    docstrings = [
        "methods/ssr_net.py",
        "datasets/indian_pines.py",
        "smifbench/training/loop.py",
        "smifbench/metrics.py",
    ]
    edits = dict.fromkeys(docstrings, ('"""', '"""An edited docstring. '))
    edits |= {
        "smifbench/evaluation/scoring.py": ("the images of scene", "all images of scene"),
        "smifbench/method.py": ("import torch\n", "# A comment.\nimport torch\n"),
        "smifbench/fusion/tiles.py": ("PROBE = 128", "PROBE  =  128"),
        "environment.yml": ("name: smifbench", "name: smifbench  # an edit"),
    }
    assert planned_after(workbench, edits) == {}


def test_a_config_that_states_defaults_or_other_words_reruns_nothing(workbench):
    stated = {
        "datasets": {"indian_pines": {"response": "sentinel2a_10m"}},
        "methods": {
            "bicubic/default": {},
            "gsa": {"options": {"operators": "known"}},
            "ssr_net": {"recipe": {"batch": 2, "precision": "bf16", "ema": None}},
        },
        "protocols": ["block-gauss-s2/1"],
        "device": "auto",
    }
    output = attempt(workbench, {**TINY, **stated}, "--dry-run")[1]
    assert "Nothing to be done" in output, output


def test_an_edited_method_retrains_that_method_alone(workbench):
    jobs = planned_after(workbench, {"methods/ssr_net.py": ("def forward", "edit = 1\n\n    def forward")})
    assert jobs["train"] == jobs["fuse"] == jobs["score"] == 1
    assert "degrade" not in jobs


def test_an_edited_metric_scores_again_without_training(workbench):
    jobs = planned_after(workbench, {"smifbench/metrics.py": ("GAUSSIAN = ", "EDIT = 1\nGAUSSIAN = ")})
    assert jobs["score"] == 3
    assert not {"train", "fuse", "degrade"} & jobs.keys()


def test_an_edited_loop_retrains(workbench):
    jobs = planned_after(workbench, {"smifbench/training/loop.py": ("SAVE_SECONDS", "EDIT = 1\nSAVE_SECONDS")})
    assert jobs["train"] == 1
    assert "degrade" not in jobs
    assert jobs["fuse"] == 1


def test_an_edited_response_and_an_edited_operator_reach_what_they_decide(workbench):
    jobs = planned_after(workbench, {"datasets/srf/sentinel2a.csv": ("\n", "\n\n")})
    assert jobs["prepare"] == 3
    operators = {"smifbench/degradation/operators.py": ("BORDERS = ", "EDIT = 1\nBORDERS = ")}
    jobs = planned_after(workbench, operators)
    assert jobs["degrade"] == 1
    assert "prepare" not in jobs


def test_rules_take_files_of_data_and_of_texts_as_input(workbench):
    output = snakemake(workbench, "--detailed-summary")[1]
    inputs = {}
    for row in [line.split("\t") for line in output.splitlines() if line.count("\t") == 7][1:]:
        inputs.setdefault(row[2], set()).update(row[4].split(","))
    rules = {path: {rule for rule in inputs if path in inputs[rule]} for path in set().union(*inputs.values())}
    assert rules["datasets/srf/sentinel2a.csv"] == {"prepare"}
    assert rules["methods/references.bib"] == {"describe"}
    assert rules["results/published/tables_1_to_3.csv"] == {"cost", "tables", "report"}
    assert not [path for path in rules if path.endswith(".py")], "code counts by its digest"


def test_experiments_with_other_options_of_a_data_set_do_not_collide(workbench):
    other = {**TINY, "experiment": "other", "datasets": {"indian_pines": {"response": "sentinel2a_20m"}}}
    status, output = attempt(workbench, other, "--until", "degrade")
    assert status == 0, output
    status, output = snakemake(workbench)
    assert "Nothing to be done" in output


def test_data_that_cannot_be_had_leave_empty_cells_and_are_asked_for_again(workbench):
    datasets = {"wdcm": {"folder": "nowhere"}, "indian_pines": {}}
    config = {**TINY, "experiment": "partial", "datasets": datasets, "methods": {"bicubic": {}, "ssr_net": {}}}
    status, output = attempt(workbench, config)
    assert status == 0, output
    assert "not run: wdcm: Washington DC Mall: its option folder names nowhere, which is no folder" in output
    results = workbench / "results" / "partial"
    metrics = pd.read_csv(results / "metrics.csv")
    absent = metrics[metrics.dataset == "wdcm"]
    assert absent[["method", "scene", "status"]].to_numpy().tolist() == [
        [method, "wdcm_test", "not run"] for method in config["methods"]
    ]
    assert metrics[metrics.dataset == "indian_pines"].psnr.notna().all()
    assert set(pd.read_csv(results / "cost.csv").dataset) == {"indian_pines"}
    status, output = attempt(workbench, config, "--dry-run")
    assert planned(output)["download"] == 1, "the next run must ask again"


def test_nothing_but_missing_data_is_an_error(workbench):
    config = {**TINY, "experiment": "absent", "datasets": {"wdcm": {"folder": "nowhere"}}, "methods": {"bicubic": {}}}
    status, output = attempt(workbench, config)
    assert status != 0
    assert "smifbench: not run: wdcm: Washington DC Mall: its option folder names nowhere" in output
    assert "Traceback" not in output


def write_envi(path, cube):
    """A cube (bands, height, width) of uint16 as an ENVI file, pixel by pixel, with wavelengths in micrometres."""
    bands, height, width = cube.shape
    centres = ", ".join(f"{0.40 + 0.01 * band:.3f}" for band in range(bands))
    path.write_text(
        f"ENVI\nsamples = {width}\nlines = {height}\nbands = {bands}\nheader offset = 0\ndata type = 12\n"
        f"interleave = bip\nbyte order = 0\nwavelength units = Micrometers\nwavelength = {{{centres}}}\n"
    )
    np.ascontiguousarray(np.moveaxis(cube, 0, -1)).astype("<u2").tofile(path.with_suffix(".raw"))


def test_own_cubes_need_a_few_lines_of_config(workbench):
    smooth = np.random.default_rng(0).random((24, 12, 7)).repeat(16, 1).repeat(8, 2)
    name = "Côte d'Or $(touch sprung); *.hdr"
    write_envi(workbench / name, 10000 * smooth)
    (workbench / "link to the field.hdr").symlink_to(name)
    (workbench / "link to the field.raw").symlink_to(name.replace("hdr", "raw"))
    response = "réponse `touch sprung`.csv"
    shutil.copy(workbench / "datasets" / "srf" / "nikon_d700.csv", workbench / response)
    common = {"reader": "own", "scale": 10000, "response": response}
    datasets = {"field": {**common, "path": name}, "link": {**common, "path": "link to the field.hdr"}}
    reno = SHARED / "data" / "other" / "Reno150-150-100.mat"
    if reno.exists():
        shutil.copy(reno, workbench)
        datasets["reno"] = {"reader": "own", "path": reno.name, "wavelengths_nm": {"start": 390, "step": 5}}
    config = {**TINY, "experiment": "mine", "datasets": datasets, "methods": {"ssr_net": {}}}
    status, output = attempt(workbench, config, "--", "results/mine/metrics.csv")
    assert status == 0, output
    metrics = pd.read_csv(workbench / "results" / "mine" / "metrics.csv")
    assert set(metrics.dataset) == set(datasets)
    assert set(metrics.status) == {"ok"}
    assert set(metrics.scene) == {"own_test"}
    assert len(set(metrics.data[metrics.dataset.isin(["field", "link"])])) == 1
    assert not (workbench / "sprung").exists()
    (sidecar,) = (workbench / "data" / "scenes").glob("field-*/own_test.json")
    assert json.loads(sidecar.read_text())["full_scale"] == 10000


def test_estimates_from_outside_stand_beside_the_suites_own(workbench):
    run = "indian_pines/block-gauss-s2/1/x4/gsa/default/seed0"
    fused = np.load(workbench / "results" / "tiny" / "runs" / run / "fused" / "indian_pines_test.npy")
    theirs, others = (workbench / folder / "indian_pines_test.mat" for folder in ("their fused", "others"))
    for path in (theirs, others):
        path.parent.mkdir()
        scipy.io.savemat(path, {"fused": np.moveaxis(255.0 * fused, 0, -1)})
    outside = {"estimates": "their fused", "scale": 255, "title": "Their & GSA", "cost": {"params": 7e6}}
    methods = {"gsa": {}, "their_gsa": outside, "their_gsa/two": {"estimates": "others", "scale": 255}}
    config = {**TINY, "experiment": "outside", "methods": methods, "reference": "gsa", "metrics": ["psnr", "q2n"]}
    status, output = attempt(workbench, config)
    assert status == 0, output
    results = workbench / "results" / "outside"
    rows = pd.read_csv(results / "metrics.csv")
    numbers = ["psnr", "q2n", "spectral_consistency", "paper_ssim"]
    assert rows[numbers].notna().all(axis=None)
    for row in (1, 2):
        pd.testing.assert_series_equal(rows.loc[row, numbers], rows.loc[0, numbers], check_names=False, rtol=1e-5)
    assert list(rows.device == "external") == [False, True, True]
    cost = pd.read_csv(results / "cost.csv").set_index("method")
    assert list(cost.index) == ["gsa", "their_gsa"]
    assert (cost.params["their_gsa"], cost.device["their_gsa"]) == (7e6, "elsewhere, as stated")
    for table in ("table_indian_pines", "table_indian_pines_paper", "statistics"):
        text = (results / "tables" / f"{table}.tex").read_text()
        assert r"Their \& GSA (external)" in text
        assert r"their\_gsa two (external)" in text
    assert "Q2n" in (results / "tables" / "table_indian_pines.tex").read_text()
    assert "Their &amp; GSA (external)" in (results / "report.html").read_text()
    assert "their_gsa (external)" in (results / "summary.txt").read_text()

    scipy.io.savemat(theirs, {"fused": np.moveaxis(255.0 * fused + 25.5, 0, -1)})
    others.rename(others.with_name("indian_pines.mat"))
    status, output = attempt(workbench, config, "--", "results/outside/metrics.csv")
    assert status == 0, output
    assert "rule fuse" not in output
    anew = pd.read_csv(results / "metrics.csv")
    assert anew.psnr[0] == rows.psnr[0]
    assert anew.psnr[1] == pytest.approx(20, abs=0.5), "an edited file is scored again"
    assert anew.code[1] != rows.code[1]
    assert anew.status[2] == "failed"
    assert "holds no estimate of scene indian_pines_test" in anew.message[2]
    status, output = attempt(workbench, config, "--", "results/outside/metrics.csv")
    assert "Nothing to be done" in output


def test_bounds_of_the_config_reach_the_jobs_whatever_the_cores(workbench):
    config = {**TINY, "memory_gb": 0.5, "threads": 5}
    _, output = attempt(workbench, config, "--dry-run", "--printshellcmds", "--forceall")
    commands = [line for line in output.splitlines() if "smifbench.steps" in line]
    fusing = [line for line in commands if "--memory-gb 0.5" in line]
    assert len(fusing) == 3
    assert all("smifbench.steps fuse" in line for line in fusing)
    assert len([line for line in commands if "--threads 5" in line]) == 1 + 3
    logs = [log.read_text() for log in (workbench / "results" / "tiny" / "logs" / "fuse").rglob("*.log")]
    assert len(logs) == 3
    assert all("--threads 1" in log and "--memory-gb" not in log for log in logs)


def test_failing_methods_become_rows_and_the_rest_goes_on(workbench):
    results = {
        "shape": "lr_hsi",
        "infinite": "hr_msi.mean(1, keepdim=True).expand(-1, 40, -1, -1) * float('nan')",
        "exception": "lr_hsi.no_such_thing",
    }
    files = {name: workbench / "methods" / f"{name}.py" for name in results}
    for name, result in results.items():
        files[name].write_text(BROKEN_METHOD.format(result=result))
    try:
        methods = {"bicubic": {}, **{name: {} for name in results}}
        status, output = attempt(workbench, {**TINY, "experiment": "failing", "methods": methods})
    finally:
        for file in files.values():
            file.unlink()
    metrics = pd.read_csv(workbench / "results" / "failing" / "metrics.csv").set_index("method")
    assert metrics.status.to_dict() == {"bicubic": "ok", **dict.fromkeys(results, "failed")}
    assert "forward returned shape (1, 40, 16, 16) instead of (1, 40, 64, 64)" in metrics.message["shape"]
    assert "NaN or infinite values" in metrics.message["infinite"]
    assert "AttributeError: 'Tensor' object has no attribute 'no_such_thing'" in metrics.message["exception"]
    assert metrics.psnr.notna().to_dict() == {"bicubic": True, **dict.fromkeys(results, False)}
    assert (workbench / "results" / "failing" / "report.html").exists()
    assert status != 0
    assert "smifbench: 3 runs failed" in output
    assert "call snakemake again" in output
    assert "Traceback" not in output


def test_what_failed_is_tried_again_and_what_went_well_is_not(workbench):
    method = workbench / "methods" / "lacking.py"
    method.write_text(BROKEN_METHOD.format(result="__import__('a_package').fuse(lr_hsi, hr_msi)"))
    config = {**TINY, "experiment": "again", "methods": {"bicubic": {}, "lacking": {}}}
    package, rows = workbench / "a_package.py", ["--", "results/again/metrics.csv"]
    try:
        status, output = attempt(workbench, config, *rows)
        assert status == 0, output
        assert set(pd.read_csv(workbench / rows[1]).status) == {"ok", "failed"}
        package.write_text("def fuse(lr, hr): return lr.repeat_interleave(4, 2).repeat_interleave(4, 3)\n")
        status, output = attempt(workbench, config, *rows)
        assert status == 0, output
        assert "fuse indian_pines x4 with lacking/default" in output
        assert "fuse indian_pines x4 with bicubic/default" not in output
        assert set(pd.read_csv(workbench / rows[1]).status) == {"ok"}
        assert "Nothing to be done" in attempt(workbench, config, *rows)[1]
    finally:
        method.unlink()
        package.unlink(missing_ok=True)


def test_a_mistake_in_the_config_ends_at_once(workbench):
    config = {**TINY, "experiment": "mistake", "methods": {"ssrnet": {}}}
    status, output = attempt(workbench, config)
    assert status != 0
    assert "unknown method 'ssrnet'; did you mean 'ssr_net'?" in output
    assert "Traceback" not in output
    assert not (workbench / "results" / "mistake").exists()


def test_a_file_whose_name_snakemake_cannot_take_is_told(workbench):
    shutil.copy(workbench / "datasets" / "srf" / "nikon_d700.csv", workbench / "{camera}.csv")
    datasets = {"indian_pines": {"response": "{camera}.csv"}}
    status, output = attempt(workbench, {**TINY, "experiment": "mistake", "datasets": datasets}, "--dry-run")
    assert status != 0
    assert "{camera}.csv: snakemake takes braces in a name for wildcards; rename it" in output
    assert "Traceback" not in output


def test_what_does_not_fit_the_scenes_is_told_by_the_dry_run(workbench):
    status, output = attempt(workbench, {**TINY, "ratios": [7]}, "--dry-run")
    assert status != 0
    assert "which ratio 7 does not divide" in output
    assert "Traceback" not in output


def test_mistakes_that_only_the_data_show_are_told_in_a_sentence_each(workbench):
    (workbench / "thermal.csv").write_text("wavelength_nm,B1\n9000,1\n9100,1\n")
    datasets = {"indian_pines": {}, "elsewhere": {"reader": "indian_pines", "response": "thermal.csv"}}
    config = {**TINY, "experiment": "mistake", "datasets": datasets}
    status, output = attempt(workbench, config, "--until", "degrade")
    told = [line for line in output.splitlines() if line.startswith("smifbench: ")]
    assert status != 0
    assert any("response band B1" in line for line in told), told
    assert "Traceback" not in output


def test_the_experiment_is_described(workbench):
    about = json.loads((workbench / "results" / "tiny" / "experiment.json").read_text())
    assert about["methods"]["ssr_net/default"]["recipe"]["steps"] == 2
    assert about["versions"]["torch"]
    assert "SSR-NET" in about["methods"]["ssr_net/default"]["bibtex"]
    assert Path(workbench / "results" / "tiny" / "summary.txt").read_text().count("bicubic") >= 1
