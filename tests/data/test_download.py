"""Downloads from a server that misbehaves in every way that servers do, and archives that must be refused."""

import errno
import gzip
import hashlib
import io
import json
import os
import re
import socket
import struct
import sys
import tarfile
import threading
import time
import zipfile
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from smifbench import UserError
from smifbench.data import download
from smifbench.data.archives import Damaged, check_tar, check_zip, unpack_tar, unpack_zip
from smifbench.data.download import Source, obtain

NAME = "scenes.zip"
BY_HAND = "scenes.zip from https://example.org/scenes"


def zip_bytes(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


FILE = zip_bytes({"scenes/a.png": np.random.default_rng(0).bytes(300_000), "scenes/b.png": b"b" * 10})


class Server:
    """A web server on this machine. `behave` answers a request, given the handler and the number of the request."""

    def __init__(self, behave):
        self.ranges = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.ranges.append(self.headers.get("Range"))
                behave(self, len(outer.ranges))

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()
        self.address = f"http://127.0.0.1:{self.http.server_port}/{NAME}"

    def close(self):
        self.http.shutdown()
        self.http.server_close()


def send(handler, content=FILE, ranges=True, stop=None, length=None, kind="application/zip", status=200):
    """Answer with `content`, or the part that was asked for; `stop` sends no more than so many bytes of it."""
    asked = handler.headers.get("Range") if ranges else None
    start = int(re.fullmatch(r"bytes=(\d+)-", asked).group(1)) if asked else 0
    if asked and start >= len(content):
        handler.send_response(416)
        handler.send_header("Content-Range", f"bytes */{len(content)}")
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return
    body = content[start:]
    handler.send_response(206 if asked else status)
    handler.send_header("Content-Type", kind)
    if length != "none":
        handler.send_header("Content-Length", str(length or len(body)))
    if asked:
        handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    handler.end_headers()
    handler.wfile.write(body[:stop])


@pytest.fixture
def serve(monkeypatch):
    """Start a server for each given behaviour; returns them in order."""
    servers = []

    def start(*behaviours):
        servers.extend(Server(behave) for behave in behaviours)
        return servers[-len(behaviours) :]

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name, value in (("BACKOFF_SECONDS", 0.001), ("STALL_SECONDS", 0.3), ("CONNECT_SECONDS", 2.0), ("ATTEMPTS", 3)):
        monkeypatch.setattr(download, name, value)
    yield start
    for server in servers:
        server.close()


def source_of(*servers, **known):
    check = partial(check_zip, needed=["a.png", "b.png"])
    return Source(
        NAME, tuple(getattr(server, "address", server) for server in servers), (b"PK\x03\x04",), check, **known
    )


KNOWN = {"size": len(FILE), "sha256": hashlib.sha256(FILE).hexdigest()}
either = pytest.mark.parametrize("known", [{}, KNOWN], ids=["unpublished", "published"])


def get(source, folder):
    obtain([source], folder, folder / "lock.json", BY_HAND)
    return (folder / source.name).read_bytes()


def failure(source, folder):
    """The message of a download that must fail, after which the folder must hold no file of the final name."""
    with pytest.raises(UserError) as caught:
        obtain([source], folder, folder / "lock.json", BY_HAND)
    assert not (folder / source.name).exists()
    assert not (folder / "lock.json").exists()
    message = str(caught.value)
    assert "\n" not in message
    return message


def check_remedy(message, server, folder):
    assert server.address in message
    assert f"put {BY_HAND} into {folder}" in message


@either
def test_a_file_arrives_once_and_is_recorded(serve, tmp_path, known):
    (server,) = serve(lambda handler, n: send(handler))
    source = source_of(server, **known)
    assert get(source, tmp_path) == FILE
    assert json.loads((tmp_path / "lock.json").read_text()) == {
        NAME: {"sha256": KNOWN["sha256"], "bytes": len(FILE), "from": server.address}
    }
    assert get(source, tmp_path) == FILE
    assert server.ranges == [None]


@either
def test_a_cut_connection_is_taken_up_where_it_broke(serve, tmp_path, known):
    (server,) = serve(lambda handler, n: send(handler, stop=None if n > 3 else 70_000))
    assert get(source_of(server, **known), tmp_path) == FILE
    starts = [int(asked[6:-1]) for asked in server.ranges[1:]]
    assert len(starts) == 3
    assert starts == sorted(starts)
    assert starts[0] >= 65536


def test_more_cuts_than_attempts_are_survived_while_each_brings_something(serve, tmp_path):
    # 300 kB in pieces of 70 kB: more requests than the three attempts that may be fruitless.
    (server,) = serve(lambda handler, n: send(handler, stop=70_000))
    assert get(source_of(server), tmp_path) == FILE
    assert len(server.ranges) == 5


def test_a_new_process_goes_on_with_what_the_last_one_had(serve, tmp_path):
    (server,) = serve(lambda handler, n: send(handler, stop=70_000 if n == 1 else 0))
    failure(source_of(server), tmp_path)
    (other,) = serve(lambda handler, n: send(handler))
    assert get(source_of(other), tmp_path) == FILE
    assert other.ranges == ["bytes=65536-"]


def test_a_finished_part_is_only_verified(serve, tmp_path):
    (server,) = serve(lambda handler, n: send(handler))
    for known, requests in ((KNOWN, []), ({}, [f"bytes={len(FILE)}-"])):
        folder = tmp_path / str(len(requests))
        (folder / ".download").mkdir(parents=True)
        (folder / ".download" / NAME).write_bytes(FILE)
        server.ranges.clear()
        assert get(source_of(server, **known), folder) == FILE
        assert server.ranges == requests


@either
def test_a_server_that_ignores_ranges(serve, tmp_path, known):
    (server,) = serve(lambda handler, n: send(handler, ranges=False, stop=200_000 if n == 1 else None))
    assert get(source_of(server, **known), tmp_path) == FILE
    assert len(server.ranges) == 2


def test_a_server_that_ignores_ranges_and_always_cuts_is_given_up(serve, tmp_path):
    (server,) = serve(lambda handler, n: send(handler, ranges=False, stop=200_000))
    message = failure(source_of(server), tmp_path)
    assert f"{server.address} cut the connection" in message
    check_remedy(message, server, tmp_path)
    assert len(server.ranges) == 4


def test_a_stalled_connection_is_taken_up(serve, tmp_path):
    def stall(handler, n):
        if n == 1:
            send(handler, stop=70_000)
            handler.wfile.flush()
            time.sleep(1)
        else:
            send(handler)

    (server,) = serve(stall)
    assert get(source_of(server), tmp_path) == FILE
    assert server.ranges == [None, "bytes=65536-"]


def test_a_server_that_never_answers_is_told(serve, tmp_path):
    (server,) = serve(lambda handler, n: time.sleep(0.6))
    message = failure(source_of(server), tmp_path)
    assert f"{server.address} stopped sending for 0.3 s" in message
    check_remedy(message, server, tmp_path)


@pytest.mark.parametrize("length", [len(FILE) - 100_000, len(FILE) + 5, "none"])
@either
def test_a_lie_about_the_length_never_gives_a_wrong_file(serve, tmp_path, known, length):
    def lie(handler, n):
        send(handler, ranges=False, length=length, stop=None if length != "none" else 150_000)

    liar, honest = serve(lie, lambda handler, n: send(handler))
    message = failure(source_of(liar, **known), tmp_path / "alone")
    check_remedy(message, liar, tmp_path / "alone")
    assert re.search("offers|cut the connection|no whole zip archive|fewer bytes", message)
    assert get(source_of(liar, honest, **known), tmp_path / "mirrored") == FILE


PAGE = b"\n<!DOCTYPE html><html><body>Sorry, moved.</body></html>" * 50


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/zip"])
@either
def test_a_web_page_is_called_one_and_never_stored(serve, tmp_path, known, kind):
    (server,) = serve(lambda handler, n: send(handler, PAGE, kind=kind))
    message = failure(source_of(server, **known), tmp_path)
    assert "a web page" in message
    check_remedy(message, server, tmp_path)
    assert len(server.ranges) == 1
    assert not (tmp_path / ".download" / NAME).exists()


def test_a_page_without_tags_is_told_by_its_type(serve, tmp_path):
    (server,) = serve(lambda handler, n: send(handler, b"Sorry, moved.", kind="text/html"))
    assert f"{server.address} answered with a web page" in failure(source_of(server), tmp_path)


def test_a_web_page_does_not_cost_what_came_before(serve, tmp_path):
    broken, page = serve(
        lambda handler, n: send(handler, stop=70_000 if n == 1 else 0),
        lambda handler, n: send(handler, PAGE, ranges=False, kind="text/plain"),
    )
    failure(source_of(broken, page), tmp_path)
    assert (tmp_path / ".download" / NAME).read_bytes() == FILE[:65536]


def test_another_kind_of_file_is_refused_at_its_first_bytes(serve, tmp_path):
    (server,) = serve(lambda handler, n: send(handler, b"\x1f\x8b" + FILE))
    assert "does not begin as scenes.zip must" in failure(source_of(server), tmp_path)


@pytest.mark.parametrize(("status", "requests"), [(404, 1), (403, 1), (500, 3), (503, 3), (429, 3)])
def test_an_error_of_the_server_is_told_and_retried_only_if_it_may_pass(serve, tmp_path, status, requests):
    (server,) = serve(lambda handler, n: handler.send_error(status))
    message = failure(source_of(server), tmp_path)
    assert f"{server.address} answered {status}" in message
    check_remedy(message, server, tmp_path)
    assert len(server.ranges) == requests


def test_pauses_grow(serve, tmp_path, monkeypatch):
    pauses = []
    monkeypatch.setattr(download.time, "sleep", pauses.append)
    monkeypatch.setattr(download, "BACKOFF_SECONDS", 1.0)
    (server,) = serve(lambda handler, n: handler.send_error(503))
    failure(source_of(server), tmp_path)
    assert pauses == [2.0, 4.0]


def test_a_server_that_recovers(serve, tmp_path):
    (server,) = serve(lambda handler, n: handler.send_error(502) if n < 3 else send(handler))
    assert get(source_of(server), tmp_path) == FILE


def dead_address():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}/{NAME}"


