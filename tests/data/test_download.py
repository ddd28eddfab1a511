"""Downloads against a server that misbehaves, and archives that attack.

Every fault ends in one clear sentence or in the right file, and never in a wrong or partial one.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import gzip
import hashlib
import http.server
import io
import json
import lzma
import os
import signal
import stat
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from mmlab.data.files import download as module
from mmlab.data.files.archive import MANIFEST, ArchiveError, Limits, extract, intact
from mmlab.data.files.download import DownloadError, download, sha256_of

BODY = np.random.default_rng(0).bytes(200_000)
SHA = hashlib.sha256(BODY).hexdigest()
SIZE = len(BODY)
PACKED = gzip.compress(bytes(5_000_000))


class Faults(http.server.BaseHTTPRequestHandler):
    """Each path of the server is one fault."""

    protocol_version = "HTTP/1.1"
    seen: ClassVar[Counter[str]] = Counter()
    gate: ClassVar[threading.Event] = threading.Event()

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        name = self.path.strip("/").split("/")[0]
        self.seen[name] += 1
        self.close_connection = True
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            getattr(self, name)()

    def answer(
        self, body: bytes, length: int | None = None, status: int = 200, kind: str = "application/x", **headers: str
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Connection", "close")
        if length != -1:
            self.send_header("Content-Length", str(len(body) if length is None else length))
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def fine(self) -> None:
        self.answer(BODY)

    def truncated(self) -> None:  # an honest header, half a body, no content length to betray it
        self.answer(BODY[: SIZE // 2], length=-1)

    def dropped(self) -> None:  # the connection breaks at half
        self.answer(BODY[: SIZE // 2], length=SIZE)

    def dropped_once(self) -> None:
        self.dropped() if self.seen["dropped_once"] == 1 else self.fine()

    def wrong(self) -> None:
        self.answer(BODY[:-1] + bytes([BODY[-1] ^ 1]))

    def page(self) -> None:
        self.answer(b"<!DOCTYPE html><title>Sorry</title>", kind="text/html; charset=utf-8")

    def long_page(self) -> None:
        self.answer(b"<html>" + b" " * SIZE)

    def endless(self) -> None:
        self.answer(b"", length=-1)
        while True:
            self.wfile.write(BODY)

    def stall(self) -> None:
        self.answer(BODY[: SIZE // 2], length=SIZE)
        self.gate.wait(5)

    def mute(self) -> None:
        self.gate.wait(5)

    def trickle(self) -> None:
        self.answer(b"", length=SIZE)
        for _ in range(100):
            self.wfile.write(b"x")
            if self.gate.wait(0.05):
                break

    def slow(self) -> None:
        self.answer(b"", length=SIZE)
        for start in range(0, SIZE, SIZE // 10):
            self.wfile.write(BODY[start : start + SIZE // 10])
            time.sleep(0.03)

    def loop(self) -> None:
        self.answer(b"", status=302, Location="/loop")

    def moved(self) -> None:
        self.answer(b"", status=302, Location="/fine")

    def to_file(self) -> None:
        self.answer(b"", status=302, Location="file:///etc/hostname")

    def gone(self) -> None:
        self.answer(b"no", status=404)

    def busy(self) -> None:
        self.answer(b"", status=500) if self.seen["busy"] < 3 else self.fine()

    def broken(self) -> None:
        self.answer(b"", status=503)

    def gzipped(self) -> None:  # a small body that unpacks to far too much
        self.answer(PACKED, **{"Content-Encoding": "gzip"})

    def garbage(self) -> None:
        self.wfile.write(b"SSH-2.0-OpenSSH\r\n\r\n")


@pytest.fixture
def server() -> Iterator[str]:
    Faults.seen.clear()
    Faults.gate.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Faults) as running:
        running.daemon_threads = True
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        Faults.gate.set()
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MMLAB_OFFLINE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


get = functools.partial(download, sha256=SHA, size=SIZE, timeout=10, backoff=0.001)


def files_in(folder: Path) -> list[str]:
    """All files but locks, which stay."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock")


