"""Fixtures that several test files share."""

from pathlib import Path

import numpy as np
import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"
"""Goldens and real scenes that are kept beside the repository, never inside it."""


@pytest.fixture
def golden():
    """Loader of a golden file by its name; the test is skipped where the goldens are absent."""

    def load(name: str) -> dict[str, np.ndarray]:
        path = SHARED / "goldens" / f"{name}.npz"
        if not path.exists():
            pytest.skip(f"golden file {path.name} is kept outside the repository and is not here")
        with np.load(path) as archive:
            return dict(archive)

    return load
