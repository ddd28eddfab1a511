"""Checks of the exercises in the chapter on WGAN-QC; equation numbers are the chapter's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge

__all__ = ["check_critic", "check_line", "check_width"]

Distance = Callable[[Tensor, Tensor], Tensor]


def check_line(answer: Distance) -> Verdict:
    """Check the distance W2 of two batches on a line.

    Args:
        answer: A function of numbers y (n,) and ŷ (n,), which returns one number.
    """
    rng = torch.Generator().manual_seed(0)
    cases = [(torch.randn(12, generator=rng) + 1, 2 * torch.randn(12, generator=rng)) for _ in range(3)]

    def gap(y: Tensor, made: Tensor) -> Tensor:
        return y.sort().values - made.sort().values

    mistakes: list[Mistake] = [
        ("The points are paired as they come: sort both first.", lambda y, made: (y - made).square().mean().sqrt()),
        ("This is the square of the distance: take the root.", lambda y, made: gap(y, made).square().mean()),
        ("This is $W_1$: the costs are squares.", lambda y, made: gap(y, made).abs().mean()),
        ("Each point has the weight $1/n$: take the mean, not the sum.",
         lambda y, made: gap(y, made).square().sum().sqrt()),
        ("The largest is paired with the smallest, which is the dearest plan.",
         lambda y, made: (y.sort().values - made.sort(descending=True).values).square().mean().sqrt()),
    ]  # fmt: skip
    return judge(
        answer,
        lambda y, made: gap(y, made).square().mean().sqrt(),
        cases,
        parts=["the distance"],
        right="Sorting solves the linear programme of a line.",
        mistakes=mistakes,
    )


def check_critic(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check the dual value, the slope and the difference of a straight critic, for m = 0.5 and K = 1.

    Args:
        answer: The three numbers.
    """
    wrong: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("The cost (1) has a factor of one half.", (0.25, None, None)),
        ("The value is a cost, not a distance: it has the square of $m$.", (0.5, None, None)),
        ("By (4) the slope is $K$ times the way, and the way is $m$.", (None, 0.25, None)),
        ("Uphill is towards the real points, which lie at larger values.", (None, -0.5, None)),
        ("A straight line rises by its slope times $m$ from one mean to the other: this is not the value of (2).",
         (None, None, 0.125)),
    ]  # fmt: skip
    return judge(
        lambda: answer,
        lambda: (0.125, 0.5, 0.25),
        [()],
        parts=["the value of the dual", "the slope", "the difference"],
        right="With the right slope, one straight critic says twice the truth.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in wrong],
    )


def check_width(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check the width of a made cloud at which batches on a line are content.

    Args:
        answer: The width for batches of one point, of two, and of infinitely many, to within 0.005.
    """
    wrong: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("A single partner is a stranger: his product with the made point has mean zero.", (1.0, None, None)),
        ("For two you took the mean of one order statistic: partners *multiply*, larger with larger.",
         (None, math.pi**-0.5, None)),
        ("For two the products of both pairs count: the smaller ones give as much as the larger ones.",
         (None, 0.5 / math.pi, None)),
        ("For two the sum of both products is to be divided by the sum of both squares.", (None, 2 / math.pi, None)),
        ("With infinitely many points every made point has itself as partner.", (None, None, 0.0)),
    ]  # fmt: skip
    return judge(
        lambda: answer,
        lambda: (0.0, 1 / math.pi, 1.0),
        [()],
        parts=["the width for one point", "that for two", "that for infinitely many"],
        right="Even on a line two points are content with less than a third of the width.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in wrong],
        tolerance=5e-3,
    )
