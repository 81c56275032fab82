"""Archives from the network: every byte is checked, and no member is written outside of its folder."""

import gzip
import hashlib
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from smifbench.system.files import replacing

BLOCK = 1 << 20


class Damaged(Exception):
    """A file is not what it should be. The message continues a sentence that begins with the file's name."""


def check_zip(path: Path, needed: Collection[str] = (), directory_sha256: str | None = None) -> None:
    """Check a zip archive: its directory, the names in it and the checksum of every member.

    Parameters
    ----------
    path
        The archive.
    needed
        Base names of the files that it must hold, in any of its folders.
    directory_sha256
        SHA-256 of the central directory, which holds the checksum of every member and so decides the whole content.

    Raises
    ------
    Damaged
        For an archive that fails a check, or that holds a link or a member that would land outside its folder.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                _refuse_outside(member.filename)
                if stat.S_ISLNK(member.external_attr >> 16):
                    raise Damaged(f"holds the link {member.filename}, which no data set needs")
            _refuse_lack(needed, archive.namelist())
            if directory_sha256 and _directory_hash(path, archive) != directory_sha256:
                raise Damaged("has another list of members than the published archive")
            bad = archive.testzip()
    # zipfile's words for an unknown compression and for an encrypted member are the last two.
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise Damaged("is no whole zip archive") from error
    if bad:
        raise Damaged(f"holds the damaged member {bad}")


def unpack_zip(path: Path, folder: Path, wanted: Collection[str]) -> None:
    """Write files of a zip archive into `folder`; parameters are those of `unpack_tar`."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            target = _target(folder, member.filename, member.file_size, wanted)
            if target and not member.is_dir():
                with archive.open(member) as content:
                    _write(content, target)


def check_tar(path: Path, needed: Collection[str] = ()) -> None:
    """Check a tar archive packed by gzip, in one pass through it; parameters and errors are those of `check_zip`."""
    _refuse_lack(needed, [member.name for _, member in _members(path)])


def unpack_tar(path: Path, folder: Path, wanted: Collection[str]) -> None:
    """Write the files of a tar archive packed by gzip into `folder`, in one pass and little memory.

    Parameters
    ----------
    path
        The archive.
    folder
        Where the files go, without the archive's own folders.
    wanted
        Base names of the files to write. Those that are there already with the right size are left alone.

    Raises
    ------
    Damaged
        As `check_tar`; the files before the damage are kept.
    CannotWrite
        When the disk is full or read-only.
    """
    for archive, member in _members(path):
        target = _target(folder, member.name, member.size, wanted)
        content = archive.extractfile(member) if target else None  # None for a folder too
        if target and content:
            _write(content, target)


def _target(folder: Path, name: str, size: int, wanted: Collection[str]) -> Path | None:
    """Where a member shall be written, or None where it is not wanted or there already."""
    path = folder / PurePosixPath(name).name
    there = path.exists() and path.stat().st_size == size
    return path if path.name in wanted and not there else None


def _write(content: IO[bytes], target: Path) -> None:
    """Write one member."""
    with replacing(target) as temporary, temporary.open("wb") as file:
        shutil.copyfileobj(content, file, BLOCK)


def _members(path: Path) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """Walk through an archive as a stream, up to gzip's checksum at its end."""
    try:
        with gzip.open(path) as stream, tarfile.open(fileobj=stream, mode="r|", bufsize=BLOCK) as archive:
            for member in archive:
                _refuse_outside(member.name)
                if not member.isfile() and not member.isdir():
                    raise Damaged(f"holds {member.name}, a link or device, which no data set needs")
                yield archive, member
            while stream.read(BLOCK):
                pass
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise Damaged("is no whole tar archive packed by gzip") from error


def _refuse_outside(name: str) -> None:
    parts = PurePosixPath(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or ":" in name:
        raise Damaged(f"holds the member {name}, which would land outside its folder")


def _refuse_lack(needed: Collection[str], names: list[str]) -> None:
    lacking = sorted(set(needed) - {PurePosixPath(name).name for name in names})
    if lacking:
        raise Damaged(f"lacks {len(lacking)} of {len(needed)} files, the first being {lacking[0]}")


def _directory_hash(path: Path, archive: zipfile.ZipFile) -> str:
    """SHA-256 of the central directory, which lies before the end record of 22 bytes and the archive's comment."""
    end = path.stat().st_size - 22 - len(archive.comment)
    with path.open("rb") as file:
        file.seek(archive.start_dir)
        return hashlib.sha256(file.read(end - archive.start_dir)).hexdigest()
