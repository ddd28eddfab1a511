"""A small Sphinx extension: pages without scripts they do not use, and docstrings that may write |x| for a modulus."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["setup"]


def setup(app: Any) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("html-page-context", _without_thebe, priority=900)  # after those that add scripts
    app.connect("autodoc-process-docstring", _escape_bars)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _without_thebe(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Drop the scripts of Thebe.

    They would run code in the page through a remote server, which this book does not use; Jupyter Book adds them
    regardless, and twice, so that each page raises an error.
    """
    for kind in ("script_files", "css_files"):
        context[kind] = [entry for entry in context.get(kind, []) if not _is_thebe(entry)]


def _is_thebe(entry: Any) -> bool:
    body = getattr(entry, "attributes", {}).get("body") or ""
    return "thebe" in f"{getattr(entry, 'filename', None) or entry} {body}".lower()


def _escape_bars(app: Any, what: str, name: str, object_: Any, options: Any, lines: list[str]) -> None:
    """Take ``|x|`` in a docstring for what it says, not for a substitution of reStructuredText."""
    for i, line in enumerate(lines):
        pieces = re.split(r"(``.*?``|`.*?`)", line)  # literals and roles, at the odd places, stay as they are
        lines[i] = "".join(p if at % 2 else p.replace("|", "\\|") for at, p in enumerate(pieces))
