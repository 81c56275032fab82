"""The DAG: what each config plans, what a second run does, and how failures and mistakes end."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from configs import EXPERIMENTS, TESTS
from conftest import SHARED
from workbench import copy_code, snakemake, write_config

from smifbench import plugins
from smifbench.experiment import load_experiment

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

NAN_METHOD = '''
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


def planned(output):
    """Job counts of a dry run."""
    table = re.search(r"job\s+count\n[- ]+\n(.*?)\n\n", output, re.DOTALL).group(1)
    return {line.split()[0]: int(line.split()[1]) for line in table.splitlines()}


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_a_config_plans_its_whole_grid(path, tmp_path):
    experiment = load_experiment(path)
    runs = experiment.runs()
    trained = [run for run in runs if plugins.method_class(run.method).trainable]
    status, output = snakemake(plugins.ROOT, "--dry-run", "--forceall", "--nolock", configs=[path])
    assert status == 0, output
    jobs = planned(output)
    assert jobs["score"] == jobs["fuse"] == len(runs)
    assert jobs.get("train", 0) == len(trained)
    assert jobs["degrade"] == len(experiment.settings())
    assert jobs["prepare"] == sum(len(experiment.build_dataset(name).scenes()) for name in experiment.datasets)


def test_robustness_plans_one_job_for_a_run_and_nothing_of_the_report():
    configs = [plugins.ROOT / "config" / "demo.yaml", TESTS]
    status, output = snakemake(plugins.ROOT, "--dry-run", "--forceall", "--nolock", configs=configs)
    assert status == 0, output
    jobs = planned(output)
    methods = yaml.safe_load((plugins.ROOT / "config" / "demo.yaml").read_text())["methods"]
    assert jobs["robustness"] == len(methods) + 2
    assert jobs["degrade"] == 1
    assert not {"fuse", "score", "cost", "tables", "figures", "report"} & jobs.keys()


def test_robustness_takes_what_is_trained_and_disturbs_nothing(workbench):
    tests = {
        "test_protocols": ["fwhm/1", "block-gauss-s2/1+misregistration=0.5,-1"],
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
        [("bicubic", "default"), ("gsa", "default"), ("gsa", "estimated"), ("ssr_net", "default")], 4
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
    assert re.search(r"Not trained, because the linear control GSA reaches 44\.\d\d dB .*: SSR-NET \(", page)
    assert not re.search(r"""(src|href)=["']https?:""", page), "the report must open offline"


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no LaTeX is installed")
def test_tables_and_figures_compile(workbench):
    assert (workbench / "results" / "tiny" / "paper.pdf").read_bytes().startswith(b"%PDF")


def test_snakemakes_own_report_has_categories_and_captions(workbench):
    status, output = snakemake(workbench, "--report", "tiny_report.html")
    assert status == 0, output
    page = (workbench / "tiny_report.html").read_text()
    for expected in ('"Figures"', '"Numbers"', '"Report"', "fig2_pseudo_colour", "a row for each scene", TINY["note"]):
        assert expected in page


def test_a_second_run_does_nothing(workbench):
    status, output = snakemake(workbench)
    assert status == 0
    assert "Nothing to be done" in output


def reruns(folder, path):
    """Rules that would run again after an edit of `path`."""
    source = folder / path
    before = source.read_text()
    try:
        source.write_text(before + "\n# an edit\n")
        status, output = snakemake(folder, "--dry-run")
        assert status == 0, output
        return {} if "Nothing to be done" in output else planned(output)
    finally:
        source.write_text(before)


def test_an_edited_method_retrains_that_method_alone(workbench):
    jobs = reruns(workbench, "methods/ssr_net.py")
    assert jobs["train"] == jobs["fuse"] == jobs["score"] == 1


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("datasets/srf/sentinel2a.csv", "prepare"),
        ("smifbench/degradation.py", "degrade"),
        ("smifbench/execution.py", "train"),
        ("smifbench/method.py", "describe"),
        ("methods/references.bib", "describe"),
        ("methods/_layers.py", "fuse"),
        ("results/published/tables_1_to_3.csv", "tables"),
        ("smifbench/statistics.py", "summary"),
        ("workflow/report/report.html.j2", "report"),
        ("smifbench/viewer.py", "report"),
    ],
)
def test_an_edit_runs_the_rules_again_whose_outputs_it_decides(workbench, path, rule):
    assert rule in reruns(workbench, path)


def test_an_edited_environment_file_runs_nothing_again(workbench):
    assert reruns(workbench, "environment.yml") == {}


def test_experiments_with_other_options_of_a_data_set_do_not_collide(workbench):
    other = {**TINY, "experiment": "other", "datasets": {"indian_pines": {"response": "sentinel2a_20m"}}}
    status, output = attempt(workbench, other, "--until", "degrade")
    assert status == 0, output
    status, output = snakemake(workbench)
    assert "Nothing to be done" in output


def test_data_that_cannot_be_had_leave_empty_cells_and_are_asked_for_again(workbench):
    datasets = {"cave": {"folder": "nowhere"}, "indian_pines": {}}
    config = {**TINY, "experiment": "partial", "datasets": datasets, "methods": {"bicubic": {}, "ssr_net": {}}}
    status, output = attempt(workbench, config)
    assert status == 0, output
    assert "not run: cave: CAVE: its option folder names nowhere, which is no folder" in output
    results = workbench / "results" / "partial"
    metrics = pd.read_csv(results / "metrics.csv")
    assert set(metrics[metrics.dataset == "cave"].status) == {"not run"}
    assert len(metrics[metrics.dataset == "cave"]) == 2 * 5, "five test scenes for each method"
    assert metrics[metrics.dataset == "indian_pines"].psnr.notna().all()
    assert set(pd.read_csv(results / "cost.csv").dataset) == {"indian_pines"}
    status, output = attempt(workbench, config, "--dry-run")
    assert planned(output)["download"] == 1, "the next run must ask again"


