"""Numbers of figures: each figure of a run has one, in the order in which they are first shown."""

from __future__ import annotations

import html
import re

__all__ = ["anchor", "number_of", "referred"]

_REFERENCE = re.compile(r"\[\]\(#figure-([\w-]+)\)")
_LABEL = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_shown: dict[str, int] = {}


def number_of(caption: str, label: str | None) -> int:
    """The number of a figure. Shown again, as when a cell is run twice, it keeps its number.

    Args:
        caption: Its caption, which tells unlabelled figures apart.
        label: Its label, by which the text refers to it.

    Raises:
        ValueError: If the label is not made of small letters, digits and hyphens.
    """
    if label is not None and not _LABEL.fullmatch(label):
        raise ValueError(f"The label {label!r} of a figure: use small letters, digits and hyphens, as in 'two-paths'.")
    return _shown.setdefault(f"label {label}" if label else f"caption {caption}", len(_shown) + 1)


def anchor(label: str | None) -> str:
    """The attribute of the element that links to the figure lead to; empty without a label."""
    return f' id="figure-{html.escape(label)}"' if label else ""


def referred(markdown: str) -> str:
    """Markdown in which references to figures that were shown have their words: ``[](#figure-paths)`` is a link.

    Raises:
        ValueError: If no figure with this label was shown before.
    """

    def words(found: re.Match[str]) -> str:
        if (number := _shown.get(f"label {found[1]}")) is None:
            raise ValueError(f"say() refers to the figure {found[1]!r}, which was not shown yet: run its cell first.")
        return f"[Figure {number}](#figure-{found[1]})"

    return _REFERENCE.sub(words, markdown)
