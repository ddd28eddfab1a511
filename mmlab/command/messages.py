"""One sentence for whatever went wrong, with the place to look where it was nobody's intention."""

from __future__ import annotations

import traceback
from pathlib import Path

__all__ = ["sentence"]

_PACKAGE = str(Path(__file__).parents[1])
_EXPECTED = (ValueError, OSError, FloatingPointError, RuntimeError)


def sentence(error: Exception) -> str:
    """What the command prints for an error, on one line.

    Errors that mmlab raises itself are sentences already. One of the operating system is told with the file and what
    was not possible, and one of a library with the library's name.

    Args:
        error: As it was caught.
    """
    text = " ".join(str(error).split())
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1] if frames else None
    ours = last is not None and last.filename.startswith(_PACKAGE) and (last.line or "").strip().startswith("raise")
    if ours and isinstance(error, _EXPECTED) and text:
        return str(error.strerror if isinstance(error, OSError) and error.strerror else error)
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror.lower()}: check the path, the rights of its folder, and the room on the disk."
    told = f"{text} (MMLAB_DEBUG=1 shows where)"
    if isinstance(error, _EXPECTED) and text and last is not None and (library := _library(last.filename)):
        return f"{library} says: {told}"
    return f"{type(error).__name__}: {told}"


def _library(filename: str) -> str:
    """Name of the package that a file belongs to; empty for mmlab and for Python itself."""
    parts = Path(filename).parts
    place = max((i for i, part in enumerate(parts) if part in ("site-packages", "dist-packages")), default=None)
    return "" if place is None else parts[place + 1].removesuffix(".py")
