"""How errors speak: the file at fault, the nearest known name, short lists, and nothing that steers a terminal."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

__all__ = ["few", "naming", "nearest", "repeated", "require_at_least", "visible"]


@contextmanager
def naming(where: object) -> Iterator[None]:
    """Put the name of a file or folder before a ValueError that its content causes, where the sentence lacks it.

    Args:
        where: The file or folder.

    Raises:
        ValueError: In place of one that does not name it.
    """
    try:
        yield
    except ValueError as error:
        if str(where) in str(error):
            raise
        raise ValueError(f"{where}: {error}") from None


def nearest(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """The end of an error's sentence: the nearest known name, or all of them.

    Args:
        name: What was asked for.
        known: What there is.
        otherwise: What to say in place of all of them, where they are too many.
    """
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else otherwise or f"there are {', '.join(known) or 'none'}."


def few(items: Iterable[str], separator: str = ", ") -> str:
    """The first three items, at most 200 letters of each, and how many more there are."""
    items = [item if len(item) <= 200 else f"{item[:197]}..." for item in items]
    rest = f" and {len(items) - 3} more" if len(items) > 3 else ""
    return separator.join(items[:3]) + rest


def repeated(names: Iterable[str]) -> list[str]:
    """The names that stand more than once, each once, in the order in which they first come."""
    return [name for name, count in Counter(names).items() if count > 1]


def visible(text: str) -> str:
    """Without characters that control a terminal or the direction of a line, and without halves of a surrogate pair."""
    return re.sub(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", "\ufffd", text)


def require_at_least(**bounds: tuple[float, float]) -> None:
    """Refuse an argument that is too small, in a sentence with its name, its value and the bound.

    Args:
        **bounds: Value and smallest allowed value of each argument, by the argument's name.

    Raises:
        ValueError: For the first argument below its bound.
    """
    for name, (value, least) in bounds.items():
        if not value >= least:  # so that NaN is refused, too
            raise ValueError(f"{name}={value} is too small: choose at least {least}.")
