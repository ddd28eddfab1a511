"""What stands on a folded cell of code: "Code of Figure 3"."""

from __future__ import annotations

import ast
import re
import textwrap

from mmlab.publish.numbering import shown

__all__ = ["title"]

_TABLES = ("table", "table_over_seeds")
_SENTENCES = ("say", "claim")


def title(source: str, heading: str, figure: int) -> str:
    """What a hidden cell holds: its figures, else its first comment, else what its table is called, else the heading.

    Args:
        source: The cell.
        heading: The last heading before it.
        figure: The number of the first figure that it shows, if it shows any.
    """
    if count := len(shown(source)):
        last = figure + count - 1
        return f"Code of Figure {figure}" if count == 1 else f"Code of Figures {figure} to {last}"
    if (comment := re.match(r"# (?!fmt|type|noqa)(.+)", source)) is not None:
        return comment[1].rstrip(".:")
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    named = [(call.func.id, call) for call in calls if isinstance(call.func, ast.Name)]
    if drawn := [call for name, call in named if name in _TABLES]:
        return f"Code of the table: {_caption(drawn[0]) or heading}"
    said = any(name in _SENTENCES for name, _ in named)
    return f"Code of what the run says: {heading}" if said else f"Code: {heading}"


def _caption(call: ast.Call) -> str:
    """The first sentence of a caption, if no number of the run is in it and it says something; else nothing."""
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    value = given.get("caption", call.args[-1] if call.args else None)
    parts = value.values if isinstance(value, ast.JoinedStr) else [value]
    text = parts[0].value if isinstance(parts[0], ast.Constant) else ""
    if not isinstance(text, str):
        return ""
    if len(parts) == 1:
        text += " "
    sentence = re.match(r".+?(?=[.?!]\s)", text, re.DOTALL)
    words = re.sub(r"[*`\\$]", "", sentence[0]) if sentence else ""
    return textwrap.shorten(words, 110, placeholder=" …") if len(words.split()) > 3 else ""