def test_a_dead_host_is_told_and_the_mirror_used(serve, tmp_path):
    dead = dead_address()
    (mirror,) = serve(lambda handler, n: send(handler))
    assert f"{dead} cannot be reached" in failure(source_of(dead), tmp_path)
    assert get(source_of(dead, mirror), tmp_path) == FILE
    assert json.loads((tmp_path / "lock.json").read_text())[NAME]["from"] == mirror.address


def test_official_first_and_a_part_is_completed_by_the_mirror(serve, tmp_path):
    official, mirror = serve(
        lambda handler, n: send(handler, stop=70_000 if n == 1 else 0), lambda handler, n: send(handler)
    )
    assert get(source_of(official, mirror, **KNOWN), tmp_path) == FILE
    assert official.ranges[0] is None
    assert mirror.ranges == ["bytes=65536-"]


def test_another_source_of_the_data_takes_over(serve, tmp_path):
    gone, mirror = serve(lambda handler, n: handler.send_error(404), lambda handler, n: send(handler, b"II*\0 pixels"))
    pixels = Source("scene.tif", (mirror.address,), (b"II*\0",), lambda path: None)
    obtain([source_of(gone), pixels], tmp_path, tmp_path / "lock.json", BY_HAND)
    assert (tmp_path / "scene.tif").read_bytes() == b"II*\0 pixels"
    assert list(json.loads((tmp_path / "lock.json").read_text())) == ["scene.tif"]


