"""The cache key of a chapter: a hash of all that its outputs depend on. File times do not matter."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import mmlab
from mmlab.paths import folder_from_environment
from mmlab.publish.run import installed
from mmlab.publish.run.hashes import folder_hash
from mmlab.reach import Reach, reach

__all__ = ["digest", "inputs", "versions", "what_changed"]

PACKAGE = Path(mmlab.__file__).parent


def inputs(
    cells: list[str],
    *,
    root: Path,
    profile: str,
    parameters: Mapping[str, Any],
    package: Path = PACKAGE,
    named: Iterable[str] | None = None,
) -> dict[str, Any]:
    """The parts of a chapter's cache key.

    Prose is not among them: the text of Markdown cells, tags and ids do not change what the code does.

    Args:
        cells: Sources of the code cells, in order.
        root: Folder of the book.
        profile: ``"cpu"`` or ``"gpu"``.
        parameters: Values that replace those of the parameters cell.
        package: Folder of the package that the notebook imports from.
        named: Names of distributions whose versions count besides those that are needed; by default those of the lock.

    Returns:
        JSON-able parts: hashes of cells, modules, lock, other files and data, the parameters, and the versions as
        installed of all that the lock lists, mmlab needs or the cells import.
    """
    reached = reach(cells, package)
    lock = root / "lock" / f"{profile}.txt"
    listed = installed.locked_names(lock) if named is None else named
    of_language = {name: found for name, found in versions().items() if name != "mmlab"}
    return {
        "cells": _sha256(json.dumps(cells).encode()),
        "profile": profile,
        "parameters": dict(parameters),
        "modules": {name: _file(path) for name, path in sorted(reached.modules.items())},
        "files": {
            path.relative_to(package.parent).as_posix(): _file(path)
            for path in reached.files
            if path.name != "sources.json"  # its entries count one by one
        },
        "own": {name: _file(path) for name, path in installed.own_modules(cells).items()},
        "data": _data(reached, package),
        "lock": _file(lock) if lock.exists() else None,
        "versions": installed.found(cells, listed) | of_language,
    }


def digest(parts: Mapping[str, Any]) -> str:
    """The key itself: SHA-256 of the parts."""
    return _sha256(json.dumps(parts, sort_keys=True).encode())


def what_changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Why a chapter has to run again, in a few words for the log."""
    for part in new:
        before, after = old.get(part), new[part]
        if before != after:
            if isinstance(before, dict) and isinstance(after, dict):
                names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
                return f"{part}: {', '.join(names[:3])}{' …' if len(names) > 3 else ''}"
            return part
    return "no input"


@cache
def versions() -> dict[str, str]:
    """Versions of Python and of what the numbers of a run depend on most."""
    found = {"python": platform.python_version(), "mmlab": mmlab.__version__}
    for name in ("torch", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def _data(reached: Reach, package: Path) -> dict[str, Any]:
    """The registry entries of the data sets that the notebook or its modules name, and the files of each by hash.

    A chapter that shows real data where a reader has them gives other outputs when they arrive or change.
    """
    registry = package / "data" / "files" / "sources.json"
    if f"{package.name}.data.files.registry" not in reached.modules or not registry.exists():
        return {}
    entries = json.loads(registry.read_text(encoding="utf-8"))
    folder = folder_from_environment("MMLAB_DATA")
    return {
        name: {
            "entry": _sha256(json.dumps(entries[name], sort_keys=True).encode()),
            "files": folder_hash(folder / name) if folder is not None and (folder / name).is_dir() else "",
        }
        for name in sorted(entries)
        if name in reached.literals
    }


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _file(path: Path) -> str:
    return _sha256(path.read_bytes())
