"""Nothing stale is shown as new: whatever is edited, all that depends on it is made again, and nothing else.

No step runs here. The files of a whole experiment are empty ones, of which snakemake is told that it made them, and dry
runs say what it would make again.
"""

import os
import shutil

import numpy as np
import pytest
from workbench import copy_code, planned, snakemake, write_config

pytestmark = pytest.mark.xdist_group("stale")

PLAIN, CURVES = "block-gauss-s2/1", "block-gauss-s2/1+response=curves.csv"
CONFIG = {
    "experiment": "tiny",
    "datasets": {"field": {"reader": "own", "path": "cubes/field.npz", "scale": 1, "response": "own.csv"}},
    "protocols": [PLAIN, CURVES],
    "ratios": [4],
    "training": {"patch": 16, "batch": 1, "steps": 2},
    "methods": {"bicubic": {}, "mine": {"options": {"weights": "weights.npz"}}, "ssr_net": {}},
    "device": "cpu",
}
METHOD = '''
"""A method of the user's, with a module of its own, a package beside the config, and weights from elsewhere."""
from torch.nn.functional import interpolate

from smifbench.method import FusionMethod

import own_package.blocks

from ._own_layers import WIDTH

class Mine(FusionMethod):
    title, citation, trainable = "Mine", "mine2026", False

    def __init__(self, problem, weights=""):
        super().__init__(problem)
        self.width = WIDTH

    def forward(self, lr_hsi, hr_msi):
        return interpolate(lr_hsi, hr_msi.shape[-2:]) * self.width
'''
RESPONSE = "wavelength_nm,B1,B2\n400,0,0\n500,1,0\n600,0,1\n700,0,0\n"
SHOWN = {"tables": 1, "figures": 1, "document": 1, "report": 1, "summary": 1, "all": 1}
COUNTED = {"cost": 1, "collect_cost": 1}


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """A copy of the code in which every file of the experiment seems to be made."""
    folder = tmp_path_factory.mktemp("stale")
    copy_code(folder)
    (folder / "methods" / "mine.py").write_text(METHOD)
    (folder / "methods" / "_own_layers.py").write_text("WIDTH = 1\n")
    (folder / "own_package").mkdir()
    (folder / "own_package" / "blocks.py").write_text("DEPTH = 1\n")
    for name in ("own.csv", "curves.csv"):
        (folder / name).write_text(RESPONSE)
    (folder / "cubes").mkdir()
    cube = np.random.default_rng(0).random((6, 160, 64), np.float32)
    np.savez(folder / "cubes" / "field.npz", cube=cube, wavelengths_nm=np.linspace(420, 680, 6))
    np.savez(folder / "weights.npz", weights=np.zeros(3))
    write_config(folder, CONFIG)
    for path in outputs(folder):
        make_up(path)
    assert snakemake(folder, "--touch", "--forceall")[0] == 0
    assert planned_in(folder) == {}
    return folder


def outputs(folder):
    """Paths of all files and folders that snakemake makes of the config."""
    lines = snakemake(folder, "--detailed-summary")[1].splitlines()
    return [folder / line.split("\t")[0] for line in lines if line.count("\t") == 7][1:]


def make_up(path):
    """An empty file, or for a name without an ending an empty folder."""
    (path.parent if path.suffix else path).mkdir(parents=True, exist_ok=True)
    if path.suffix:
        path.touch()


def planned_in(folder, *arguments):
    """Job counts of a dry run; none where there is nothing to be done."""
    output = snakemake(folder, "--dry-run", *arguments)[1]
    if "Nothing to be done" in output:
        return {}
    jobs = planned(output)
    return {rule: count for rule, count in jobs.items() if rule != "total"}


@pytest.fixture
def edited(bench):
    """Replace a file's content, for the time of a test; the new one bears a time before all results, as a copy may."""
    before = {}

    def edit(name, old, new):
        path = bench / name
        before.setdefault(path, (path.read_bytes(), path.stat().st_mtime))
        content = path.read_bytes()
        assert old in content
        path.write_bytes(content.replace(old, new, 1))
        os.utime(path, (1e9, 1e9))

    yield edit
    for path, (content, time) in before.items():
        path.write_bytes(content)
        os.utime(path, (time, time))


def test_a_response_in_a_protocols_id_makes_the_pairs_of_that_protocol_again(bench, edited):
    edited("curves.csv", b"500,1,0", b"500,0.5,0.1")
    assert planned_in(bench) == SHOWN | {"degrade": 1, "train": 1, "fuse": 3, "score": 3, "collect": 1}


