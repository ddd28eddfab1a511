"""Checks of the exercises in the chapter on MoRE; equation numbers are the chapter's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge

__all__ = ["check_drop", "check_equals"]


def check_drop(answer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Verdict:
    """Check attention whose keys are dropped.

    Args:
        answer: A function of queries (N, d), keys (N, d) and a mask (N, N), to the weights (N, N).
    """

    def right(q: Tensor, k: Tensor, lost: Tensor) -> Tensor:
        return (q @ k.mT / math.sqrt(q.shape[1])).masked_fill(lost, -torch.inf).softmax(1)

    def plain(q: Tensor, k: Tensor, lost: Tensor) -> Tensor:
        return right(q, k, torch.zeros_like(lost))

    mistakes: list[Mistake] = [
        ("These weights are dropped after the softmax: their rows do not sum to one.",
         lambda q, k, lost: plain(q, k, lost) * ~lost),
        ("The mask is True where a key is lost, not where it stays.", lambda q, k, lost: right(q, k, ~lost)),
        ("A logit of zero is no dropped key: its weight is not zero.",
         lambda q, k, lost: (q @ k.mT / math.sqrt(q.shape[1])).masked_fill(lost, 0.0).softmax(1)),
        ("Divide by the root of d.", lambda q, k, lost: (q @ k.mT).masked_fill(lost, -torch.inf).softmax(1)),
        ("Each query has its own row: take the softmax over the keys.",
         lambda q, k, lost: (q @ k.mT / math.sqrt(q.shape[1])).masked_fill(lost, -torch.inf).softmax(0)),
        ("The mask was not used.", plain),
    ]  # fmt: skip
    rng = torch.Generator().manual_seed(0)
    cases = []
    for n, d in ((3, 4), (5, 2)):
        lost = torch.eye(n, dtype=torch.bool)
        lost[0, 1] = True
        cases.append((*torch.randn(2, n, d, generator=rng), lost))
    return judge(
        answer, right, cases, parts=["the weights"], right="What is left of each row sums to one.", mistakes=mistakes
    )


def check_equals(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check how often a guess among those that fit is right, to within a twentieth of a per cent.

    Args:
        answer: (a) and (b) in per cent, and the limit (c).
    """

    def hit(k: int, n: int = 100) -> float:
        return 100 * k / n * (1 - (1 - 1 / k) ** n)

    mistakes: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("Give per cent, not a share.", (hit(18) / 100, hit(72) / 100, None)),
        ("That is one over the mean number of people that fit. Take the mean of one over it.",
         (100 / (1 + 99 / 18), 100 / (1 + 99 / 72), None)),
        ("That is how often nobody else fits; sometimes a guess among several is right as well.",
         (100 * (17 / 18) ** 99, 100 * (71 / 72) ** 99, None)),
        ("(c) The power vanishes as n grows, and K / n is left.", (None, None, 1 / 18)),
        ("(c) is asked as a share, not in per cent.", (None, None, 1800.0)),
    ]  # fmt: skip
    return judge(
        lambda: answer,
        lambda: (hit(18), hit(72), 18.0),
        [()],
        parts=["(a)", "(b)", "(c)"],
        right="A ceiling of this kind belongs beside every score of a retrieval.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
        tolerance=0.05,
    )
