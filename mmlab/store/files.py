"""Files that are either old or new, never half: a temporary name beside them, flushed to disk, then renamed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

__all__ = ["flush_folder", "replace_file", "write_file"]


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
    temporary = path.with_name(f".{path.name}.tmp")  # one name, so that what killed processes leave does not pile up
    try:
        digest = write_file(temporary, chunks)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
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
