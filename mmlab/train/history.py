"""What was measured during training, as a tidy table: step, split, metric, value."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    import pandas

from mmlab.paths import expand
from mmlab.store.sheets import as_csv

__all__ = ["HEAD", "History", "Row"]


class Row(NamedTuple):
    """One measurement.

    Attributes:
        step: Number of optimiser steps that were complete when it was taken (training values: the step itself, from 1).
        split: ``"train"`` or ``"validation"``.
        metric: Name, with the objective in front if there are several, for example ``"generator/loss"``.
        value: The measured value.
    """

    step: int
    split: str
    metric: str
    value: float


HEAD = ",".join(Row._fields)
"""The first line of a history as CSV."""


class History:
    """The metrics of a run. Two runs with the same seed on the same machine give the same history, byte for byte."""

    def __init__(self) -> None:
        self.series: dict[tuple[str, str], tuple[array[int], array[float]]] = {}

    def add(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Append the values of one step."""
        for metric, value in values.items():
            steps, numbers = self.series.setdefault((split, metric), (array("q"), array("d")))
            steps.append(step)
            numbers.append(value)

    @property
    def rows(self) -> list[Row]:
        """All rows, sorted by step, split and metric."""
        return sorted(
            Row(step, split, metric, value)
            for (split, metric), (steps, values) in self.series.items()
            for step, value in zip(steps, values, strict=True)
        )

    def values(self, metric: str = "loss", split: str = "train") -> list[float]:
        """The values of one metric in the order of steps.

        Raises:
            KeyError: If it was never measured; the message lists what was.
        """
        if (split, metric) not in self.series:
            known = ", ".join(f"{m} ({s})" for s, m in sorted(self.series))
            raise KeyError(f"The history has no {metric!r} for split {split!r}: it has {known or 'no rows yet'}.")
        return list(self.series[split, metric][1])

    def last(self, metric: str = "loss", split: str = "train") -> float:
        """The latest value of one metric.

        Raises:
            KeyError: If it was never measured.
        """
        return self.values(metric, split)[-1]

    def measured(self, step: int, split: str) -> bool:
        """Whether there is a row of that split for that step."""
        return any(steps[-1:] == array("q", [step]) for (s, _), (steps, _) in self.series.items() if s == split)

    def frame(self) -> pandas.DataFrame:
        """The table as a pandas data frame with the columns step, split, metric, value."""
        import pandas as pd

        return pd.DataFrame(self.rows, columns=list(Row._fields))

    def csv(self) -> str:
        """The table as CSV text; numbers are written so that reading them gives back the same bits."""
        return as_csv(Row._fields, (row._asdict() for row in self.rows))

    def to_csv(self, path: str | Path) -> None:
        """Write the table, whole or not at all.

        Raises:
            NotOursError: If there is a file already that holds something else.
            OSError: If the file cannot be written.
        """
        from mmlab.store.files import replace_file
        from mmlab.store.folders import refuse_other_file

        target = expand(path)
        refuse_other_file(target, HEAD)
        replace_file(target, [self.csv().encode()])

    def tensors(self) -> dict[str, Tensor]:
        """Steps and values of each series, under its number, for a checkpoint; :meth:`keys` says which is which."""
        named: dict[str, Tensor] = {}
        for number, (steps, values) in enumerate(self.series.values()):
            named[f"{number}.steps"] = torch.from_numpy(np.array(steps, dtype=np.int64))
            named[f"{number}.values"] = torch.from_numpy(np.array(values, dtype=np.float64))
        return named

    def keys(self) -> list[list[str]]:
        """Split and metric of each series, in the order of :meth:`tensors`."""
        return [list(key) for key in self.series]

    @classmethod
    def from_tensors(cls, keys: Iterable[Iterable[str]], tensors: Mapping[str, Tensor]) -> History:
        """The history that gave these :meth:`keys` and :meth:`tensors`."""
        history = cls()
        for number, (split, metric) in enumerate(keys):
            steps = array("q", tensors[f"{number}.steps"].tolist())
            values = array("d", tensors[f"{number}.values"].tolist())
            history.series[split, metric] = (steps, values)
        return history

    def __len__(self) -> int:
        return sum(len(steps) for steps, _ in self.series.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, History) and self.csv() == other.csv()  # text: NaN equals NaN

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        ends = [f"{s} {m} {v[0]:.4g} → {v[-1]:.4g}" for (s, m), (_, v) in sorted(self.series.items())]
        return f"History({len(self)} rows: {'; '.join(ends)})" if ends else "History(no rows yet)"
