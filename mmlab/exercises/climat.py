"""Checks of the exercises in the chapter on CLIMATv2; equation numbers are the chapter's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmlab.exercises.verdict import Mistake, Verdict, judge

__all__ = ["check_club", "check_end", "check_floor"]


def check_club(answer: Callable[[Tensor, Tensor, float], Tensor]) -> Verdict:
    """Check the mean of (1) from logits.

    Args:
        answer: A function of logits (B, C), labels (B,) and τ, to one number.
    """

    def truth(logits: Tensor, label: Tensor, tau: float) -> Tensor:
        return tau * F.cross_entropy(logits, label) + (1 - tau) * math.log(logits.shape[1])

    def flattened(logits: Tensor, label: Tensor, tau: float) -> Tensor:
        return F.cross_entropy(tau * logits, label)

    def weighted(logits: Tensor, label: Tensor, tau: float) -> Tensor:
        return tau * F.cross_entropy(logits, label)

    def swapped(logits: Tensor, label: Tensor, tau: float) -> Tensor:
        return truth(logits, label, 1 - tau)

    def items(logits: Tensor, label: Tensor, tau: float) -> Tensor:
        return tau * F.cross_entropy(logits, label) + (1 - tau) * math.log(len(logits))

    def summed(logits: Tensor, label: Tensor, tau: float) -> Tensor:
        return tau * F.cross_entropy(logits, label, reduction="sum") + (1 - tau) * math.log(logits.shape[1])

    mistakes: list[Mistake] = [
        ("This is the cross-entropy of the flattened logits: CLUB is the bound above it.", flattened),
        ("The second term is missing: (1 - τ) log C.", weighted),
        ("τ and 1 - τ are swapped: at τ = 1 it is the cross-entropy.", swapped),
        ("C is the number of classes, not of items.", items),
        ("The cross-entropy is a mean over the items, not a sum.", summed),
    ]
    rng = torch.Generator().manual_seed(0)
    cases = [
        (2 * torch.randn(7, classes, generator=rng), torch.randint(classes, (7,), generator=rng), tau)
        for classes, tau in ((4, 0.3), (5, 0.8))
    ]
    return judge(
        answer, truth, cases, parts=["the bound"], right="A cross-entropy that counts less, and a constant.",
        mistakes=mistakes,
    )  # fmt: skip


def check_floor(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check the floor of τ for s = 0.5, its temperature, and the largest s for a temperature of 8, to within 0.5 %.

    Args:
        answer: The lowest τ, the temperature, and the largest s.
    """
    low, most = math.exp(-2), 1 / math.log(8)
    mistakes: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("The scores reach from 0 to 1/s, not to s: the floor is exp(-1/s).", (math.exp(-0.5), None, None)),
        ("This is the logarithm of the floor: take its exponential.", (-2.0, None, None)),
        ("The temperature divides the logits: it is 1/τ.", (None, low, None)),
        ("This is 1/s: turn it over.", (None, None, math.log(8))),
        ("Solve exp(-1/s) = 1/8 for s.", (None, None, 1 / 8)),
    ]
    return judge(
        lambda: answer,
        lambda: (low, 1 / low, most),
        [()],
        parts=["the lowest τ", "the temperature", "the largest s"],
        right="The softness s decides how hot a visit can get, before anything is trained.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
        tolerance=0.001,
    )


def check_end(answer: Callable[[Tensor, int, float], Tensor]) -> Verdict:
    """Check the infimum of (5) for a fixed network.

    Args:
        answer: A function of the held-out losses (T,), C and s, to one number.
    """

    def truth(losses: Tensor, classes: int, s: float) -> Tensor:
        gap = losses - math.log(classes)
        tau = torch.where(gap > 0, math.exp(-1 / s), 1.0)
        if bool((gap > 0).all()):
            tau[gap.argmin()] = 1.0
        return math.log(classes) + (tau * gap).mean()

    def nobody(losses: Tensor, classes: int, s: float) -> Tensor:
        gap = losses - math.log(classes)
        return math.log(classes) + (torch.where(gap > 0, math.exp(-1 / s), 1.0) * gap).mean()

    def bottomless(losses: Tensor, classes: int, s: float) -> Tensor:
        return math.log(classes) + (losses - math.log(classes)).clamp(max=0).mean()

    def all_low(losses: Tensor, classes: int, s: float) -> Tensor:
        return math.log(classes) + math.exp(-1 / s) * (losses - math.log(classes)).mean()

    def plain(losses: Tensor, classes: int, s: float) -> Tensor:
        return losses.mean()

    mistakes: list[Mistake] = [
        ("If all visits are pulled down, one of them keeps τ = 1 by the division in (2).", nobody),
        ("τ cannot reach 0: it has a floor.", bottomless),
        ("A visit whose loss is below log C is pulled up, to τ = 1.", all_low),
        ("This leaves every τ at 1: some want to be lower.", plain),
    ]
    cases = [
        (torch.tensor([0.5, 1.2, 2.0, 3.0]), 4, 1.0),
        (torch.tensor([2.5, 1.9, 2.0]), 4, 0.5),
    ]
    return judge(
        answer,
        truth,
        cases,
        parts=["the infimum"],
        right="Each τ goes to an end of its interval, and one of them is always 1.",
        mistakes=mistakes,
    )
