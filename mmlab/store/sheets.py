"""Tables for spreadsheets: a text in a cell stays a text, whatever it looks like.

A spreadsheet runs a cell that begins like a formula, and a formula may send the table elsewhere or start a program. So
such a text gets an apostrophe in front, which spreadsheets show as nothing. Numbers are numbers.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["as_csv", "from_cell", "to_cell"]

_BEGINNINGS = tuple("=+-@\uff1d\uff0b\uff0d\uff20|'\t\r\n")  # full-width signs count in Japanese settings


def to_cell(value: Any) -> Any:
    """A value as a cell; :func:`from_cell` gives a text back. None is empty."""
    if value is None:
        return ""
    return f"'{value}" if isinstance(value, str) and value.lstrip(" \ufeff").startswith(_BEGINNINGS) else value


def from_cell(text: str) -> str:
    """The text that :func:`to_cell` made a cell of."""
    return text[1:] if text.startswith("'") else text


def as_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as the text of a CSV file, with a line of names above.

    Args:
        columns: Names of the columns, in order.
        rows: The values by column.
    """
    lines: list[str] = []
    writer = csv.DictWriter(
        _Lines(lines), list(columns)
    )  # it quotes both characters of its end of line, wherever they are
    writer.writerow({name: to_cell(name) for name in columns})
    writer.writerows({name: to_cell(value) for name, value in row.items()} for row in rows)
    return "".join(f"{line.removesuffix(writer.writer.dialect.lineterminator)}\n" for line in lines)


class _Lines:
    """What a writer of the standard library writes into: it gets one line at a time."""

    def __init__(self, lines: list[str]) -> None:
        self.write = lines.append
