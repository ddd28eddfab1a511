"""Ids of subjects: one person has one id, whether a table gave a number or a file name a text.

A spreadsheet makes 100307.0 of a number, macOS takes letters apart in the names of files, and a byte order mark sticks
to the first cell: none of that makes another person. Leading zeros do.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

__all__ = ["by_subject", "likeness", "spelled", "subject_id"]

Value = TypeVar("Value")


def subject_id(value: Any) -> str:
    """The id as a text, without blanks around it: 100307, ``np.int64(100307)``, 100307.0 and ``"100307"`` are one.

    So are ``"100307.0"``, both of Unicode's spellings of "Zoë", and an id with characters that cannot be seen in it.

    Args:
        value: A text, a whole number, or a number of NumPy or torch.

    Raises:
        ValueError: If it is nothing that names somebody: empty, NaN, a fraction, a truth value or a container.
    """
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "ndim", 0) == 0:
        value = item()
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        value = int(value)
    if isinstance(value, str | int) and not isinstance(value, bool) and (text := spelled(str(value))):
        number = re.fullmatch(r"([0-9]+)\.0+", text)
        return number[1] if number else text
    raise ValueError(f"{value!r} is no subject's id: give a text or a whole number.")


def spelled(name: str) -> str:
    """A name in one spelling: Unicode's NFC, without blanks around it and without characters that cannot be seen."""
    text = unicodedata.normalize("NFC", name)
    if not text.isascii():
        text = "".join(letter for letter in text if unicodedata.category(letter) != "Cf")
    return text.strip()


def by_subject(values: Mapping[Any, Value], name: str) -> dict[str, Value]:
    """The same by :func:`subject_id`.

    Args:
        values: One value for each subject.
        name: What messages call the mapping.

    Raises:
        ValueError: If two ids are one, or one is no id.
    """
    if not hasattr(values, "items"):
        kind = type(values).__name__
        raise ValueError(f"{name} is a {kind}, which does not say whose the values are: give a dict from id to value.")
    found: dict[str, Value] = {}
    for key, value in values.items():
        subject = subject_id(key)
        if subject in found:
            raise ValueError(f"Subject {subject} stands twice in {name}, once as {key!r}: leave one of them out.")
        found[subject] = value
    return found


def likeness(first: Iterable[str], second: Iterable[str]) -> str:
    """A hint for ids that do not agree but would without prefixes and leading zeros; empty if there is none."""
    bare = {_bare(subject): subject for subject in second}
    for subject in sorted(first):
        other = bare.get(_bare(subject))
        if other is not None and other != subject:
            return f" The ids {subject!r} and {other!r} look like one person's: write both alike."
    return ""


def _bare(subject: str) -> str:
    """Without a prefix such as ``sub-`` and without leading zeros, in small letters of the usual width."""
    plain = unicodedata.normalize("NFKC", subject).lower()
    return re.sub(r"^(sub|subject|subj|s|id)?[-_ ]*0*(?=\w)", "", plain)
