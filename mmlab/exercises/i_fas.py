"""Checks of the exercises in the chapter on I-FAS; equation numbers are the chapter's."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge
from mmlab.methods.i_fas import lopsided

__all__ = ["check_drift", "check_loss", "check_weights"]


def _parts(each: Tensor, length: Tensor, verdict: int) -> tuple[Tensor, Tensor]:
    """Which words are verdict and which explanation."""
    place = torch.arange(each.shape[1])
    inside = place < length[:, None]
    return inside & (place < verdict), inside & (place >= verdict)


def check_loss(answer: Callable[[Tensor, Tensor, int, float], Tensor]) -> Verdict:
    """Check the lopsided loss (2) of answers of different lengths.

    Args:
        answer: A function of cross-entropies (B, T), lengths (B,), the verdict's number of words and α.
    """

    def truth(each: Tensor, length: Tensor, verdict: int, alpha: float) -> Tensor:
        return lopsided(each, *_parts(each, length, verdict), alpha)

    def swapped(each: Tensor, length: Tensor, verdict: int, alpha: float) -> Tensor:
        return truth(each, length, verdict, 1 - alpha)

    def padded(each: Tensor, length: Tensor, verdict: int, alpha: float) -> Tensor:
        return truth(each, torch.full_like(length, each.shape[1]), verdict, alpha)

    def plain(each: Tensor, length: Tensor, verdict: int, alpha: float) -> Tensor:
        return lopsided(each, *_parts(each, length, verdict), None)

    def by_items(each: Tensor, length: Tensor, verdict: int, alpha: float) -> Tensor:
        rows = [truth(each[i : i + 1], length[i : i + 1], verdict, alpha) for i in range(len(each))]
        return torch.stack(rows).mean()

    rng = torch.Generator().manual_seed(0)
    cases = [
        (torch.rand(3, 6, generator=rng), torch.tensor([6, 4, 3]), 1, 0.7),
        (torch.rand(4, 5, generator=rng), torch.tensor([5, 3, 5, 4]), 2, 0.2),
    ]
    mistakes: list[Mistake] = [
        ("You swapped verdict and explanation: α belongs to the verdict.", swapped),
        ("Places beyond an answer's length count nowhere.", padded),
        ("This is the plain loss (1): α does not enter.", plain),
        ("You took the means within each answer. They are over all words of the batch.", by_items),
    ]
    return judge(
        answer,
        truth,
        cases,
        parts=["the loss"],
        right="However long the explanations are, the verdict keeps its share.",
        mistakes=mistakes,
    )


def check_weights(answer: tuple[float, float, float]) -> Verdict:
    """Check α of the plain loss, a weight (4), and α (3).

    Args:
        answer: The three numbers.
    """
    mistakes: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("The plain loss divides by all words, not by those of the explanation.", (2 / 38, None, None)),
        ("(4) also has the ratio of the numbers of words.", (None, 0.7 / 0.3, None)),
        ("In (4) the explanation's words stand above, the verdict's below.", (None, 0.7 / 0.3 * 2 / 38, None)),
        ("In (3) the verdict's number of words stands beside the weight, too.", (None, None, 5 / 43)),
    ]
    return judge(
        lambda: answer,
        lambda: (0.05, 0.7 / 0.3 * 19, 10 / 48),
        [()],
        parts=["the α of the plain loss", "the weight", "the α of the weight 5"],
        right="Five times is far from 0.7: here that takes a weight of more than forty.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
        tolerance=1e-4,
    )


def check_drift(answer: Callable[[float, float, float], float]) -> Verdict:
    """Check the mean move of a step that sees only signs.

    Args:
        answer: A function of α, the verdict's gradient a and the explanation's deviation s.
    """

    def ratio(alpha: float, a: float, s: float) -> float:
        return alpha * a / ((1 - alpha) * s)

    cases = [(1 / 11, 0.1, 1.0), (0.7, 0.1, 1.0), (0.7, 0.5, 0.8)]
    mistakes: list[Mistake] = [
        ("This is the probability of a step in the right direction. The others go back.",
         lambda alpha, a, s: (1 + math.erf(ratio(alpha, a, s) / math.sqrt(2))) / 2),
        ("The error function has √2 in it: erf(r/√2) is 2Φ(r) - 1.", lambda alpha, a, s: math.erf(ratio(alpha, a, s))),
        ("The weights are left out: the noise is weighed by 1 - α, too.",
         lambda alpha, a, s: math.erf(alpha * a / s / math.sqrt(2))),
        ("This is the form for small ratios. The whole one is asked for.",
         lambda alpha, a, s: ratio(alpha, a, s) * math.sqrt(2 / math.pi)),
    ]  # fmt: skip
    return judge(
        answer,
        lambda alpha, a, s: math.erf(ratio(alpha, a, s) / math.sqrt(2)),
        cases,
        parts=["the mean move"],
        right="A weight changes the ratio of drift and noise; a rate does not.",
        mistakes=mistakes,
    )
