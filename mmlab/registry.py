"""How methods are found: by listing the folder and reading the cards in it, without importing torch."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from mmlab.card import Budget, Card, Claim
from mmlab.syntax import parse
from mmlab.wording import nearest

if TYPE_CHECKING:
    from mmlab.method import Method

__all__ = ["chapter_of", "list_methods", "load"]

_FOLDER = Path(__file__).parent / "methods"


@cache
def list_methods(folder: Path = _FOLDER) -> Mapping[str, Card]:
    """Cards of all methods, by stem, in alphabetical order. Costs no import of torch.

    Args:
        folder: Where the modules are; by default the package's own.

    Raises:
        ValueError: If a module in ``mmlab/methods`` has no card, or one that is not made of literals.
    """
    stems = sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__" and path.stem.isidentifier())
    return MappingProxyType({stem: _read_card(folder / f"{stem}.py") for stem in stems})


def chapter_of(stem: str, card: Card) -> str:
    """Stem of the chapter that tells of a method: the one that its card names, or else its own."""
    return card.chapter or stem


def load(stem: str) -> type[Method]:
    """The class of a method.

    Args:
        stem: Name of its module in ``mmlab.methods``, for example ``"bridge_matching"``.

    Raises:
        ValueError: If there is no such method; the message names the nearest one. Also if its module has no class of
            its own with a card.
    """
    if stem not in list_methods():
        raise ValueError(f"There is no method {stem!r} in mmlab: {nearest(stem, list_methods())}")
    module = importlib.import_module(f"mmlab.methods.{stem}")
    own = [value for value in vars(module).values() if isinstance(value, type) and value.__module__ == module.__name__]
    with_card = [value for value in own if isinstance(vars(value).get("card"), Card)]
    if len(with_card) != 1:
        raise ValueError(f"mmlab/methods/{stem}.py must have one class with a card of its own, not {len(with_card)}.")
    return with_card[0]


def _read_card(path: Path) -> Card:
    for node in ast.walk(parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "card" for t in node.targets):
            card = _evaluate(node.value, path)
            if isinstance(card, Card):
                return card
    raise ValueError(f"{path.name} has no class with a line `card = Card(...)`: every method needs one.")


def _evaluate(node: ast.expr, path: Path) -> Any:
    """A literal, or a call of Card, Claim or Budget on such: the only things a card is made of."""
    known = {"Card": Card, "Claim": Claim, "Budget": Budget}
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in known:
        positional = [_evaluate(argument, path) for argument in node.args]
        named = {keyword.arg: _evaluate(keyword.value, path) for keyword in node.keywords if keyword.arg}
        try:
            return known[node.func.id](*positional, **named)
        except TypeError as error:
            raise ValueError(f"The card in {path.name}, line {node.lineno}, is not complete: {error}.") from None
    if isinstance(node, ast.Tuple):
        return tuple(_evaluate(element, path) for element in node.elts)
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise ValueError(
            f"The card in {path.name}, line {node.lineno}, is not made of literals: it is read without running it."
        ) from None
