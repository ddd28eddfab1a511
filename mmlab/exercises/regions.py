"""Checks of the exercises in the chapter on regions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge

__all__ = ["check_grid", "check_scores"]


def check_grid(answer: Callable[[float, int, float], tuple[Any, Any, Any]]) -> Verdict:
    """Check what a grid costs.

    Args:
        answer: A function of s, n and e to two errors and an overlap.
    """

    def right(s: float, n: int, e: float) -> tuple[float, float, float]:
        return 1 / (2 * n), 1 / (4 * n), s / (s + 2 * e)

    mistakes: list[Mistake] = [
        ("The middle of a cell is at most half a cell away.",
         lambda s, n, e: (1 / n, 1 / (4 * n), s / (s + 2 * e))),
        ("The distance to the middle is uniform from 0 to half a cell: its mean is half of that.",
         lambda s, n, e: (1 / (2 * n), 1 / (2 * n), s / (s + 2 * e))),
        ("Both ends are off, so the box is wider by 2e.",
         lambda s, n, e: (1 / (2 * n), 1 / (4 * n), s / (s + e))),
        ("One axis alone is wider.", lambda s, n, e: (1 / (2 * n), 1 / (4 * n), (s / (s + 2 * e)) ** 2)),
    ]  # fmt: skip
    return judge(
        answer,
        right,
        [(0.2, 1000, 0.01), (0.5, 10, 0.05)],
        parts=["the largest error", "the mean error", "the overlap"],
        right="A thousand steps cost a large box next to nothing, and a tiny one more.",
        mistakes=mistakes,
    )


def check_scores(answer: Callable[[Tensor], tuple[Any, Any, Any]]) -> Verdict:
    """Check precision, recall and F1 of lists.

    Args:
        answer: A function of the overlaps (P, G) to the three numbers.
    """

    def of(table: Tensor, said: int, there: int) -> tuple[float, float, float]:
        hits = float((table.diagonal() >= 0.5).sum())
        precision, recall = hits / said, hits / there
        both = precision + recall
        return precision, recall, 2 * precision * recall / both if both else 0.0

    def right(table: Tensor) -> tuple[float, float, float]:
        return of(table, *table.shape)

    mistakes: list[Mistake] = [
        ("Precision divides by what was said, recall by what is there.",
         lambda t: of(t, t.shape[1], t.shape[0])),
        ("What has no partner counts, too: divide by the lengths of the lists, not by the number of pairs.",
         lambda t: of(t, min(t.shape), min(t.shape))),
        ("F1 is the harmonic mean, not the half of the sum.",
         lambda t: (right(t)[0], right(t)[1], (right(t)[0] + right(t)[1]) / 2)),
    ]  # fmt: skip
    rng = torch.Generator().manual_seed(0)
    cases = [(torch.rand(p, g, generator=rng) ** 0.5,) for p, g in ((5, 3), (2, 6))] + [(torch.zeros(2, 2),)]
    return judge(
        answer,
        right,
        cases,
        parts=["precision", "recall", "F1"],
        right="And without a single hit F1 is 0, not a division by zero.",
        mistakes=mistakes,
    )
