"""Saving into folders: their files are the old or the new ones, each on the disk before it gets its name."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmlab.store.files import clear_dead, replace_file, temporary
from mmlab.store.lock import locked

__all__ = [
    "MADE",
    "NotOursError",
    "changed",
    "discard",
    "made_of",
    "recover",
    "refuse_added",
    "refuse_foreign",
    "refuse_other_file",
    "replace_pages",
    "replaced_files",
    "replaced_folder",
    "seal",
    "sealed",
    "take",
    "write_whole",
]

MADE = ".mmlab-made.json"
"""Marks a folder that mmlab made and may delete; once it is sealed, it lists the files by hash."""


class NotOursError(FileExistsError):
    """Something is in the way that mmlab did not make, and therefore does not delete."""


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that its name never shows a part of it; its folder is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, [content.encode("utf-8") if isinstance(content, str) else content])


def replace_pages(wanted: Mapping[Path, str], folder: Path, mark: str) -> list[Path]:
    """Write pages that are made, and remove those that were made and are not wanted any more.

    Args:
        wanted: The text of each page.
        folder: Where they are. What lies there without the mark is somebody's own, and stays.
        mark: A text that every page that was made holds.

    Returns:
        The pages that changed.
    """
    for path in set(folder.glob("*.md")) - set(wanted):
        if mark in path.read_text(encoding="utf-8", errors="replace"):
            path.unlink()
    changed = [p for p, text in wanted.items() if not p.exists() or p.read_text(encoding="utf-8") != text]
    for path in changed:
        write_whole(path, wanted[path])
    return changed


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
                    folder.rename(folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.before"))
                new.rename(folder)
            finally:
                _bring_back(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def recover(folder: Path) -> None:
    """Bring back the folder that a save which did not come to its end had put aside, and clear away what is left."""
    if _put_aside(folder):
        with locked(_lock(folder)):
            _bring_back(folder)


def _bring_back(folder: Path) -> None:
    for old in _put_aside(folder):
        if not folder.exists():
            old.rename(folder)
        elif old.is_symlink():
            old.unlink()
        else:
            shutil.rmtree(old, ignore_errors=True)


def _put_aside(folder: Path) -> list[Path]:
    """What saves put aside under names that nobody else gives."""
    name = re.compile(rf"\.{re.escape(folder.name)}\.[0-9a-f]{{8}}\.before")
    return [path for path in sorted(folder.parent.glob(".*.before")) if name.fullmatch(path.name)]


def _lock(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")


def _to_disk(file: Path) -> None:
    with file.open("rb") as opened:
        os.fsync(opened.fileno())


def refuse_other_file(path: Path, beginning: str) -> None:
    """Refuse to write over a file that does not begin as ours do. One that is not there or empty is no trouble.

    Args:
        path: Where a file is to be written.
        beginning: How every file of this kind begins.

    Raises:
        NotOursError: If it is somebody else's.
    """
    begins = beginning.encode()
    if path.is_dir():
        raise NotOursError(f"{path} is a folder: name a file in it.")
    if not path.exists():
        return
    with path.open("rb") as file:
        if file.read(len(begins)) not in (b"", begins):
            raise NotOursError(f"{path} is there and holds something else: move it away, or choose another name.")


def refuse_other_arrays(path: Path, names: Sequence[str]) -> None:
    """Refuse to write over a file that is no ``.npz`` of just these arrays. One that is not there is no trouble.

    Args:
        path: Where the arrays are to be written.
        names: Their names.

    Raises:
        NotOursError: If it is somebody else's.
    """
    if path.is_dir():
        raise NotOursError(f"{path} is a folder: name a file in it.")
    if not path.exists():
        return
    try:
        with zipfile.ZipFile(path) as archive:
            held = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        held = []
    if sorted(held) != sorted(f"{name}.npy" for name in names):
        raise NotOursError(f"{path} is there and holds something else: move it away, or choose another name.")


def refuse_foreign(folder: Path) -> None:
    """Refuse a folder that holds something and that mmlab did not make. One that is not there or empty is no trouble.

    Raises:
        NotOursError: If it is somebody else's.
    """
    if folder.is_symlink() or not folder.exists() or _account(folder) is not None:
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise NotOursError(f"{folder} is there and mmlab did not make it: move it away, or choose another folder.")


def take(folder: Path) -> None:
    """Make a folder that mmlab may delete again, or take one that it made. It is not sealed then.

    Raises:
        NotOursError: If it is somebody else's, or somebody put a file into it.
    """
    refuse_foreign(folder)
    refuse_added(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / MADE, _json({"made_of": "", "files": None}))


def seal(folder: Path, made_of: str = "") -> None:
    """List the files of a folder by hash, and what they were made of: what is changed or added later is then known."""
    write_whole(folder / MADE, _json({"made_of": made_of, "files": _hashes(folder)}))


def made_of(folder: Path) -> str:
    """What a sealed folder was made of; empty if it is not there or not sealed."""
    account = _account(folder)
    return str(account["made_of"]) if account and account["files"] is not None else ""


def sealed(folder: Path) -> dict[str, str]:
    """The files of a sealed folder, each with its hash when it was sealed; none if it is not sealed."""
    return dict((_account(folder) or {}).get("files") or {})


def changed(folder: Path) -> list[str]:
    """Files of a sealed folder that are not as they were, or were added: their names, in order."""
    listed = sealed(folder)
    held = _hashes(folder)
    return sorted(name for name in held.keys() | listed.keys() if held.get(name) != listed.get(name))


def discard(folder: Path) -> None:
    """Delete a folder that mmlab made, if it is there. Of a link only the link goes.

    Raises:
        NotOursError: If it is somebody else's, or somebody put a file into it.
    """
    if folder.is_symlink():
        folder.unlink()
        return
    refuse_foreign(folder)
    refuse_added(folder)
    clear_dead(folder)
    if not folder.exists():
        return
    gone = temporary(folder)  # in one step: half of a folder would have lost its marker, and look like somebody else's
    folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def refuse_added(folder: Path) -> None:
    """Refuse a sealed folder into which somebody put a file.

    Raises:
        NotOursError: If there is one; it is named.
    """
    account = _account(folder)
    if account is None or account["files"] is None:
        return
    if added := sorted(_files(folder).keys() - account["files"].keys()):
        named = ", ".join(added[:3]) + (" …" if len(added) > 3 else "")
        raise NotOursError(f"{folder} holds what mmlab did not put there ({named}): move it away, and try again.")


def _account(folder: Path) -> dict[str, Any] | None:
    """What the marker of a folder says; None if there is none."""
    try:
        found = json.loads((folder / MADE).read_text(encoding="utf-8"))
        files = found["files"]
        known = {"made_of": str(found["made_of"]), "files": None if files is None else dict(files)}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return known


def _files(folder: Path) -> dict[str, Path]:
    """All that lies in a folder but folders and the marker, by path inside it."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    return {name: path for name, path in found.items() if name != MADE and (path.is_symlink() or not path.is_dir())}


def _hashes(folder: Path) -> dict[str, str]:
    found = {}
    for name, path in sorted(_files(folder).items()):
        content = str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
        found[name] = hashlib.sha256(content).hexdigest()
    return found


def _json(content: Any) -> str:
    return json.dumps(content, indent=1, sort_keys=True) + "\n"
