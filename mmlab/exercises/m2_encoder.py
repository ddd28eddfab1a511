"""Checks of the exercises in the chapter on M2-Encoder; equation numbers are the chapter's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmlab.exercises.verdict import Mistake, Verdict, judge

__all__ = ["check_count", "check_pieces", "check_scale"]


def check_count(answer: tuple[Any, Any, Any, Any]) -> Verdict:
    """Check counts of a batch in groups, to within 0.001.

    Args:
        answer: Negatives, MiB with and without groups, and rounds.
    """
    mistakes: list[tuple[str, tuple[float | None, float | None, float | None, float | None]]] = [
        ("An item is no negative of itself.", (128, None, None, None)),
        ("Groups of 8 machines are 8 groups; a group holds an eighth of the batch.", (15, None, None, None)),
        ("That is one group: all eight compute similarities.", (None, 0.0625, None, None)),
        ("At 4 bytes each, not one.", (None, 0.125, 1.0, None)),
        ("A group has to be as large as the batch was: as many rounds as there are groups.", (None, None, None, 64)),
    ]
    return judge(
        lambda: answer,
        lambda: (127, 0.5, 4.0, 8),
        [()],
        parts=["the negatives", "MiB with groups", "MiB without", "the rounds"],
        right="Rounds bring back the negatives and the similarities alike.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
        tolerance=0.001,
    )


def check_pieces(answer: Callable[[Tensor, Tensor, Tensor, Tensor, float, int], tuple[Tensor, Tensor]]) -> Verdict:
    """Check gradients that are taken piece by piece.

    Args:
        answer: A function of items x, y (B, C), weights W, W' (C, D), the scale and the size, to two gradients (C, D).
    """

    def loss_of(x: Tensor, y: Tensor, W: Tensor, V: Tensor, s: float) -> Tensor:
        similarity, own = s * (x @ W) @ (y @ V).mT, torch.arange(len(x))
        return (F.cross_entropy(similarity, own) + F.cross_entropy(similarity.mT, own)) / 2

    def slopes(loss: Callable[[Tensor, Tensor], Tensor], W: Tensor, V: Tensor) -> tuple[Tensor, Tensor]:
        W, V = W.clone().requires_grad_(True), V.clone().requires_grad_(True)
        first, second = torch.autograd.grad(loss(W, V), (W, V))
        return first, second

    def truth(x: Tensor, y: Tensor, W: Tensor, V: Tensor, s: float, size: int) -> tuple[Tensor, Tensor]:
        return slopes(lambda W, V: loss_of(x, y, W, V, s), W, V)

    def cut(x: Tensor, y: Tensor, W: Tensor, V: Tensor, s: float, size: int) -> tuple[Tensor, Tensor]:
        parts = list(zip(torch.split(x, size), torch.split(y, size), strict=True))
        return slopes(lambda W, V: torch.stack([loss_of(a, b, W, V, s) for a, b in parts]).mean(), W, V)

    def forth(x: Tensor, y: Tensor, W: Tensor, V: Tensor, s: float, size: int) -> tuple[Tensor, Tensor]:
        return slopes(lambda W, V: F.cross_entropy(s * (x @ W) @ (y @ V).mT, torch.arange(len(x))), W, V)

    mistakes: list[Mistake] = [
        ("This is the contrast of groups: take the loss of all vectors.", cut),
        ("One direction is missing: the loss is the mean of rows and columns.", forth),
        ("The scale s is a factor of the gradient.", lambda *a: tuple(g / a[4] for g in truth(*a))),
        ("Divide by B: a cross-entropy is a mean over items.", lambda *a: tuple(g * len(a[0]) for g in truth(*a))),
        ("The sum over pieces is the gradient; do not average it.",
         lambda *a: tuple(g / (len(a[0]) // a[5]) for g in truth(*a))),
    ]  # fmt: skip
    rng = torch.Generator().manual_seed(0)
    cases = [
        (*torch.randn(2, n, 5, generator=rng), *torch.randn(2, 5, 3, generator=rng), s, size)
        for n, s, size in ((6, 0.5, 2), (8, 0.7, 4))
    ]
    return judge(
        answer, truth, cases, parts=["the gradient by W", "the gradient by W'"],
        right="Nothing is approximated.", mistakes=mistakes,
    )  # fmt: skip


def check_scale(answer: Callable[[int], tuple[Any, Any]]) -> Verdict:
    """Check by which factor accumulated gradients are too large.

    Args:
        answer: A function of the number of pieces, to the factor of the weights and that of the log scale.
    """
    mistakes: list[Mistake] = [
        ("In each turn only one piece has a graph: the turns are the summands of (4).", lambda k: (k, k)),
        ("The scale stands in the loss of every turn.", lambda k: (1, 1)),
        ("You exchanged the two.", lambda k: (k, 1)),
        ("Nothing is divided here: each turn takes the whole loss.", lambda k: (1 / k, 1)),
    ]
    return judge(
        answer, lambda k: (1, k), [(2,), (5,)], parts=["the factor of the weights", "the factor of the log scale"],
        right="So divide nothing but the scale's gradient, or take the loss once.", mistakes=mistakes,
    )  # fmt: skip
