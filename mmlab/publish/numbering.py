r"""Figures and equations by number: references in the prose of a chapter become links, here and in no other place.

The text says ``(3)`` for the equation with ``\tag{3}``, and ``[](#figure-paths)`` for the figure that a cell shows
with ``label="paths"``. Numbers of figures follow the order of the calls that show them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from mmlab.wording import nearest

__all__ = ["FIGURES", "Numbers", "anchored"]

FIGURES = ("show", "frames")
"""Functions of :mod:`mmlab.viz` that show a numbered figure."""

_FENCE = re.compile(r" *(`{3,}|~{3,}|:{3,})")
_TAGGED = re.compile(r"^\$\$(?:(?!\$\$).)*?\\tag\{([^}]+)\}.*?\$\$", re.MULTILINE | re.DOTALL)
_PARTS = re.compile(
    r"(?P<skip>\$\$.+?\$\$|(?<!\\)\$[^$]+\$|(?P<ticks>`+)[^`].*?(?P=ticks)(?!`)|\]\([^)]*\))"
    r"|(?<!!)\[(?:Figure \d+)?\]\(#figure-(?P<label>[\w-]+)\)|(?<![\w\])}])\((?P<tag>[\w′']{1,4})\)",
    re.DOTALL,
)


@dataclass(frozen=True)
class Numbers:
    """What the equations and figures of a chapter are called.

    Attributes:
        equations: Their tags.
        figures: Number of each labelled figure.
        place: The chapter, for errors.
    """

    equations: frozenset[str] = frozenset()
    figures: Mapping[str, int] = field(default_factory=dict)
    place: str = "The chapter"

    @classmethod
    def of(cls, cells: Sequence[Mapping[str, Any]], place: str) -> Numbers:
        """Those of a notebook, read from its source.

        Raises:
            ValueError: If two figures have one label.
        """
        equations: set[str] = set()
        figures: dict[str, int] = {}
        count = 0
        for cell in cells:
            source = "".join(cell["source"])
            if cell["cell_type"] == "markdown":
                equations |= set(_TAGGED.findall(source))
                continue
            for label in shown(source):
                count += 1
                if label in figures:
                    raise ValueError(f"{place} has two figures with the label {label!r}: give each its own.")
                if label:
                    figures[label] = count
        return cls(frozenset(equations), figures, place)

    def linked(self, text: str, link: Callable[[str, str], str]) -> str:
        """Markdown whose references are links; headings, fences, code and formulas stay as they are.

        Args:
            text: The Markdown.
            link: Makes a link of what it says and the anchor that it leads to.

        Raises:
            ValueError: If it refers to a figure that the chapter does not show.
        """

        def replace(match: re.Match[str]) -> str:
            if label := match["label"]:
                if label not in self.figures:
                    hint = nearest(label, list(self.figures))
                    raise ValueError(f"{self.place} refers to the figure {label!r}, which no cell shows: {hint}")
                return link(f"Figure {self.figures[label]}", f"figure-{label}")
            if match["tag"] in self.equations:
                return link(match[0], f"equation-{match['tag']}")
            return match[0]

        pieces = []
        for kept, lines in _runs(text.split("\n")):
            pieces.append("\n".join(lines) if kept else _PARTS.sub(replace, "\n".join(lines)))
        return "\n".join(pieces)


@cache
def shown(source: str) -> tuple[str, ...]:
    """The label of each figure that a cell of code shows, in order; empty for one without."""
    if not any(name in source for name in FIGURES):
        return ()  # most cells: nothing to parse
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    found = []
    for call in sorted(calls, key=lambda node: (node.lineno, node.col_offset)):
        if isinstance(call.func, ast.Name) and call.func.id in FIGURES:
            given = {word.arg: word.value for word in call.keywords}
            label = given.get("label")
            found.append(str(label.value) if isinstance(label, ast.Constant) else "")
    return tuple(found)


def anchored(text: str) -> str:
    """Markdown with a place to link to before each display with a tag."""
    return _TAGGED.sub(lambda found: f'<span id="equation-{found[1]}"></span>\n\n{found[0]}', text)


def _runs(lines: Sequence[str]) -> list[tuple[bool, list[str]]]:
    """Lines in runs: those to keep as they are (headings, fences, blocks of code), and prose."""
    runs: list[tuple[bool, list[str]]] = []
    code = ""  # the marks that end an open block of code
    for line in lines:
        fence = _FENCE.match(line)
        if code:
            kept = True
            code = "" if line.strip() == code else code
        else:
            kept = bool(fence) or line.startswith("#") or line.lstrip().startswith("<!--")
            if fence and fence[1][0] != ":" and line.strip() != fence[1] and "{" not in line:
                code = fence[1]
        if runs and runs[-1][0] == kept:
            runs[-1][1].append(line)
        else:
            runs.append((kept, [line]))
    return runs
