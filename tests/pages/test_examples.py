"""The pages' examples run as they stand, and the README names every plug-in."""

import re
import shutil
import subprocess
import sys

import pytest
from prepared import make_pairs
from tracked import tracked

from smifbench import Recipe, plugins
from smifbench.fusion.build import RunMethod
from smifbench.run import Run
from smifbench.steps.train import train

README, PYTHON, METHOD = (
    (plugins.ROOT / page).read_text() for page in ("README.md", "docs/python.md", "docs/add_method.md")
)
SCRIPTS = re.findall(r"```python\n(.*?)```", PYTHON, re.DOTALL)
METRICS = """\
experiment,dataset,protocol,ratio,method,variant,seed,scene,status,message,psnr,mpsnr,ssim,sam,rase,rmse,ergas,\
paper_psnr,paper_ssim,paper_sam,paper_rase,paper_rmse,paper_ergas,train_steps,train_seconds,fuse_seconds,device,code,data
demo,indian_pines,block-gauss-s2/1,4,gsa,default,0,test,ok,,44.9,45,0.98,0.9,2.2,0.0057,0.52,44.8,0.99,0.8,2.2,0.0057,\
0.55,,,0.1,cpu,abc,0123456789ab
"""


NARROW = {"width": 32, "layers": 1, "blocks": 2, "stages": 2}


@pytest.fixture
def desk(tmp_path):
    """A folder that holds results of a demo, with a network that has seen one step of training."""
    for name in ("demo", "other"):
        (tmp_path / "results" / name).mkdir(parents=True)
        (tmp_path / "results" / name / "metrics.csv").write_text(METRICS)
    demo = Run("indian_pines", "block-gauss-s2/1", 4, "smif_net", "default", 0)
    pairs = make_pairs(tmp_path, names=("indian_pines_train", "indian_pines_test"))
    trained = tmp_path / "results" / "demo" / "runs" / demo.folder / "trained"
    train(RunMethod(demo, NARROW), pairs, Recipe(batch=1, patch=16, steps=1), tmp_path / "state", trained)
    shutil.copytree(pairs, tmp_path / "data" / "pairs" / "indian_pines" / demo.protocol / "x4")
    return tmp_path


def run(folder, *arguments):
    done = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_are_examples():
    assert len(SCRIPTS) == 3


@pytest.mark.parametrize("script", SCRIPTS, ids=range(len(SCRIPTS)))
def test_a_python_example_runs(script, desk):
    assert run(desk, "-c", script).strip()


def test_the_first_example_tells_the_solver_the_psf():
    assert "psf=psf" in SCRIPTS[0]


def test_compare_prints_the_differences(desk):
    assert "gsa" in run(desk, "-m", "smifbench", "compare", "results/demo", "results/other")


def test_lists_name_every_plugin():
    methods, datasets = (run(plugins.ROOT, "-m", "smifbench", kind) for kind in ("methods", "datasets"))
    assert all(name in methods for name in plugins.names("methods"))
    assert all(name in datasets for name in plugins.names("datasets"))
    for path in [*tracked("methods/*.py"), *tracked("datasets/*.py")]:
        assert path.stem.startswith("_") or f"\n| `{path.stem}` |" in README, path


def test_the_worked_method_builds_and_runs():
    example = re.search(r"```python\n(class MyNet.*?)```", METHOD, re.DOTALL).group(1)
    skeleton = (plugins.ROOT / "methods" / "_skeleton.py").read_text()
    header = skeleton.split("class Skeleton")[0].replace("from ._layers", "from _smifbench_methods._layers")
    script = (
        "from smifbench import plugins, FusionProblem\nplugins._package(plugins.source('methods', 'gsa'))\n"
        f"{header}\n{example}\n"
        "print(MyNet(FusionProblem(6, 2, 4))(torch.rand(1, 6, 4, 4), torch.rand(1, 2, 16, 16)).shape)"
    )
    assert "[1, 6, 16, 16]" in run(plugins.ROOT, "-c", script)


def test_new_method_writes_a_method_that_trains(tmp_path):
    for name in ("smifbench", "methods", "datasets"):
        shutil.copytree(plugins.ROOT / name, tmp_path / name)
    (tmp_path / "methods" / "my_net.py").unlink(missing_ok=True)  # a user's, who followed the page
    assert "methods/my_net.py" in run(tmp_path, "-m", "smifbench", "new-method", "my_net")
    assert "class MyNet" in (tmp_path / "methods" / "my_net.py").read_text()
    assert "my_net" in run(tmp_path, "-m", "smifbench", "methods")
    script = (
        "import torch, smifbench; m = smifbench.build_method('my_net', smifbench.FusionProblem(6, 2, 4)); "
        "m.training_loss(torch.rand(1, 6, 4, 4), torch.rand(1, 2, 16, 16), torch.rand(1, 6, 16, 16)).backward(); "
        "print(all(p.grad is not None for p in m.parameters()))"
    )
    assert run(tmp_path, "-c", script).strip() == "True"
    again = subprocess.run(
        [sys.executable, "-m", "smifbench", "new-method", "my_net"], cwd=tmp_path, capture_output=True, text=True
    )
    assert again.returncode == 2
    assert "exists already" in again.stderr
    assert "Traceback" not in again.stderr