def test_files_of_a_method_fuse_and_train_it_alone_again(bench, edited):
    for file in ("methods/_own_layers.py", "own_package/blocks.py"):
        edited(file, b" = 1", b" = 2")
        assert planned_in(bench) == SHOWN | COUNTED | {"fuse": 2, "score": 2, "collect": 1, "describe": 1}
        edited(file, b" = 2", b" = 1")
    weights = (bench / "weights.npz").read_bytes()
    edited("weights.npz", weights, weights + b"\0")
    assert planned_in(bench) == SHOWN | COUNTED | {"fuse": 2, "score": 2, "collect": 1}


ALL = SHOWN | COUNTED | {"prepare": 3, "degrade": 2, "train": 2, "fuse": 6, "score": 6, "collect": 1}


@pytest.mark.parametrize("file", ["cubes/field.npz", "own.csv", "datasets/srf/sentinel2a.csv"])
def test_files_of_a_data_set_make_everything_of_it_again(bench, edited, file):
    edited(file, content := (bench / file).read_bytes(), content + b"\n\n")
    assert planned_in(bench) == ALL


def test_texts_and_printed_tables_reach_what_shows_them(bench, edited):
    edited("methods/references.bib", b"@", b" @")
    assert planned_in(bench) == SHOWN | {"describe": 1}
    edited("smifbench/report/templates/report.css", b"{", b" {")
    edited("methods/references.bib", b" @", b"@")
    assert planned_in(bench) == {"report": 1, "summary": 1, "all": 1}
    edited("smifbench/report/templates/report.css", b" {", b"{")
    edited("results/published/table_4.csv", b"\n", b"\n\n")
    assert planned_in(bench) == SHOWN | COUNTED


KEYS = {
    "note": ("a caveat", SHOWN | {"describe": 1}),
    "reference": ("gsa", SHOWN | {"describe": 1}),
    "training": ({"patch": 16, "batch": 1, "steps": 3}, {"describe": 1, "train": 2, "fuse": 2, "score": 2}),
    "threads": (2, {"describe": 1, "train": 2, "fuse": 6, "score": 6}),
    "memory_gb": (8, {"describe": 1, "fuse": 6, "score": 6}),
    "seeds": ([1], {"describe": 1, "train": 2, "fuse": 6, "score": 6}),
    "protocols": ([CURVES, PLAIN], COUNTED | {"describe": 1}),
    "ratios": ([2], COUNTED | {"describe": 1, "degrade": 2, "train": 2, "fuse": 6, "score": 6}),
}


@pytest.mark.parametrize("key", KEYS)
def test_a_key_of_the_config_reaches_what_it_decides(bench, key):
    value, expected = KEYS[key]
    write_config(bench, CONFIG | {key: value})
    try:
        jobs = planned_in(bench)
    finally:
        write_config(bench, CONFIG)
    assert {rule: count for rule, count in jobs.items() if rule != "collect"} == SHOWN | expected


METRICS = "results/tiny/metrics.csv"


@pytest.mark.parametrize("targets", [(), ("--", METRICS)])
def test_what_a_failed_job_has_removed_is_not_forgotten(bench, edited, targets):
    """Of a file that is gone snakemake knows nothing more, neither what it was made of nor that it is stale."""
    edited("curves.csv", b"500,1,0", b"500,0.5,0.1")
    try:
        status, output = snakemake(bench, "--", METRICS)
        assert status != 0
        assert "is damaged" in output, "the scenes are empty files"
        (pairs,) = (bench / "data" / "pairs").glob("*/block-gauss-s2")
        assert not (pairs / "1+response=curves.csv" / "x4").exists()
        jobs = planned_in(bench, *targets)
        assert {rule: jobs.get(rule) for rule in ("degrade", "train", "fuse", "score", "collect")} == {
            **{"degrade": 1, "train": 1, "fuse": 3, "score": 3, "collect": 1}
        }
    finally:
        for path in outputs(bench):
            make_up(path)
        edited("curves.csv", b"500,0.5,0.1", b"500,1,0")
        snakemake(bench, "--touch", "--forceall")


def test_what_users_read_is_made_again_where_it_is_gone(bench):
    shutil.rmtree(bench / "results" / "tiny" / "tables")
    try:
        assert planned_in(bench) == {"tables": 1, "document": 1, "summary": 1, "all": 1}
    finally:
        make_up(bench / "results" / "tiny" / "tables")
        snakemake(bench, "--touch", "--forceall")


def test_results_without_a_record_of_how_they_were_made_are_told(bench):
    records = bench / ".snakemake" / "metadata"
    records.rename(bench / "away")
    try:
        output = snakemake(bench)[1]
    finally:
        shutil.rmtree(records)
        (bench / "away").rename(records)
    assert "results/tiny is here, but not snakemake's record of how it was made" in output
    assert "snakemake --forceall" in output