@pytest.mark.parametrize(
    ("fault", "requests"), [("fine", 1), ("dropped_once", 2), ("slow", 1), ("moved", 1), ("busy", 3)]
)
def test_harmless_faults_end_in_the_right_file(server: str, tmp_path: Path, fault: str, requests: int) -> None:
    path = tmp_path / "new" / "body.bin"
    assert get(f"{server}/{fault}", path) == path
    assert path.read_bytes() == BODY
    assert files_in(tmp_path) == ["new/body.bin"]
    assert Faults.seen[fault] == requests


@pytest.mark.parametrize(
    ("fault", "says", "requests"),
    [
        ("truncated", "only 100000 of 200000 bytes came", 4),
        ("dropped", "broke before the end", 4),
        ("wrong", "another sha256", 4),
        ("page", "it is a web page", 4),
        ("long_page", "longer than the 200000 bytes.*web page", 1),
        ("endless", "longer than the 200000 bytes", 1),
        ("stall", "the server stopped sending .tried 4 times", 4),
        ("mute", "the server stopped sending", 4),
        ("loop", "redirects more than 5 times", 6),
        ("to_file", "redirects to 'file:///etc/hostname'", 1),
        ("gone", "answered 404", 1),
        ("broken", "answered 503", 4),
        ("gzipped", "longer than the 200000 bytes", 1),
        ("garbage", "connection (failed|broke)", 4),
    ],
)
@pytest.mark.parametrize("before", [None, b"an older version"])
def test_faults_end_in_one_sentence_and_leave_no_file(
    server: str, tmp_path: Path, fault: str, says: str, requests: int, before: bytes | None
) -> None:
    path = tmp_path / "body.bin"
    if before:
        path.write_bytes(before)
    timeout = 0.3 if fault in ("stall", "mute") else 10  # a busy machine must not look like a fault
    start = time.monotonic()
    with pytest.raises(DownloadError, match=says) as caught:
        get(f"{server}/{fault}", path, timeout=timeout)
    assert time.monotonic() - start < 30
    assert "body.bin could not be downloaded from" in str(caught.value)
    assert f"put it at {path}" in str(caught.value)
    assert (path.read_bytes() if before else path.exists()) == (before or False)
    assert files_in(tmp_path) == (["body.bin"] if before else [])
    assert Faults.seen[fault] == requests


