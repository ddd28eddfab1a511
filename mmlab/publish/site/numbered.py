"""An executed chapter for the site: equations and figures to link to, and folded code that says what it draws."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from mmlab.publish.numbering import Numbers, anchored, shown
from mmlab.publish.titles import title

__all__ = ["numbered"]

_NUMBER = re.compile(r'id="figure-([\w-]+)"[^>]*>(?:(?!<strong>Figure).)*?<strong>Figure (\d+)\.', re.DOTALL)


def numbered(cells: Sequence[Mapping[str, Any]], place: str) -> list[dict[str, Any]]:
    """Copies of the cells with links.

    Args:
        cells: Cells of the executed notebook.
        place: The chapter, for errors.

    Raises:
        ValueError: If the run gave a figure another number than the source does, as when a loop shows it.
    """
    numbers = Numbers.of(cells, place)
    made = []
    heading, figure = "", 1
    for cell in cells:
        entry = {**cell, "metadata": dict(cell["metadata"])}
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            headings = re.findall(r"^#+ (.+)$", source, re.MULTILINE)
            heading = headings[-1] if headings else heading
            entry["source"] = anchored(numbers.linked(source, _link)).splitlines(keepends=True)
        else:
            if "hide-input" in cell["metadata"].get("tags", []):
                name = title(source, heading, figure)
                entry["metadata"]["mystnb"] = {"code_prompt_show": name, "code_prompt_hide": name}
            figure += len(shown(source))
            entry["outputs"] = [_output(output, numbers) for output in cell.get("outputs", [])]
        made.append(entry)
    return made


def _output(output: Mapping[str, Any], numbers: Numbers) -> dict[str, Any]:
    """An output: sentences refer as prose does, and figures have the number that the text gives them."""
    data = dict(output.get("data", {}))
    for label, number in _NUMBER.findall("".join(data.get("text/html", ""))):
        if (said := numbers.figures.get(label)) != int(number):
            raise ValueError(
                f"{numbers.place}: the run numbers the figure {label!r} {number}, and the source {said}: "
                "call show and frames once for each figure, outside loops and functions."
            )
    if "text/markdown" in data:
        text = numbers.linked("".join(data["text/markdown"]), _link)
        data["text/markdown"] = text.splitlines(keepends=True)
    return {**output, "data": data} if data else dict(output)


def _link(words: str, anchor: str) -> str:
    return f'<a class="reference internal" href="#{anchor}">{words}</a>'
