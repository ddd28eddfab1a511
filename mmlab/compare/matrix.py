"""An evaluation matrix: tasks by data by models, where every cell says what its number is worth.

A cell holds one score for each item, so that two models are compared on the same items. What a model refused to answer,
or what could not be read, is among the items with score 0, and is counted beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmlab.compare.intervals import Decision, decide, item_interval, paired_interval
from mmlab.wording import nearest

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Cell", "EvaluationMatrix", "Exchange"]


@dataclass(frozen=True, eq=False)
class Cell:
    """What one model did in one task on one set of data.

    Attributes:
        scores: One for each item, (N,), in [0, 1]; 0 where there was no answer to score.
        refused: Number of items that the model did not answer.
        unreadable: Number of answers that could not be read, or may mean several things.
        seconds: Processor seconds of all answers.
    """

    scores: NDArray[np.float64]
    refused: int = 0
    unreadable: int = 0
    seconds: float = 0.0

    @property
    def score(self) -> float:
        """Mean over all items."""
        return float(self.scores.mean())

    @property
    def among_answered(self) -> float:
        """Mean over the items with a readable answer, as some reports print it; 0 if there is none."""
        count = len(self.scores) - self.refused - self.unreadable
        return float(self.scores.sum() / count) if count else 0.0

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Interval of the mean over items: exact for right and wrong, else Student's."""
        low, high = _interval(self.scores, np.zeros_like(self.scores), level, constant=True)
        return max(low, 0.0), min(high, 1.0)


class Exchange(NamedTuple):
    """Two models that change places: ``first`` is better in one task and ``second`` in another."""

    first: str
    second: str
    better_in: tuple[str, str]
    worse_in: tuple[str, str]


class EvaluationMatrix:
    """Cells by task, data and model.

    All models of one task and data answer the same items, in the same order.
    """

    def __init__(self) -> None:
        self.cells: dict[tuple[str, str, str], Cell] = {}

    def add(
        self,
        task: str,
        data: str,
        model: str,
        scores: ArrayLike,
        *,
        refused: int = 0,
        unreadable: int = 0,
        seconds: float = 0.0,
    ) -> Cell:
        """Enter a cell.

        Args:
            task: What was asked.
            data: What it was asked about.
            model: Who answered.
            scores: One for each item; the attributes of :class:`Cell`, as all that follow.
            refused: As there.
            unreadable: As there.
            seconds: As there.

        Raises:
            ValueError: If scores are none in [0, 1], their number is not that of the other models, more is missing than
                scored 0, or the cell is there already.
        """
        values = np.asarray(scores, dtype=np.float64)
        key, where = (task, data, model), f"{model!r} in {task!r} on {data!r}"
        if key in self.cells:
            raise ValueError(f"The cell of {where} is there already: give the second run another name.")
        if values.ndim != 1 or not len(values) or not (np.isfinite(values) & (values >= 0) & (values <= 1)).all():
            raise ValueError(f"The scores of {where} must be one number from 0 to 1 for each item.")
        if min(refused, unreadable) < 0 or (values == 0).sum() < refused + unreadable:
            raise ValueError(
                f"{where}: {refused} refused and {unreadable} unreadable, but {(values == 0).sum()} items score 0: "
                "what is not answered scores 0 and stays among the items."
            )
        others = [cell for (t, d, _), cell in self.cells.items() if (t, d) == (task, data)]
        if others and len(others[0].scores) != len(values):
            raise ValueError(
                f"{where} has {len(values)} items, other models {len(others[0].scores)}: ask all the same."
            )
        self.cells[key] = Cell(values, refused, unreadable, seconds)
        return self.cells[key]

    def __getitem__(self, key: tuple[str, str, str]) -> Cell:
        if key not in self.cells:
            raise KeyError(f"There is no cell {key}: {nearest(str(key), list(map(str, self.cells)))}")
        return self.cells[key]

    @property
    def places(self) -> list[tuple[str, str]]:
        """Pairs of task and data, in the order in which they came."""
        return list(dict.fromkeys((task, data) for task, data, _ in self.cells))

    def models(self, task: str, data: str) -> list[str]:
        """Models of a task and data, the best first."""
        found = {m: cell.score for (t, d, m), cell in self.cells.items() if (t, d) == (task, data)}
        return sorted(found, key=lambda model: -found[model])

    def against(self, task: str, data: str, model: str, rival: str, level: float = 0.95) -> Decision:
        """Whether a model is better than a rival, by the paired interval over the items."""
        ours, theirs = self[task, data, model], self[task, data, rival]
        return decide(ours.scores, theirs.scores, direction="higher", over="items", level=level)

    def comparisons(self) -> int:
        """Number of pairs of models over all tasks and data."""
        counts = (len(self.models(*place)) for place in self.places)
        return sum(count * (count - 1) // 2 for count in counts)

    def decided(self, level: float = 0.95, corrected: bool = True) -> Mapping[tuple[str, str], dict[Any, str]]:
        """Who is better in every pair of models, where an interval decides it; by task and data.

        Scores that are more than right and wrong have Student's interval over the items here: there are many pairs, and
        the bootstrap of :meth:`against` would take minutes.

        Args:
            level: Chance that *no* decision is wrong, if corrected; else of each of them not to be.
            corrected: Whether the chance of error is shared among all comparisons of the matrix (Bonferroni).
        """
        each = 1 - (1 - level) / self.comparisons() if corrected else level
        found: dict[tuple[str, str], dict[Any, str]] = {}
        for place in self.places:
            found[place] = {}
            for first, second in combinations(sorted(self.models(*place)), 2):
                low, high = _interval(self[(*place, first)].scores, self[(*place, second)].scores, each)
                if low > 0 or high < 0:
                    found[place][first, second] = first if low > 0 else second
        return found

    def turns(self, level: float = 0.95, corrected: bool = True) -> list[Exchange]:
        """All pairs of models that change places between two tasks or data, both times decided.

        Args:
            level: As for :meth:`decided`.
            corrected: As there.
        """
        found = []
        by_place = self.decided(level, corrected)
        for one, other in combinations(self.places, 2):
            for pair, winner in by_place[one].items():
                if by_place[other].get(pair, winner) != winner:
                    loser = pair[0] if winner == pair[1] else pair[1]
                    found.append(Exchange(winner, loser, one, other))
        return found

    def frame(self, level: float = 0.95) -> pd.DataFrame:
        """One line for each cell, with all that belongs to its number."""
        import pandas as pd

        rows = []
        for (task, data, model), cell in self.cells.items():
            low, high = cell.interval(level)
            rows.append({
                "task": task, "data": data, "model": model, "score": cell.score, "low": low, "high": high,
                "n": len(cell.scores), "refused": cell.refused, "unreadable": cell.unreadable,
                "among answered": cell.among_answered, "seconds": cell.seconds,
            })  # fmt: skip
        return pd.DataFrame(rows)


def _interval(
    a: NDArray[np.float64], b: NDArray[np.float64], level: float, constant: bool | None = None
) -> tuple[float, float]:
    """Interval of the mean difference over items, without a bootstrap where there are enough of them."""
    gaps = a - b
    binary = bool(np.isin(a, (0.0, 1.0)).all() and np.isin(b, (0.0, 1.0)).all())
    if binary or (gaps == gaps[0]).all() or len(a) < 30:
        found = item_interval(a, b, level=level, constant=constant)
        return found.low, found.high
    return paired_interval(gaps, level)
