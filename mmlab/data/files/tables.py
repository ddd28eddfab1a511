"""Reading tables (CSV, TSV) and records (JSON) from files that came from elsewhere, checked before they are used."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmlab.data.files.text import read_json, read_json_lines, read_text
from mmlab.wording import repeated

__all__ = ["read_records", "read_rows", "read_table"]

_LARGEST_CELL = 1_000_000


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text!r} is not finite")
    return value


_PARSERS: dict[str, Callable[[str], Any]] = {"U": str, "i": int, "f": _finite}
_TYPES: dict[str, tuple[type, ...]] = {
    "U": (str,),
    "i": (int,),
    "f": (int, float),
    "b": (bool,),
    "l": (list,),
    "d": (dict,),
}


def read_table(
    path: Path, columns: Mapping[str, str], remedy: str = "get the file again.", separator: str = ","
) -> dict[str, list[Any]]:
    """Read columns of a table with a header: ``.tsv`` is separated by tabs, without quoting; others as told.

    Args:
        path: The file, UTF-8.
        columns: Kind of each column to read: ``"U"`` text, ``"i"`` int, ``"f"`` finite float; a ``?`` after it permits
            cells that are empty or ``n/a``, which become None.
        remedy: What to do if the file is not as expected; ends the error's sentence.
        separator: What stands between the cells of other files than ``.tsv``. Where the header does without it, a
            semicolon or a tab does, too: spreadsheets write these in countries with decimal commas.

    Returns:
        The columns by name, all of the same length.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be read.
        ValueError: If it is not such a table; one sentence names file, line, column and remedy.
    """
    text, mark = _framed(read_text(path, remedy), separator)
    csv.field_size_limit(max(csv.field_size_limit(), _LARGEST_CELL))
    if path.suffix.lower() == ".tsv":  # tabs need no quotes: a quote is a character like any other
        rows = csv.reader(io.StringIO(text, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
    table: dict[str, list[Any]] = {name: [] for name in columns}
    try:
        header = [name.strip() for name in next((row for row in rows if any(map(str.strip, row))), [])]
        if lacking := [name for name in columns if header.count(name) != 1]:
            raise ValueError(
                f"column {lacking[0]!r} is not there just once; there are {', '.join(header)[:200] or 'none'}"
            )
        places = {name: header.index(name) for name in columns}
        for row in rows:
            if not any(map(str.strip, row)) and len(row) != len(header):  # an empty line is no row
                continue
            if len(row) != len(header):
                raise ValueError(f"line {rows.line_num} has {len(row)} cells, the header {len(header)}")
            for name, kind in columns.items():
                table[name].append(_cell(row[places[name]], kind, f"line {rows.line_num}, column {name!r}"))
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path}: {error}; {remedy}") from None
    return table


def read_rows(path: Path, remedy: str = "get the file again.") -> list[dict[str, Any]]:
    """The rows of a table whatever its columns: ``.jsonl`` has an object on each line, ``.csv`` and ``.tsv`` a header.

    Returns:
        A dict for each row; the values of a ``.csv`` are texts, None where a row ends early.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be read.
        ValueError: If it is no table; one sentence names file, line and remedy.
    """
    if path.suffix.lower() == ".jsonl":
        rows = read_json_lines(path, remedy)
    else:
        text, mark = _framed(read_text(path, remedy), "\t" if path.suffix.lower() == ".tsv" else ",")
        csv.field_size_limit(max(csv.field_size_limit(), _LARGEST_CELL))
        table = csv.DictReader(io.StringIO(text, newline=""), delimiter=mark)
        try:
            table.fieldnames = [name.strip() for name in table.fieldnames or []]
            rows = [row for row in table if None in row or any((cell or "").strip() for cell in row.values())]
        except csv.Error as error:
            raise ValueError(f"{path}, line {table.line_num}, cannot be read as a table ({error}); {remedy}") from None
        if twice := repeated(filter(None, table.fieldnames)):
            raise ValueError(f"{path} has two columns {twice[0][:50]!r}: leave one; {remedy}")
        if long := next((number for number, row in enumerate(rows, start=1) if None in row), 0):
            raise ValueError(f"{path}, row {long}, has more cells than the header has names; {remedy}")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise ValueError(f"{path}, row {number}, is no object ({str(row)[:60]}); {remedy}")
    return rows


def _framed(text: str, mark: str) -> tuple[str, str]:
    """The text without what a spreadsheet writes above its table, and what separates the cells."""
    first, _, rest = text.lstrip("\r\n").partition("\n")
    if told := re.fullmatch(r'"?sep=(.)"?\r?', first, re.IGNORECASE):
        return rest, told[1]
    if mark in first:
        return text, mark
    return text, next((other for other in (";", "\t") if other in first), mark)


def read_records(path: Path, fields: Mapping[str, str], remedy: str = "get the file again.") -> list[dict[str, Any]]:
    """Read records from a JSON file: a list of objects, or an object of objects, whose keys become the field ``id``.

    Args:
        path: The file, UTF-8.
        fields: Kind of each field that a record must have: ``"U"`` text, ``"i"`` int, ``"f"`` finite number, ``"b"``
            boolean, ``"l"`` list, ``"d"`` object; a ``?`` after it permits null and absence, which becomes None.
            Other fields are kept as they are.
        remedy: What to do if the file is not as expected; ends the error's sentence.

    Returns:
        The records, in the order of the file.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be read.
        ValueError: If it is not such a file; one sentence names file, record, field and remedy.
    """
    value = read_json(path, remedy)
    try:
        if isinstance(value, dict):
            value = [_with_id(key, record) for key, record in value.items()]
        if not isinstance(value, list):
            raise ValueError("it holds no list of records")
        for number, record in enumerate(value):
            if not isinstance(record, dict):
                raise ValueError(f"record {number} is not an object")
            for name, kind in fields.items():
                record[name] = _field(record.get(name), kind, f"record {number}, field {name!r}")
    except ValueError as error:
        raise ValueError(f"{path}: {error}; {remedy}") from None
    return value


def _with_id(key: str, record: Any) -> Any:
    """The record of an object of records, with its key as ``id``; its own may not be another."""
    if not isinstance(record, dict):
        return record
    if "id" in record and str(record["id"]) != key:
        raise ValueError(f"the record {key[:50]!r} calls itself {str(record['id'])[:50]!r}")
    return {**record, "id": key}


def _cell(text: str, kind: str, where: str) -> Any:
    if text.strip() in {"", "n/a"} and kind.endswith("?"):
        return None
    try:
        return _PARSERS[kind[0]](text)
    except ValueError:
        raise ValueError(f"{where} holds {text[:50]!r}, expected {_NAMES[kind[0]]}") from None


def _field(value: Any, kind: str, where: str) -> Any:
    if value is None and kind.endswith("?"):
        return None
    is_right = isinstance(value, _TYPES[kind[0]]) and (kind[0] == "b" or not isinstance(value, bool))
    try:
        if is_right:
            return float(value) if kind[0] == "f" else value
    except OverflowError:  # an integer beyond all floats
        pass
    raise ValueError(f"{where} holds {str(value)[:50]!r}, expected {_NAMES[kind[0]]}")


_NAMES = {"U": "text", "i": "an integer", "f": "a finite number", "b": "true or false", "l": "a list", "d": "an object"}
