"""Unpacking archives that came from somewhere else: nothing leaves the folder, nothing explodes, all or nothing.

Only plain files and folders are unpacked. A member with a path outside the folder, a link or a device, one member too
many, or more bytes than allowed refuses the whole archive, and the folder appears only when it is complete.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import posixpath
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path, PurePosixPath
from typing import IO, Any, Self

from mmlab.data.files.workshop import workshop
from mmlab.paths import expand

__all__ = ["ArchiveError", "Limits", "extract", "intact"]

MANIFEST = ".mmlab-manifest.json"

_Member = tuple[str, IO[bytes] | None, int]
"""Name, content (None for a folder), size."""

# What the standard library raises on damaged archives.
_DAMAGE = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error, EOFError, ValueError, KeyError,
    RuntimeError, OverflowError,
)  # fmt: skip


class ArchiveError(ValueError):
    """An archive that was refused. The message is one sentence that names it, the member and the reason."""


@dataclass(frozen=True)
class Limits:
    """What an archive may hold.

    Attributes:
        members: Number of files and folders.
        total_bytes: Size of all files together, unpacked.
        ratio: Unpacked size over packed size, for archives that unpack to more than 16 MiB.
    """

    members: int = 100_000
    total_bytes: int = 64 * 2**30
    ratio: float = 200.0

    def budget(self, packed: int) -> int:
        """How many bytes an archive of ``packed`` bytes may unpack to."""
        return int(min(self.total_bytes, max(16 * 2**20, self.ratio * packed)))


def extract(archive: Path, folder: Path, limits: Limits | None = None) -> Path:
    """Unpack a zip or tar archive into a new folder, with a manifest of the sha256 of each file.

    If the folder is there and came from the same archive, unharmed, nothing is done. If it came from mmlab but is
    harmed or of another archive, it is replaced.

    Args:
        archive: A ``.zip``, ``.tar``, ``.tar.gz``, ``.tar.bz2`` or ``.tar.xz`` file; recognised by its content.
        folder: Where the members go. ``.mmlab-manifest.json`` is added.
        limits: What it may hold; default :class:`Limits`.

    Returns:
        ``folder``.

    Raises:
        ArchiveError: If the archive is damaged or refused; the folder is as before.
        FileExistsError: If the folder holds something that mmlab did not unpack.
        OSError: If it cannot be read or written; the folder is as before.
    """
    limits = limits or Limits()
    archive, folder = expand(archive, "archive"), expand(folder, "folder").absolute()
    with archive.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if folder.exists():
        if not (folder / MANIFEST).is_file():
            raise FileExistsError(
                f"{folder} is there and was not unpacked by mmlab: move it away to unpack {archive.name}."
            )
        if intact(folder, digest):
            return folder
    try:
        with workshop(folder) as partial:
            if folder.exists() and intact(folder, digest):  # another process unpacked it while this one waited
                return folder
            fresh = partial / "new"
            fresh.mkdir()
            manifest = {"archive": archive.name, "sha256": digest, "files": _unpack(archive, fresh, limits)}
            with (fresh / MANIFEST).open("w", encoding="utf-8") as file:
                json.dump(manifest, file, indent=1, sort_keys=True)
                file.flush()
                os.fsync(file.fileno())
            _swap(fresh, folder, partial / "old")
    except OSError as error:
        why = error.strerror or error
        raise OSError(
            error.errno, f"{archive} could not be unpacked to {folder} ({why}): make room or check its rights."
        ) from None
    return folder


def _swap(fresh: Path, folder: Path, old: Path) -> None:
    """Give a new folder its name; if that fails, give it back to the one that had it."""
    if folder.exists():
        folder.rename(old)
    try:
        fresh.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise


def intact(folder: Path, sha256: str | None = None) -> bool:
    """Whether a folder holds exactly the files of its manifest, unchanged.

    Args:
        folder: What :func:`extract` made.
        sha256: If given, the hash that its archive must have had.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files: dict[str, str] = manifest["files"]
        if sha256 not in (None, manifest["sha256"]):
            return False
        held = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
        if held - {MANIFEST} != set(files):
            return False
        for name, known in files.items():
            with (folder / name).open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != known:
                    return False
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    return True


# What is often taken for a zip or tar archive.
_OTHERS = {
    b"7z": "a 7z archive, which mmlab does not unpack: unpack it and pack it as .zip",
    b"Ra": "a rar archive, which mmlab does not unpack: unpack it and pack it as .zip",
    b"(\xb5": "packed with zstd, which mmlab does not unpack: unpack it and pack it as .tar.gz",
    b"\x1f\x8b": "one packed file and no archive: unpack it with gunzip",
    b"BZ": "one packed file and no archive: unpack it with bunzip2",
    b"\xfd7": "one packed file and no archive: unpack it with unxz",
}


def _kind(archive: Path, magic: bytes) -> str | None:
    """What a file is that tarfile finds no member in, if that can be said; None for one that is damaged."""
    opener: Any = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}.get(magic)
    if opener is None or re.search(r"\.tar\b|\.t[gbx]z", archive.name.lower()):
        return None if opener else _OTHERS.get(magic)
    try:
        with opener(archive, "rb") as plain:
            start: bytes = plain.read(512)
    except (OSError, EOFError, zlib.error, lzma.LZMAError):
        return None
    return None if start[257:262] == b"ustar" else _OTHERS[magic]


class _MemberError(Exception):
    """Why a member was refused; the caller adds the name of the archive."""


