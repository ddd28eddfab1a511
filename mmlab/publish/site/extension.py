"""A small Sphinx extension: pages without scripts they do not use, and docstrings in plain words."""

from __future__ import annotations

import inspect
import re
from typing import Any

__all__ = ["setup"]

_STAR = re.compile(r"(?<![\w*\\])\*(?=\w+[,)\]])")


def setup(app: Any) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("config-inited", _name_other_sections_only)
    app.connect("html-page-context", _without_thebe, priority=900)  # after those that add scripts
    app.connect("env-get-updated", _restore_numbers, priority=100)  # before Sphinx numbers figures, and after it
    app.connect("env-get-updated", _number_exercises, priority=900)
    app.connect("autodoc-process-docstring", _escape_marks)
    app.connect("autodoc-process-docstring", _keep_first_line, priority=400)  # before napoleon reads it
    app.connect("autodoc-process-signature", _signature_of_constructor)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _name_other_sections_only(app: Any, config: Any) -> None:
    """In a page's sidebar, list the pages below a page only where the reader is among them.

    Listing all of them makes the renderer copy the headings of every page for each page: two fifths of its time, and it
    grows with the square of their number.
    """
    if config.html_theme == "sphinx_book_theme":
        config.html_theme_options["collapse_navbar"] = True


def _restore_numbers(app: Any, env: Any) -> list[str]:
    """Give Sphinx its own numbers back: it writes those pages again whose numbers are not what they were."""
    env.toc_fignumbers = getattr(env, "mmlab_numbers", env.toc_fignumbers)
    return []


def _number_exercises(app: Any, env: Any) -> list[str]:
    """Number exercises from 1 in each chapter, in place of through the book."""
    env.mmlab_numbers = env.toc_fignumbers
    env.toc_fignumbers = {
        page: {
            kind: {node: (at,) for at, node in enumerate(numbers, 1)} if kind == "exercise" else numbers
            for kind, numbers in kinds.items()
        }
        for page, kinds in env.toc_fignumbers.items()
    }
    return []


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


def _escape_marks(app: Any, what: str, name: str, object_: Any, options: Any, lines: list[str]) -> None:
    """Take ``|x|`` and ``(B, *shape)`` in a docstring for what they say, not for marks of reStructuredText."""
    for i, line in enumerate(lines):
        pieces = re.split(r"(``.*?``|`.*?`)", line)  # literals and roles, at the odd places, stay as they are
        lines[i] = "".join(p if at % 2 else _STAR.sub(r"\\*", p.replace("|", "\\|")) for at, p in enumerate(pieces))


def _keep_first_line(app: Any, what: str, name: str, object_: Any, options: Any, lines: list[str]) -> None:
    """Keep the sentence that documents a constant whole: what stands before a colon would be taken for its type."""
    if what in ("data", "attribute") and lines:
        lines[0] = lines[0].replace(": ", " – ")


def _signature_of_constructor(
    app: Any, what: str, name: str, object_: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Show what ``__init__`` takes, where a ``__new__`` above it takes anything."""
    if what == "class" and signature and "**kwargs" in signature and "__init__" in vars(object_):
        from sphinx.util.inspect import stringify_signature

        found = inspect.signature(object_.__init__)
        own = list(found.parameters.values())[1:]
        signature = stringify_signature(found.replace(parameters=own), unqualified_typehints=True)
        return signature.removesuffix(" -> None"), None
    return signature, returns
