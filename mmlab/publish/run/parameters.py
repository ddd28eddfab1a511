"""Check the parameters of a notebook before it runs: a misspelt name must not be ignored in silence."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from mmlab.syntax import parse
from mmlab.wording import nearest

__all__ = ["check", "declared"]

_TYPES: dict[str, type | tuple[type, ...]] = {
    "bool": bool,
    "int": int,
    "float": (int, float),
    "str": str,
    "list": list,
    "dict": dict,
}


def declared(cell: str) -> dict[str, tuple[str | None, Any]]:
    """The parameters that a parameters cell declares.

    Args:
        cell: Source of the cell: only assignments of literals, as ``steps = 100`` or ``sigma: float | None = None``.

    Returns:
        For each name its type (None: any) and its default.

    Raises:
        ValueError: If the cell holds anything else.
    """
    found: dict[str, tuple[str | None, Any]] = {}
    for node in parse(cell).body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue  # a string that explains
        target = node.targets[0] if isinstance(node, ast.Assign) and len(node.targets) == 1 else None
        target = node.target if isinstance(node, ast.AnnAssign) else target
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        try:
            default = ast.literal_eval(value) if value is not None else None
        except ValueError:
            value = None
        if not isinstance(target, ast.Name) or value is None:
            line = ast.unparse(node)
            raise ValueError(f"The parameters cell may only hold lines like `name = literal`, not `{line}`.")
        kind = type(default).__name__ if default is not None else None
        if isinstance(node, ast.AnnAssign):
            kind = ast.unparse(node.annotation)
        found[target.id] = (kind, default)
    return found


def check(cell: str | None, parameters: Mapping[str, Any]) -> None:
    """Refuse a parameter that the notebook does not declare, or a value of another type.

    Args:
        cell: Source of the parameters cell, or None if the notebook has none.
        parameters: Values by name. A whole number is taken where a real one is declared.

    Raises:
        ValueError: With the nearest name, or the declared type.
    """
    known = declared(cell) if cell is not None else {}
    for name, value in parameters.items():
        if name not in known:
            raise ValueError(f"The notebook has no parameter {name!r}: {nearest(name, known)}")
        kind, default = known[name]
        if kind is not None and not _fits(value, kind):
            raise ValueError(
                f"Parameter {name!r} is a {type(value).__name__} ({value!r}), but the notebook declares {kind} "
                f"(default {default!r})."
            )


def _fits(value: Any, kind: str) -> bool:
    """Whether a value is of a type written as ``int``, ``float | None`` or ``list[int]``; unknown types take all."""
    for option in (part.strip() for part in kind.split("|")):
        name = option.partition("[")[0]
        right_type = isinstance(value, _TYPES.get(name, object)) and (name == "bool" or not isinstance(value, bool))
        if value is None if option == "None" else right_type or name not in _TYPES:
            return True
    return False