class _Bounded(RawIOBase):
    """A stream that refuses to give more than ``budget`` bytes: the headers of an archive can be bombs, too."""

    def __init__(self, stream: IO[bytes], budget: int) -> None:
        self.stream, self.left, self.budget = stream, budget, budget

    def read(self, size: int = -1, /) -> bytes:
        try:
            block = self.stream.read(min(size, self.left + 1) if size >= 0 else self.left + 1)
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            raise tarfile.ReadError(str(error)) from None
        self.left -= len(block)
        if self.left < 0:
            raise _MemberError(f"unpacks to more than the {self.budget} bytes allowed")
        return block


class _Header(tarfile.TarInfo):
    """A tar header that must be whole: tarfile takes a damaged one for the end of the archive."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # a block of zeros: the proper end
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from None


def _unpack(archive: Path, folder: Path, limits: Limits) -> dict[str, str]:
    """Write the members into ``folder``. Returns the sha256 of each file by its path."""
    budget = limits.budget(archive.stat().st_size)
    hashes: dict[str, str] = {}
    try:
        with archive.open("rb") as stream:
            magic = stream.read(2)
        members = _zip_members(archive) if magic == b"PK" else _tar_members(archive, magic, budget, limits)
        for number, (name, content, size) in enumerate(members, 1):
            if number > limits.members:
                raise _MemberError(f"has more than the {limits.members} members allowed")
            path = _safe(name)
            if content is not None and not path.parts:
                raise _MemberError(f"has the member {name!r}, a file without a name")
            parent = folder / (path if content is None else path.parent)
            parent.mkdir(parents=True, exist_ok=True)
            if content is not None:
                hashes[path.as_posix()], written = _write(content, folder / path, budget)
                budget -= written
                if written != size:  # zipfile takes the early end of a stream for the end of the member
                    raise zipfile.BadZipFile(f"{name!r} has {written} bytes, not {size}")
    except _MemberError as error:
        raise ArchiveError(f"{archive} was refused: it {error}.") from None
    except (FileExistsError, NotADirectoryError):
        raise ArchiveError(f"{archive} was refused: it has two members of the name {name!r}.") from None
    except _DAMAGE as error:
        if (kind := _kind(archive, magic)) and not hashes:
            raise ArchiveError(f"{archive} is {kind}.") from None
        raise ArchiveError(
            f"{archive} is damaged ({type(error).__name__}: {str(error)[:200]}): get it again."
        ) from None
    return hashes


def _safe(name: str) -> PurePosixPath:
    """The path of a member inside its folder, normalised and then judged; ``.`` is the folder itself."""
    # "./a", "a//b", "a/./b" and "a/../b" are harmless, and some programs write backslashes. There are no links.
    path = PurePosixPath(posixpath.normpath(name.replace("\\", "/")))
    unsafe = (
        not name.strip()
        or path.is_absolute()
        or ".." in path.parts
        or "\0" in name
        or re.match("[A-Za-z]:", name)  # a drive
        or (os.name == "nt" and ":" in name)
        or path.as_posix() == MANIFEST
    )
    if unsafe:
        raise _MemberError(f"has the member {name!r}, whose path is not one inside the folder")
    return path


def _zip_members(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            _safe(member.filename)  # first: zipfile itself stumbles over an empty name
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _MemberError(f"has the member {member.filename!r}, which is a link or a device")
            if member.flag_bits & 1:
                raise _MemberError(f"has the member {member.filename!r}, which is encrypted")
            if member.is_dir():
                yield member.filename, None, 0
            else:
                try:
                    stream = opened.open(member)
                except NotImplementedError:
                    raise _MemberError(
                        f"has the member {member.filename!r}, packed by a method that Python does not know: unpack it, "
                        "and pack it again as .zip"
                    ) from None
                except OSError as error:  # it seeks to nowhere
                    raise zipfile.BadZipFile(str(error)) from None
                with stream:
                    yield member.filename, stream, member.file_size


def _tar_members(archive: Path, magic: bytes, budget: int, limits: Limits) -> Iterator[_Member]:
    opener: Any = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}.get(magic, io.open)
    with opener(archive, "rb") as plain:
        bounded: Any = _Bounded(plain, budget + 2048 * limits.members)  # headers and padding come on top
        with tarfile.open(fileobj=bounded, mode="r|", tarinfo=_Header) as opened:
            for member in opened:
                if not (member.isreg() or member.isdir()):
                    raise _MemberError(f"has the member {member.name!r}, which is a link or a device")
                if member.issparse():
                    raise _MemberError(
                        f"has the member {member.name!r}, which is stored with holes: pack it again without --sparse"
                    )
                yield member.name, opened.extractfile(member), member.size
        while bounded.read(1 << 18):  # to the very end, where the checksum of the whole stands
            pass


def _write(stream: IO[bytes], path: Path, budget: int) -> tuple[str, int]:
    digest, written = hashlib.sha256(), 0
    with path.open("xb") as file:
        while block := _read(stream):
            written += len(block)
            if written > budget:
                raise _MemberError("unpacks to more than the bytes allowed: it may be a bomb")
            digest.update(block)
            file.write(block)
    return digest.hexdigest(), written


def _read(stream: IO[bytes]) -> bytes:
    """Read a block. An error here is the archive's fault, one in writing is not."""
    try:
        return stream.read(1 << 18)
    except OSError as error:
        raise zipfile.BadZipFile(str(error)) from None
