"""Checks of the exercises in the chapter on vision chains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge
from mmlab.methods.vision_chains import floor_of, scale_and_shift

__all__ = ["check_align", "check_stop", "check_votes"]


def check_stop(answer: Callable[[float], tuple[Any, Any]]) -> Verdict:
    """Check where an errorless zoom stops.

    Args:
        answer: A function of the cut to the least and the mean overlap.
    """
    mistakes: list[Mistake] = [
        ("There is a margin on either side: 1 - 2c is left of each axis at the least.",
         lambda c: ((1 - c) ** 2, (1 - c) ** 2)),
        ("The overlap is a share of an area: both axes count.", lambda c: (1 - 2 * c, 1 - c)),
        ("A margin has the mean c/2, and two of them make c.", lambda c: (floor_of(c), (1 - c / 2) ** 2)),
    ]  # fmt: skip
    return judge(
        answer,
        lambda c: (floor_of(c), (1 - c) ** 2),
        [(1 / 8,), (1 / 4,), (1 / 16,)],
        parts=["the least overlap", "the mean overlap"],
        right="A finer last cut raises both, and may ask more rounds.",
        mistakes=mistakes,
    )


def check_align(answer: Callable[[Tensor, Tensor], tuple[Any, Any]]) -> Verdict:
    """Check scale and shift.

    Args:
        answer: A function of depths and truth to a and b.
    """

    def other_way(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        a, b = scale_and_shift(t, x)
        return a, b

    def of_spreads(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        a = t.std() / x.std()
        return a, t.mean() - a * x.mean()

    mistakes: list[Mistake] = [
        ("That takes the truth to the depths: divide by the spread of x.", other_way),
        ("The ratio of spreads ignores how far x and t go together: the covariance belongs above.", of_spreads),
        ("b is what is left of the mean of t: subtract a times the mean of x.",
         lambda x, t: (scale_and_shift(x, t)[0], t.mean() - x.mean())),
    ]  # fmt: skip
    rng = torch.Generator().manual_seed(0)
    cases = [(torch.randn(9, generator=rng), torch.randn(9, generator=rng)) for _ in range(2)]
    return judge(
        answer,
        scale_and_shift,
        cases,
        parts=["the scale", "the shift"],
        right="It is the line of linear regression.",
        mistakes=mistakes,
    )


def check_votes(answer: Callable[[float, int], tuple[Any, Any, Any]]) -> Verdict:
    """Check what asking three times is worth.

    Args:
        answer: A function of f and n to the three probabilities.
    """

    def majority(f: float, n: int) -> float:
        return (1 - 3 * f**2 * (1 - f) - f**3) ** n

    mistakes: list[Mistake] = [
        ("A majority errs if two or three do: three ways for two of them, and one for all three.",
         lambda f, n: ((1 - f) ** n, (1 - f**2) ** n, (1 - f) ** n)),
        ("A majority errs sooner than all three do: two are enough.",
         lambda f, n: ((1 - f) ** n, (1 - f**3) ** n, (1 - f) ** n)),
        ("Who repeats himself has one answer, however often he is asked.",
         lambda f, n: ((1 - f) ** n, majority(f, n), majority(f, n))),
    ]  # fmt: skip
    return judge(
        answer,
        lambda f, n: ((1 - f) ** n, majority(f, n), (1 - f) ** n),
        [(0.05, 28), (0.1, 20), (0.3, 4)],
        parts=["once", "the majority", "the model that repeats itself"],
        right="Votes help against chance, and not against conviction.",
        mistakes=mistakes,
    )
