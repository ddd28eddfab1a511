"""Which modules does a piece of Python reach? Read from the sources, without running them.

The answer errs on one side only: it may name a module too many, never one too few. Where the sources do not say what
they import, it is the whole package.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from mmlab.imports import Said, said

__all__ = ["Reach", "modules_of", "own_file", "reach", "reach_from"]


@dataclass
class Reach:
    """What a piece of Python stands on.

    Attributes:
        modules: Dotted name of each module reached, to its file.
        literals: All strings that occur in the piece and in those modules; names of data sets are among them.
    """

    modules: dict[str, Path] = field(default_factory=dict)
    literals: set[str] = field(default_factory=set)

    @property
    def files(self) -> list[Path]:
        """Files beside the modules that are no modules themselves and whose name a source mentions."""
        folders = {path.parent for path in self.modules.values()}
        beside = sorted(path for folder in folders for path in folder.iterdir() if path.name in self.literals)
        return [path for path in beside if path.is_file() and path.suffix not in (".py", ".pyc")]


class _UndecidableError(Exception):
    """The sources do not say what they import."""


def modules_of(package: Path) -> dict[str, Path]:
    """Dotted name of each module in the folder of a package, to its file."""
    found = {}
    for folder, inner, files in os.walk(package):
        inner[:] = sorted(name for name in inner if name != "__pycache__")
        above = Path(folder).relative_to(package.parent).parts
        for name in sorted(files):
            if name.endswith(".py"):
                parts = above if name == "__init__.py" else (*above, name.removesuffix(".py"))
                found[".".join(parts)] = Path(folder, name)
    return found


def reach(cells: Iterable[str], package: Path) -> Reach:
    """The modules of a package that the cells of a notebook reach, directly or through others.

    Follows imports inside functions, the lazy names of a package (its ``__getattr__`` with the imports under
    ``TYPE_CHECKING``), attributes of imported packages, and ``mmlab.load("stem")``.

    Args:
        cells: Sources of the code cells.
        package: Folder of the package.
    """
    walk = _Walk(package, modules_of(package))
    try:
        text = "\n".join(_without_magics(cell) for cell in cells)
        walk.follow(said(text, "", False, package.name))
    except (_UndecidableError, SyntaxError):
        return walk.everything()
    return walk.found


def reach_from(names: Iterable[str], package: Path) -> Reach:
    """The modules that some modules reach, themselves among them: of a package, and of a reader's own code around it.

    Code is the reader's own if it is a file that belongs neither to Python nor to an installed package.

    Args:
        names: Dotted names of modules; those that are neither in the package nor the reader's own are passed over.
        package: Folder of the package.
    """
    walk = _Walk(package, _WithOwn(modules_of(package)))
    try:
        walk.visit(names)
    except (_UndecidableError, SyntaxError):
        return walk.everything()
    return walk.found


class _WithOwn(dict[str, Path]):
    """Modules of a package by dotted name; a reader's own are looked up when they are asked for."""

    def __init__(self, modules: Mapping[str, Path]) -> None:
        super().__init__(modules)
        self._absent: set[object] = set()

    def __contains__(self, name: object) -> bool:
        if dict.__contains__(self, name):
            return True
        if name in self._absent:
            return False
        if path := own_file(str(name)):
            self[str(name)] = path
        else:
            self._absent.add(name)
        return path is not None


def own_file(name: str) -> Path | None:
    """The file of a module that is a reader's own; None if it has none, or belongs to Python or an installed package.

    Args:
        name: Dotted name of the module. It is not imported.
    """
    found = getattr(sys.modules.get(name), "__file__", None)
    places = [Path(found)] if found else _places(*name.split("."))
    return next((p for p in places if p.suffix == ".py" and p.is_file() and not _installed(p.resolve())), None)


def _places(first: str, *inner: str) -> list[Path]:
    """Where the file of a module can be that is not imported yet."""
    with suppress(ImportError, ValueError):
        spec = find_spec(first)
        if spec and inner:
            folders = [Path(folder, *inner) for folder in spec.submodule_search_locations or ()]
            return [place for folder in folders for place in (folder.with_suffix(".py"), folder / "__init__.py")]
        if spec:
            return [Path(spec.origin or "")]
    return []


def _installed(path: Path) -> bool:
    return any(path.is_relative_to(place) for place in _libraries()) or "site-packages" in path.parts


@cache
def _libraries() -> list[Path]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    return [Path(sysconfig.get_path(name)).resolve() for name in names]


class _Walk:
    """One walk over the import graph, from what a source says to everything it reaches."""

    def __init__(self, package: Path, modules: Mapping[str, Path]) -> None:
        self.modules, self.package = modules, package.name
        self.found = Reach()
        self._queue: list[str] = []
        self._read: dict[str, Said] = {}
        self._stands_for: dict[str, tuple[str, ...]] = {}

    def everything(self) -> Reach:
        """All modules that are known, for sources that do not say which of them they reach."""
        return Reach(dict(self.modules), set().union(*(self.said(name).literals for name in self.modules)))

    def follow(self, start: Said) -> None:
        """Visit what a source reaches."""
        self._follow(start)
        self.visit(())

    def visit(self, names: Iterable[str]) -> None:
        """Visit some modules and what they reach."""
        for name in names:
            self._queue += self._resolved(name)
        while self._queue:
            name = self._queue.pop()
            if name not in self.found.modules:
                self.found.modules[name] = self.modules[name]
                self._follow(self.said(name))

    def said(self, name: str) -> Said:
        """What a module says, read once in a walk."""
        if name not in self._read:
            path = self.modules[name]
            text = path.read_text(encoding="utf-8")
            self._read[name] = said(text, name, path.name == "__init__.py", self.package)
        return self._read[name]

    def _follow(self, said: Said) -> None:
        if said.undecidable or any(name.partition(".")[0] == self.package for name in said.reads):
            raise _UndecidableError
        self.found.literals |= said.literals
        for name in said.names:
            self._queue += self._resolved(name)
        home = f"{self.package}.methods."
        for stem in said.loads:
            known = f"{home}{stem}" in self.modules
            for name in [f"{home}{stem}"] if known else [name for name in self.modules if name.startswith(home)]:
                self._queue += self._resolved(name)

    def _resolved(self, dotted: str) -> tuple[str, ...]:
        """The module that a dotted name lives in, the packages above it, and what it stands for lazily."""
        if dotted not in self._stands_for:
            self._stands_for[dotted] = tuple(dict.fromkeys(self._resolve(dotted)))
        return self._stands_for[dotted]

    def _resolve(self, dotted: str) -> Iterator[str]:
        parts = dotted.split(".")
        for end in range(1, len(parts) + 1):
            module, rest = ".".join(parts[:end]), parts[end:]
            if module not in self.modules:  # a name in a module, or a folder without __init__.py
                continue
            yield module
            # A lazy name may also be that of a module, as mmlab.methods is: standing alone it may mean either.
            inner = len(rest) > 1 and ".".join(parts[: end + 1]) in self.modules
            lazy = (self.said(module).promises or {}) if rest and not inner else {}
            for name in lazy if rest[:1] == ["*"] else rest[:1]:
                if name in lazy:
                    yield from self._resolve(".".join([lazy[name], *rest[1:]]))


def _without_magics(cell: str) -> str:
    if cell.lstrip().startswith("%%"):
        raise _UndecidableError
    return "\n".join("pass" if line.startswith(("%", "!")) else line for line in cell.splitlines())