def test_a_trickle_is_given_up(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLOWEST", 1e6)
    with pytest.raises(DownloadError, match=r"less than 1e\+06 bytes per second"):
        get(f"{server}/trickle", tmp_path / "body.bin", timeout=0.4)
    assert files_in(tmp_path) == []


def test_an_unreachable_server_is_named(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"http://127.0.0.1:1/x: the connection failed"):
        get("http://127.0.0.1:1/x", tmp_path / "body.bin")
    assert files_in(tmp_path) == []


@pytest.mark.parametrize(
    "url", ["file:///etc/hostname", "ftp://host/x", "data:,x", "/etc/hostname", "http://", "http://[", ""]
)
def test_only_web_addresses(tmp_path: Path, url: str) -> None:
    with pytest.raises(ValueError, match="only https and http"):
        get(url, tmp_path / "body.bin")


@pytest.mark.parametrize("sha256", [None, "", "abc", "md5:" + "0" * 32, "g" * 64])
def test_no_download_without_a_hash(server: str, tmp_path: Path, sha256: str) -> None:
    with pytest.raises(ValueError, match="needs the sha256"):
        download(f"{server}/fine", tmp_path / "x", sha256=sha256, size=SIZE)
    assert not Faults.seen


def test_no_download_without_a_size(server: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs its size"):
        download(f"{server}/fine", tmp_path / "x", sha256=SHA, size=0)


def test_the_right_file_is_not_fetched_again_and_a_damaged_one_is_replaced(server: str, tmp_path: Path) -> None:
    path = tmp_path / "body.bin"
    path.write_bytes(BODY[:-1] + b"?")
    for _ in range(3):
        assert get(f"{server}/fine", path).read_bytes() == BODY
    assert Faults.seen["fine"] == 1


@pytest.mark.parametrize("variable", ["MMLAB_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_names_file_and_address_and_does_not_try(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "1")
    path = tmp_path / "body.bin"
    with pytest.raises(DownloadError, match="offline") as caught:
        get(f"{server}/fine", path)
    assert str(path) in str(caught.value)
    assert f"{server}/fine" in str(caught.value)
    assert not Faults.seen
    path.write_bytes(BODY)
    assert get(f"{server}/fine", path) == path  # what is there needs no network


def test_disk_full_before_and_while_writing(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "body.bin"
    with monkeypatch.context() as patch:
        patch.setattr(module.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10}))
        with pytest.raises(DownloadError, match="needs 200000 bytes, but only 10 are free"):
            get(f"{server}/fine", path)
    assert not Faults.seen

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "fsync", full)
        with pytest.raises(DownloadError, match=r"No space left on device.*make room"):
            get(f"{server}/fine", path)
    assert files_in(tmp_path) == []


CHILD = """
import sys
from mmlab.data.files.download import download
url, path, sha, size = sys.argv[1:5]
exec(sys.argv[5] if len(sys.argv) > 5 else "")
try:
    download(url, __import__("pathlib").Path(path), sha256=sha, size=int(size), timeout=5, backoff=0.01)
except OSError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


def child(url: str, path: Path, before: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, url, str(path), SHA, str(SIZE), before]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of POSIX")
def test_a_file_system_that_ends_the_file_early(server: str, tmp_path: Path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))"
    process = child(f"{server}/fine", tmp_path / "body.bin", limit)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "DownloadError" in said
    assert "File too large" in said
    assert files_in(tmp_path) == []


def test_a_folder_that_cannot_be_made(server: str, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(DownloadError, match="could not be written"):
        get(f"{server}/fine", tmp_path / "taken" / "body.bin")


def test_two_processes_at_once_fetch_once(server: str, tmp_path: Path) -> None:
    path = tmp_path / "body.bin"
    processes = [child(f"{server}/slow", path) for _ in range(2)]
    for process in processes:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
    assert path.read_bytes() == BODY
    assert Faults.seen["slow"] == 1
    assert files_in(tmp_path) == ["body.bin"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_download_leaves_no_file_and_starts_again(server: str, tmp_path: Path, number: int) -> None:
    path = tmp_path / "body.bin"
    process = child(f"{server}/stall", path)
    until = time.monotonic() + 30
    while not any(p.stat().st_size for p in tmp_path.rglob("tmp*")) and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert not path.exists()
    Faults.gate.set()
    assert get(f"{server}/fine", path).read_bytes() == BODY
    assert files_in(tmp_path) == ["body.bin"]


# Archives.

CONTENT = {"a.txt": b"alpha", "folder/b.bin": BODY[:5000], "folder/deep/empty": b""}


def make_zip(path: Path, members: dict[str, bytes], change: Callable[[zipfile.ZipInfo], None] | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            member = zipfile.ZipInfo(name)
            member.compress_type = zipfile.ZIP_DEFLATED
            if change:
                change(member)
            archive.writestr(member, content)
    return path


def make_tar(path: Path, members: dict[str, bytes], mode: str = "w:gz", **fields: object) -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for key, value in fields.items():
                setattr(member, key, value)
            archive.addfile(member, io.BytesIO(content))
    return path


GOOD = {
    "zip": lambda folder: make_zip(folder / "set.zip", CONTENT),
    "tar": lambda folder: make_tar(folder / "set.tar", CONTENT, "w"),
    "tar.gz": lambda folder: make_tar(folder / "set.tar.gz", CONTENT, "w:gz"),
    "tar.bz2": lambda folder: make_tar(folder / "set.tar.bz2", CONTENT, "w:bz2"),
    "tar.xz": lambda folder: make_tar(folder / "set.tar.xz", CONTENT, "w:xz"),
}


@pytest.mark.parametrize("kind", GOOD)
def test_extraction_gives_the_files_and_their_hashes(tmp_path: Path, kind: str) -> None:
    archive = GOOD[kind](tmp_path)
    folder = extract(archive, tmp_path / "set")
    assert {name: (folder / name).read_bytes() for name in CONTENT} == CONTENT
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest["sha256"] == sha256_of(archive)
    assert manifest["files"] == {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
    assert files_in(tmp_path) == sorted([archive.name, f"set/{MANIFEST}", *(f"set/{name}" for name in CONTENT)])


@pytest.mark.parametrize("harm", ["changed", "missing", "added", "manifest"])
def test_a_harmed_folder_is_unpacked_again(tmp_path: Path, harm: str) -> None:
    archive = GOOD["zip"](tmp_path)
    folder = extract(archive, tmp_path / "set")
    stamp = (folder / "a.txt").stat().st_mtime_ns
    assert extract(archive, folder) == folder
    assert (folder / "a.txt").stat().st_mtime_ns == stamp  # nothing was done
    if harm == "changed":
        (folder / "a.txt").write_bytes(b"alphA")
    elif harm == "missing":
        (folder / "a.txt").unlink()
    elif harm == "added":
        (folder / "more.txt").write_bytes(b"")
    else:
        (folder / MANIFEST).write_text("{")
    assert not intact(folder)
    extract(archive, folder)
    assert intact(folder)
    assert (folder / "a.txt").read_bytes() == b"alpha"


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="not unpacked by mmlab"):
        extract(GOOD["zip"](tmp_path), tmp_path / "set")
    assert (tmp_path / "set" / "thesis.txt").read_text() == "years of work"


def _link(member: zipfile.ZipInfo) -> None:
    member.create_system = 3
    member.external_attr = (stat.S_IFLNK | 0o777) << 16


def _encrypted(folder: Path) -> Path:
    path = make_zip(folder / "x.zip", {"a": b"a"})
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    path.write_bytes(data)
    return path


def _corrupt(path: Path, at: float) -> Path:
    data = bytearray(path.read_bytes())
    for i in range(8):
        data[int(len(data) * at) + i] ^= 0xFF
    path.write_bytes(data)
    return path


def _short_member(folder: Path) -> Path:  # zipfile alone would give an empty file
    path = make_zip(folder / "x.zip", {"a": b""})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 24] = 120  # the size in the directory
    path.write_bytes(data)
    return path


def _cut(path: Path, share: float) -> Path:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return path


def _damaged_header(folder: Path) -> Path:  # of the second member: tarfile alone would call it the end
    path = make_tar(folder / "x.tar", {"a": b"a", "b": b"b"}, "w")
    data = bytearray(path.read_bytes())
    data[1024 + 148] ^= 0xFF
    path.write_bytes(data)
    return path


def _pax_bomb(folder: Path) -> Path:
    with tarfile.open(folder / "x.tar.gz", "w:gz", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("a")
        member.pax_headers = {"comment": "x" * 20_000_000}
        archive.addfile(member)
    return folder / "x.tar.gz"


BOMB = {"zeros": bytes(30_000_000)}
TWICE = [("a", b"1"), ("a", b"2")]


def _twice(folder: Path) -> Path:
    with tarfile.open(folder / "x.tar", "w") as archive:
        for name, content in TWICE:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return folder / "x.tar"


def _sparse(folder: Path) -> Path:
    with tarfile.open(folder / "x.tar", "w") as archive:
        member = tarfile.TarInfo("a")
        member.type = tarfile.GNUTYPE_SPARSE
        archive.addfile(member)
    return folder / "x.tar"


def _other_method(folder: Path) -> Path:
    content = bytearray(make_zip(folder / "x.zip", {"a": b""}).read_bytes())
    for magic, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        start = content.index(magic) + place
        content[start : start + 2] = (9).to_bytes(2, "little")  # deflate64, as Windows packs large files
    (folder / "x.zip").write_bytes(content)
    return folder / "x.zip"


ATTACKS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "zip slip": (lambda f: make_zip(f / "x.zip", {"ok": b"", "../evil": b"x"}), "'../evil', whose path"),
    "zip slip in the middle": (lambda f: make_zip(f / "x.zip", {"a/../../evil": b"x"}), "whose path"),
    "zip absolute": (lambda f: make_zip(f / "x.zip", {"/evil": b"x"}), "whose path"),
    "zip drive": (lambda f: make_zip(f / "x.zip", {"C:/evil": b"x"}), "whose path"),
    "zip backslash": (lambda f: make_zip(f / "x.zip", {"..\\evil": b"x"}), "whose path"),
    "zip manifest": (lambda f: make_zip(f / "x.zip", {MANIFEST: b"{}"}), "whose path"),
    "zip link": (lambda f: make_zip(f / "x.zip", {"link": b"/etc"}, _link), "link or a device"),
    "zip encrypted": (_encrypted, "encrypted"),
    "zip bomb": (lambda f: make_zip(f / "x.zip", BOMB), "bomb"),
    "zip bomb in pieces": (lambda f: make_zip(f / "x.zip", dict.fromkeys("abc", bytes(6_000_000))), "bomb"),
    "zip members": (lambda f: make_zip(f / "x.zip", {f"f{i}": b"" for i in range(60)}), "50 members"),
    "zip short member": (_short_member, "has 0 bytes, not 120"),
    "zip empty name": (lambda f: make_zip(f / "x.zip", {"": b"x"}), "whose path"),
    "zip file and folder": (lambda f: make_zip(f / "x.zip", {"a": b"x", "a/b": b"x"}), "two members"),
    "zip corrupted": (lambda f: _corrupt(make_zip(f / "x.zip", {"a": BODY}), 0.5), "damaged"),
    "zip cut": (lambda f: _cut(make_zip(f / "x.zip", {"a": BODY}), 0.5), "damaged"),
    "tar slip": (lambda f: make_tar(f / "x.tar.gz", {"../evil": b"x"}), "whose path"),
    "tar absolute": (lambda f: make_tar(f / "x.tar.gz", {"/evil": b"x"}), "whose path"),
    "tar symlink": (lambda f: make_tar(f / "x.tar", {"l": b""}, type=tarfile.SYMTYPE, linkname="/etc"), "link"),
    "tar hard link": (lambda f: make_tar(f / "x.tar", {"l": b""}, type=tarfile.LNKTYPE, linkname="/etc/x"), "link"),
    "tar device": (lambda f: make_tar(f / "x.tar", {"d": b""}, type=tarfile.CHRTYPE), "device"),
    "tar pipe": (lambda f: make_tar(f / "x.tar", {"d": b""}, type=tarfile.FIFOTYPE), "device"),
    "tar bomb": (lambda f: make_tar(f / "x.tar.gz", BOMB), "bomb|allowed"),
    "tar header bomb": (_pax_bomb, "allowed"),
    "tar members": (lambda f: make_tar(f / "x.tar.gz", {f"f{i}": b"" for i in range(60)}), "50 members"),
    "tar twice": (_twice, "two members"),
    "tar corrupted": (lambda f: _corrupt(make_tar(f / "x.tar.gz", {"a": BODY}), 0.5), "damaged"),
    "tar cut": (lambda f: _cut(make_tar(f / "x.tar.gz", {"a": BODY}), 0.5), "damaged"),
    "plain tar cut": (lambda f: _cut(make_tar(f / "x.tar", {"a": b"a", "b": b"b"}, "w"), 0.1), "damaged"),
    "tar header damaged": (_damaged_header, "damaged"),
    "xz corrupted": (lambda f: _corrupt(make_tar(f / "x.tar.xz", {"a": BODY}, "w:xz"), 0.5), "damaged"),
    "bz2 corrupted": (lambda f: _corrupt(make_tar(f / "x.tar.bz2", {"a": BODY}, "w:bz2"), 0.5), "damaged"),
    "tar with holes": (_sparse, "is stored with holes: pack it again without --sparse"),
    "zip by another method": (_other_method, "packed by a method that Python does not know: unpack it"),
    "not an archive": (lambda f: _cut(make_tar(f / "x.tar", {"a": b""}, "w"), 0.0), "damaged"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_by_archive_are_refused_whole(tmp_path: Path, attack: str) -> None:
    make, says = ATTACKS[attack]
    inner = tmp_path / "inner"
    inner.mkdir()
    archive = make(inner)
    with pytest.raises(ArchiveError, match=says) as caught:
        extract(archive, inner / "set", Limits(members=50, total_bytes=10_000_000))
    assert archive.name in str(caught.value)
    assert files_in(tmp_path) == [f"inner/{archive.name}"]
    assert not (inner / "set").exists()


def _tar_of(folder: Path, *entries: tuple[str, bytes | None]) -> Path:
    with tarfile.open(folder / "x.tar.gz", "w:gz") as archive:
        for name, content in entries:
            member = tarfile.TarInfo(name)
            member.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            member.size = len(content or b"")
            archive.addfile(member, None if content is None else io.BytesIO(content))
    return folder / "x.tar.gz"


def _global_header(folder: Path) -> Path:  # as `git archive` writes
    with tarfile.open(folder / "x.tar", "w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "0" * 40}) as archive:
        archive.addfile(tarfile.TarInfo("a"))
    return folder / "x.tar"


HARMLESS: dict[str, tuple[Callable[[Path], Path], list[str]]] = {
    "tar of the folder itself": (lambda f: _tar_of(f, ("./", None), ("./a", b"x"), ("./b/", None)), ["a"]),
    "tar of a dot": (lambda f: _tar_of(f, (".", None), ("a", b"x")), ["a"]),
    "dots and slashes": (lambda f: _tar_of(f, ("a/./b//c", b"x"), (".//d", b"x")), ["a/b/c", "d"]),
    "folder twice": (lambda f: _tar_of(f, ("a/", None), ("a", None), ("a/b", b"x")), ["a/b"]),
    "global header": (_global_header, ["a"]),
    "zip of Windows": (lambda f: make_zip(f / "x.zip", {"a\\b.txt": b"x", "a\\c\\d": b"x"}), ["a/b.txt", "a/c/d"]),
    "zip with the folder itself": (lambda f: make_zip(f / "x.zip", {"./": b"", "./a": b"x"}), ["a"]),
    "there and back": (lambda f: _tar_of(f, ("a/../b", b"x"), ("c/d/../../e/f", b"x")), ["b", "e/f"]),
    "time of day": (lambda f: _tar_of(f, ("run_12:30:05.txt", b"x")), ["run_12:30:05.txt"]),
    "dots in names": (lambda f: _tar_of(f, ("..a/...", b"x"), ("b..", b"x")), ["..a/...", "b.."]),
}


@pytest.mark.parametrize("kind", HARMLESS)
def test_unusual_and_harmless_archives_are_unpacked(tmp_path: Path, kind: str) -> None:
    make, names = HARMLESS[kind]
    folder = extract(make(tmp_path), tmp_path / "set")
    assert files_in(folder) == sorted([MANIFEST, *names])
    assert intact(folder)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("x.7z", b"7z\xbc\xaf\x27\x1c" + bytes(600), "a 7z archive, .*pack it as .zip"),
        ("x.tar.zst", b"(\xb5/\xfd" + bytes(600), "zstd"),
        (
            "x.csv.gz",
            gzip.compress(b"a,b\n" * 300, mtime=0),
            "is one packed file and no archive: unpack it with gunzip",
        ),
        ("x.csv.xz", lzma.compress(b"a,b\n" * 300), "unpack it with unxz"),
    ],
)
def test_what_is_no_archive_is_called_by_its_name(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ArchiveError, match=says):
        extract(tmp_path / name, tmp_path / "set")


def test_the_folder_may_be_written_in_any_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    archive = make_zip(tmp_path / "x.zip", {"a": b"x"})
    assert extract(Path("~/x.zip"), Path("~/set")) == tmp_path / "set"
    (tmp_path / "set").rename(tmp_path / "other")
    monkeypatch.chdir(tmp_path / "other")
    assert extract(archive, Path()) == tmp_path / "other"


def test_the_ratio_counts_for_large_archives_only() -> None:
    assert Limits().budget(1000) == 16 * 2**20
    assert Limits().budget(10**6) == 200 * 10**6
    assert Limits(total_bytes=10**7).budget(10**6) == 10**7


def test_a_full_disk_leaves_the_folder_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = extract(GOOD["zip"](tmp_path), tmp_path / "set")
    other = make_zip(tmp_path / "other.zip", {"c": b"c"})

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"other.zip could not be unpacked to .*No space left.*make room"):
        extract(other, folder)
    assert intact(folder)
    monkeypatch.undo()

    rename = Path.rename
    fails = [True]

    def once(self: Path, target: Path) -> Path:
        if self.name == "new" and fails.pop():
            raise OSError(errno.EACCES, "denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", once)
    with pytest.raises(OSError, match="denied"):
        extract(other, folder)
    assert intact(folder)
    monkeypatch.undo()
    assert extract(other, folder)
    assert files_in(folder) == [MANIFEST, "c"]
