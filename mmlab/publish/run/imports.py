"""Which modules of a package does a notebook reach? Read from the sources, without running them.

The answer errs on one side only: it may name a module too many, never one too few. Where the sources do not say what
they import, it is the whole package.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mmlab.syntax import parse

__all__ = ["Reach", "reach"]

# These take the stem of a method and import its module: what they reach is in their argument, not in an import.
_LOADERS = {"load": ("load", "registry.load"), "methods": ("list_methods", "registry.list_methods")}


@dataclass
class Reach:
    """What a notebook stands on.

    Attributes:
        modules: Dotted name of each module reached, to its file.
        literals: All strings that occur in the notebook and in those modules; names of data sets are among them.
    """

    modules: dict[str, Path] = field(default_factory=dict)
    literals: set[str] = field(default_factory=set)


class _UndecidableError(Exception):
    """The sources do not say what they import."""


def reach(cells: Iterable[str], package: Path) -> Reach:
    """The modules of a package that the cells of a notebook reach, directly or through others.

    Follows imports inside functions, the lazy names of a package (its ``__getattr__`` with the imports under
    ``TYPE_CHECKING``), attributes of imported packages, and ``mmlab.load("stem")``.

    Args:
        cells: Sources of the code cells.
        package: Folder of the package.
    """
    modules = {_dotted(path, package): path for path in sorted(package.rglob("*.py"))}
    try:
        tree = parse("\n".join(_without_magics(cell) for cell in cells))
        return _Walk(modules, package.name).run(tree)
    except (_UndecidableError, SyntaxError):
        return Reach(modules, {text for path in modules.values() for text in _literals(_parse(path))})


class _Walk:
    """One walk over the import graph, from a notebook's tree to everything it reaches."""

    def __init__(self, modules: dict[str, Path], package: str) -> None:
        self.modules, self.package = modules, package
        self.found = Reach()
        self.queue: list[str] = []
        self.trees: dict[str, ast.Module] = {}

    def run(self, tree: ast.Module) -> Reach:
        self._follow(tree, "")
        while self.queue:
            name = self.queue.pop()
            if name not in self.found.modules:
                self.found.modules[name] = self.modules[name]
                self._follow(self._tree(name), name)
        return self.found

    def _tree(self, name: str) -> ast.Module:
        if name not in self.trees:
            self.trees[name] = _parse(self.modules[name])
        return self.trees[name]

    def _follow(self, tree: ast.Module, module: str) -> None:
        self.found.literals |= set(_literals(tree))
        nodes = list(_runtime_nodes(tree))
        aliases = {}
        for node in nodes:
            for target, alias in self._imported(node, module):
                self._resolve(target)
                aliases[alias] = target
        for node in nodes:
            dotted = self._reference(node, aliases)
            if dotted:
                self._resolve(dotted)
            if isinstance(node, ast.Call):
                self._call(node, aliases, module)

    def _imported(self, node: ast.AST, module: str) -> Iterator[tuple[str, str]]:
        """Pairs of (what is imported from the package, the name that it gets)."""
        if isinstance(node, ast.Import):
            for name in node.names:
                if self._inside(name.name):
                    yield name.name, name.asname or name.name.partition(".")[0]
                    if not name.asname:  # `import a.b` binds `a`
                        yield name.name.partition(".")[0], name.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom):
            base = self._absolute(node, module)
            if self._inside(base):
                for name in node.names:
                    yield f"{base}.{name.name}", name.asname or name.name

    def _absolute(self, node: ast.ImportFrom, module: str) -> str:
        if not node.level:
            return node.module or ""
        parts = module.split(".")
        if self.modules[module].name != "__init__.py":
            parts = parts[:-1]
        parts = parts[: len(parts) - node.level + 1]
        return ".".join([*parts, node.module] if node.module else parts)

    def _inside(self, dotted: str) -> bool:
        return dotted == self.package or dotted.startswith(f"{self.package}.")

    def _reference(self, node: ast.AST, aliases: dict[str, str]) -> str | None:
        """The dotted name that an expression such as ``mmlab.viz.show`` stands for, if it begins in the package."""
        trail: list[str] = []
        while isinstance(node, ast.Attribute):
            trail.append(node.attr)
            node = node.value
        if isinstance(node, ast.Name) and node.id in aliases and trail:
            return ".".join([aliases[node.id], *reversed(trail)])
        return None

    def _call(self, node: ast.Call, aliases: dict[str, str], module: str) -> None:
        dotted = self._reference(node.func, aliases) or ""
        if isinstance(node.func, ast.Name):
            dotted = aliases.get(node.func.id, node.func.id)
        first = node.args[0] if node.args else None
        literal = first.value if isinstance(first, ast.Constant) else None
        if dotted.rpartition(".")[2] in ("import_module", "__import__") or _ends(node.func, "import_module"):
            if module == f"{self.package}.registry":  # its load() is followed where it is called
                return
            if not isinstance(literal, str):
                raise _UndecidableError
            if self._inside(literal):
                self._resolve(literal)
        elif dotted == "getattr" and isinstance(first, ast.Name) and first.id in aliases:
            raise _UndecidableError
        elif module != f"{self.package}.registry":
            self._loader(dotted, literal)

    def _loader(self, dotted: str, literal: object) -> None:
        inner = dotted.removeprefix(f"{self.package}.")
        if not self._inside(dotted):
            return
        home = f"{self.package}.methods."
        if inner in _LOADERS["load"] and isinstance(literal, str) and home + literal in self.modules:
            self._resolve(home + literal)
        elif inner in _LOADERS["load"] or inner in _LOADERS["methods"]:
            for name in self.modules:
                if name.startswith(home):
                    self._resolve(name)

    def _resolve(self, dotted: str) -> None:
        """Queue the module that a dotted name lives in, the packages above it, and what it stands for lazily."""
        parts = dotted.split(".")
        for end in range(1, len(parts) + 1):
            module, rest = ".".join(parts[:end]), parts[end:]
            if module not in self.modules:
                break
            self.queue.append(module)
            # A lazy name may also be that of a module, as mmlab.methods is: standing alone it may mean either.
            inner = len(rest) > 1 and ".".join(parts[: end + 1]) in self.modules
            lazy = self._lazy_names(module) if rest and not inner else {}
            for name in lazy if rest[:1] == ["*"] else rest[:1]:
                if name in lazy:
                    self._resolve(".".join([lazy[name], *rest[1:]]))

    def _lazy_names(self, name: str) -> dict[str, str]:
        """What a lazy module promises under TYPE_CHECKING: its names, and where they come from."""
        tree = self._tree(name)
        if not any(isinstance(node, ast.FunctionDef) and node.name == "__getattr__" for node in tree.body):
            return {}
        guarded = [node for block in tree.body if _type_checking(block) for node in ast.walk(block)]
        return {alias: target for node in guarded for target, alias in self._imported(node, name)}


def _runtime_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes that can run: not those under ``if TYPE_CHECKING``, nor a module's ``__getattr__``."""
    for node in ast.iter_child_nodes(tree):
        getter = isinstance(tree, ast.Module) and isinstance(node, ast.FunctionDef) and node.name == "__getattr__"
        if not (_type_checking(node) or getter):
            yield node
            yield from _runtime_nodes(node)


def _type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and _ends(node.test, "TYPE_CHECKING")


def _ends(node: ast.expr, name: str) -> bool:
    return (isinstance(node, ast.Name) and node.id == name) or (isinstance(node, ast.Attribute) and node.attr == name)


def _without_magics(cell: str) -> str:
    if cell.lstrip().startswith("%%"):
        raise _UndecidableError
    return "\n".join("pass" if line.startswith(("%", "!")) else line for line in cell.splitlines())


def _literals(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _parse(path: Path) -> ast.Module:
    return parse(path.read_text(encoding="utf-8"), str(path))


def _dotted(path: Path, package: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
