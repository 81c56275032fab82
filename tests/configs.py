"""The configs of the repository that are experiments by themselves; config/robustness.yaml goes on top of one."""

from tracked import tracked

from smifbench import plugins

TESTS = plugins.ROOT / "config" / "robustness.yaml"
EXPERIMENTS = [path for path in tracked("config/*.yaml") if path != TESTS]
