"""Checks of the exercises in the chapter on FocusCLIP; equation numbers are the chapter's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmlab.exercises.verdict import Mistake, Verdict, judge
from mmlab.losses.contrastive import identity_targets, nt_xent, soft_contrastive

__all__ = ["check_alike", "check_xent"]


def check_xent(answer: Callable[[Tensor, Tensor, float], Tensor]) -> Verdict:
    """Check NT-Xent.

    Args:
        answer: A function of two views (B, D) and a temperature, to a scalar.
    """

    def with_itself(a: Tensor, b: Tensor, tau: float) -> Tensor:
        w = F.normalize(torch.cat([a, b]), dim=1)
        return F.cross_entropy(w @ w.mT / tau, torch.arange(len(w)).roll(len(a)))

    mistakes: list[Mistake] = [
        ("A row is compared with itself: leave it out of the denominator.", with_itself),
        ("This is InfoNCE: rows of the same view are compared, too.",
         lambda a, b, tau: soft_contrastive(a, b, identity_targets(len(a)), tau)),
        ("Divide by the temperature.", lambda a, b, tau: nt_xent(a, b, 1 / tau)),
        ("It is a mean over all 2B rows.", lambda a, b, tau: nt_xent(a, b, tau) * 2 * len(a)),
    ]  # fmt: skip
    rng = torch.Generator().manual_seed(0)
    cases = [(*torch.randn(2, n, 4, generator=rng), tau) for n, tau in ((3, 0.5), (5, 0.2))]
    return judge(
        answer, nt_xent, cases, parts=["the loss"], right="All other rows stand in the denominator.", mistakes=mistakes
    )


def check_alike(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check losses of a batch in which all vectors are equal, to within 0.001.

    Args:
        answer: (2), (3) and InfoNCE, in nats.
    """
    one = math.log(7)
    mistakes: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("There are eight rows, and none is compared with itself.", (math.log(8), None, None)),
        ("Rows of the same view are compared, too.", (math.log(4), None, None)),
        ("There are three pairs of views.", (None, 2 * one, None)),
        ("InfoNCE compares with the four items of the other view.", (None, None, one)),
        ("Add the three pairs up: (3) is no mean.", (None, one, None)),
    ]
    return judge(
        lambda: answer,
        lambda: (one, 3 * one, math.log(4)),
        [()],
        parts=["(2)", "(3)", "InfoNCE"],
        right="A loss that stays there tells nothing apart.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
        tolerance=0.001,
    )
