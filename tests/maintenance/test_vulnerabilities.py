"""The audit of dependencies says what it found and what it could not look at, and never fails or hangs."""

import os
import subprocess
import sys

import vulnerabilities

from smifbench import plugins

HEALTHY = {"name": "numpy", "version": "2.4.6", "vulns": []}
UNKNOWN = {"name": "thop", "skip_reason": "Dependency not found and could not be audited: thop"}
WEAK = {"name": "pillow", "version": "9.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["9.0.1", "9.1"]}]}
WEAKER = {"name": "yacs", "version": "0.1", "vulns": [{"id": "PYSEC-2", "fix_versions": []}]}


def test_every_vulnerability_has_a_line():
    assert vulnerabilities.summary({"dependencies": [HEALTHY, WEAK, WEAKER, UNKNOWN]}).splitlines() == [
        "pillow 9.0: PYSEC-1, mended in 9.0.1, 9.1",
        "yacs 0.1: PYSEC-2, mended in none",
        "audit: 3 of 4 packages audited, 2 known vulnerabilities; not in the database: thop",
    ]


def test_a_clean_lock_is_one_line():
    assert (
        vulnerabilities.summary({"dependencies": [HEALTHY]})
        == "audit: 1 of 1 packages audited, 0 known vulnerabilities"
    )


def test_a_database_that_answers_nothing_is_no_clean_bill():
    assert "not done" in vulnerabilities.summary({"dependencies": [UNKNOWN, UNKNOWN]})


def test_without_an_index_it_says_so_and_succeeds():
    alone = os.environ | {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}
    done = subprocess.run(
        [sys.executable, vulnerabilities.__file__], env=alone, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert done.stdout.startswith("audit: not done, pip-audit could not be installed: ")
    assert len(done.stdout.splitlines()) == 1
    assert not done.stderr


def test_what_hangs_is_stopped(monkeypatch, tmp_path):
    monkeypatch.setattr(vulnerabilities, "PATIENCE", 0.2)
    assert "no answer" in vulnerabilities.attempt([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path)


def test_a_failure_is_told_by_its_last_line(tmp_path):
    command = [sys.executable, "-c", "import sys; print('much'); sys.exit('no such host\\n')"]
    assert vulnerabilities.attempt(command, tmp_path) == "no such host"
    assert vulnerabilities.attempt([sys.executable, "-c", "print('fine')"], tmp_path) == ""


def test_ci_runs_it_apart_from_the_locked_environment():
    assert "make audit" in (plugins.ROOT / ".ci" / "run").read_text()
    assert "pip-audit" not in (plugins.ROOT / "requirements.lock").read_text()
