"""Names of pictures and their classes, from a table in which every class has a column of ones and zeros.

That is the layout of the released example of ManyICL (Jiang et al. 2024, MIT): the first column, without a name, holds
the file of a picture, such as ``beach63.jpeg``, and all others are classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mmlab.data.files.tables import read_rows
from mmlab.paths import expand

__all__ = ["OneHotLabels", "read_one_hot_labels"]

_ZERO, _ONE = ("0", "0.0"), ("1", "1.0")


@dataclass(frozen=True, eq=False)
class OneHotLabels:
    """One row for each picture.

    Attributes:
        files: Names of N files.
        label: (N,) long, a place in ``classes``.
        classes: Names of the classes, in the order of the columns.
    """

    files: tuple[str, ...]
    label: Tensor
    classes: tuple[str, ...]


def read_one_hot_labels(path: str | Path) -> OneHotLabels:
    """Read a table.

    Args:
        path: A ``.csv`` or ``.tsv`` with a header.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a cell is neither 0 nor 1, or a row has not exactly one 1; the sentence names file and row.
    """
    file = expand(path, "path")
    remedy = "the first column names a picture, and every other one is a class with 1 for its pictures and 0 else."
    rows = read_rows(file, remedy)
    if not rows or len(rows[0]) < 3:
        raise ValueError(f"{file} holds no pictures of two classes: {remedy}")
    first, *classes = rows[0]
    files, label = [], []
    for number, row in enumerate(rows, start=1):
        cells = [(row[name] or "").strip() for name in classes]
        if odd := [cell for cell in cells if cell not in _ZERO + _ONE]:
            raise ValueError(f"{file}, row {number} has {odd[0]!r} in the column of a class: {remedy}")
        if sum(cell in _ONE for cell in cells) != 1:
            raise ValueError(f"{file}, row {number} is of {sum(cell in _ONE for cell in cells)} classes: {remedy}")
        files.append((row[first] or "").strip())
        label.append(next(place for place, cell in enumerate(cells) if cell in _ONE))
    if twice := [name for name in files if files.count(name) > 1]:
        raise ValueError(f"{file} names {twice[0]!r} twice: leave one of the rows out.")
    return OneHotLabels(tuple(files), torch.tensor(label), tuple(classes))
