"""Text of runs and cards in the Markdown of a page: whatever it holds, the page shows it and nothing else happens."""

from __future__ import annotations

import re

from mmlab.wording import visible

__all__ = ["cell", "code"]

_MARKS = re.compile(r"([!-/:-@\[-`{-~])")  # ASCII punctuation: CommonMark lets a backslash stand before any of it
_HARMLESS = frozenset(".,;()/%+='\"?:-")  # in the middle of a line; it stays readable in the source

# Where a plain address would become a link: before its slashes, and before what follows a dot in the name of a host.
_ADDRESS = re.compile(r":(?=//)|(?<=\w)\.(?=[^\W\d_]{2})")


def cell(text: str) -> str:
    """Text for a cell of a Markdown table, the brackets of an image or of a link: no mark in it is one of Markdown.

    Args:
        text: Any text. Line breaks become blanks.
    """
    line = " ".join(visible(text).split())
    escaped = _MARKS.sub(lambda match: match[1] if match[1] in _HARMLESS else f"\\{match[1]}", line)
    return _ADDRESS.sub(r"\\\g<0>", escaped)


def code(text: str) -> str:
    """Text as code for a cell of a Markdown table.

    Args:
        text: Any text. Line breaks become blanks.
    """
    line = " ".join(visible(text).split()) or " "
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    pad = " " if line[0] == "`" or line[-1] == "`" else ""
    escaped = line.replace("|", "\\|")  # a table looks for its bars first, and takes the backslash away
    return f"{fence}{pad}{escaped}{pad}{fence}"
