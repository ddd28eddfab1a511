"""Checks of the exercises in the chapter on modality interference; equation numbers are the chapter's."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge

__all__ = ["check_bounds", "check_linear", "check_step"]


def check_step(answer: Callable[[Tensor, Tensor, Tensor, float, float], Tensor]) -> Verdict:
    """Check one step of the masked ascent (2).

    Args:
        answer: A function of the shift, the gradient (B, T, D), the mask (B, T), a and ε to the new shift.
    """

    def truth(delta: Tensor, g: Tensor, m: Tensor, a: float, eps: float) -> Tensor:
        return (delta + a * g).clamp(-eps, eps) * m[..., None]

    rng = torch.Generator().manual_seed(0)
    mask = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    cases = [(*(torch.randn(2, 2, 3, 4, generator=rng) * 0.3), mask, a, 0.4) for a in (0.5, 2.0)]
    mistakes: list[Mistake] = [
        ("The places outside of the mask move, too: multiply by the mask.",
         lambda d, g, m, a, e: (d + a * g).clamp(-e, e)),
        ("This takes the sign of the gradient: (2) has the gradient itself.",
         lambda d, g, m, a, e: (d + a * g.sign()).clamp(-e, e) * m[..., None]),
        ("This goes down: the loss is to rise.", lambda d, g, m, a, e: (d - a * g).clamp(-e, e) * m[..., None]),
        ("The shift may leave the box: clip it at ±ε.", lambda d, g, m, a, e: (d + a * g) * m[..., None]),
    ]  # fmt: skip
    return judge(
        answer,
        truth,
        cases,
        parts=["the shift"],
        right="It stays in its box and at its places.",
        mistakes=mistakes,
    )


def check_bounds(answer: Callable[[float, float], tuple[float, float, float]]) -> Verdict:
    """Check the bounds of the share of changed decisions, by the accuracies before and after.

    Args:
        answer: A function of a and b to the least share, the largest, and the largest with two answers.
    """
    mistakes: list[Mistake] = [
        ("The least one is without a sign.", lambda a, b: (a - b, None, None)),
        ("It is a share, so it ends at 1.", lambda a, b: (None, 2 - a - b, None)),
        ("An item that is wrong on both sides may have changed from one wrong answer to another.",
         lambda a, b: (None, min(a + b, 2 - a - b), None)),
        ("With two answers, an item that is wrong on both sides has not changed.",
         lambda a, b: (None, None, min(1, 2 - a - b))),
    ]  # fmt: skip
    return judge(
        answer,
        lambda a, b: (abs(a - b), min(1.0, 2 - a - b), min(a + b, 2 - a - b)),
        [(0.9, 0.8), (0.3, 0.4), (0.2, 0.9)],
        parts=["the least share", "the largest share", "the largest with two answers"],
        right="So the share of changed decisions says more than two accuracies.",
        mistakes=mistakes,
    )


def check_linear(answer: tuple[float, float]) -> Verdict:
    """Check the largest cross-entropies of a linear model with and without a mask.

    Args:
        answer: With the mask, and without.
    """

    def entropy(logit: float) -> float:
        return math.log1p(math.exp(-logit))

    mistakes: list[tuple[str, tuple[float | None, float | None]]] = [
        ("The first entry may not move in (a).", (entropy(2 - 0.9), None)),
        ("This is the cross-entropy without a shift.", (entropy(2), None)),
        ("A negative weight costs as much as a positive one: the shift takes its sign against it.",
         (entropy(2 - 0.2 * (-1 + 0.5)), None)),
        ("The shift is meant to raise the loss: the logit falls.", (entropy(2 + 0.3), entropy(2 + 0.9))),
    ]  # fmt: skip
    return judge(
        lambda: answer,
        lambda: (entropy(2 - 0.3), entropy(2 - 0.9)),
        [()],
        parts=["the masked value", "the free value"],
        right="In a box a linear loss is largest in a corner, and the corner is the sign of the weights.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
    )
