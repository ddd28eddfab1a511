"""A place beside a file where its next version is made, by one process at a time."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["workshop"]


@contextmanager
def workshop(path: Path) -> Iterator[Path]:
    """An empty folder on the file system of ``path``, so that a result moves to ``path`` in one step.

    It is ``.mmlab/<name>`` beside ``path``. A second process waits until the first is done. What a killed process left
    is removed on entry, and all that is left in it on exit.

    Raises:
        OSError: If the folder cannot be made.
    """
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]  # works on all platforms and on NFS

    folder = path.parent / ".mmlab" / path.name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(folder.with_name(f"{path.name}.lock")):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
