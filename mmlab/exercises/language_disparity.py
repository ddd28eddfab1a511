"""Checks of the exercises in the chapter on the gap to English; equation numbers are the chapter's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge

__all__ = ["check_closed", "check_degenerate", "check_widening"]

Three = tuple[Tensor, Tensor, Tensor]


def check_closed(answer: Callable[[Tensor, Tensor, Tensor, Tensor], Any]) -> Verdict:
    """Check the share of a gap that was closed.

    Args:
        answer: A function of four arrays of scores (R,): English and the other language from the text alone, then with
            the picture; to the mean gap without, with, and the share closed.
    """

    def closed(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Three:
        before, after = (a - b).mean(), (c - d).mean()
        return before, after, 1 - after / before

    def kept(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Three:
        before, after, share = closed(a, b, c, d)
        return before, after, 1 - share

    def runs(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Three:
        before, after, _ = closed(a, b, c, d)
        return before, after, (1 - (c - d) / (a - b)).mean()

    def turned(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Three:
        return closed(b, a, d, c)

    def relative(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Three:
        before, after, share = closed(a, b, c, d)
        return before / a.mean(), after / c.mean(), share

    def points(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Three:
        before, after, _ = closed(a, b, c, d)
        return before, after, before - after

    mistakes: list[Mistake] = [
        ("This is the share of the gap that is left: take it from 1.", kept),
        ("You averaged the shares of the runs: a run with a small gap rules them. Divide the means.", runs),
        ("The sign is turned: (4) is English minus the other.", turned),
        ("You divided by the score of English: a gap is a plain difference.", relative),
        ("These are the points closed: divide them by the gap before.", points),
    ]
    rng = torch.Generator().manual_seed(0)
    cases = []
    for size in (3, 6):
        base = 0.6 + 0.05 * torch.randn(4, size, generator=rng)
        cases.append(tuple(base + torch.tensor([[0.2], [0.05], [0.3], [0.22]])))
    return judge(
        answer,
        closed,
        cases,
        parts=["the gap without the picture", "the gap with it", "the share closed"],
        right="Print the four scores beside it: the share alone does not say who moved.",
        mistakes=mistakes,
    )


def check_degenerate(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check the scores of a model that says one class to all tweets, to within 0.01 %.

    Args:
        answer: F1 of the most frequent class, macro-F1, and accuracy.
    """
    p = 504 / 955
    f1 = 2 * p / (1 + p)
    mistakes: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("That is the precision; F1 is its harmonic mean with the recall, which is 1.", (p, None, None)),
        ("That is the arithmetic mean of precision and recall; F1 is the harmonic one.", ((1 + p) / 2, None, None)),
        ("Only one class is named, but all five count in the mean.", (None, f1, None)),
        ("You weighed the classes by their frequency: in macro-F1 all weigh the same.", (None, p * f1, None)),
        ("Four classes have an F1 of 0, and the mean is over five.", (None, f1 / 4, None)),
        ("Accuracy is the share of right answers: all tweets of that class.", (None, None, f1)),
        ("A fifth would be right by guessing among balanced classes.", (None, None, 0.2)),
    ]
    return judge(
        lambda: answer,
        lambda: (f1, f1 / 5, p),
        [()],
        parts=["the F1 of the frequent class", "the macro-F1", "the accuracy"],
        right="A macro-F1 of this size is an alarm: count the classes that are named.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
    )


def check_widening(answer: Callable[[float], Any]) -> Verdict:
    """Check the factor by which a second reading widens a small gap.

    Args:
        answer: A function of the evidence E of one reading to the factor.
    """
    mistakes: list[Mistake] = [
        ("You left out that the difference in evidence doubles, too.", lambda e: math.exp(-e / 8) / math.sqrt(2)),
        ("This is the ratio of the normal densities alone: the root of E below them changes as well.",
         lambda e: 2 * math.exp(-e / 8)),
        ("In (5) stands half of the root of E: its square is a quarter of E, and the density halves that.",
         lambda e: math.sqrt(2) * math.exp(-e / 2)),
        ("This falls too fast: of the exponent at 2 E, take the one at E away.",
         lambda e: math.sqrt(2) * math.exp(-e / 4)),
    ]  # fmt: skip
    return judge(
        answer,
        lambda e: math.sqrt(2) * math.exp(-e / 8),
        [(0.5,), (2.0,), (6.0,)],
        parts=["the factor"],
        right="Above 1 for evidence below 4 log 2.",
        mistakes=mistakes,
    )
