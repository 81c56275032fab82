"""Execute docs/first_hour.ipynb and keep what it prints: `python maintenance/first_hour.py`, after `make demo`."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

from smifbench import plugins
from smifbench.system.files import write_text

NOTEBOOK = plugins.ROOT / "docs" / "first_hour.ipynb"


def main() -> None:
    """Rewrite the notebook's outputs."""
    write_text(NOTEBOOK, nbformat.writes(executed(plugins.ROOT)) + "\n")


def executed(checkout: Path) -> nbformat.NotebookNode:
    """Return the notebook as the results of a checkout make it, without what only says when and where it ran."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    place = {"metadata": {"path": str(checkout / "docs")}}
    NotebookClient(notebook, timeout=300, record_timing=False, resources=place).execute()
    notebook.metadata.pop("language_info", None)
    return notebook


if __name__ == "__main__":
    main()
