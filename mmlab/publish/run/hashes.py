"""Hashes of files that may be large: each is read once, and then known by its size and times."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path

from mmlab.store.folders import write_whole

__all__ = ["folder_hash"]


def folder_hash(folder: Path) -> str:
    """A hash over names and contents of the files in a folder.

    What was found is kept beside the folder, where that can be written: a file whose size and times are as they
    were is not read again.

    Args:
        folder: The folder.
    """
    memory = folder.parent / ".mmlab" / f"{folder.name}.hashes.json"
    known = _known(memory)
    facts: dict[str, list[str | int]] = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        name, found = path.relative_to(folder).as_posix(), path.stat()
        state: list[str | int] = [found.st_size, found.st_mtime_ns, found.st_ctime_ns]
        before = known.get(name, [])
        facts[name] = [*state, before[-1] if before[:-1] == state else _sha256(path)]
    if facts != known:
        with suppress(OSError):  # a folder that cannot be written costs time and nothing else
            write_whole(memory, json.dumps(facts, indent=1, sort_keys=True) + "\n")
    listing = json.dumps({name: entry[-1] for name, entry in facts.items()}, sort_keys=True)
    return hashlib.sha256(listing.encode()).hexdigest()


def _known(memory: Path) -> dict[str, list[str | int]]:
    try:
        found = json.loads(memory.read_text(encoding="utf-8"))
        return {str(name): list(entry) for name, entry in found.items() if len(entry) == 4}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
