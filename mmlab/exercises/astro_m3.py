"""Checks of the exercises in the chapter on AstroM3; equation numbers are the chapter's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmlab.exercises.verdict import Mistake, Verdict, judge
from mmlab.methods.astro_m3 import pair_loss

__all__ = ["check_pair", "check_values"]


def check_pair(answer: Callable[[Tensor, Tensor, float], Tensor]) -> Verdict:
    """Check the contrast of one pair.

    Args:
        answer: A function of embeddings u, v (B, D) and a scale, to a number.
    """

    def one_way(u: Tensor, v: Tensor, s: float) -> Tensor:
        logits = s * F.normalize(u, dim=1) @ F.normalize(v, dim=1).mT
        return F.cross_entropy(logits, torch.arange(len(u)))

    def raw(u: Tensor, v: Tensor, s: float) -> Tensor:
        logits, place = s * u @ v.mT, torch.arange(len(u))
        return F.cross_entropy(logits, place) + F.cross_entropy(logits.mT, place)

    mistakes: list[Mistake] = [
        ("This is the mean of both directions; (1) is their sum.", lambda u, v, s: pair_loss(u, v, s) / 2),
        ("This is one direction: add the columns.", one_way),
        ("Bring the vectors to length one first.", raw),
        ("The scale is a factor, not a divisor: it is one over a temperature.", lambda u, v, s: pair_loss(u, v, 1 / s)),
    ]
    rng = torch.Generator().manual_seed(0)
    cases = [(*torch.randn(2, n, 4, generator=rng), s) for n, s in ((5, 3.0), (7, 8.0))]
    return judge(
        answer, pair_loss, cases, parts=["the contrast"], right="Both directions, one scale.", mistakes=mistakes
    )


def check_values(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check three values of the loss, to within 0.002.

    Args:
        answer: All pairs with equal vectors of 32 stars; one pair of two stars with s = 1; the same with s = 100.
    """
    one = 2 * math.log(1 + math.exp(-2))
    mistakes: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("This is one pair, and there are three.", (2 * math.log(32), None, None)),
        ("Each pair has two directions.", (3 * math.log(32), None, None)),
        ("Each pair has two directions.", (None, one / 2, None)),
        ("The strange cosine is -1, not 0.", (None, 2 * math.log(1 + math.exp(-1)), None)),
        ("That is the value with s = 1: the larger scale makes the strange star vanish.", (None, None, one)),
    ]
    return judge(
        lambda: answer,
        lambda: (6 * math.log(32), one, 0.0),
        [()],
        parts=["the loss of equal vectors", "the loss with s = 1", "the loss with s = 100"],
        right="The scale bounds how small the loss can get.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
        tolerance=0.002,
    )
