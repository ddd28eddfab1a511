"""Which modules does a piece of Python reach? Read from the sources, without running them.

The answer errs on one side only: it may name a module too many, never one too few. Where the sources do not say what
they import, it is the whole package.

What a source says depends on nothing but its text and its name, so it is worked out once for each text.
"""

from __future__ import annotations

import ast
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from mmlab.syntax import parse

__all__ = ["Reach", "modules_of", "own_file", "reach", "reach_from"]

# These take the stem of a method and import its module: what they reach is in their argument, not in an import.
_LOAD = ("load", "registry.load")
_LIST = ("list_methods", "registry.list_methods")


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
        walk.follow(_said(text, "", False, package.name))
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
    libraries = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return any(path.is_relative_to(Path(place).resolve()) for place in libraries) or "site-packages" in path.parts


@dataclass(frozen=True)
class _Said:
    """What one source says, whatever the others do.

    Attributes:
        names: Dotted names that it imports or mentions, from their root on.
        loads: Stems that it loads; None among them if it may load any method.
        reads: Modules whose names it looks up by a computed name.
        literals: Its strings.
        promises: For a module with lazy names: each of them, and what it stands for. None for any other.
        undecidable: Whether it imports what it computes.
    """

    names: tuple[str, ...]
    loads: frozenset[str | None]
    reads: frozenset[str]
    literals: frozenset[str]
    promises: Mapping[str, str] | None
    undecidable: bool


@cache
def _said(text: str, module: str, is_package: bool, package: str) -> _Said:
    return _Reader(module, is_package, package).read(parse(text, module or "<cells>"))


class _Reader:
    """Reads one syntax tree."""

    def __init__(self, module: str, is_package: bool, package: str) -> None:
        self.module, self.is_package, self.package = module, is_package, package
        self.aliases: dict[str, list[str]] = {}  # in two functions one name may stand for two things

    def read(self, tree: ast.Module) -> _Said:
        nodes, texts = _runtime_nodes(tree)
        for node in nodes:
            for target, alias in self._imported(node):
                self.aliases.setdefault(alias, []).append(target)
        names = dict.fromkeys(target for targets in self.aliases.values() for target in targets)
        names |= dict.fromkeys(dotted for node in nodes for dotted in self._references(node))
        calls = [node for node in nodes if isinstance(node, ast.Call)]
        asked = [self._import_module(call) for call in calls]
        names |= dict.fromkeys(target for target in asked if target)
        finds = self.module == f"{self.package}.registry"  # what it loads is followed where it is asked to
        return _Said(
            names=tuple(names),
            loads=frozenset() if finds else frozenset(self._loads(nodes)),
            reads=frozenset(read for call in calls for read in self._getattr(call)),
            literals=frozenset(texts),
            promises=self._promises(tree),
            undecidable="" in asked and not finds,
        )

    def _imported(self, node: ast.AST) -> Iterator[tuple[str, str]]:
        """Pairs of (what is imported, the name that it gets, if any)."""
        if isinstance(node, ast.Import):
            for name in node.names:
                root = name.name.partition(".")[0]
                yield name.name, name.asname or ""
                if not name.asname:  # `import a.b` binds `a`
                    yield root, root
        elif isinstance(node, ast.ImportFrom):
            base = self._absolute(node)
            for name in node.names:
                yield f"{base}.{name.name}", name.asname or name.name

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.module.split(".")
        if not self.is_package:
            parts = parts[:-1]
        parts = parts[: len(parts) - node.level + 1]
        return ".".join([*parts, node.module] if node.module else parts)

    def _references(self, node: ast.AST) -> list[str]:
        """The dotted names that ``show`` or ``mmlab.viz.show`` may stand for; none if it begins with no import."""
        trail: list[str] = []
        while isinstance(node, ast.Attribute):
            trail.append(node.attr)
            node = node.value
        if isinstance(node, ast.Name) and node.id in self.aliases:
            return [".".join([target, *reversed(trail)]) for target in self.aliases[node.id]]
        return []

    def _loads(self, nodes: list[ast.AST]) -> Iterator[str | None]:
        """Stems of methods that are loaded; None wherever they are listed, or a loader may get any of them."""
        if not any(self._leads_to_loader(target) for targets in self.aliases.values() for target in targets):
            return
        plain = set()
        for node in nodes:  # a call comes before what it calls
            if isinstance(node, ast.Call) and self._names_one(node.func, _LOAD) and (stem := _first(node)):
                plain.add(id(node.func))
                yield stem
            elif id(node) not in plain and self._names_one(node, _LOAD + _LIST):
                yield None

    def _leads_to_loader(self, target: str) -> bool:
        inner = [f"{self.package}.{name}" for name in _LOAD + _LIST]
        return any(name == target or name.startswith(f"{target}.") for name in inner)

    def _names_one(self, node: ast.AST, loaders: tuple[str, ...]) -> bool:
        return any(dotted == f"{self.package}.{name}" for dotted in self._references(node) for name in loaders)

    def _import_module(self, call: ast.Call) -> str | None:
        """What ``import_module`` is asked for: empty if that is computed, None if the call is another one."""
        names = [*self._references(call.func), getattr(call.func, "id", ""), getattr(call.func, "attr", "")]
        if not any(name.rpartition(".")[2] in ("import_module", "__import__") for name in names):
            return None
        return _first(call)

    def _getattr(self, call: ast.Call) -> list[str]:
        if isinstance(call.func, ast.Name) and call.func.id == "getattr" and call.args:
            return self._references(call.args[0])
        return []

    def _promises(self, tree: ast.Module) -> dict[str, str] | None:
        """What a lazy module promises under TYPE_CHECKING: its names, and where they come from."""
        if not any(map(_is_getter, tree.body)):
            return None
        guarded = [node for block in tree.body if _type_checking(block) for node in ast.walk(block)]
        return {alias: target for node in guarded for target, alias in self._imported(node)}


