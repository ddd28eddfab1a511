"""Checks of the exercises in the chapter on MultiMAE; equation numbers are the chapter's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge
from mmlab.methods.multimae import masked_error

__all__ = ["check_counts", "check_error"]


def check_error(answer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Verdict:
    """Check the squared error of hidden patches (3), (4).

    Args:
        answer: A function of patches (B, N, P), their targets and what is hidden (B, N), to one number.
    """

    def pooled(made: Tensor, target: Tensor, hidden: Tensor) -> Tensor:
        return (made - target).square().mean(-1)[hidden].sum() / hidden.sum().clamp_min(1)

    def visible(made: Tensor, target: Tensor, hidden: Tensor) -> Tensor:
        return masked_error(made, target, ~hidden)

    def all_items(made: Tensor, target: Tensor, hidden: Tensor) -> Tensor:
        return masked_error(made, target, hidden) * hidden.any(1).sum() / len(hidden)

    def everything(made: Tensor, target: Tensor, hidden: Tensor) -> Tensor:
        return (made - target).square().mean()

    def all_patches(made: Tensor, target: Tensor, hidden: Tensor) -> Tensor:
        each = ((made - target).square().mean(-1) * hidden).mean(1)
        return each.sum() / hidden.any(1).sum().clamp_min(1)

    def absolute(made: Tensor, target: Tensor, hidden: Tensor) -> Tensor:
        return masked_error(made, target, hidden, "absolute")

    mistakes: list[Mistake] = [
        ("Hidden patches of all items are pooled: take the mean of each item first.", pooled),
        ("These are the visible patches: the hidden ones count.", visible),
        ("Items with nothing hidden count as zeros: leave them out of the mean over items.", all_items),
        ("Divide by the number of hidden patches of the item, not by that of all.", all_patches),
        ("Visible patches count, too: leave them out.", everything),
        ("This is the absolute error: square the difference.", absolute),
    ]
    rng = torch.Generator().manual_seed(0)
    cases = []
    for share in (0.6, 0.3, 0.0):
        made, target = torch.randn(2, 5, 4, 3, generator=rng)
        hidden = torch.rand(5, 4, generator=rng) < share
        hidden[2] = False
        cases.append((made, target, hidden))
    return judge(
        answer,
        masked_error,
        cases,
        parts=["the error"],
        right="It is the same whatever lies beside an item.",
        mistakes=mistakes,
    )


def check_counts(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check mean and deviation of the number of visible patches of one modality of three, K = 98.

    Args:
        answer: The mean, the deviation with α = 1, and that with α = 4.
    """
    middle, deviation, steadier = 98 / 3, 98 / 18**0.5, 98 * (2 / 117) ** 0.5
    mistakes: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("98 are visible in all: the image has a third of them on average.", (98.0, None, None)),
        ("Of 588 tokens 98 are visible: the shares divide those 98.", (196.0, None, None)),
        ("This is the variance of the number: take its root.", (None, 98**2 / 18, None)),
        ("The variance of a share is multiplied by K²: its root by K.", (None, 98**0.5 / 18**0.5, None)),
        ("This is the deviation of a share: multiply by K.", (None, 1 / 18**0.5, None)),
        ("In the denominator is Mα + 1, with M = 3.", (None, None, 98 * (2 / 45) ** 0.5)),
        ("A larger α makes shares steadier: the deviation falls.", (None, None, 4 * deviation)),
    ]
    return judge(
        lambda: answer,
        lambda: (middle, deviation, steadier),
        [()],
        parts=["the mean", "the deviation with α = 1", "the deviation with α = 4"],
        right="With α = 1 the deviation is most of the mean: shares differ widely from draw to draw.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
    )
