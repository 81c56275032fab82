"""Verifying the zoo: the rows of an entry's card must come out the same from its weights and the user's data."""

from pathlib import Path
from tempfile import TemporaryDirectory

from smifbench import plugins
from smifbench.dataset import DataSet
from smifbench.errors import UserError
from smifbench.fusion import zoo
from smifbench.fusion.zoo import Entry
from smifbench.tools.rerun import run_again
from smifbench.tools.verification import Verdict


def verify_zoo(name: str = "", data: str | Path | None = None) -> list[Verdict]:
    """Verify one entry by its name, or all; see `verify_entry`."""
    entries = [zoo.find(each) for each in ([name] if name else zoo.names())]
    if not entries:
        raise UserError("the zoo holds nothing yet that could be verified")
    return [verdict for entry in entries for verdict in verify_entry(entry, data)]


def verify_entry(entry: Entry, data: str | Path | None = None) -> list[Verdict]:
    """Prepare and degrade the test scenes, fuse them with the entry's weights, score, and compare with its card.

    Parameters
    ----------
    entry
        Of the zoo.
    data
        Folder of the data set's files, for those that do not come with a package. Only the test scenes are read.

    Returns
    -------
    list of Verdict
        One for each row of the card.

    Raises
    ------
    UserError
        When the data cannot be read, or the weights are not those of the card.
    """
    with TemporaryDirectory() as temporary:
        verdicts = run_again(
            Path(temporary),
            _dataset(entry, data),
            entry.run,
            entry.options,
            entry.rows,
            entry.fusing["threads"],
            "its card",
            entry.as_trained,
        )
    return [
        Verdict(f"{entry.name}, {row['scene']}", verdict.complaint)
        for row, verdict in zip(entry.rows, verdicts, strict=True)
    ]


def _dataset(entry: Entry, data: str | Path | None) -> DataSet:
    """Build the entry's data set, of its test scenes alone where it can leave out some, with its files in `data`."""
    reader, title = entry.data["reader"], entry.data["title"]
    known = plugins.dataset_options(reader)
    if "folder" not in known and data is not None:
        raise UserError(f"{title}, on which {entry.name} was scored, comes with a package; leave out --data")
    if "folder" in known and data is None:
        raise UserError(f"{entry.name} was scored on {title}; name the folder that holds its files by --data")
    chosen = {"folder": data and str(data), "scenes": [row["scene"] for row in entry.rows]}
    return plugins.build_dataset(
        reader, **entry.data["options"] | {key: value for key, value in chosen.items() if key in known}
    )
