"""Downloads of source files: broken ones are resumed, mirrors are tried, every file is checked and its hash recorded.

The transfer is written here on top of `requests`, because pooch cannot resume a broken download and takes one address
for each file.
"""

import errno
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from smifbench.data.archives import Damaged
from smifbench.errors import UserError
from smifbench.system.files import read_json, write_json
from smifbench.system.identity import file_hash

if TYPE_CHECKING:
    from requests import RequestException, Response

ATTEMPTS = 5
"""Attempts in a row that may bring no new byte before an address is given up."""

BACKOFF_SECONDS = 1.0
"""Pause after the first such attempt; it doubles with each further one."""

CONNECT_SECONDS = 20.0
STALL_SECONDS = 60.0
"""Time without a byte after which a connection is given up."""

CHUNK = 1 << 14
"""Bytes read at a time; a broken connection loses what it brought of its last chunk."""


@dataclass(frozen=True)
class Source:
    """A file that a data set's owners publish.

    Parameters
    ----------
    name
        Its name on disk.
    addresses
        Where it is served: the official address first, then mirrors with the same bytes.
    magic
        Byte strings of which the file must begin with one.
    check
        Function that reads the file and raises `Damaged` where it is not whole.
    size, sha256
        Its length in bytes and hash, where they are published.
    """

    name: str
    addresses: tuple[str, ...]
    magic: tuple[bytes, ...]
    check: Callable[[Path], None]
    size: int | None = None
    sha256: str | None = None


def obtain(sources: Sequence[Source], folder: Path, lock: Path, by_hand: str) -> None:
    """Verify what there is of `sources` in `folder`; where there is none, download the first that can be had.

    Parameters
    ----------
    sources
        Files that are each enough for the data set, the preferred one first.
    folder
        Where they are or are to be. An interrupted download is kept in its folder `.download` and resumed.
    lock
        JSON file with the SHA-256 of every file that has been verified once; later ones must equal it.
    by_hand
        What a user can put into `folder` instead, with the address where to get it.

    Raises
    ------
    UserError
        When a file that is there fails a check, or when none is there and none can be had, with the reason for each
        address and what to do by hand.
    """
    present = [source for source in sources if (folder / source.name).exists()]
    for source in present:
        path = folder / source.name
        try:
            _record(lock, source, _verify(path, source, lock), path, "placed by hand")
        except Damaged as reason:
            raise UserError(f"{path} {reason}; delete it and run again, or put {by_hand} into {folder}") from reason
    if present:
        return
    failures = []
    for source in sources:
        for address in source.addresses:
            try:
                _download(address, source, folder, lock)
                return
            except _Unavailable as reason:
                logging.warning("%s %s", address, reason)
                failures.append(f"{address} {reason}")
    raise UserError(
        f"{sources[0].name} could not be downloaded ({'; '.join(failures)}); put {by_hand} into {folder} and run again"
    )


class _Unavailable(Exception):
    """An address does not serve the file. The message continues a sentence that begins with the address."""


class _Interrupted(Exception):
    """A transfer broke off; the next attempt may go on where it stopped."""


def _verify(path: Path, source: Source, lock: Path) -> str:
    """Return the SHA-256 of a file that passes all checks, the cheapest first; raises Damaged for one that fails."""
    with path.open("rb") as file:
        _check_start(file.read(CHUNK), source)
    size = path.stat().st_size
    if source.size not in (None, size):
        raise Damaged(f"has {size:,} bytes instead of {source.size:,}")
    sha256 = file_hash(path)
    if source.sha256 not in (None, sha256):
        raise Damaged(f"has the SHA-256 {sha256} instead of the published {source.sha256}")
    recorded = _locked(lock).get(source.name, {}).get("sha256", sha256)
    if sha256 != recorded:
        raise Damaged(f"has the SHA-256 {sha256}, but the first verified one had {recorded} (recorded in {lock})")
    source.check(path)
    return sha256


def _check_start(start: bytes, source: Source) -> None:
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise Damaged("is a web page, not the file itself")
    if not start.startswith(source.magic):
        raise Damaged(f"does not begin as {source.name} must")


def _locked(lock: Path) -> dict:
    return read_json(lock) if lock.exists() else {}


def _record(lock: Path, source: Source, sha256: str, path: Path, origin: str) -> None:
    if source.name not in _locked(lock):
        about = {"sha256": sha256, "bytes": path.stat().st_size, "from": origin}
        write_json(lock, {**_locked(lock), source.name: about})


def _download(address: str, source: Source, folder: Path, lock: Path) -> None:
    part = folder / ".download" / source.name
    part.parent.mkdir(parents=True, exist_ok=True)
    _transfer(address, part, source)
    try:
        sha256 = _verify(part, source, lock)
    except Damaged as reason:
        part.unlink()  # so that the next attempt does not go on from wrong bytes
        raise _Unavailable(f"sent a file that {reason}") from reason
    path = part.replace(folder / source.name)
    _record(lock, source, sha256, path, address)


