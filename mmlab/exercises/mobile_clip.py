"""Checks of the exercises in the chapter on MobileCLIP; equation numbers are the chapter's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmlab.exercises.verdict import Mistake, Verdict, judge
from mmlab.methods.mobile_clip import affinities

__all__ = ["check_over", "check_pull", "check_targets"]


def check_targets(answer: Callable[[Tensor, Tensor, float], tuple[Tensor, Tensor]]) -> Verdict:
    """Check the targets of an ensemble.

    Args:
        answer: A function of unit vectors (B, K, D) of pictures and of captions and a scale, to P and P', (B, B).
    """

    def logits(a: Tensor, b: Tensor, t: float) -> Tensor:
        return t * torch.einsum("ikd,jkd->kij", a, b)

    mistakes: list[Mistake] = [
        ("Your P' is P turned over; its rows do not sum to one.", lambda a, b, t: affinities(a, b, t, transposed=True)),
        ("You averaged the logits and took the softmax of that: (2) averages after the softmax.",
         lambda a, b, t: (logits(a, b, t).mean(0).softmax(1), logits(a, b, t).mean(0).T.softmax(1))),
        ("The scale t is missing, or divides.", lambda a, b, t: affinities(a, b, 1.0)),
        ("You added the teachers up: (2) is their mean.",
         lambda a, b, t: tuple(a.shape[1] * p for p in affinities(a, b, t))),
    ]  # fmt: skip
    rng = torch.Generator().manual_seed(0)
    cases = [(*F.normalize(torch.randn(2, 5, k, 4, generator=rng), dim=-1), 3.0 * k) for k in (2, 3)]
    return judge(
        answer, affinities, cases, parts=["P", "P'"], right="Each direction has a softmax of its own.",
        mistakes=mistakes,
    )  # fmt: skip


def check_over(answer: tuple[Any, Any, Any, Any]) -> Verdict:
    """Check rows and sums of a matrix that is turned over, to within 0.001.

    Args:
        answer: P_11, the sums of the two rows of P turned over, and P'_11.
    """
    mistakes: list[tuple[str, tuple[float | None, float | None, float | None, float | None]]] = [
        ("The exponential of ln 3 is 3, beside the exponential of 0, which is 1.", (1.0, None, None, None)),
        ("These are the sums of the rows of P. Turned over, its columns are the rows.", (None, 1.0, 1.0, None)),
        ("P' compares pictures: the first caption is as similar to both of them.", (None, None, None, 0.75)),
        ("You exchanged the two sums: the first caption is the popular one.", (None, 0.5, 1.5, None)),
    ]
    return judge(
        lambda: answer,
        lambda: (0.75, 1.5, 0.5, 0.5),
        [()],
        parts=["the first picture's share", "the first sum", "the second sum", "the first caption's share"],
        right="The popular caption would count three times as much.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
        tolerance=0.001,
    )


def check_pull(answer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Verdict:
    """Check the gradient of the loss with respect to the similarities.

    Args:
        answer: A function of S and both targets, (B, B) each, to the gradient (B, B).
    """

    def truth(S: Tensor, P: Tensor, back: Tensor) -> Tensor:
        S = S.clone().requires_grad_(True)
        loss = -(P * S.log_softmax(1)).sum() - (back * S.mT.log_softmax(1)).sum()
        (slope,) = torch.autograd.grad(loss / (2 * len(S)), S)
        return slope

    def normalised(S: Tensor, P: Tensor, back: Tensor) -> Tensor:
        return ((S.softmax(1) - P) + (S.mT.softmax(1) - back).mT) / (2 * len(S))

    mistakes: list[Mistake] = [
        ("This holds for rows that sum to one: elsewhere the softmax has the sum of its row as a factor.", normalised),
        ("Divide by B: H is a mean over rows.", lambda S, P, back: truth(S, P, back) * len(S)),
        ("The sign is turned over: a gradient points to where the loss grows.", lambda S, P, back: -truth(S, P, back)),
        ("The gradient of the other direction has to be turned over before it is added.",
         lambda S, P, back: (P.sum(1, keepdim=True) * S.softmax(1) - P
                             + back.sum(1, keepdim=True) * S.mT.softmax(1) - back) / (2 * len(S))),
    ]  # fmt: skip
    rng = torch.Generator().manual_seed(0)
    cases = [(torch.randn(n, n, generator=rng), *torch.rand(2, n, n, generator=rng)) for n in (3, 5)]
    return judge(
        answer, truth, cases, parts=["the gradient"], right="A row pulls with the weight of its sum.",
        mistakes=mistakes,
    )  # fmt: skip
