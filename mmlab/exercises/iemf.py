"""Checks of the exercises in the chapter on IEMF; equation numbers are the chapter's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge
from mmlab.losses.classification import true_class
from mmlab.methods.iemf import coefficient, weakness

__all__ = ["check_memory", "check_rates", "check_xi"]


def check_xi(answer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Verdict:
    """Check the coefficient (3), from logits.

    Args:
        answer: A function of the heads' logits (M, B, K), the fused classifier's (B, K) and the labels (B,), which
            returns one number.
    """

    def truth(unimodal: Tensor, fused: Tensor, label: Tensor) -> Tensor:
        return coefficient(weakness(true_class(unimodal, label), true_class(fused, label)))

    def inverted(unimodal: Tensor, fused: Tensor, label: Tensor) -> Tensor:
        return coefficient(1 / weakness(true_class(unimodal, label), true_class(fused, label)))

    def without_one(unimodal: Tensor, fused: Tensor, label: Tensor) -> Tensor:
        return truth(unimodal, fused, label) - 1

    def summed(unimodal: Tensor, fused: Tensor, label: Tensor) -> Tensor:
        return coefficient(len(unimodal) * weakness(true_class(unimodal, label), true_class(fused, label)))

    def surest(unimodal: Tensor, fused: Tensor, label: Tensor) -> Tensor:
        return coefficient(unimodal.softmax(-1).amax(-1).mean(0).sum() / fused.softmax(-1).amax(-1).sum())

    def of_logits(unimodal: Tensor, fused: Tensor, label: Tensor) -> Tensor:
        own = unimodal.gather(-1, label.expand(len(unimodal), -1).unsqueeze(-1)).squeeze(-1)
        return coefficient(own.mean(0).sum() / fused.gather(-1, label.unsqueeze(-1)).sum())

    def by_item(unimodal: Tensor, fused: Tensor, label: Tensor) -> Tensor:
        return coefficient((true_class(unimodal, label).mean(0) / true_class(fused, label)).mean())

    def linear(unimodal: Tensor, fused: Tensor, label: Tensor) -> Tensor:
        return 2 - weakness(true_class(unimodal, label), true_class(fused, label))

    mistakes: list[Mistake] = [
        ("The ratio is upside down: weak heads make $r$ small.", inverted),
        ("The 1 in front of the tanh is missing: equal heads must leave the gradient as it is.", without_one),
        ("You added the heads' sums: $r$ has their mean.", summed),
        ("This is the probability of the likeliest class: take that of the true one.", surest),
        ("These are logits: take the softmax first.", of_logits),
        ("You divided item by item: sum over the batch first, then divide.", by_item),
        ("The tanh is missing: it keeps the coefficient bounded.", linear),
    ]
    rng = torch.Generator().manual_seed(0)
    cases = [
        (
            torch.randn(modalities, 6, 4, generator=rng),
            2 * torch.randn(6, 4, generator=rng),
            torch.randint(4, (6,), generator=rng),
        )
        for modalities in (2, 3)
    ]
    return judge(
        answer,
        truth,
        cases,
        parts=["the coefficient"],
        right="Your ξ is that of the package, for two heads and for three.",
        mistakes=mistakes,
    )


def check_rates(answer: tuple[Any, Any]) -> Verdict:
    """Check what a constant coefficient of 1.36 does at a learning rate of 0.05, to within 0.5 %.

    Args:
        answer: The learning rate of the head under which plain stochastic gradient descent takes the same steps; and
            how many times as long Adam's first step becomes.
    """
    mistakes: list[tuple[str, tuple[float | None, float | None]]] = [
        ("Adam divides the gradient by its own size: what happens to a factor in both?", (0.068, 1.36)),
        ("Adam's second moment grows with the square, but its root is taken before dividing.", (0.068, 1 / 1.36)),
        ("Adam's second moment is the mean of squares: the factor comes out of its root once.", (None, 1.36**2)),
        ("The rate must grow, not shrink: the step is rate times gradient.", (0.05 / 1.36, None)),
        ("The first number is still the old rate: the step is rate times 1.36 gradient.", (0.05, None)),
        ("The first number is a rate, not a factor: multiply by 0.05.", (1.36, None)),
    ]
    return judge(
        lambda: answer,
        lambda: (0.068, 1.0),
        [()],
        parts=["the learning rate", "the ratio of Adam's steps"],
        right="For plain descent the coefficient is a learning rate; Adam does not see it at all.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
        tolerance=0.0003,
    )


def check_memory(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check how Adam's step follows a gradient that is doubled, to three decimals.

    Args:
        answer: How many times as long the step is at first, at its longest, and in the end.
    """
    mistakes: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("At first the first moment has seen one doubled gradient only: 0.9 + 0.1 · 2, not 2.", (2.0, None, None)),
        ("The first number forgets the second moment: it has begun to grow, too, by a little.", (1.1, None, None)),
        ("The step never reaches twice its length: the second moment grows while the first one catches up.",
         (None, 2.0, None)),
        ("In the end both moments have followed: what is left of the factor?", (None, None, 2.0)),
        ("In the end the second moment is four times as large, and its root twice.", (None, None, 0.5)),
    ]  # fmt: skip
    return judge(
        lambda: answer,
        lambda: (1.1 / 1.003**0.5, 1.8803, 1.0),
        [()],
        parts=["the first step", "the longest step", "the last step"],
        right="Adam forgets a factor, but only as fast as its second moment does.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
        tolerance=0.0004,
    )