def _transfer(address: str, part: Path, source: Source) -> None:
    """Download until `part` has its full length; each attempt goes on where the last one stopped."""
    longest, fruitless = _length(part), 0
    while source.size is None or _length(part) < source.size:
        try:
            _receive(address, part, source)
            if source.size is None or _length(part) >= source.size:
                return
            raise _Interrupted("sent fewer bytes than the file has")
        except _Interrupted as reason:
            fruitless = 0 if _length(part) > longest else fruitless + 1
            longest = max(longest, _length(part))
            if fruitless == ATTEMPTS:
                raise _Unavailable(str(reason)) from reason
            logging.info("%s %s after %d bytes", address, reason, longest)
            time.sleep(BACKOFF_SECONDS * 2**fruitless)


def _receive(address: str, part: Path, source: Source) -> None:
    """Make one request for the bytes that `part` still lacks and append them."""
    import requests

    have = _length(part)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with requests.get(address, headers=headers, stream=True, timeout=(CONNECT_SECONDS, STALL_SECONDS)) as response:
            if have and response.status_code == 416:
                return  # there are no more bytes; the verification tells whether these are the file
            start = _first_byte(response)
            if start > have:
                raise _Unavailable("sent another part of the file than it was asked for")
            chunks = response.iter_content(CHUNK)
            if start == 0:
                chunks = _checked_start(chunks, source)
            end = _end(response, start, source)
            _append(part, chunks, start, end, source.name)
            if end is not None and _length(part) < end:
                raise _Interrupted("cut the connection")
    except requests.RequestException as error:
        raise _Interrupted(_in_words(error)) from error
    except OSError as error:
        raise UserError(
            f"{part} cannot be written: {error.strerror}; "
            f"{'free some space' if error.errno in (errno.ENOSPC, errno.EDQUOT) else 'make that possible'} "
            "and run again, the download goes on where it stopped"
        ) from error


def _first_byte(response: "Response") -> int:
    """Position in the file of the response's first byte: 0 from a server that ignores ranges."""
    status = response.status_code
    if status in (408, 429) or status >= 500:
        raise _Interrupted(f"answered {status} ({response.reason})")
    if status not in (200, 206):
        raise _Unavailable(f"answered {status} ({response.reason})")
    if "html" in response.headers.get("Content-Type", ""):
        raise _Unavailable("answered with a web page")
    position = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    if status == 206 and not position.isdigit():
        raise _Unavailable("sent a part of the file without telling which")
    return int(position) if status == 206 else 0


def _end(response: "Response", start: int, source: Source) -> int | None:
    """Length of the whole file as the server states it, or None where it does not."""
    length = response.headers.get("Content-Length", "")
    end = start + int(length) if length.isdigit() else None
    if source.size is not None and end not in (None, source.size):
        raise _Unavailable(f"offers {end:,} bytes instead of {source.size:,}")
    return end


def _checked_start(chunks: Iterator[bytes], source: Source) -> Iterator[bytes]:
    first = next(chunks, b"")
    try:
        _check_start(first, source)
    except Damaged as reason:
        raise _Unavailable(f"sent what {reason}") from reason
    return chain([first], chunks)


def _append(part: Path, chunks: Iterator[bytes], start: int, end: int | None, name: str) -> None:
    """Append to `part` the bytes that it lacks of `chunks`, which begin at byte `start` of the file."""
    from tqdm import tqdm

    known = _length(part) - start
    if end is not None:
        _check_space(part, end - _length(part))
    with (
        part.open("ab") as file,
        tqdm(
            total=end, initial=start, desc=name, unit="B", unit_scale=True, unit_divisor=1000, disable=None
        ) as progress,
    ):
        for chunk in chunks:
            file.write(chunk[known:])
            known = max(0, known - len(chunk))
            progress.update(len(chunk))


def _check_space(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise UserError(
            f"{part.parent} has {free / 1e9:.1f} GB free, but {needed / 1e9:.1f} GB are still to be downloaded; free "
            "some space and run again"
        )


def _length(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _in_words(error: "RequestException") -> str:
    """Describe a failed connection in words, without names of Python classes."""
    import requests

    if isinstance(error, requests.exceptions.ConnectTimeout):
        return f"did not answer within {CONNECT_SECONDS:g} s"
    if "timed out" in str(error):
        return f"stopped sending for {STALL_SECONDS:g} s"
    if isinstance(error, requests.exceptions.SSLError):
        return "offered no secure connection that can be trusted"
    if isinstance(error, requests.exceptions.ChunkedEncodingError) or "aborted" in str(error):
        return "cut the connection"
    if isinstance(error, requests.exceptions.ConnectionError):
        return "cannot be reached"
    return f"could not be read ({error})"
