"""Notebooks from their sources: ``notebooks/<stem>.py`` (percent format) gives ``<stem>.ipynb``, always the same.

The ``.ipynb`` is what Colab opens: no outputs, a first cell that installs mmlab there, a cell that lets the profile
follow the machine there, and cell ids that depend on nothing but the source. It is committed, and a test compares it
with what :func:`sync` would write.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmlab.publish import project
from mmlab.store.folders import write_whole

__all__ = ["StaleNotebookError", "render", "sync"]

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

_MEND = "run `mmlab book sync` and commit the result."


class StaleNotebookError(ValueError):
    """A committed notebook is not what its source gives."""


def sync(stems: Sequence[str] | None = None, check: bool = False, *, root: Path | None = None) -> list[Path]:
    """Write each notebook that is not what its source gives.

    Args:
        stems: Chapters; by default all of ``notebooks/*.py``, and then a notebook without a source is an error.
        check: Write nothing; raise if anything would be written.
        root: Folder of the book.

    Returns:
        The notebooks that were written.

    Raises:
        StaleNotebookError: With ``check``, if a notebook is missing or differs; always, if one has lost its source.
        FileNotFoundError: If a stem has no source.
        ValueError: If a source is not a notebook in percent format, or has two parameters cells.
    """
    root = root or project.find_root()
    written, stale = [], []
    for stem in stems or project.stems(root):
        path = root / "notebooks" / f"{stem}.ipynb"
        content = render(stem, root=root)
        if path.exists() and path.read_bytes() == content.encode("utf-8"):
            continue
        stale.append(path.name)
        if not check:
            write_whole(path, content)
            written.append(path)
    if check and stale:
        raise StaleNotebookError(f"notebooks/{stale[0]} is not what its source gives: {_MEND}")
    if stems is None and (orphans := _orphans(root)):
        raise StaleNotebookError(f"notebooks/{orphans[0]} has no source beside it: delete it, or restore its .py file.")
    return written


def render(stem: str, *, root: Path | None = None) -> str:
    """The text of a chapter's notebook, made from its source alone.

    Args:
        stem: Name of the chapter.
        root: Folder of the book.
    """
    import jupytext

    root = root or project.find_root()
    source = project.notebook_source(root, stem)
    parsed = jupytext.reads(source.read_text(encoding="utf-8"), fmt="py:percent")
    url, _ = project.repository(root)
    cells = [_generated("install", INSTALL_CELL.format(url=url, tag=project.tag(root)))]
    seen: dict[str, int] = {}
    for cell in parsed.cells:
        repeat = seen[cell.source] = seen.get(cell.source, -1) + 1
        cells.append(_cell(cell, stem, repeat))
        if "parameters" in cell["metadata"].get("tags", []) and _has_profiles(stem, cell.source):
            cells.append(_generated("profile", PROFILE_CELL))
    if len(cells) < 2 or not any(cell["cell_type"] == "code" for cell in cells[1:]):
        raise ValueError(
            f"notebooks/{source.name} has no code cell: a source is a .py file with cells that begin `# %%`."
        )
    if sum("parameters" in cell["metadata"].get("tags", []) for cell in cells) > 1:
        raise ValueError(f"notebooks/{source.name} has more than one cell tagged `parameters`: join them.")
    notebook = {"cells": cells, "metadata": _metadata(stem), "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _generated(name: str, source: str) -> dict[str, Any]:
    return _cell({"cell_type": "code", "source": source, "metadata": {"tags": [name, "remove-cell"]}}, name, 0)


def _has_profiles(stem: str, parameters: str) -> bool:
    """Whether the chapter has a larger form for a GPU, and a parameter that chooses it."""
    return project.budget(stem).gpu_minutes is not None and bool(re.search(r"^profile\b.*=", parameters, re.MULTILINE))


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


def _metadata(stem: str) -> dict[str, Any]:
    made: dict[str, Any] = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    if project.budget(stem).gpu_minutes is not None:  # Colab then offers a machine with a GPU
        made |= {"accelerator": "GPU", "colab": {"gpuType": "T4"}}
    return made


def _orphans(root: Path) -> list[str]:
    return sorted(p.name for p in (root / "notebooks").glob("*.ipynb") if not p.with_suffix(".py").exists())
