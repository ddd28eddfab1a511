"""One at a time: a lock file that says who holds it and since when, and that the system frees when its holder dies."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["InUseError", "Lock", "locked"]

_held: set[Path] = set()  # by this process: the system's lock is one between processes
_between_threads = threading.Lock()
_PLAIN = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)  # a link would name somebody else's file


class InUseError(OSError):
    """Another run holds the lock; the text says which, and since when."""


class Lock:
    """A lock on a file; the file is there only while the lock is held.

    Args:
        path: The lock file. Its folder must be there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.parent.resolve() / path.name  # one file is one lock, whatever its folder is called
        self._handle: int | None = None
        self._process = 0

    def acquire(self) -> None:
        """Take the lock, at once or not at all. Where the file system has no locks, nothing is locked.

        Raises:
            InUseError: If somebody else holds it.
            OSError: If the file cannot be written.
        """
        with _between_threads:
            self._acquire()

    def _acquire(self) -> None:
        if self.path in _held:
            raise InUseError("in use by another run in this process")
        while True:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | _PLAIN, 0o644)
            if not _system_lock(handle):
                text = os.read(handle, 1000).decode(errors="replace")
                os.close(handle)
                raise InUseError(_owner(text))
            if _is_at(handle, self.path):
                break
            os.close(handle)  # its holder took it away between the two calls: take the new one
        facts = {"process": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        os.ftruncate(handle, 0)
        os.write(handle, json.dumps(facts).encode())
        self._handle, self._process = handle, os.getpid()
        _held.add(self.path)

    def release(self) -> None:
        """Give it back, and take the file away."""
        if self._handle is None or self._process != os.getpid():  # a forked child holds nothing
            return
        with contextlib.suppress(OSError):
            self.path.unlink()
        os.close(self._handle)
        self._handle = None
        _held.discard(self.path)


@contextmanager
def locked(path: Path, seconds: float = 30.0) -> Iterator[None]:
    """Hold a lock for a moment, and wait for it if need be.

    Raises:
        InUseError: If it is still held after that many seconds.
    """
    lock = Lock(path)
    end = time.monotonic() + seconds
    while True:
        try:
            lock.acquire()
            break
        except InUseError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
    try:
        yield
    finally:
        lock.release()


def _is_at(handle: int, path: Path) -> bool:
    """Whether the open file is the one that has the name."""
    try:
        return os.fstat(handle).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False


def _system_lock(handle: int) -> bool:
    """Lock an open file for this process; it is freed when the process ends, however it ends."""
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _owner(text: str) -> str:
    try:
        facts: Any = json.loads(text)
        return f"in use by process {facts['process']} on {facts['host']} since {facts['since']}"
    except (ValueError, KeyError, TypeError):
        return "in use by another process"