def test_bytes_of_two_files_are_never_joined_into_one(serve, tmp_path):
    (tmp_path / ".download").mkdir()
    (tmp_path / ".download" / NAME).write_bytes(b"PK\x03\x04" + bytes(60_000))
    (server,) = serve(lambda handler, n: send(handler))
    assert "sent a file that holds the damaged member" in failure(source_of(server), tmp_path)
    assert get(source_of(server), tmp_path) == FILE


def test_a_published_hash_that_differs_is_told(serve, tmp_path):
    (server,) = serve(lambda handler, n: send(handler))
    message = failure(source_of(server, sha256="0" * 64), tmp_path)
    assert f"has the SHA-256 {KNOWN['sha256']} instead of the published {'0' * 64}" in message


def test_a_later_download_must_equal_the_first(serve, tmp_path):
    other = zip_bytes({"a.png": b"other", "b.png": b""})
    (server,) = serve(lambda handler, n: send(handler, FILE if n == 1 else other))
    source = source_of(server)
    get(source, tmp_path)
    (tmp_path / NAME).unlink()
    with pytest.raises(UserError, match=r"the first verified one had [0-9a-f]{64} \(recorded in .*lock\.json\)"):
        get(source, tmp_path)
    assert not (tmp_path / NAME).exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (PAGE, "is a web page"),
        (FILE[:-10], "is no whole zip archive"),
        (FILE[:1000] + b"\0\0\0\0" + FILE[1004:], "holds the damaged member scenes/a.png"),
        (zip_bytes({"a.png": b""}), "lacks 1 of 2 files, the first being b.png"),
        (b"", "does not begin as"),
    ],
    ids=["page", "cut", "damaged", "incomplete", "empty"],
)
def test_a_file_placed_by_hand_passes_the_same_checks_and_is_never_overwritten(tmp_path, content, reason):
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(UserError, match=f"{NAME} {reason}.*delete it and run again, or put {BY_HAND}"):
        obtain([source_of(dead_address())], tmp_path, tmp_path / "lock.json", BY_HAND)
    assert (tmp_path / NAME).read_bytes() == content
    assert not (tmp_path / "lock.json").exists()


