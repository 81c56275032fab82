"""What Windows lacks is needed by nothing that a user of files and Python does there."""

import subprocess
import sys
from pathlib import Path

import numpy as np

import smifbench

WITHOUT = """
import sys, warnings
for name in ("fcntl", "resource"):
    sys.modules[name] = None  # an import of it fails
import pkgutil, importlib
import smifbench
from smifbench import plugins
from smifbench.__main__ import main

for module in pkgutil.walk_packages(smifbench.__path__, "smifbench."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
pair = ["--hsi", "hsi.npy", "--msi", "msi.npy", "--device", "cpu"]
assert main(["inspect", "hsi.npy"]) == 0
assert main(["fuse", "--method", "gsa", *pair, "--output", "a.npy"]) == 0
assert main(["fuse", "--method", "ssr_net", "--train", "2", *pair, "--output", "b.npy"]) == 0
"""


def test_inspect_fuse_and_every_module_work_without_unix(tmp_path):
    hr_hsi = np.random.default_rng(0).random((8, 64, 64)).cumsum(1).cumsum(2) / 5000
    srf = np.kron(np.eye(4), np.full((1, 2), 0.5))
    pair = smifbench.simulate(hr_hsi.astype(np.float32), 4, srf, protocol="block-gauss-s2/1")
    np.save(tmp_path / "hsi.npy", pair.lr_hsi)
    np.save(tmp_path / "msi.npy", pair.hr_msi)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert {"a.npy", "b.npy"} <= {path.name for path in Path(tmp_path).iterdir()}
