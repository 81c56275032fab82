"""What snakemake itself would tell in words of its own, or not at all, ends in one sentence with the remedy."""

import os
import time

import pytest
from workbench import copy_code, planned, snakemake, write_config

from smifbench.places import RESPONSES

pytestmark = pytest.mark.xdist_group("stale")

CONFIG = {
    "experiment": "tiny",
    "datasets": {"indian_pines": {}},
    "protocols": ["block-gauss-s2/1+response=curves.csv"],
    "ratios": [4],
    "methods": {"bicubic": {}},
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """A copy of the code in which nothing is run."""
    folder = tmp_path_factory.mktemp("refused")
    copy_code(folder)
    (folder / "curves.csv").write_bytes((RESPONSES / "nikon_d700.csv").read_bytes())
    write_config(folder, CONFIG)
    return folder


def refused(folder, *arguments):
    status, output = snakemake(folder, "--dry-run", *arguments)
    assert status != 0
    assert "Traceback" not in output
    return output


@pytest.mark.parametrize("file", ["curves.csv", "methods/references.bib", "results/published/table_4.csv"])
def test_a_file_from_the_future_is_told_with_the_remedy(bench, file):
    tomorrow = time.time() + 86400
    os.utime(bench / file, (tomorrow, tomorrow))
    try:
        output = refused(bench)
    finally:
        (bench / file).touch()
    assert f"{file} was changed in the future" in output
    assert f"touch '{file}'" in output


def test_printed_tables_that_are_gone_are_told_with_the_remedy(bench):
    tables = bench / "results" / "published"
    tables.rename(bench / "away")
    try:
        output = refused(bench)
    finally:
        (bench / "away").rename(tables)
    assert "comes with the suite and is gone; get it back: git checkout results/published" in output


@pytest.mark.parametrize("key", ["protocols", "test_protocols"])
def test_a_protocol_that_names_no_folder_is_refused(bench, key):
    (bench / "in").mkdir(exist_ok=True)
    (bench / "in" / "curves.csv").write_bytes((bench / "curves.csv").read_bytes())
    output = refused(bench, "--config", f"{key}=[block-gauss-s2/1+response=in/curves.csv]")
    assert "which takes no slash" in output


def test_lists_and_mappings_on_the_command_line_have_the_types_of_a_config_file(bench):
    given = ["seeds=[0,1]", "ratios=[2, 4]", "methods={bicubic: {}, ssr_net: {recipe: {steps: 5, patch: 16}}}"]
    status, output = snakemake(bench, "--dry-run", "--config", *given, "training={lr: 1.0e-3}")
    assert status == 0, output
    assert {"degrade": 2, "train": 4, "score": 6}.items() <= planned(output).items()
    assert "key 'ratios.0'" in refused(bench, "--config", "ratios=[two]")


def test_the_suite_runs_from_any_folder(bench, tmp_path):
    (tmp_path / "curves.csv").write_bytes((bench / "curves.csv").read_bytes())
    write_config(tmp_path, CONFIG)
    for folder, arguments in ((tmp_path, []), (bench, ["--directory", str(tmp_path)])):
        status, output = snakemake(folder, "--dry-run", "--snakefile", str(bench / "Snakefile"), *arguments, code=bench)
        assert status == 0, output
        assert planned(output)["score"] == 1
    assert not [path for path in tmp_path.iterdir() if path.name not in ("curves.csv", "tiny.yaml", ".snakemake")]
