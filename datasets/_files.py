"""Base of the data sets that are downloaded: finds their files and checks which scenes are wanted."""

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import ClassVar

from smifbench.data.download import Source, obtain
from smifbench.dataset import DataSet, File
from smifbench.errors import UserError, unknown


class FileDataSet(DataSet):
    """Base of the data sets that come as files.

    A subclass sets `archives` (files of which one is enough, the preferred one first) and `by_hand` (what a user can
    put into the folder instead, and where to get it). It defines `lacking` and `check`, and `unpack` where its files
    are not read inside the archive.

    Parameters
    ----------
    folder
        Folder of the user's that holds the files, in any layout that the subclass names; nothing is downloaded then.
    """

    archives: ClassVar[tuple[Source, ...]]
    by_hand: ClassVar[str]
    choice: ClassVar[str] = ""
    """End of the error message for missing files: what a user with only some of the scenes can do."""

    def __init__(self, folder: str | None) -> None:
        self.folder = folder

    def fetch(self, folder: Path) -> None:
        """Download what is missing, and check all files, downloaded or put there by hand.

        Raises
        ------
        UserError
            When something is missing or damaged and cannot be had, with what to do by hand.
        """
        place = self._place(folder)
        packed = any((place / archive.name).exists() for archive in self.archives)
        if packed or (self.folder is None and self.lacking(self.files(folder))):
            obtain(self.archives, place, folder / "lock.json", self.by_hand)
            self.unpack(place)
        self.check(self.complete_files(folder))

    def files(self, folder: Path) -> dict[str, File]:
        """Return the data set's files by base name: an unpacked file where there is one, else an archive's member."""
        place = self._place(folder)
        return {name: file for below in (_packed, _unpacked) for name, file in below(place)}

    def complete_files(self, folder: Path) -> dict[str, File]:
        """Return `files`; raises UserError when some of the wanted scenes' are missing."""
        files = self.files(folder)
        if lacking := self.lacking(files):
            more = f" and {len(lacking) - 1} more" if lacking[1:] else ""
            raise UserError(
                f"{self.title}: {self._place(folder)} lacks {lacking[0]}{more}; put {self.by_hand} there{self.choice}"
            )
        return files

    def lacking(self, files: dict[str, File]) -> list[str]:
        """Names of the files without which the wanted scenes cannot be read."""
        raise TypeError(f"{type(self).__name__} must define lacking(files)")

    def unpack(self, place: Path) -> None:
        """Unpack the verified archive into its own folder; by default does nothing, as for files read inside it."""

    def check(self, files: dict[str, File]) -> None:
        """Check the content of the files that the wanted scenes need; raises UserError with the name of a bad one."""
        raise TypeError(f"{type(self).__name__} must define check(files)")

    def _place(self, folder: Path) -> Path:
        own = Path(self.folder).expanduser() if self.folder else folder
        if self.folder and not own.is_dir():
            raise UserError(f"{self.title}: its option folder names {own}, which is no folder; correct or drop it")
        return own


def chosen(splits: dict[str, str], wanted: list[str] | None) -> dict[str, str]:
    """Return the `wanted` scenes of `splits` (scene: split), all for None; raises UserError for an unknown one."""
    listed = isinstance(wanted, list | tuple) and len(wanted) > 0 and all(isinstance(name, str) for name in wanted)
    if not listed and wanted is not None:
        raise UserError(f"scenes must be a list of at least one scene's name, not {wanted!r:.40}")
    for scene in wanted or ():
        if scene not in splits:
            raise unknown("scene", scene, splits)
    return {scene: split for scene, split in splits.items() if wanted is None or scene in wanted}


def one_of(option: str, value: str, known: tuple[str, ...]) -> str:
    """Return `value`; raises UserError where it is not among the `known` ones."""
    if value not in known:
        raise unknown(option, value, known)
    return value


def _packed(folder: Path) -> Iterator[tuple[str, File]]:
    """Yield base name and file of each member of the zip archives in a folder."""
    for archive in sorted(folder.glob("*.zip")):
        try:
            top = zipfile.Path(archive)
        except zipfile.BadZipFile as error:
            raise UserError(f"{archive} is no whole zip archive; delete it and run again") from error
        for name in top.root.namelist():
            if not name.endswith("/"):
                yield PurePosixPath(name).name, zipfile.Path(top.root, name)


def _unpacked(folder: Path) -> Iterator[tuple[str, File]]:
    """Yield base name and file of all that lies in a folder or below, hidden folders left out."""
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from ((name, Path(parent, name)) for name in sorted(names))