class _Walk:
    """One walk over the import graph, from what a source says to everything it reaches."""

    def __init__(self, package: Path, modules: Mapping[str, Path]) -> None:
        self.modules, self.package = modules, package.name
        self.found = Reach()
        self._queue: list[str] = []
        self._read: dict[str, _Said] = {}

    def everything(self) -> Reach:
        """All modules that are known, for sources that do not say which of them they reach."""
        return Reach(dict(self.modules), set().union(*(self.said(name).literals for name in self.modules)))

    def follow(self, start: _Said) -> None:
        """Visit what a source reaches."""
        self._follow(start)
        self.visit(())

    def visit(self, names: Iterable[str]) -> None:
        """Visit some modules and what they reach."""
        for name in names:
            self._resolve(name)
        while self._queue:
            name = self._queue.pop()
            if name not in self.found.modules:
                self.found.modules[name] = self.modules[name]
                self._follow(self.said(name))

    def said(self, name: str) -> _Said:
        """What a module says, read once in a walk."""
        if name not in self._read:
            path = self.modules[name]
            text = path.read_text(encoding="utf-8")
            self._read[name] = _said(text, name, path.name == "__init__.py", self.package)
        return self._read[name]

    def _follow(self, said: _Said) -> None:
        if said.undecidable or any(name.partition(".")[0] == self.package for name in said.reads):
            raise _UndecidableError
        self.found.literals |= said.literals
        for name in said.names:
            self._resolve(name)
        home = f"{self.package}.methods."
        for stem in said.loads:
            known = f"{home}{stem}" in self.modules
            for name in [f"{home}{stem}"] if known else [name for name in self.modules if name.startswith(home)]:
                self._resolve(name)

    def _resolve(self, dotted: str) -> None:
        """Queue the module that a dotted name lives in, the packages above it, and what it stands for lazily."""
        parts = dotted.split(".")
        for end in range(1, len(parts) + 1):
            module, rest = ".".join(parts[:end]), parts[end:]
            if module not in self.modules:  # a name in a module, or a folder without __init__.py
                continue
            self._queue.append(module)
            # A lazy name may also be that of a module, as mmlab.methods is: standing alone it may mean either.
            inner = len(rest) > 1 and ".".join(parts[: end + 1]) in self.modules
            lazy = (self.said(module).promises or {}) if rest and not inner else {}
            for name in lazy if rest[:1] == ["*"] else rest[:1]:
                if name in lazy:
                    self._resolve(".".join([lazy[name], *rest[1:]]))


def _runtime_nodes(tree: ast.Module) -> tuple[list[ast.AST], set[str]]:
    """All nodes that can run, each before those in it, and all strings, wherever they stand.

    What stands under ``if TYPE_CHECKING`` cannot run; a module's ``__getattr__`` is left to the names that it promises.
    """
    nodes: list[ast.AST] = []
    texts: set[str] = set()
    waiting: list[tuple[ast.AST, bool]] = [(node, _is_getter(node)) for node in tree.body]
    while waiting:
        node, aside = waiting.pop()
        aside = aside or _type_checking(node)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts.add(node.value)
        elif not aside:
            nodes.append(node)
        waiting.extend((child, aside) for child in ast.iter_child_nodes(node))
    return nodes, texts


def _is_getter(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name == "__getattr__"


def _type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and _ends(node.test, "TYPE_CHECKING")


def _ends(node: ast.expr, name: str) -> bool:
    return (isinstance(node, ast.Name) and node.id == name) or (isinstance(node, ast.Attribute) and node.attr == name)


def _first(call: ast.Call) -> str:
    """The first argument of a call, if it is a string that stands there; else nothing."""
    first = call.args[0] if call.args else None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""


def _without_magics(cell: str) -> str:
    if cell.lstrip().startswith("%%"):
        raise _UndecidableError
    return "\n".join("pass" if line.startswith(("%", "!")) else line for line in cell.splitlines())
