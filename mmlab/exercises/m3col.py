"""Checks of the exercises in the chapter on M3CoL; equation numbers are the chapter's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge
from mmlab.losses.contrastive import mixup_targets

__all__ = ["check_partners", "check_pull", "check_targets"]


def check_targets(answer: Callable[[Tensor, Tensor], Tensor]) -> Verdict:
    """Check the targets (4) of mixtures.

    Args:
        answer: A function of the weights β (B,) and the partners, a permutation (B,). It returns T, (B, B).
    """

    def written(weight: Tensor, partner: Tensor) -> Tensor:
        targets = torch.diag(weight)
        targets[torch.arange(len(weight)), partner] = 1 - weight
        return targets

    def alone(weight: Tensor, partner: Tensor) -> Tensor:
        return torch.diag(weight)

    cases = []
    for seed, count in ((0, 5), (1, 8)):
        rng = torch.Generator().manual_seed(seed)
        partner = torch.arange(count)
        partner[: count - 2] = partner[: count - 2].roll(1)  # the last two are their own partners
        cases.append((0.1 + 0.3 * torch.rand(count, generator=rng), partner))
    return judge(
        answer,
        mixup_targets,
        cases,
        parts=["the matrix of targets"],
        right="Every row sums to one, that of an item which is its own partner, too.",
        mistakes=[
            ("Where an item is its own partner, you have written $1 - β_i$ over $β_i$: add it instead.", written),
            ("The weights are swapped: β belongs to the item itself, $1 - β$ to its partner.",
             lambda weight, partner: mixup_targets(1 - weight, partner)),
            ("This is the transpose: row $i$ must hold what the mixture *i* looks for.",
             lambda weight, partner: mixup_targets(weight, partner).T),
            ("The partner goes without: its share $1 - β_i$ is missing.", alone),
            ("These are the targets of CLIP: the mixture is matched with its first part only.",
             lambda weight, partner: torch.eye(len(weight))),
            ("The share of the partner is $1 - β_i$ with the β of the row, the mixture's: you took the partner's own.",
             lambda weight, partner: torch.diag(weight).scatter_add(1, partner[:, None], 1 - weight[partner][:, None])),
            ("The partner has the weight β of the item: it should be $1 - β_i$.",
             lambda weight, partner: torch.diag(weight).scatter_add(1, partner[:, None], weight[:, None])),
        ],
    )  # fmt: skip


def check_partners(answer: tuple[Any, Any]) -> Verdict:
    """Check the row sum of an item that is its own partner, where the share is written and not added; and how many.

    Args:
        answer: The row sum for β = 0.6, and the mean number of such items in a batch of 100.
    """
    mistakes: list[tuple[str, tuple[float | None, float | None]]] = [
        ("For the row sum you gave β, which was written over: what was written last?", (0.6, None)),
        ("That is the row sum where the share is added: here it replaces β.", (1.0, None)),
        ("For the number you gave the chance of one item: there are as many items as partners.", (None, 0.01)),
        ("A random permutation may leave an item where it is: the number of such items is not zero on average.",
         (None, 0.0)),
        ("You counted all items: most of them do get another partner.", (None, 100.0)),
    ]  # fmt: skip
    return judge(
        lambda: answer,
        lambda: (0.4, 1.0),
        [()],
        parts=["the row sum", "the number of items"],
        right="One item per batch, whatever its size; its row pulls with the wrong weight.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
        tolerance=0.004,
    )


def check_pull(answer: Callable[[Tensor, Tensor], Tensor]) -> Verdict:
    """Check the derivative of the contrast by the similarities, for targets whose rows have any sum.

    Args:
        answer: A function of P and T, both (B, B). It returns the derivative, (B, B).
    """
    rng = torch.Generator().manual_seed(0)
    cases = []
    for count in (4, 6):
        guess = torch.randn(count, count, generator=rng).softmax(1)
        targets = torch.rand(count, count, generator=rng)
        targets[-1] = 0
        cases.append((guess, targets))
    mistakes: list[Mistake] = [
        ("This is right only for rows that sum to one: keep $\\sum_k T_{ik}$.", lambda P, T: P - T),
        ("The sign is turned: this is the direction of descent.", lambda P, T: T - P * T.sum(1, keepdim=True)),
        ("You summed over columns: row *i* of P meets row *i* of T.", lambda P, T: P * T.sum(0) - T),
        ("The row sum does not divide the targets only: it multiplies the whole bracket.",
         lambda P, T: P - T / T.sum(1, keepdim=True).clamp(min=1e-30)),
        ("The sum over *k* goes over the targets, not over the guess, whose rows sum to one.",
         lambda P, T: P - T * P.sum(1, keepdim=True)),
        ("This is the derivative by $P$, not by the similarities.", lambda P, T: -T / P),
    ]  # fmt: skip
    return judge(
        answer,
        lambda P, T: P * T.sum(1, keepdim=True) - T,
        cases,
        parts=["the derivative"],
        right="Each row is weighed by the sum of its targets; a row of zeros does not train.",
        mistakes=mistakes,
    )
