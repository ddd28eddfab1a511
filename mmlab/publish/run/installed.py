"""Which installed distributions a chapter stands on, and their versions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

from mmlab.reach import own_file

__all__ = ["found", "locked_names", "own_modules"]

_NAME = re.compile(r"\s*([A-Za-z0-9][\w.-]*)")
_IMPORT = re.compile(r"(?:^|[;:])\s*(?:from\s+([A-Za-z_]\w*)[\w.]*\s+import\b|import\s+([^#\n;]+))", re.MULTILINE)
_BY_NAME = re.compile(r"(?:import_module|__import__|find_spec)\(\s*['\"]([A-Za-z_]\w*)")


def found(cells: Iterable[str], named: Iterable[str] = ()) -> dict[str, str]:
    """Distributions and their versions as installed: those that are named, that mmlab needs, and that cells import.

    What is needed by one of them counts too.

    Args:
        cells: Sources of code cells.
        named: Names of distributions, as in a lock; they are listed even if they are absent.
    """
    names = {_plain(name) for name in named}
    roots = {_plain(name) for module in _imported(cells) for name in _providers().get(module, ())}
    everything = names | _closure(frozenset(roots | {"mmlab"}))
    return {name: _version(name) for name in sorted(everything) if name != "mmlab"}


def locked_names(lock: Path) -> list[str]:
    """Names of the distributions in a lock file; none if there is no such file."""
    if not lock.exists():
        return []
    lines = lock.read_text(encoding="utf-8-sig").splitlines()
    return [match[1] for line in lines if "==" in line and (match := _NAME.match(line))]


def own_modules(cells: Iterable[str]) -> dict[str, Path]:
    """Modules that cells import and that belong to no distribution: files of the reader's own, by dotted name."""
    found: dict[str, Path] = {}
    for name in sorted(_imported(cells) - {"mmlab"}):
        if (path := own_file(name)) is None:
            continue
        inner = sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]
        found |= {f"{name}/{entry.relative_to(path.parent).as_posix()}": entry for entry in inner}
    return found


_providers = cache(packages_distributions)


def _imported(cells: Iterable[str]) -> set[str]:
    """Top-level names that cells import, found by their look: a name too many does no harm."""
    names: set[str] = set()
    for cell in cells:
        names.update(_BY_NAME.findall(cell))
        for source, listed in _IMPORT.findall(cell):
            parts = [source] if source else listed.split(",")
            names.update(part.strip().split(".")[0].split(" ")[0] for part in parts)
    return {name for name in names if name.isidentifier()}


@cache
def _closure(roots: frozenset[str]) -> frozenset[str]:
    """Some distributions and what they need, as far as it is installed. Of mmlab the extras count, of others not."""
    seen: set[str] = set()
    queue = list(roots)
    while queue:
        name = queue.pop()
        if name in seen or (needs := _needs(name)) is None:
            continue
        seen.add(name)
        queue += needs
    return frozenset(seen)


@cache
def _needs(name: str) -> tuple[str, ...] | None:
    try:
        lines = distribution(name).requires or []
    except PackageNotFoundError:
        return None
    wanted = [line for line in lines if name == "mmlab" or not re.search(r"\bextra\s*==", line)]
    return tuple(_plain(match[1]) for line in wanted if (match := _NAME.match(line)))


@cache
def _version(name: str) -> str:
    try:
        return distribution(name).version
    except PackageNotFoundError:
        return "absent"


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
