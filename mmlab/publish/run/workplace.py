"""The folder of a run: it goes when the run ends, and if the run was killed, the next one takes it away."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mmlab.store.lock import InUseError, Lock

__all__ = ["workplace"]

_PREFIX = "mmlab-run-"


@contextmanager
def workplace() -> Iterator[Path]:
    """An empty folder among the temporary ones. As long as its owner lives, a lock beside it is held."""
    base = Path(tempfile.gettempdir()).resolve()
    _clear_dead(base)
    folder = base / f"{_PREFIX}{uuid.uuid4().hex}"
    lock = Lock(folder.with_suffix(".lock"))
    lock.acquire()  # first: a folder without a held lock is a dead one
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def _clear_dead(base: Path) -> None:
    """Take away the folders of this user whose owners are no more. Those without a lock file are of something else."""
    for path in base.glob(f"{_PREFIX}*.lock"):
        folder, lock = path.with_suffix(""), Lock(path)
        with suppress(OSError):
            if folder.is_symlink() or not folder.is_dir() or not _mine(folder):
                continue
            with suppress(InUseError):
                lock.acquire()
                shutil.rmtree(folder, ignore_errors=True)
                lock.release()


def _mine(path: Path) -> bool:
    return not hasattr(os, "getuid") or path.stat().st_uid == os.getuid()
