"""What an executed notebook shows is looked at once more before it may become a page."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mmlab.publish.run.receipt import Status
from mmlab.viz.markup import FEWEST_COLOURS, colours

__all__ = ["empty_figure", "unrun_cell"]

_EMBEDDED = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=\s]+)")


def empty_figure(notebook: Mapping[str, Any]) -> tuple[Status, str] | None:
    """What shows that a figure has nothing on it: (status, sentence), or None if all have something.

    A picture with fewer than a handful of colours is a blank one: an axis with its labels alone has more.
    """
    for number, cell in enumerate(_code_cells(notebook), start=1):
        for content in _pictures(cell["outputs"]):
            if (found := colours(content)) < FEWEST_COLOURS:
                return "incomplete", (
                    f"code cell {number} shows a picture with nothing on it: it has {found} "
                    f"colour{'s' * (found > 1)}, and {FEWEST_COLOURS} are the fewest that a figure can have."
                )
    return None


def unrun_cell(notebook: Mapping[str, Any]) -> tuple[Status, str] | None:
    """What shows that a notebook did not run from top to bottom: (status, sentence), or None if it did.

    The tools that run it report a cell error; that every cell ran is looked up here, in the cells themselves.
    """
    for number, cell in enumerate(_code_cells(notebook), start=1):
        for output in cell["outputs"]:
            if output["output_type"] == "error":
                status: Status = "exit" if output["ename"] == "SystemExit" else "cell error"
                return status, f"code cell {number} raised {output['ename']}: {output['evalue']}"
        if cell["execution_count"] != number or isinstance(cell["execution_count"], bool):
            return "incomplete", f"code cell {number} did not run (it has the count {cell['execution_count']})."
    return None


def _code_cells(notebook: Mapping[str, Any]) -> list[Any]:
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [cell for cell in cells if "".join(cell["source"]).strip()]


def _pictures(outputs: Any) -> Iterator[bytes]:
    for output in outputs:
        data = output.get("data", {})
        if "image/png" in data:
            yield base64.b64decode("".join(data["image/png"]))
        for match in _EMBEDDED.finditer("".join(data.get("text/html", ""))):
            yield base64.b64decode(match[1])
