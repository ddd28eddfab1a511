"""Files that are either old or new, never half: a name of one's own beside them, flushed to disk, then renamed.

The temporary name says which process of which machine made it. So two processes never write to the same one, and what a
dead process left is known by its name, and nothing else is ever taken away.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

__all__ = ["clear_dead", "flush_folder", "replace_file", "temporary", "write_file"]

_HOST = sha256(socket.gethostname().encode()).hexdigest()[:8]


def temporary(path: Path) -> Path:
    """A hidden name beside a file or folder, which nobody else uses."""
    return path.with_name(f".{_short(path.name)}.{_HOST}-{os.getpid()}-{secrets.token_hex(4)}.tmp")


def _short(name: str) -> str:
    """A name that leaves room for more: file systems take 255 bytes."""
    content = os.fsencode(name)
    return name if len(content) <= 200 else sha256(content).hexdigest()


def clear_dead(path: Path) -> None:
    """Take away what processes of this machine that are no more left under temporary names for a file or folder."""
    made = re.compile(rf"\.{re.escape(_short(path.name))}\.{_HOST}-(\d+)-[0-9a-f]{{8}}\.tmp")
    for other in path.parent.glob(".*.tmp"):
        if (match := made.fullmatch(other.name)) and not _alive(int(match[1])):
            if other.is_dir() and not other.is_symlink():
                shutil.rmtree(other, ignore_errors=True)
            else:
                other.unlink(missing_ok=True)


def write_file(path: Path, chunks: Iterable[bytes | memoryview]) -> str:
    """Write a file and flush it to the disk.

    Args:
        path: Where to.
        chunks: Its content, piece by piece.

    Returns:
        The sha256 of what was written, in hexadecimal.

    Raises:
        OSError: If the disk is full or the folder cannot be written.
    """
    digest = sha256()
    with path.open("wb") as file:
        for chunk in chunks:
            file.write(chunk)
            digest.update(chunk)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def replace_file(path: Path, chunks: Iterable[bytes | memoryview]) -> str:
    """Write a file under a temporary name in the same folder, then rename it: readers see the old or the new one.

    Returns:
        The sha256 of what was written, in hexadecimal.

    Raises:
        OSError: If it cannot be written; the old file is still there then, and nothing else.
    """
    clear_dead(path)
    own = temporary(path)
    try:
        digest = write_file(own, chunks)
        own.replace(path)
    except BaseException:
        own.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)
    return digest


def flush_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, where the system can do that (Windows cannot)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _alive(process: int) -> bool:
    if os.name == "nt":
        return True  # asking would end it there
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is somebody else's
        return True
    return True
