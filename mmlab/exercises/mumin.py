"""Checks of the exercises in the chapter on MuMiN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge
from mmlab.nn.graph import mean_over

__all__ = ["check_majority", "check_mean", "check_story"]


def check_mean(answer: Callable[[Tensor, Tensor], Tensor]) -> Verdict:
    """Check the mean over neighbours.

    Args:
        answer: A function of features (B, N, D) and presence (B, N) to means (B, D).
    """

    def over_all(features: Tensor, there: Tensor) -> Tensor:
        return torch.where(there[..., None], features, 0.0).mean(1)

    def summed(features: Tensor, there: Tensor) -> Tensor:
        return torch.where(there[..., None], features, 0.0).sum(1)

    mistakes: list[Mistake] = [
        ("You divide by the number of places: divide by the number of neighbours that are there.", over_all),
        ("This is the sum: divide by the number of neighbours.", summed),
    ]
    rng = torch.Generator().manual_seed(0)
    features = torch.randn(4, 3, 2, generator=rng)
    there = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 0, 0], [0, 1, 0]]).bool()
    poisoned = features.clone()
    poisoned[1, 1], poisoned[3, 0] = torch.nan, torch.nan
    return judge(
        answer,
        mean_over,
        [(features, there), (poisoned, there)],
        parts=["the mean"],
        right="Absent neighbours have no effect, and a lonely node hears nothing.",
        mistakes=mistakes,
    )


def check_majority(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check the scores of always saying "misinformation" where it has a share of 94.57 %.

    Args:
        answer: F1 of misinformation, F1 of factual claims, and macro-F1.
    """
    p = 0.9457
    one = 2 * p / (1 + p)
    mistakes: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("That is the accuracy, or the precision: F1 also has the recall, which is 1.", (p, None, None)),
        ('It never says "factual": there is no hit, so F1 is 0.', (None, 2 * (1 - p) / (2 - p), None)),
        ("Macro-F1 gives both classes the same weight, however rare one is.", (None, None, one * p)),
        ("Take the mean over the two classes, not their sum.", (None, None, one)),
    ]
    return judge(
        lambda: answer,
        lambda: (one, 0.0, one / 2),
        [()],
        parts=["F1 of misinformation", "F1 of factual claims", "macro-F1"],
        right="A macro-F1 near a half is what knowing nothing looks like here.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
    )


def check_story(answer: Callable[[float, float], tuple[Any, Any]]) -> Verdict:
    """Check what it is worth to know the cluster.

    Args:
        answer: A function of h and b to the accuracy in clusters that were seen, and in new ones.
    """

    def overall(h: float, b: float) -> float:
        return h * b + (1 - h) * (1 - b)

    def truth(h: float, b: float) -> tuple[float, float]:
        return b, max(overall(h, b), 1 - overall(h, b))

    mistakes: list[Mistake] = [
        ("Where misinformation is less frequent than a half overall, the classifier says \"factual\".",
         lambda h, b: (b, overall(h, b))),
        ("In a new cluster it knows the overall share of misinformation, which is more than nothing.",
         lambda h, b: (b, 0.5)),
        ("In a cluster that was seen it says that cluster's more frequent verdict, also where that is \"factual\".",
         lambda h, b: (overall(h, b), truth(h, b)[1])),
    ]  # fmt: skip
    return judge(
        answer,
        truth,
        [(0.6, 0.9), (0.2, 0.8), (0.5, 0.7)],
        parts=["the accuracy in seen clusters", "the accuracy in new ones"],
        right="For a classifier without other cues, the difference is what a random split gives away.",
        mistakes=mistakes,
    )
