"""Paths as people write them: ``~`` and variables of the environment are expanded here, and nowhere else."""

from __future__ import annotations

import os
import re
from pathlib import Path

__all__ = ["expand", "folder_from_environment", "from_command"]

_VARIABLE = re.compile(r"\$(\w+|\{[^}]*\})")


def expand(path: str | os.PathLike[str], name: str = "The path") -> Path:
    """A path with ``~``, ``~user``, ``$NAME`` and ``${NAME}`` replaced by what they stand for.

    A file or folder whose own name holds a ``$`` is found under that name.

    Args:
        path: As a user wrote it.
        name: Name of the argument or variable that holds it, for messages.

    Raises:
        ValueError: If it names an unknown user or a variable that is not set, holds a zero byte, or has a part that is
            too long.
    """
    text = os.fspath(path)
    if "\0" in text:
        raise ValueError(f"{name} holds a zero byte, {text[:100]!r}: no file can have such a name.")
    if (longest := max((len(os.fsencode(part)) for part in Path(text).parts), default=0)) > 255:
        raise ValueError(f"{name} has a part of {longest} bytes, {text[:50]!r}...: no file can have so long a name.")
    try:
        written = Path(text).expanduser()
    except RuntimeError:
        raise ValueError(f"{name} is {text[:200]!r}, but there is no such user: write the folder in full.") from None
    if "$" not in str(written):
        return written
    found = Path(written.anchor)
    for part in written.parts[1:] if written.anchor else written.parts:
        found /= part if (found / part).exists() else os.path.expandvars(part)
    if (unknown := _VARIABLE.search(os.path.expandvars(text))) and not found.exists():
        raise ValueError(
            f"{name} is {text[:200]!r}, but {unknown[0][:50]} is not set: set it, or write the folder in full."
        )
    return found


def folder_from_environment(name: str) -> Path | None:
    """The folder that a variable of the environment names, expanded; None if it is not set or empty.

    Args:
        name: Name of the variable, for example ``"MMLAB_DATA"``.

    Raises:
        ValueError: If it names an unknown user or another variable that is not set.
    """
    value = os.environ.get(name, "").strip()
    return expand(value, name) if value else None


def from_command(text: str | os.PathLike[str]) -> Path:
    """A path that stands on the command line, where the shell leaves ``--out=~/x`` as it is."""
    return expand(text, "A path of the command")
