"""Paths of the machine, taken out of what a run shows: they tell nothing to a reader, and differ between equal runs."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmlab.paths import folder_from_environment
from mmlab.publish.run import key

__all__ = ["masked", "places"]


def places(run: Path) -> dict[str, str]:
    """Folders of the machine that may be named in outputs, and what stands for each; the deepest first.

    Args:
        run: Folder of the run.
    """
    found = {
        run / "work": "…/run",
        run / "tmp": "…/tmp",
        run: "…/run",
        Path(sys.prefix): "…/python",
        Path(sys.base_prefix): "…/python",
        key.PACKAGE.parent: "…",
        Path(tempfile.gettempdir()): "…/tmp",
        Path.home(): "~",
    }
    for name, word in (("MMLAB_DATA", "…/data"), ("MMLAB_CACHE", "…/cache")):
        if (folder := folder_from_environment(name)) is not None:
            found[folder] = word
    texts = {text: word for path, word in found.items() for text in (str(path), str(path.resolve()))}
    usual = {text: word for text, word in texts.items() if len(Path(text).parts) > 1 and text not in _SYSTEM}
    return dict(sorted(usual.items(), key=lambda entry: -len(entry[0])))


_SYSTEM = {"/usr", "/usr/local"}  # the same everywhere, and named in prose

_CELL = re.compile(r"…/tmp/ipykernel_\d+/\d+\.py")  # what a kernel calls its cells


def masked(value: Any, known: Mapping[str, str]) -> Any:
    """Texts inside lists and dicts, keys too, with the folders replaced.

    Args:
        value: What JSON can hold.
        known: As :func:`places` gives them.
    """
    if isinstance(value, str):
        if len(value) > 10_000 and "/" in value and value.isascii() and not re.search(r"\s", value[:10_000]):
            return value  # packed bytes
        for folder, word in known.items():
            if folder in value:
                value = re.sub(rf"(?:(?<=file://)|(?<![\w.…/-])){re.escape(folder)}(?![\w-])", word, value)
        return _CELL.sub("cell", value)
    if isinstance(value, Mapping):
        return {masked(name, known): masked(entry, known) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [masked(entry, known) for entry in value]
    return value
