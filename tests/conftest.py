"""Fixtures that several test files share."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

SHARED = Path(__file__).resolve().parents[2] / "shared"
"""Goldens and real scenes that are kept beside the repository, never inside it."""

needs_latex = pytest.mark.skipif(not shutil.which("pdflatex"), reason="no LaTeX is installed")
"""The suite leaves its PDF out where there is no LaTeX, which a test holds; `.ci/run` installs one."""


@pytest.fixture(autouse=True)
def deterministic_as_before():
    """A command that a test calls in this process may ask torch for repeatable kernels; the next test did not."""
    before = torch.are_deterministic_algorithms_enabled()
    yield
    torch.use_deterministic_algorithms(before)


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


@pytest.fixture(scope="session")
def made_up(tmp_path_factory) -> tuple[Path, Path]:
    """Results, with figures and report, and pairs of a made-up experiment; tests only read them."""
    from made_up import write_grid

    from smifbench.report.figures import draw_figures
    from smifbench.report.page import write_report

    results, pairs = write_grid(tmp_path_factory.mktemp("made_up"))
    draw_figures(results, pairs, results / "figures")
    write_report(results, pairs, results / "report.html")
    return results, pairs


@pytest.fixture(scope="session")
def toy_desk(tmp_path_factory) -> Path:
    """A folder as `tiny_zoo.make_results` fills it; tests only read it."""
    from tiny_zoo import make_results

    desk = tmp_path_factory.mktemp("desk")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(desk)
        make_results(desk)
    return desk


@pytest.fixture
def tiny_zoo(toy_desk, tmp_path, monkeypatch) -> Path:
    """A copy of that folder as the current directory, and a zoo of one entry made from its results in place of ours."""
    import zoo as maker
    from smifbench.fusion import zoo

    desk = tmp_path / "desk"
    shutil.copytree(toy_desk, desk)
    monkeypatch.chdir(desk)
    monkeypatch.setattr(zoo, "ZOO", desk / "zoo")
    maker.make(desk / "results" / "tiny", "ssr_net", 4)
    return desk
