"""Paths of the machine, taken out of what a run shows: they tell nothing to a reader, and differ between equal runs."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmlab.paths import folder_from_environment
from mmlab.publish.run import key

__all__ = ["masked", "of_machine", "of_run", "public", "public_metrics", "shown"]


def of_run(run: Path) -> dict[str, str]:
    """Folders that differ between equal runs, and what stands for each in every output; the deepest first.

    All else stays as the chapter printed it: a reader on this machine wants to find the files. Pages and releases also
    leave out :func:`of_machine`.

    Args:
        run: Folder of the run.
    """
    return _spelled(
        {
            run / "work": "…/run",
            run / "tmp": "…/tmp",
            run: "…/run",
            Path(sys.prefix): "…/python",
            Path(sys.base_prefix): "…/python",
            key.PACKAGE.parent: "…",
        }
    )


def of_machine() -> dict[str, str]:
    """Folders of this machine and its user that no page and no release names; the deepest first."""
    found = {Path(tempfile.gettempdir()): "…/tmp", Path.home(): "~"}
    for name, word in (("MMLAB_DATA", "…/data"), ("MMLAB_CACHE", "…/cache")):
        if (folder := folder_from_environment(name)) is not None:
            found[folder] = word
    return _spelled(found)


def _spelled(found: Mapping[Path, str]) -> dict[str, str]:
    texts = {text: word for path, word in found.items() for text in (str(path), str(path.resolve()))}
    usual = {text: word for text, word in texts.items() if len(Path(text).parts) > 1 and text not in _SYSTEM}
    return dict(sorted(usual.items(), key=lambda entry: -len(entry[0])))


def public(executed: Mapping[str, Any]) -> dict[str, Any]:
    """An executed notebook as strangers may see it: its outputs name no folder of this machine, nor anybody's home.

    Args:
        executed: The notebook.
    """
    return shown(executed, of_machine(), _elsewhere)


def public_metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Recorded metrics as strangers may see them; see :func:`public`."""
    return dict(_each(masked(metrics, of_machine()), _elsewhere))


def shown(
    executed: Mapping[str, Any], known: Mapping[str, str], more: Callable[[str], str] = lambda text: text
) -> dict[str, Any]:
    """A notebook whose outputs and widgets have words in place of folders.

    Args:
        executed: The notebook.
        known: Folders and their words.
        more: What else is done to each text.
    """
    made = {**executed, "cells": [dict(cell) for cell in executed["cells"]], "metadata": dict(executed["metadata"])}
    for cell in made["cells"]:
        if "outputs" in cell:
            cell["outputs"] = _each(masked(cell["outputs"], known), more)
    if "widgets" in made["metadata"]:
        made["metadata"]["widgets"] = _each(masked(made["metadata"]["widgets"], known), more)
    return made


_SYSTEM = {"/usr", "/usr/local"}  # the same everywhere, and named in prose

# Homes of users, of whatever machine the run was on.
_HOMES = re.compile(
    r"(?:(?<=file://)|(?<=file://localhost)|(?<![\w.…~/\\-]))"
    r"(?:(?:(?<!:)/)?(?:/export|/mnt/[a-z])?/(?:home|Users)/|%2F(?:home|Users)%2F"
    r"|[A-Za-z]:[\\/]{1,2}Users[\\/]{1,2}|\\{2,4}[\w.-]+\\{1,2}(?:home|Users)\\{1,2})[\w.-]+(?=[/\\]|\b)"
)

_CELL = re.compile(r"…/tmp/ipykernel_\d+/\d+\.py")  # what a kernel calls its cells


def masked(value: Any, known: Mapping[str, str]) -> Any:
    """Texts inside lists and dicts, keys too, with the folders replaced.

    Args:
        value: What JSON can hold.
        known: As :func:`of_run` and :func:`of_machine` give them.
    """

    def replaced(text: str) -> str:
        for folder, word in known.items():
            if folder in text:
                text = re.sub(rf"(?:(?<=file://)|(?<![\w.…/-])){re.escape(folder)}(?![\w-])", word, text)
        return _CELL.sub("cell", text)

    return _each(value, replaced)


def _elsewhere(text: str) -> str:
    return _HOMES.sub("~", text)


def _each(value: Any, change: Callable[[str], str]) -> Any:
    """Texts inside lists and dicts, keys too, changed; packed bytes are left alone."""
    if isinstance(value, str):
        if len(value) > 10_000 and "/" in value and value.isascii() and not re.search(r"\s", value[:10_000]):
            return value
        return change(value)
    if isinstance(value, Mapping):
        return {_each(name, change): _each(entry, change) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_each(entry, change) for entry in value]
    return value
