"""Files by pattern, as a shell finds them: one place for wildcards, braces and hidden files."""

from __future__ import annotations

import fnmatch
import math
import re
import unicodedata
from pathlib import Path
from typing import NamedTuple

__all__ = ["Found", "is_hidden", "named_file", "subject_files"]

SUBJECT = "{subject}"


class Found(NamedTuple):
    """A file that fits a pattern.

    Attributes:
        subject: What stands at ``{subject}``.
        path: The file.
    """

    subject: str
    path: Path


_MOST_PATTERNS = 1000
_SYSTEM = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "$recycle.bin", "lost+found"}


def is_hidden(path: Path) -> bool:
    """Whether a name is a system's: macOS leaves ``._name`` beside files, Office ``~$name`` and Windows ``Thumbs.db``.

    Args:
        path: Relative to the folder that is looked through: each folder in it counts, too.
    """
    return any(
        (name.startswith((".", "~$")) and name not in (".", "..")) or name.lower() in _SYSTEM for name in path.parts
    )


def named_file(folder: Path, name: str) -> Path | None:
    """The file that a table names, whichever system wrote the table; None if there is none.

    Systems differ in how they separate folders and in how they spell letters with marks.

    Args:
        folder: What the name is relative to.
        name: As it stands in the table.
    """
    forms = [name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD"))]
    for form in dict.fromkeys([*forms, *(form.replace("\\", "/") for form in forms)]):
        try:
            if (folder / form).is_file():
                return folder / form
        except (OSError, ValueError):  # no file can have such a name
            continue
    return None


def subject_files(folder: Path, pattern: str) -> list[Found]:
    """Files that fit a pattern, in the order of their paths.

    Args:
        folder: What the pattern is relative to, if it is not a whole path itself.
        pattern: ``{subject}`` stands for the id, ``*`` and ``?`` for anything within one name, ``[12]`` and ``[!12]``
            for one letter, ``**`` for any folders, and ``{a,b}`` for one of these. Hidden files are found only by a
            pattern that begins with their dot.
    """
    found: dict[Path, Found] = {}
    for plain in _braces(pattern):
        whole = Path(plain)
        root = Path(whole.anchor) if whole.is_absolute() else folder
        parts = [part for part in whole.parts if part not in (whole.anchor, ".")]
        fits = re.compile(_regular(parts))
        # Within a name, pathlib knows one star after another no better than one.
        stars = [part if part == "**" else re.sub(r"\*+", "*", part.replace(SUBJECT, "*")) for part in parts]
        for path in root.glob("/".join(stars)):
            inside = path.relative_to(root)
            if _shown(inside, parts) and (match := fits.fullmatch(inside.as_posix())):
                found[path] = Found(match["subject"], path)
    return [found[path] for path in sorted(found)]


def _braces(pattern: str) -> list[str]:
    """``{a,b}`` written out.

    Raises:
        ValueError: If that gives more patterns than anybody means.
    """
    many = math.prod(1 + choice.count(",") for choice in re.findall(r"\{([^{}]*,[^{}]*)\}", pattern))
    if many > _MOST_PATTERNS:
        raise ValueError(f"The pattern {pattern[:100]!r} stands for {many:,} patterns: write a * for some of them.")
    if not (match := re.search(r"\{([^{}]*,[^{}]*)\}", pattern)):
        return [pattern]
    choices = match[1].split(",")
    return [
        plain for choice in choices for plain in _braces(pattern[: match.start()] + choice + pattern[match.end() :])
    ]


def _shown(path: Path, parts: list[str]) -> bool:
    """Whether no name in the path is hidden, but for those that the pattern writes with their dot."""
    written = {part for part in parts if is_hidden(Path(part))}
    hidden = [name for name in path.parts if is_hidden(Path(name))]
    return all(any(fnmatch.fnmatchcase(name, part.replace(SUBJECT, "*")) for part in written) for name in hidden)


def _regular(parts: list[str]) -> str:
    """A regular expression for the path of a file; the first ``{subject}`` is a group, later ones repeat it."""
    text, seen = "", False
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if part == "**":
            text += "(?:[^/]+/)*" + ("[^/]+" if last else "")
            continue
        for piece in re.split(r"(\{subject\}|\*|\?|\[!?\]?[^\]]*\])", part):
            if piece == SUBJECT:
                text += "(?P=subject)" if seen else "(?P<subject>[^/]+?)"
                seen = True
            elif piece == "*":
                text += "[^/]*"
            elif piece == "?":
                text += "[^/]"
            elif piece.startswith("[") and piece.endswith("]") and len(piece) > 2:
                letters = re.sub(r"([\\^\[])", r"\\\1", piece[1:-1])
                text += f"[^/{letters[1:]}]" if letters.startswith("!") else f"[{letters}]"
            else:
                text += re.escape(piece)
        text += "" if last else "/"
    return text
