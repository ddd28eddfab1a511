"""What an executed notebook shows is looked at once more before it may become a page."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any

from mmlab.viz.markup import FEWEST_COLOURS, colours

__all__ = ["empty_figure"]

_EMBEDDED = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=\s]+)")


def empty_figure(notebook: Any) -> tuple[str, str] | None:
    """What shows that a figure has nothing on it: (status, sentence), or None if all have something.

    A picture with fewer than a handful of colours is a blank one: an axis with its labels alone has more.
    """
    for number, cell in enumerate((c for c in notebook.cells if c.cell_type == "code" and c.source.strip()), start=1):
        for content in _pictures(cell.outputs):
            if (found := colours(content)) < FEWEST_COLOURS:
                return "incomplete", (
                    f"code cell {number} shows a picture with nothing on it: it has {found} "
                    f"colour{'s' * (found > 1)}, and {FEWEST_COLOURS} are the fewest that a figure can have."
                )
    return None


def _pictures(outputs: Any) -> Iterator[bytes]:
    for output in outputs:
        data = output.get("data", {})
        if "image/png" in data:
            yield base64.b64decode("".join(data["image/png"]))
        for match in _EMBEDDED.finditer("".join(data.get("text/html", ""))):
            yield base64.b64decode(match[1])
