"""Checks of the exercises in the chapter on Muse and CM3Leon; equation numbers are the chapter's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Verdict, judge

__all__ = ["check_contrast", "check_masked", "check_side"]


def check_masked(answer: tuple[float, float, float, float]) -> Verdict:
    """Check how many of 256 words are masked after each of 4 looks.

    Args:
        answer: Four numbers.
    """

    def after(share: Callable[[float], float], last: float = 0.0) -> tuple[float, ...]:
        return (*(float(math.floor(256 * share(s / 4))) for s in (1, 2, 3)), last)

    truth = after(lambda r: math.cos(math.pi * r / 2))
    mistakes = [
        ("These are evenly spaced; (1) is a cosine.", after(lambda r: 1 - r)),
        ("This is how many are known.", tuple(256 - value for value in truth)),
        ("The sine begins with none masked: masks begin with all.", after(lambda r: math.sin(math.pi * r / 2), 256.0)),
        ("After the last look nothing is masked.", (*truth[:3], 1.0)),
    ]
    return judge(
        lambda: answer,
        lambda: truth,
        [()],
        parts=["the number after the first look", "after the second", "after the third", "after the fourth"],
        right="Few are kept at first, where the network knows least.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
    )


def check_contrast(answer: Callable[[Tensor, Tensor, float], Tensor]) -> Verdict:
    """Check contrastive decoding, (10) and (11).

    Args:
        answer: A function of logits told and untold (K,), and α. Scores below -10⁴ count as minus infinity.
    """

    def truth(told: Tensor, untold: Tensor, alpha: float) -> Tensor:
        p, p0 = told.softmax(-1), untold.softmax(-1)
        return (p / p0).log().masked_fill(p < alpha * p.max(), -math.inf)

    def finite(function: Callable[..., Any]) -> Callable[..., Any]:
        def bounded(*case: Any) -> Any:
            made = function(*case)
            return made.clamp(min=-1e4) if isinstance(made, Tensor) else made

        return bounded

    def all_of_them(told: Tensor, untold: Tensor, alpha: float) -> Tensor:
        return truth(told, untold, 0.0)

    def absolute(told: Tensor, untold: Tensor, alpha: float) -> Tensor:
        return truth(told, untold, 0.0).masked_fill(told.softmax(-1) < alpha, -math.inf)

    def of_untold(told: Tensor, untold: Tensor, alpha: float) -> Tensor:
        p0 = untold.softmax(-1)
        return truth(told, untold, 0.0).masked_fill(p0 < alpha * p0.max(), -math.inf)

    def turned(told: Tensor, untold: Tensor, alpha: float) -> Tensor:
        return -truth(told, untold, 0.0).masked_fill(told.softmax(-1) < alpha * told.softmax(-1).max(), math.inf)

    rng = torch.Generator().manual_seed(2)
    cases = [(*torch.randn(2, 7, generator=rng) * 2, alpha) for alpha in (0.05, 0.4)]
    return judge(
        finite(answer) if callable(answer) else answer,
        finite(truth),
        cases,
        parts=["the scores"],
        right="What is likely with and without the caption gains nothing.",
        mistakes=[
            ("All words are scored: those that are not plausible must be minus infinity.", finite(all_of_them)),
            ("The threshold is a share of the largest probability, not a probability.", finite(absolute)),
            ("Plausible is what the caption makes so: the threshold is on p with the caption.", finite(of_untold)),
            ("Told and untold have changed places.", finite(turned)),
        ],
    )


def check_side(answer: Callable[[int, int], tuple[float, float, float]]) -> Verdict:
    """Check what equal words lose when they are guessed side by side.

    Args:
        answer: A function of K and n; it returns the divergence of two, their probability of being equal, and the
            divergence of n.
    """
    return judge(
        answer,
        lambda K, n: (math.log(K), 1 / K, (n - 1) * math.log(K)),
        [(2, 2), (8, 3), (512, 64)],
        parts=["the divergence of two", "the probability of being equal", "the divergence of n"],
        right="Each word but one is drawn as if it knew nothing.",
        mistakes=[
            ("The divergence is in nats: log K.", lambda K, n: (math.log2(K), 1 / K, (n - 1) * math.log2(K))),
            ("The first word loses nothing: it has nothing to know.",
             lambda K, n: (math.log(K), 1 / K, n * math.log(K))),
            ("A given pair of equal words has 1 / K²; there are K such pairs.",
             lambda K, n: (math.log(K), 1 / K**2, (n - 1) * math.log(K))),
            ("Each of n words is equal to all others: it is not counted by pairs.",
             lambda K, n: (math.log(K), 1 / K, n * (n - 1) / 2 * math.log(K))),
        ],
    )  # fmt: skip
