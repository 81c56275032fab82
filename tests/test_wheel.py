"""An installed package works without the checkout: a wheel in an environment of its own, used in a folder elsewhere."""

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from workbench import CODE

import smifbench
from smifbench import plugins
from smifbench.places import ZOO

pytestmark = pytest.mark.xdist_group("wheel")

PACKAGING = ["pyproject.toml", "setup.py", "README.md", "LICENSE", "THIRD_PARTY_NOTICES.md", "zoo"]
CARRIED = [
    *("smifbench/**/*", "methods/*", "datasets/**/*", "results/published/*", "config/demo.yaml"),
    *("zoo/*.json", "zoo/*.safetensors"),
]
CONFIG = {
    "experiment": "mine",
    "datasets": {"indian_pines": {}},
    "ratios": [4],
    "methods": {"gsa": {}, "net_of_a_test": {"recipe": {"steps": 3, "batch": 2, "patch": 16}}},
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of a copy of the code; building leaves a folder `build` where it happens."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in [*CODE, *PACKAGING]:
        copy = shutil.copytree if (plugins.ROOT / name).is_dir() else shutil.copy
        (folder / "code" / name).parent.mkdir(parents=True, exist_ok=True)
        copy(plugins.ROOT / name, folder / "code" / name)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, ".", "--wheel-dir", folder], cwd=folder / "code", check=True)
    shutil.rmtree(folder / "code")
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def binaries(wheel, tmp_path_factory):
    """Folder of the commands of a new environment, in which the wheel is installed and finds the tests' libraries."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder)
    home = next(folder.glob("lib/python*/site-packages"))
    libraries = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    # Files .pth of these folders do not act, so that an editable install of this checkout is not seen.
    (home / "libraries.pth").write_text("\n".join(libraries))
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", wheel], check=True)
    return folder / "bin"


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A user's folder: a pair of files and nothing else."""
    folder = tmp_path_factory.mktemp("desk")
    random = np.random.default_rng(0)
    smooth = np.cumsum(np.cumsum(random.random((8, 64, 64)), 1), 2)
    hr_hsi = (smooth / smooth.max()).astype(np.float32)
    srf = random.dirichlet(np.ones(8), 3)
    pair = smifbench.simulate(hr_hsi, 4, srf, protocol="block-gauss-s2/1")
    np.save(folder / "hsi.npy", pair.lr_hsi)
    np.save(folder / "msi.npy", pair.hr_msi)
    return folder


@pytest.fixture
def run(binaries, desk):
    """Run a command of the environment on the desk; returns its exit status, output and errors."""

    def in_desk(command, *arguments):
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        done = subprocess.run(
            [binaries / command, *arguments], cwd=desk, env=environment, capture_output=True, text=True, check=False
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout, done.stderr

    return in_desk


def fuse(method, *options):
    return ["fuse", "--method", method, "--hsi", "hsi.npy", "--msi", "msi.npy", "--output", f"{method}.npy", *options]


def test_the_wheel_carries_what_the_checkout_has(wheel):
    paths = [path for pattern in CARRIED for path in plugins.ROOT.glob(pattern) if path.is_file()]
    names = {path.relative_to(plugins.ROOT).as_posix() for path in paths if "__pycache__" not in path.parts}
    inside = {name if name.startswith("smifbench/") else f"smifbench/{name}" for name in names}
    carried = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert carried == inside


def test_nothing_of_the_checkout_is_found(run):
    code = "import sys, smifbench; print(*sys.path, *sys.meta_path, smifbench.__file__, sep='\\n')"
    _, output, _ = run("python", "-c", code)
    *found, package = output.splitlines()
    assert not [line for line in found if "ditable" in line or line == str(plugins.ROOT)]
    assert "environment" in package


def test_the_command_states_its_version(run):
    assert run("smifbench", "--version") == (0, f"smifbench {smifbench.__version__}\n", "")


@pytest.mark.parametrize("kind", ["methods", "datasets"])
def test_lists_name_all_that_the_suite_has(run, kind):
    status, output, _ = run("smifbench", kind)
    assert status == 0
    ours = [path.stem for path in (plugins.ROOT / kind).glob("*.py") if path.name[0] != "_"]
    assert {line.split()[0] for line in output.splitlines()} >= set(ours)


def test_the_zoo_is_the_one_of_the_checkout(run):
    status, output, errors = run("smifbench", "zoo")
    assert (status, errors) == (0, "")
    assert {line.split()[0] for line in output.splitlines()} == {path.stem for path in ZOO.glob("*.json")}


def test_a_file_is_inspected_and_a_pair_fused(run, desk):
    assert "8 bands" in run("smifbench", "inspect", "hsi.npy", "--band-axis", "0")[1]
    status, _, errors = run("smifbench", *fuse("gsa"))
    assert (status, errors) == (0, "")
    assert np.load(desk / "gsa.npy").shape == (8, 64, 64)
    assert json.loads((desk / "gsa.json").read_text())["code"] == smifbench.__version__


def test_cost_responses_and_published_tables_are_there(run):
    code = (
        "from smifbench import plugins; from smifbench.__main__ import main\n"
        "from smifbench.data.responses import NAMED, load_response\n"
        "from smifbench.report.pieces import TEMPLATES\n"
        "assert all(len(load_response(name).curves) for name in NAMED)\n"
        "assert (TEMPLATES / 'report.html.j2').exists()\n"
        "plugins.names = lambda folder: ['ssr_net']\n"
        "raise SystemExit(main(['cost']))"
    )
    status, output, errors = run("python", "-c", code)
    assert status == 0, errors
    assert output.count("thop's count, cut off") == 6


def test_a_method_of_the_folder_is_written_found_planned_and_trained(run, desk):
    status, output, _ = run("smifbench", "new-method", "net_of_a_test")
    assert status == 0
    assert str(desk / "methods" / "net_of_a_test.py") in output
    assert "checkout" in output
    assert 'citation = "author2026netofatest"' in (desk / "methods" / "net_of_a_test.py").read_text()
    (desk / "mine.yaml").write_text(yaml.safe_dump(CONFIG))
    status, output, errors = run("smifbench", "plan", "mine.yaml")
    assert status == 0, errors
    assert "net_of_a_test" in output
    assert "experiments are run by snakemake in a checkout of the repository" in output
    status, output, errors = run("smifbench", *fuse("net_of_a_test", "--config", "mine.yaml"))
    assert status == 0, errors
    assert "trained for 3 steps" in output
    version, _, digits = json.loads((desk / "net_of_a_test.json").read_text())["code"].partition("+")
    assert (version, len(digits)) == (smifbench.__version__, 8)


def test_a_name_that_exists_twice_is_refused_with_both_files(run, desk):
    (desk / "methods").mkdir(exist_ok=True)
    own = desk / "methods" / "tsfn.py"
    own.write_text("")
    try:
        status, output, errors = run("smifbench", "methods")
    finally:
        own.unlink()
    assert status == 2
    assert "gsa" in output
    assert "exists twice" in errors
    assert str(own) in errors
    assert f"{os.sep}smifbench{os.sep}methods{os.sep}tsfn.py" in errors
