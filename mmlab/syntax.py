"""Python source as syntax trees, for any number of threads."""

from __future__ import annotations

import ast
import threading
from pathlib import Path

__all__ = ["functions", "parse"]

_ONE_AT_A_TIME = threading.Lock()


def parse(source: str, filename: str = "<cell>") -> ast.Module:
    """``ast.parse`` behind a lock.

    CPython 3.11 counts the depth of the tree it builds per interpreter, not per thread, and a collection of garbage in
    between may hand over to another thread: two that parse at once can end in a SystemError.

    Args:
        source: Python code.
        filename: Name for messages.

    Raises:
        SyntaxError: If it is not Python.
    """
    with _ONE_AT_A_TIME:
        return ast.parse(source, filename)


def functions(path: Path) -> list[str]:
    """Names of the functions that a module defines at its top level, read without running it.

    Args:
        path: The module.
    """
    return [n.name for n in parse(path.read_text(encoding="utf-8"), str(path)).body if isinstance(n, ast.FunctionDef)]
