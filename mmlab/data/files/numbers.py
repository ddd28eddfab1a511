"""Tables of numbers as people write them: one reader decides what is header, index and data.

pandas, R, MATLAB, spreadsheets and XCP-D each write another frame around the same numbers: names above the columns,
names or counters before the rows, quotes, a semicolon with decimal commas, a byte order mark. What the frame says is
kept, since it says which number belongs to what; what cannot be told apart is refused.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmlab.data.files.text import read_lines
from mmlab.data.subjects import spelled, subject_id
from mmlab.wording import naming, repeated

__all__ = ["Grid", "GridError", "grid", "read_grid", "same_columns", "same_rows", "stated"]

_INDEX_NAMES = {
    "", "index", "unnamed: 0", "row", "rownames", "frame", "time", "t", "volume", "tr", "id", "subject", "subject_id",
    "participant_id", "patient_id", "sample_id",
}  # fmt: skip
_WHOLE = re.compile(r"[0-9]{1,18}")  # of a longer one Python may make no number
_MISSING = {"", "n/a", "na", "nan", "-nan", "none", "null"}


class Grid(NamedTuple):
    """Numbers, and what the file says that they belong to.

    Attributes:
        values: (R, C) in float64; NaN where the file says that a value is missing.
        columns: C names, or None if the file has no header.
        rows: R names or counters, or None if it has no index.
    """

    values: NDArray[np.float64]
    columns: tuple[str, ...] | None
    rows: tuple[str, ...] | None


class GridError(ValueError):
    """Why text is no table of numbers, without the name of the file."""


def read_grid(path: Path, columns: int | None = None, remedy: str = "get the file again.") -> Grid:
    """Read a table of numbers from a text file.

    Args:
        path: Commas or semicolons between the numbers for ``.csv``, else tabs or blanks. ``#`` begins a comment.
        columns: How many columns of numbers are expected; one more that counts evenly is then an index.
        remedy: What to do if the file is not as expected; ends the error's sentence.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be read.
        ValueError: If it is not such a table; one sentence names file, line and remedy.
    """
    lines = read_lines(path, remedy)
    with naming(path):
        try:
            return grid(lines, commas=path.suffix.lower() == ".csv", columns=columns)
        except GridError as error:
            raise ValueError(f"{path} cannot be read: it {error}; {remedy}") from None


def grid(lines: Sequence[str], commas: bool, columns: int | None = None) -> Grid:
    """The table in lines of text; see :func:`read_grid`.

    Args:
        lines: The text.
        commas: Whether cells are separated by commas or semicolons; else by tabs or blanks.
        columns: How many columns of numbers are expected.

    Raises:
        GridError: If the lines are no table of numbers.
    """
    numbered = [(number, _cells(line, commas)) for number, line in enumerate(lines, 1) if line.split("#")[0].strip()]
    if numbered and re.fullmatch(r"sep=.?", "".join(numbered[0][1]), re.IGNORECASE):  # a spreadsheet's word to others
        numbered = numbered[1:]
    empty = min((_empty_at_the_end(cells) for _, cells in numbered), default=0)  # commas behind the last column
    numbered = [(number, cells[: len(cells) - empty]) for number, cells in numbered]
    if not numbered:
        raise GridError("holds no numbers")
    places, rows = [number for number, _ in numbered], [cells for _, cells in numbered]
    names: list[str] | None = None
    if _is_header(rows):
        names, rows, places = rows[0], rows[1:], places[1:]
        if not rows:
            raise GridError(f"holds no numbers, only the names {', '.join(names)[:100]}")
    width = len(rows[0])
    for number, cells in zip(places, rows, strict=True):
        if len(cells) != width:
            raise GridError(f"has {len(cells)} cells in line {number}, but {width} in line {places[0]}")
    if names is not None and len(names) not in (width, width - 1):
        raise GridError(f"has {len(names)} names in its header, but {width} cells in line {places[0]}")
    index = None
    if _has_index(names, rows, columns):
        index = tuple(cells[0] for cells in rows)
        rows = [cells[1:] for cells in rows]
        names = names if names is None or len(names) < width else names[1:]
    return Grid(_numbers(rows, places), tuple(names) if names is not None else None, index)


def same_rows(tables: Mapping[str, Grid], ids: Sequence[str] | None = None) -> dict[str, Grid]:
    """Tables about the same items, with their rows in one order, where the files say which row is about whom.

    Rows that are but counted stay where they are.

    Args:
        tables: By name, for messages.
        ids: The items, if they are known; else the first table that names its rows decides.

    Raises:
        ValueError: If two tables name other items, or one names an item twice.
    """
    first, order = "the list of items", None if ids is None else tuple(map(subject_id, ids))
    made = {}
    for name, table in tables.items():
        rows = stated(table.rows)
        if rows is not None and order is None:
            first, order = name, rows
        if rows is None or rows == order or order is None:
            made[name] = table
            continue
        places = _places(rows, order, f"{name} names its rows otherwise than {first}")
        made[name] = table._replace(values=table.values[places], rows=order)
    return made


def same_columns(tables: Mapping[str, Grid]) -> dict[str, Grid]:
    """Tables of the same quantities, such as those to train and to test on, with their columns in one order.

    Args:
        tables: By name, for messages; the first that names its columns decides.

    Raises:
        ValueError: If two tables name other columns, or one names a column twice.
    """
    first, order = "", None
    made = {}
    for name, table in tables.items():
        columns = None if table.columns is None else tuple(map(spelled, table.columns))
        if columns is not None and all(column.isdecimal() for column in columns):
            columns = None
        if columns is not None and order is None:
            first, order = name, columns
        if columns is None or columns == order or order is None:
            made[name] = table
            continue
        places = _places(columns, order, f"{name} names its columns otherwise than {first}")
        made[name] = table._replace(values=table.values[:, places], columns=order)
    return made


def stated(rows: Sequence[str] | None) -> tuple[str, ...] | None:
    """Who the rows are about; None where they are counted."""
    if rows is None or not all(rows):
        return None
    numbers = [int(row) if _WHOLE.fullmatch(row) else -1 for row in rows]
    if numbers in (list(range(len(rows))), list(range(1, len(rows) + 1))):
        return None
    return tuple(map(subject_id, rows))


def _places(names: Sequence[str], order: Sequence[str], fault: str) -> list[int]:
    at, known = {name: place for place, name in enumerate(names)}, set(order)
    if len(at) < len(names) or at.keys() != known:
        odd = next((name for name in names if name not in known), "") or next(iter(repeated(names)), "")
        lacking = next((name for name in order if name not in at), "")
        told = [f"{odd[:50]!r} is there" if odd else "", f"{lacking[:50]!r} is not" if lacking else ""]
        raise ValueError(f"{fault} ({' and '.join(filter(None, told))}): give all the same names, each once.")
    return [at[name] for name in order]


def _cells(line: str, commas: bool) -> list[str]:
    text = line.split("#")[0].strip("\r\n")
    if commas:
        mark = next((other for other in (";", ",", "\t") if other in text), ",")
        try:
            cells = [cell.strip() for cell in next(csv.reader([text], delimiter=mark, strict=True), [])]
        except csv.Error as error:
            raise GridError(f"is no table with commas ({error})") from None
        return [re.sub(r"^([-+]?\d*),(\d+)", r"\1.\2", cell) for cell in cells] if mark == ";" else cells
    cells = text.strip(" ").split("\t") if "\t" in text.strip() else text.split()
    return [cell.strip().strip('"') for cell in cells]


def _empty_at_the_end(cells: list[str]) -> int:
    """How many cells at the end are empty, the first not counted."""
    return sum(1 for _ in takewhile(lambda cell: not cell, reversed(cells[1:])))


def _number(cell: str) -> float | None:
    """The number in a cell; NaN for a missing one, None if it is none."""
    if cell.lower() in _MISSING:
        return np.nan
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def _is_header(rows: list[list[str]]) -> bool:
    """Whether the first row names the columns.

    Raises:
        GridError: If it holds names and numbers.
    """
    first, rest = rows[0], rows[1:]
    body = first[1:] if first[0].lower() in _INDEX_NAMES and len(first) > 1 else first
    if rest and _names_rows(rest) and len(first) == len(rest[0]):  # a name before every row: the first cell is no sign
        body = first[1:]
    texts = [cell for cell in body if _number(cell) is None]
    if len(texts) == len(body) and texts:
        return True
    if texts:
        raise GridError(f"holds {texts[0][:50]!r} among numbers in its first line, expected numbers, or names only")
    return _counts(body, rest)


def _names_rows(rows: list[list[str]]) -> bool:
    return all(cells[0] and _number(cells[0]) is None for cells in rows)


def _counts(body: list[str], rest: list[list[str]]) -> bool:
    """Whether the first line holds numbers of columns, as pandas writes for a table without names."""
    if len(body) < 2 or not rest or not all(_WHOLE.fullmatch(cell) for cell in body):
        return False
    numbers = [int(cell) for cell in body]
    if any(later <= earlier for earlier, later in pairwise(numbers)):
        return False
    if len(body) >= 4 and numbers in (list(range(len(body))), list(range(1, len(body) + 1))):
        return True
    return not any(re.fullmatch(r"[-+]?\d+", cell) for cells in rest for cell in cells[-len(body) :])


def _has_index(names: list[str] | None, rows: list[list[str]], columns: int | None) -> bool:
    """Whether the first column names or counts the rows."""
    width = len(rows[0])
    if width < 2:
        return False
    if names is not None and (len(names) == width - 1 or names[0].lower() in _INDEX_NAMES):
        return True
    if _names_rows(rows):
        return True
    first = [_number(cells[0]) for cells in rows]
    if columns not in (None, width - 1) or len(rows) < 2 or None in first:
        return False
    steps = np.diff(np.array(first, dtype=np.float64))
    even = bool(np.isfinite(steps).all() and steps[0] > 0 and np.allclose(steps, steps[0], rtol=1e-6))
    if columns is not None:
        return even
    whole = re.compile(r"\d+")
    counted = all(whole.fullmatch(cells[0]) for cells in rows) and first[0] in (0, 1) and even and steps[0] == 1
    return counted and len(rows) > 2 and not any(whole.fullmatch(cell) for cells in rows for cell in cells[1:])


def _numbers(rows: list[list[str]], places: list[int]) -> NDArray[np.float64]:
    try:
        if not any("_" in cell for cells in rows for cell in cells):
            return np.array(rows, dtype=np.str_).astype(np.float64)
    except ValueError:
        pass
    values: list[list[Any]] = [[_number(cell) for cell in cells] for cells in rows]
    for number, cells, found in zip(places, rows, values, strict=True):
        if None in found:
            column = found.index(None)
            raise GridError(
                f"holds {cells[column][:50]!r} in line {number}, column {column + 1}, expected a number: a header is "
                "one line of names, an index one column"
            )
    return np.array(values, dtype=np.float64)
