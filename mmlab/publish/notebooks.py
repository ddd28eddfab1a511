"""Notebooks from their sources: ``notebooks/<stem>.py`` (percent format) gives a notebook, always the same.

It holds no outputs, a first cell that installs mmlab on Colab, a cell that lets the profile follow the machine there,
and cell ids that depend on nothing but the source. Its prose is MyST: it is what is run, and what the site shows.
What Colab and Jupyter open is the committed ``<stem>.ipynb``, which :mod:`mmlab.publish.plain` makes of it. A test
compares that with what :func:`mmlab.publish.sync` would write.
"""

from __future__ import annotations

import hashlib
import json
import re
from functools import cache
from typing import Any

__all__ = ["render"]

INSTALL_CELL = """\
# On Colab this installs mmlab beside the torch and NumPy that are there. Elsewhere it does nothing.
import importlib.util
import subprocess
import sys
from importlib.metadata import version

if "google.colab" in sys.modules and importlib.util.find_spec("mmlab") is None:
    there = {{name: version(name) for name in ("torch", "numpy")}}
    beside = " and ".join(f"{{name}} {{found}}" for name, found in there.items())
    keep = [f"{{name}}=={{found}}" for name, found in there.items()]
    source = "mmlab @ git+{url}@{tag}"
    command = [sys.executable, "-m", "pip", "install", "--quiet", source, *keep]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        print(done.stderr[-2000:])
        raise RuntimeError(f"mmlab could not be installed beside {{beside}}: pip says above what is in the way.")
    importlib.invalidate_caches()
    changed = [name for name, found in there.items() if version(name) != found]
    remedy = f", but {{' and '.join(changed)}} changed: restart the session" if changed else ""
    print(f"mmlab {{version('mmlab')}} is installed beside {{beside}}{{remedy}}.")"""

PROFILE_CELL = """\
# On Colab the profile follows the machine: "gpu" where there is one. Elsewhere this does nothing.
if "google.colab" in sys.modules:
    import torch

    profile = "gpu" if torch.cuda.is_available() else "cpu"
    print(f"The profile is {profile!r}.")"""


@cache
def render(stem: str, source: str, url: str, tag: str, two_profiles: bool) -> str:
    """The text of a chapter's notebook. It follows from the arguments alone, and is made once for them.

    Args:
        stem: Name of the chapter.
        source: Text of its source.
        url: Address of the repository that Colab installs mmlab from.
        tag: Tag or branch there.
        two_profiles: Whether the chapter has a larger form for a GPU.

    Raises:
        ValueError: If the source is not a notebook in percent format, or has two parameters cells.
    """
    import jupytext

    parsed = jupytext.reads(source, fmt="py:percent")
    cells = [_generated("install", INSTALL_CELL.format(url=url, tag=tag))]
    seen: dict[str, int] = {}
    for cell in parsed.cells:
        repeat = seen[cell.source] = seen.get(cell.source, -1) + 1
        cells.append(_cell(cell, stem, repeat))
        chooses = two_profiles and bool(re.search(r"^profile\b.*=", cell.source, re.MULTILINE))
        if chooses and "parameters" in cell["metadata"].get("tags", []):
            cells.append(_generated("profile", PROFILE_CELL))
    if len(cells) < 2 or not any(cell["cell_type"] == "code" for cell in cells[1:]):
        raise ValueError(f"notebooks/{stem}.py has no code cell: a source is a .py file with cells that begin `# %%`.")
    if sum("parameters" in cell["metadata"].get("tags", []) for cell in cells) > 1:
        raise ValueError(f"notebooks/{stem}.py has more than one cell tagged `parameters`: join them.")
    metadata: dict[str, Any] = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    if two_profiles:  # Colab then offers a machine with a GPU
        metadata |= {"accelerator": "GPU", "colab": {"gpuType": "T4"}}
    notebook = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _generated(name: str, source: str) -> dict[str, Any]:
    return _cell({"cell_type": "code", "source": source, "metadata": {"tags": [name, "remove-cell"]}}, name, 0)


def _cell(cell: Any, stem: str, repeat: int) -> dict[str, Any]:
    """A cell with nothing in it that differs between machines or versions of tools.

    The id is a hash of stem, source and the number of equal cells before it: inserting a cell changes no other id.
    """
    tags = sorted(cell["metadata"].get("tags", []))
    identity = json.dumps([stem, cell["cell_type"], cell["source"], repeat])
    made: dict[str, Any] = {
        "cell_type": cell["cell_type"],
        "id": hashlib.sha256(identity.encode()).hexdigest()[:12],
        "metadata": {"tags": tags} if tags else {},
        "source": cell["source"].splitlines(keepends=True),
    }
    if cell["cell_type"] == "code":
        made |= {"execution_count": None, "outputs": []}
    return made