def test_nothing_but_missing_data_is_an_error(workbench):
    config = {**TINY, "experiment": "absent", "datasets": {"cave": {"folder": "nowhere"}}, "methods": {"bicubic": {}}}
    status, output = attempt(workbench, config)
    assert status != 0
    assert "smifbench: not run: cave: CAVE: its option folder names nowhere" in output
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
    config = {**TINY, "experiment": "mine", "datasets": datasets, "training": {"steps": 2, "batch": 1, "patch": 16}}
    status, output = attempt(workbench, config)
    assert status == 0, output
    metrics = pd.read_csv(workbench / "results" / "mine" / "metrics.csv")
    assert set(metrics.dataset) == set(datasets)
    assert set(metrics.status) == {"ok"}
    assert set(metrics.scene) == {"own_test"}
    assert len(set(metrics.data[metrics.dataset.isin(["field", "link"])])) == 1
    assert not (workbench / "sprung").exists()
    (sidecar,) = (workbench / "data" / "scenes").glob("field-*/own_test.json")
    assert json.loads(sidecar.read_text())["full_scale"] == 10000


def test_the_bound_on_memory_reaches_fusing_alone(workbench):
    arguments = ["--dry-run", "--printshellcmds", "--forceall"]
    _, output = attempt(workbench, {**TINY, "memory_gb": 0.5}, *arguments)
    bounded = [line for line in output.splitlines() if "--memory-gb 0.5" in line]
    assert len(bounded) == 3
    assert all("smifbench.steps fuse" in line for line in bounded)
    assert "--memory-gb" not in attempt(workbench, TINY, *arguments)[1]


def test_an_edited_figure_retrains_nothing(workbench):
    jobs = reruns(workbench, "smifbench/figures.py")
    assert "figures" in jobs
    assert not {"train", "fuse", "score", "collect", "tables"} & jobs.keys()


def test_an_edited_metric_scores_again_without_training(workbench):
    jobs = reruns(workbench, "smifbench/metrics.py")
    assert jobs["score"] == 3
    assert not {"train", "fuse", "degrade"} & jobs.keys()


@pytest.mark.parametrize(
    ("result", "sentence"),
    [
        ("lr_hsi", "forward returned shape (1, 40, 16, 16) instead of (1, 40, 64, 64)"),
        ("hr_msi.mean(1, keepdim=True).expand(-1, 40, -1, -1) * float('nan')", "NaN or infinite values"),
        ("lr_hsi.no_such_thing", "AttributeError: 'Tensor' object has no attribute 'no_such_thing'"),
    ],
    ids=["shape", "nan", "exception"],
)
def test_a_failing_method_becomes_a_row_and_the_rest_goes_on(workbench, result, sentence):
    (workbench / "methods" / "broken.py").write_text(NAN_METHOD.format(result=result))
    config = {**TINY, "experiment": "failing", "methods": {"bicubic": {}, "broken": {}}}
    try:
        status, output = attempt(workbench, config)
    finally:
        (workbench / "methods" / "broken.py").unlink()
    metrics = pd.read_csv(workbench / "results" / "failing" / "metrics.csv").set_index("method")
    assert metrics.status.to_dict() == {"bicubic": "ok", "broken": "failed"}
    assert sentence in metrics.message["broken"]
    assert metrics.psnr.notna().to_dict() == {"bicubic": True, "broken": False}
    assert (workbench / "results" / "failing" / "report.html").exists()
    assert status != 0
    assert "smifbench: 1 run failed" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"methods": {"ssrnet": {}}}, "unknown method 'ssrnet'; did you mean 'ssr_net'?"),
        ({"protocols": ["block-gaus-s2/1"]}, "did you mean 'block-gauss-s2/1'?"),
        ({"ratio": [4]}, "unknown key 'ratio'; did you mean 'ratios'?"),
    ],
)
def test_a_mistake_in_the_config_ends_at_once(workbench, change, sentence):
    status, output = attempt(workbench, {**TINY, "experiment": "mistake", **change})
    assert status != 0
    assert sentence in output
    assert "Traceback" not in output
    assert not (workbench / "results" / "mistake").exists()


def test_a_file_whose_name_snakemake_cannot_take_is_told(workbench):
    shutil.copy(workbench / "datasets" / "srf" / "nikon_d700.csv", workbench / "{camera}.csv")
    datasets = {"indian_pines": {"response": "{camera}.csv"}}
    status, output = attempt(workbench, {**TINY, "experiment": "mistake", "datasets": datasets}, "--dry-run")
    assert status != 0
    assert "{camera}.csv: snakemake takes braces in a name for wildcards; rename it" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"ratios": [7]}, "7"),
        ({"datasets": {"indian_pines": {"response": "sentinel2"}}}, "unknown spectral response 'sentinel2'"),
    ],
)
def test_a_mistake_that_only_the_data_show_is_told_in_one_sentence(workbench, change, sentence):
    status, output = attempt(workbench, {**TINY, "experiment": "mistake", **change})
    told = [line for line in output.splitlines() if line.startswith("smifbench: ")]
    assert status != 0
    assert told
    assert sentence in told[0]
    assert "Traceback" not in output


def test_the_experiment_is_described(workbench):
    about = json.loads((workbench / "results" / "tiny" / "experiment.json").read_text())
    assert about["methods"]["ssr_net/default"]["recipe"]["steps"] == 2
    assert about["versions"]["torch"]
    assert "SSR-NET" in about["methods"]["ssr_net/default"]["bibtex"]
    assert Path(workbench / "results" / "tiny" / "summary.txt").read_text().count("bicubic") >= 1
