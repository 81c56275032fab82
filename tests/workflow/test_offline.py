"""After the installation the demo needs no network: its scene is prepared where there is none."""

import subprocess

import pytest
from workbench import command, copy_code, environment

ALONE = ["unshare", "--map-root-user", "--net"]
"""Begins a command that has no network, not even this machine's own."""


def may_be_alone():
    try:
        return subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not may_be_alone(), reason="this system lets no test run without a network")
def test_the_demos_scene_is_prepared_without_a_network(tmp_path):
    copy_code(tmp_path)
    scene = "data/scenes/indian_pines/indian_pines_test.npy"
    line = [*ALONE, *command("--cores", "1", scene, configs=["config/demo.yaml"])]
    done = subprocess.run(line, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / scene).exists()