def test_the_length_of_a_file_placed_by_hand_is_checked(tmp_path):
    (tmp_path / NAME).write_bytes(FILE)
    with pytest.raises(UserError, match=f"{NAME} has {len(FILE):,} bytes instead of {len(FILE) + 1:,}; delete it"):
        obtain([source_of(dead_address(), size=len(FILE) + 1)], tmp_path, tmp_path / "lock.json", BY_HAND)


def test_a_good_file_placed_by_hand_is_recorded_without_a_request(tmp_path):
    (tmp_path / NAME).write_bytes(FILE)
    obtain([source_of(dead_address(), **KNOWN)], tmp_path, tmp_path / "lock.json", BY_HAND)
    assert json.loads((tmp_path / "lock.json").read_text())[NAME]["from"] == "placed by hand"


def test_too_small_a_disk_is_told_before_the_first_byte(serve, tmp_path, monkeypatch):
    (server,) = serve(lambda handler, n: send(handler))
    usage = download.shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: usage)
    assert "0.0 GB free" in failure(source_of(server), tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_disk_that_fills_up_is_told(serve, tmp_path):
    (server,) = serve(lambda handler, n: send(handler))
    (tmp_path / ".download").mkdir()
    (tmp_path / ".download" / NAME).symlink_to("/dev/full")
    message = failure(source_of(server), tmp_path)
    assert f"cannot be written: {os.strerror(errno.ENOSPC)}; free some space and run again" in message
    assert len(server.ranges) == 1


def test_progress_shows_speed_and_time_left(serve, tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    def slow(handler, n):
        send(handler, stop=100_000)
        handler.wfile.flush()
        time.sleep(0.15)
        handler.wfile.write(FILE[100_000:])

    monkeypatch.setattr(sys, "stderr", Terminal())
    (server,) = serve(slow)
    get(source_of(server), tmp_path)
    shown = sys.stderr.getvalue()
    assert NAME in shown
    assert re.search(r"\d+%.*/300k \[\d\d:\d\d<\d\d:\d\d, +[\d.]+[kM]?B/s\]", shown)


@pytest.mark.parametrize("name", ["../outside.png", "/outside.png", "a/../../outside.png", "C:\\outside.png", "..\\x"])
def test_members_that_would_land_outside_are_refused(tmp_path, name):
    (tmp_path / "bad.zip").write_bytes(zip_bytes({"ok.png": b"", name: b"x"}))
    with pytest.raises(Damaged, match="outside its folder"):
        check_zip(tmp_path / "bad.zip")
    tar_of(tmp_path / "bad.tgz", {"ok.mat": b"", name: b"x"})
    for use in (check_tar, partial(unpack_tar, folder=tmp_path / "out", wanted=["outside.png", "x"])):
        with pytest.raises(Damaged, match="outside its folder"):
            use(tmp_path / "bad.tgz")
    assert not (tmp_path / "out").exists()


def tar_of(path, members, kind=tarfile.REGTYPE):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        if kind != tarfile.REGTYPE:
            info = tarfile.TarInfo("scene.mat")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind):
    tar_of(tmp_path / "bad.tgz", {}, kind)
    for use in (check_tar, partial(unpack_tar, folder=tmp_path / "out", wanted=["scene.mat"])):
        with pytest.raises(Damaged, match=r"holds scene\.mat, a link or device"):
            use(tmp_path / "bad.tgz")
    assert not (tmp_path / "out").exists()


def test_links_in_a_zip_are_refused(tmp_path):
    info = zipfile.ZipInfo("scene.mat")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(Damaged, match=r"holds the link scene\.mat"):
        check_zip(tmp_path / "bad.zip")


def test_only_wanted_files_are_unpacked_and_only_once(tmp_path):
    members = {"top/a.mat": b"aaa", "top/deep/b.mat": b"bb", "top/README.txt": b"text"}
    tar_of(tmp_path / "good.tgz", members)
    (tmp_path / "good.zip").write_bytes(zip_bytes(members))
    for unpack, suffix in ((unpack_tar, "tgz"), (unpack_zip, "zip")):
        out = tmp_path / suffix
        unpack(tmp_path / f"good.{suffix}", out, ["a.mat", "b.mat"])
        assert {path.name: path.read_bytes() for path in out.iterdir()} == {"a.mat": b"aaa", "b.mat": b"bb"}
        (out / "a.mat").write_bytes(b"AAA")  # the same length: taken for unpacked
        (out / "b.mat").write_bytes(b"b")
        unpack(tmp_path / f"good.{suffix}", out, ["a.mat", "b.mat"])
        assert {path.name: path.read_bytes() for path in out.iterdir()} == {"a.mat": b"AAA", "b.mat": b"bb"}


@pytest.mark.parametrize("cut", [30, 5000, -9, -4, -1])
def test_a_cut_tar_is_noticed_to_its_last_byte(tmp_path, cut):
    tar_of(tmp_path / "whole.tgz", {"a.mat": np.random.default_rng(1).bytes(20_000)})
    (tmp_path / "cut.tgz").write_bytes((tmp_path / "whole.tgz").read_bytes()[:cut])
    check_tar(tmp_path / "whole.tgz", ["a.mat"])
    with pytest.raises(Damaged, match="no whole tar archive"):
        check_tar(tmp_path / "cut.tgz")


def test_a_changed_byte_in_a_tar_is_noticed(tmp_path):
    path = tmp_path / "changed.tgz"
    with gzip.open(path, "wb", compresslevel=0) as stream, tarfile.open(fileobj=stream, mode="w|") as archive:
        info = tarfile.TarInfo("a.mat")
        info.size = 10_000
        archive.addfile(info, io.BytesIO(bytes(10_000)))
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    with pytest.raises(Damaged, match="no whole tar archive"):
        check_tar(path, ["a.mat"])


def test_the_checksum_of_a_tar_is_reached_behind_long_padding(tmp_path):
    path = tmp_path / "padded.tgz"
    with gzip.open(path, "wb", compresslevel=1) as stream:
        with tarfile.open(fileobj=stream, mode="w|") as archive:
            archive.addfile(tarfile.TarInfo("a.mat"))
        stream.write(bytes(4_000_000))
    check_tar(path, ["a.mat"])
    content = bytearray(path.read_bytes())
    content[-8] ^= 1
    path.write_bytes(content)
    with pytest.raises(Damaged, match="no whole tar archive"):
        check_tar(path, ["a.mat"])


def test_the_hash_of_the_list_of_members_stands_for_the_content(tmp_path):
    path = tmp_path / "scenes.zip"
    path.write_bytes(FILE)
    # By hand from the end record: the last 22 bytes hold the directory's length and position.
    length, position = struct.unpack("<II", FILE[-10:-2])
    expected = hashlib.sha256(FILE[position : position + length]).hexdigest()
    check_zip(path, directory_sha256=expected)
    changed = zip_bytes({"scenes/a.png": b"another", "scenes/b.png": b"b" * 10})
    path.write_bytes(changed)
    with pytest.raises(Damaged, match="another list of members"):
        check_zip(path, directory_sha256=expected)
