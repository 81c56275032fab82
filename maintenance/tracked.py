"""Which files belong to the repository: pages and tests of it leave out what a user has added."""

import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


def tracked(pattern: str) -> list[Path]:
    """Files under version control that match, such as `methods/*.py`; all that match where there is no git."""
    listed = subprocess.run(
        ["git", "ls-files", "--", pattern], cwd=REPOSITORY, capture_output=True, text=True, check=False
    ).stdout.split()
    paths = [REPOSITORY / name for name in listed] or REPOSITORY.glob(pattern)
    return sorted(path for path in paths if path.exists())
