"""Checks of the exercises in the chapter on demonstrations in the context."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge
from mmlab.methods.many_icl import nearest_mean

__all__ = ["check_mean", "check_shrink"]


def check_mean(answer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Verdict:
    """Check the scores (1) of one question.

    Args:
        answer: A function of demonstrations (N, D), labels (N,) and a question (D,) to two scores.
    """

    def means(shown: Tensor, said: Tensor) -> Tensor:
        return torch.stack([shown[said == c].mean(0) for c in (0, 1)])

    mistakes: list[Mistake] = [
        ("Nearer is better: the score is minus the distance.",
         lambda x, y, q: (q - means(x, y)).square().sum(1) / 2),
        ("The distance is squared, and halved.", lambda x, y, q: -(q - means(x, y)).norm(dim=1)),
        ("Half of the squared distance, as in (1).", lambda x, y, q: -(q - means(x, y)).square().sum(1)),
        ("A class is its mean: divide the sum by the number of its demonstrations.",
         lambda x, y, q: -(q - torch.stack([x[y == c].sum(0) for c in (0, 1)])).square().sum(1) / 2),
    ]  # fmt: skip
    rng = torch.Generator().manual_seed(0)
    cases = [(torch.randn(n, 3, generator=rng), torch.arange(n) % 2, torch.randn(3, generator=rng)) for n in (4, 6)]
    return judge(
        answer,
        lambda x, y, q: nearest_mean(x[None], y[None], q[None, None])[0, 0],
        cases,
        parts=["the scores"],
        right="No training, no constant: this is the row to print beside every curve.",
        mistakes=mistakes,
    )


def check_shrink(answer: tuple[Any, Any, Any, Any]) -> Verdict:
    """Check how far a mean is believed, and how wide a new item lies.

    Args:
        answer: G and the variance for one demonstration of each class, then for nine.
    """
    few, many = 1 / 10, 1 / 2
    mistakes: list[tuple[str, tuple[float | None, ...]]] = [
        ("That is the share of the mean that is not believed: G grows with n.", (1 - few, None, None, None)),
        ("What is unsure about the mean adds to the scatter of the items.", (None, 9.0, None, None)),
        ("The rest of the variance of the mean is (1 - G) times it, not G times.", (None, 9 + few, None, None)),
        ("The mean of nine demonstrations scatters with 9/9 = 1.", (None, None, few, None)),
    ]
    return judge(
        lambda: answer,
        lambda: (few, 9 + 1 - few, many, 9 + 1 - many),
        [()],
        parts=["G for one", "the variance for one", "G for nine", "the variance for nine"],
        right="With one demonstration the mean says little, and a rule that takes it at its word is too sure.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
    )
