"""What all fuzzing shares: how many examples, and that a process does not swell."""

from pathlib import Path

import pytest

STATUS = Path("/proc/self/status")


def _kib(field):
    return next(int(line.split()[1]) for line in STATUS.read_text().splitlines() if line.startswith(f"{field}:"))


@pytest.fixture
def little_memory():
    """Fail a test in which the process grew by more than 256 MiB at any moment, C libraries included."""
    reset = Path("/proc/self/clear_refs")
    if not reset.exists():
        yield
        return
    reset.write_text("5")  # sets the peak back to what is in use now
    before = _kib("VmRSS")
    yield
    assert _kib("VmHWM") - before < 256 * 1024
