"""Saving into folders: their files are the old or the new ones, each on the disk before it gets its name."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mmlab.store.files import clear_dead, replace_file, temporary
from mmlab.store.lock import locked

__all__ = ["recover", "replaced_files", "replaced_folder", "write_whole"]


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that its name never shows a part of it; its folder is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, [content.encode("utf-8") if isinstance(content, str) else content])


@contextmanager
def replaced_files(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """A place to write files; at the end they take the place of those of the same name, one after the other.

    Args:
        folder: Where they belong; made if need be. Other files in it are left alone.
        names: Names of the files, in the order in which they are moved; what was not written is left as it was.

    Yields:
        An empty folder, another one for everybody. If the block raises, the old files stay.

    Raises:
        OSError: If the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / "saving"
    clear_dead(place)
    new = temporary(place)
    new.mkdir()
    try:
        yield new
        written = [name for name in names if (new / name).exists()]
        for name in written:
            _to_disk(new / name)
        with locked(folder / ".saving.lock"):  # of two at once, all files are those of one
            for name in written:
                (new / name).replace(folder / name)
    finally:
        shutil.rmtree(new, ignore_errors=True)


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """A place to write a whole folder; at the end it takes the place of the old one.

    Args:
        folder: The name that it gets.

    Yields:
        An empty folder, another one for everybody. If the block raises, the old folder stays. A kill in the moment
        between the two renames leaves it under another name, from which :func:`recover` brings it back.

    Raises:
        OSError: If the folder cannot be written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    recover(folder)
    clear_dead(folder)
    new = temporary(folder)
    new.mkdir()
    try:
        yield new
        for file in sorted(new.rglob("*")):
            if file.is_file():
                _to_disk(file)
        with locked(_lock(folder)):
            _bring_back(folder)
            try:
                if folder.exists():
                    folder.rename(_before(folder))
                new.rename(folder)
            finally:
                _bring_back(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def recover(folder: Path) -> None:
    """Bring back the folder that a save which did not come to its end had put aside, and clear away what is left."""
    if _before(folder).exists():
        with locked(_lock(folder)):
            _bring_back(folder)


def _bring_back(folder: Path) -> None:
    old = _before(folder)
    if old.exists() and not folder.exists():
        old.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _before(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.before")


def _lock(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")


def _to_disk(file: Path) -> None:
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
