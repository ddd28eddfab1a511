"""What one source says of what it imports. It depends on nothing but its text and its name."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from mmlab.syntax import parse

__all__ = ["Said", "said"]

# These take the stem of a method and import its module: what they reach is in their argument, not in an import.
_LOAD = ("load", "registry.load")
_LIST = ("list_methods", "registry.list_methods")


@dataclass(frozen=True)
class Said:
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
def said(text: str, module: str, is_package: bool, package: str) -> Said:
    """What a source says. It follows from the arguments alone, and is worked out once for them.

    Args:
        text: The source.
        module: Dotted name of the module; empty for a notebook.
        is_package: Whether it is the ``__init__.py`` of a folder.
        package: Name of the package whose ``load`` and ``list_methods`` are known.

    Raises:
        SyntaxError: If it is not Python.
    """
    return _Reader(module, is_package, package).read(parse(text, module or "<cells>"))


class _Reader:
    """Reads one syntax tree."""

    def __init__(self, module: str, is_package: bool, package: str) -> None:
        self.module, self.is_package, self.package = module, is_package, package
        self.aliases: dict[str, list[str]] = {}  # in two functions one name may stand for two things

    def read(self, tree: ast.Module) -> Said:
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
        return Said(
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
