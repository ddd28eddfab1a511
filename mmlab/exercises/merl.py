"""Checks of the exercises in the chapter on MERL; equation numbers are the chapter's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmlab.exercises.verdict import Mistake, Verdict, judge
from mmlab.methods.merl import contrast

__all__ = ["check_area", "check_both_ways"]


def check_both_ways(answer: Callable[[Tensor, Tensor, float], Tensor]) -> Verdict:
    """Check the contrast in both directions.

    Args:
        answer: A function of embeddings u, v (B, D) and a temperature, to a number.
    """

    def one_way(u: Tensor, v: Tensor, tau: float) -> Tensor:
        s = F.normalize(u, dim=1) @ F.normalize(v, dim=1).mT / tau
        return F.cross_entropy(s, torch.arange(len(u)))

    def raw(u: Tensor, v: Tensor, tau: float) -> Tensor:
        s = u @ v.mT / tau
        place = torch.arange(len(u))
        return F.cross_entropy(s, place) + F.cross_entropy(s.mT, place)

    mistakes: list[Mistake] = [
        (
            "This is the mean of both directions, as in CLIP; (1) is their sum.",
            lambda u, v, tau: contrast(u, v, tau) / 2,
        ),
        ("This is one direction: reports look for records as well.", one_way),
        ("Bring the vectors to length one first.", raw),
        ("Divide by the temperature.", lambda u, v, tau: contrast(u, v, 1 / tau)),
    ]
    rng = torch.Generator().manual_seed(0)
    cases = [(*torch.randn(2, n, 4, generator=rng), tau) for n, tau in ((5, 0.2), (7, 0.5))]
    return judge(
        answer,
        contrast,
        cases,
        parts=["the contrast"],
        right="Twice what CLIP takes, and so are its gradients.",
        mistakes=mistakes,
    )


def check_area(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check three areas under ROC curves, to within 0.002.

    Args:
        answer: The area with distance 3, with distance 1, and of a constant score.
    """

    def phi(x: float) -> float:
        return (1 + math.erf(x / math.sqrt(2))) / 2

    def truth() -> tuple[float, float, float]:
        return phi(3 / math.sqrt(2)), phi(1 / math.sqrt(2)), 0.5

    mistakes: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("Both records have a size with a deviation: that of the difference is the root of two.", (phi(3), None, None)),
        ("Both records have a size with a deviation: that of the difference is the root of two.", (None, phi(1), None)),
        ("This is the accuracy of a threshold half-way, and not the area.", (phi(1.5), None, None)),
        ("A pair of equal scores counts one half.", (None, None, 0.0)),
        ("A pair of equal scores counts one half.", (None, None, 1.0)),
    ]
    return judge(
        lambda: answer,
        truth,
        [()],
        parts=["the area at distance 3", "the area at distance 1", "the area of a constant"],
        right="The area is the probability that of two records the right one has more.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
        tolerance=0.002,
    )
