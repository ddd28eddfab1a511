"""Checks of the exercises in the chapter on TIP; equation numbers are the chapter's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge

__all__ = ["check_log_odds", "check_nothing", "check_numbers"]


def check_numbers(answer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Verdict:
    """Check the cost of hidden numbers (6).

    Args:
        answer: A function of guesses (B, J), true cells (B, J), and which are hidden, bool (B, J), to one number.
    """

    def cost(guess: Tensor, table: Tensor, hidden: Tensor) -> Tensor:
        return (guess - table)[hidden].square().sum() / hidden.sum().clamp(min=1)

    def all_cells(guess: Tensor, table: Tensor, hidden: Tensor) -> Tensor:
        return (guess - torch.where(hidden, table, guess)).square().mean()

    def by_column(guess: Tensor, table: Tensor, hidden: Tensor) -> Tensor:
        squares = torch.where(hidden, guess - table, 0).square()
        return (squares.sum(0) / hidden.sum(0).clamp(min=1)).mean()

    mistakes: list[Mistake] = [
        ("You divide by all cells: count the hidden ones.", all_cells),
        ("This is the sum: divide by the number of hidden cells.", lambda g, t, h: (g - t)[h].square().sum()),
        ("These are means of the columns' means: (6) has one mean over all hidden cells.", by_column),
        ("This is the absolute error: (6) has squares.",
         lambda g, t, h: (g - t)[h].abs().sum() / h.sum().clamp(min=1)),
    ]  # fmt: skip
    rng = torch.Generator().manual_seed(0)
    cases = []
    for share in (0.6, 0.3, 0.0):
        guess, table = torch.randn(2, 9, 3, generator=rng)
        hidden = torch.rand(9, 3, generator=rng) < share * torch.tensor([0.5, 1.0, 1.5])
        cases.append((guess, torch.where(hidden, table, torch.nan), hidden))
    return judge(
        answer,
        cost,
        cases,
        parts=["the cost"],
        right="Cells that are not hidden count nowhere, and a batch without hidden cells costs nothing.",
        mistakes=mistakes,
    )


def check_log_odds(answer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Verdict:
    """Check the log-odds of the optimal matching.

    Args:
        answer: A function of p(x, t), of q(t | x) and of q(x | t), (X, T) each, to the log-odds (X, T).
    """

    def marginals(joint: Tensor) -> tuple[Tensor, Tensor]:
        return joint.sum(1, keepdim=True), joint.sum(0, keepdim=True)

    def right(joint: Tensor, a: Tensor, b: Tensor) -> Tensor:
        px, pt = marginals(joint)
        return (joint / (px * a + pt * b)).log()

    def bare(joint: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return (joint / (a + b)).log()

    def swapped(joint: Tensor, a: Tensor, b: Tensor) -> Tensor:
        px, pt = marginals(joint)
        return (joint / (pt * a + px * b)).log()

    def even(joint: Tensor, a: Tensor, b: Tensor) -> Tensor:
        px, pt = marginals(joint)
        return (joint / (2 * px * pt)).log()

    def one(joint: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return (joint / (marginals(joint)[0] * a)).log()

    def share(joint: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return right(joint, a, b).sigmoid()

    mistakes: list[Mistake] = [
        ("The wrong table is drawn *for a picture*: weigh q(t | x) by p(x), and q(x | t) by p(t).", bare),
        ("The weights are exchanged: q(t | x) goes with p(x).", swapped),
        ("This is for even draws: put the laws of the wrong partners in.", even),
        ("There are two wrong pairs, and you took one.", one),
        ("This is the probability: its log-odds is asked for.", share),
    ]
    rng = torch.Generator().manual_seed(0)
    cases = []
    for shape in ((3, 4), (5, 2)):
        joint, a, b = torch.rand(3, *shape, generator=rng) + 0.1
        cases.append((joint / joint.sum(), a / a.sum(1, keepdim=True), b / b.sum(0, keepdim=True)))
    return judge(
        answer,
        right,
        cases,
        parts=["the log-odds"],
        right="The harder the wrong partners, the less is left for the matching to say.",
        mistakes=mistakes,
    )


def check_nothing(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check the losses of a network that has learnt frequencies alone, to within 0.01 %.

    Args:
        answer: Contrast in a batch of 48, matching loss, and cost of a category among ten, in nats.
    """
    third = -(math.log(1 / 3) + 2 * math.log(2 / 3)) / 3
    mistakes: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("The partner itself is among the 48: nobody is left out of the softmax.", (math.log(47), None, None)),
        ("Both directions give the same, and (3) is their mean: do not add them.", (2 * math.log(48), None, None)),
        ("That is a fair coin; one of three pairs is right, and frequencies are known.", (None, math.log(2), None)),
        ("That is the cost of the right pairs alone: two of three pairs are wrong ones.", (None, math.log(3), None)),
        ("You added the three pairs up: (5) is their mean.", (None, 3 * third, None)),
        ("The guess is over the union of all columns' categories, which are ten.", (None, None, math.log(4))),
        ("The union has ten categories, not the columns' mean number of them.", (None, None, math.log(10 / 3))),
    ]
    return judge(
        lambda: answer,
        lambda: (math.log(48), third, math.log(10)),
        [()],
        parts=["the contrast", "the matching loss", "the cost of a category"],
        right="A loss above these values is worse than knowing nothing of the person.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
    )
