"""Answers of several agents about the same items, from a table in which each has a column and one for its confidence.

That is the layout of the result files of Roumeliotis et al. 2025 (MIT): ``Category`` holds the right class, and next to
``Qwen`` stands ``Qwen_confidence``, and so on. Reasons, times and costs are passed over.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from mmlab.data.files.tables import read_rows, read_table
from mmlab.data.tensors import TensorData
from mmlab.paths import expand
from mmlab.wording import nearest

__all__ = ["AgentAnswers", "read_agent_answers"]

_SUFFIX = "_confidence"


@dataclass(frozen=True, eq=False)
class AgentAnswers:
    """Answers, confidences and right classes.

    Attributes:
        items: Keys ``answers`` (A,) long, ``confidences`` (A,) float32 and ``label``; A in the order of ``agents``.
        agents: Names of the agents.
        classes: Names of the classes, in alphabetical order; an answer is a place in it.
    """

    items: TensorData
    agents: tuple[str, ...]
    classes: tuple[str, ...]


def read_agent_answers(path: str | Path, agents: list[str] | None = None, label: str = "Category") -> AgentAnswers:
    """Read a table of answers.

    A class that only an agent names, and no item has, is a class too: such an answer is wrong.

    Args:
        path: A ``.csv`` or ``.tsv`` with a header.
        agents: Columns to read, each with another one of its name and ``_confidence``; by default all of these.
        label: Column of the right class.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a column is not there, an answer is empty, or a confidence is not in [0, 1]; the message names
            file, row and column.
    """
    file = expand(path, "path")
    remedy = "each agent needs a column with its answers, and one of the same name and _confidence."
    rows = read_rows(file, remedy)
    header = [name for name in (rows[0] if rows else {}) if name]
    found = [name for name in header if f"{name}{_SUFFIX}" in header]
    chosen = found if agents is None else list(agents)
    if not rows or not chosen:
        raise ValueError(f"{file} holds no answers of agents: {remedy}")
    for name in (*chosen, label):
        if name not in header or (name != label and name not in found):
            raise ValueError(f"{file} has no {'column' if name == label else 'agent'} {name!r}: {nearest(name, found)}")
    names = [*chosen, label]
    said = {name: [(row[name] or "").strip() for row in rows] for name in names}
    for name, values in said.items():
        if "" in values:
            raise ValueError(f"{file}, row {values.index('') + 1}, column {name!r} is empty: leave out that row.")
    stated = []
    for name in chosen:
        column = f"{name}{_SUFFIX}"
        table = read_table(file, {column: "f"}, "a confidence is a number from 0 to 1.")
        if odd := [i for i, value in enumerate(table[column], start=1) if not 0 <= value <= 1]:
            told = f"{file}, row {odd[0]}, column {column!r} is {table[column][odd[0] - 1]}"
            raise ValueError(f"{told}: a confidence is a number from 0 to 1 (divide percentages by 100).")
        stated.append(torch.tensor(table[column], dtype=torch.float32))
    classes = tuple(sorted(set().union(*said.values())))
    place = {name: i for i, name in enumerate(classes)}
    answers = torch.tensor([[place[value] for value in said[name]] for name in chosen]).T
    tensors = {
        "answers": answers.contiguous(),
        "confidences": torch.stack(stated, 1),
        "label": torch.tensor([place[value] for value in said[label]]),
    }
    return AgentAnswers(TensorData(tensors), tuple(chosen), classes)
