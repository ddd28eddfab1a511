"""How old a measurement is: whether the code that a benchmark measures has changed since it ran."""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import re
from datetime import date
from pathlib import Path

from mmlab.reach import reach

__all__ = ["age", "code_hash", "with_ages"]

_MARK = re.compile(r"^<!-- measured: (\w+) -->$", re.MULTILINE)


def code_hash(stem: str, root: Path) -> str:
    """A hash of a benchmark and of the modules of the package that it reaches: of their code, not of their comments.

    Args:
        stem: Name of the benchmark.
        root: Folder of the book.
    """
    script = root / "benchmarks" / f"{stem}.py"
    source = script.read_text(encoding="utf-8")
    modules = reach([source.replace("from __future__ import annotations", "")], root / "mmlab").modules
    found = hashlib.sha256(_code(source))
    for name, path in sorted(modules.items()):
        found.update(name.encode() + _code(path.read_text(encoding="utf-8")))
    return found.hexdigest()


@functools.cache
def _code(source: str) -> bytes:
    """What a module does, whatever its comments, docstrings and line breaks say."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [line for line in node.body if not _says_only(line)]
    return ast.dump(tree).encode()


def _says_only(line: ast.stmt) -> bool:
    """Whether a statement is a text that nothing is done with."""
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)


def age(stem: str, root: Path) -> str:
    """One sentence on when a result was measured, and whether its code has changed since.

    Args:
        stem: Name of the benchmark.
        root: Folder of the book.
    """
    path = root / "benchmarks" / "results" / f"{stem}.json"
    said = json.loads(path.read_text(encoding="utf-8")).get("provenance")
    if not said:
        return "**Stale**: measured before results kept the date and the code that they measure."
    when = date.fromisoformat(said["date"]).strftime("%-d %B %Y")
    text = f"Measured on {when}, at commit `{said['commit']}`"
    if said["code"] == code_hash(stem, root):
        return f"{text}; the code that it measures has not changed since."
    return f"**Stale**: {text[0].lower()}{text[1:]}; the code that it measures has changed since."


def with_ages(text: str, root: Path) -> str:
    """Replace each line ``<!-- measured: name -->`` of a page by the age of that result.

    Args:
        text: The page.
        root: Folder of the book.
    """
    return _MARK.sub(lambda match: age(match[1], root), text)
