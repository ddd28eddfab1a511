"""Checks of the exercises in the chapter on OGM-GE; equation numbers are the chapter's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge
from mmlab.methods.ogm_ge import discrepancy, modulation

__all__ = ["check_coefficients", "check_even", "check_follower", "check_variances"]


def check_coefficients(answer: Callable[[Tensor, float], Tensor]) -> Verdict:
    """Check the coefficients (4) of two modalities.

    Args:
        answer: A function of the two scores, (2,), and α. It returns the two coefficients, (2,).
    """

    def truth(scores: Tensor, alpha: float) -> Tensor:
        return modulation(discrepancy(scores), alpha)

    def upside_down(scores: Tensor, alpha: float) -> Tensor:
        return modulation(discrepancy(scores).flip(0), alpha)

    def both(scores: Tensor, alpha: float) -> Tensor:
        return 1 - torch.tanh(alpha * discrepancy(scores))

    def of_the_lead(scores: Tensor, alpha: float) -> Tensor:
        return 1 - torch.tanh(alpha * (discrepancy(scores) - 1).relu())

    def tanh_only(scores: Tensor, alpha: float) -> Tensor:
        rho = discrepancy(scores)
        return torch.where(rho > 1, torch.tanh(alpha * rho), 1.0)

    def without_alpha(scores: Tensor, alpha: float) -> Tensor:
        return modulation(discrepancy(scores), 1.0)

    def difference(scores: Tensor, alpha: float) -> Tensor:
        return torch.where(scores > scores.flip(0), 1 - torch.tanh(alpha * (scores - scores.flip(0))), 1.0)

    mistakes: list[Mistake] = [
        ("You slow down the modality that is behind.", upside_down),
        ("Both are slowed down: the one with $\\rho \\le 1$ keeps its gradient.", both),
        (
            "This falls smoothly from 1, as a function of the lead ρ - 1. That would be a better design, but the "
            "paper's k jumps at ρ = 1.",
            of_the_lead,
        ),
        ("The leader's coefficient is 1 minus the tanh.", tanh_only),
        ("α does nothing in your answer.", without_alpha),
        ("You took the difference of the scores: ρ is their ratio.", difference),
    ]
    pairs = torch.tensor([[0.6, 0.2], [0.31, 0.45], [0.5, 0.48]])
    return judge(
        answer,
        truth,
        [(pair, alpha) for pair in pairs for alpha in (0.3, 0.8)],
        parts=["the pair of coefficients"],
        right="The leader is slowed down, the other is left alone.",
        mistakes=mistakes,
    )


def check_variances(answer: tuple[Any, Any]) -> Verdict:
    """Check the variances under k = 0.4, in units of the plain gradient's, to within 0.005.

    Args:
        answer: The variance of the gradient under (5); and the variance that the noise should have, so that the whole
            has that of the plain gradient.
    """
    mistakes: list[tuple[str, tuple[float | None, float | None]]] = [
        ("Variances of independent parts add, and a factor k gives k²; here you added k itself.", (1.4, None)),
        ("The first is the variance without the noise.", (0.16, None)),
        ("The noise is full-sized: its variance, 1, comes on top of what is left of the gradient.", (1.0, None)),
        ("The first is a standard deviation.", (1.16**0.5, None)),
        ("For the second you took 1 - k: variances have k².", (None, 0.6)),
        ("The second is a standard deviation: the question asks for the variance.", (None, 0.84**0.5)),
        ("The second is what is left of the gradient: ask for what is missing.", (None, 0.16)),
    ]
    return judge(
        lambda: answer,
        lambda: (1.16, 0.84),
        [()],
        parts=["the variance with the noise", "the variance that would restore it"],
        right="The noise of (5) does not restore the variance: it overshoots by k².",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
        tolerance=0.0025,
    )


def check_follower(answer: Callable[[float, float, float, float], float]) -> Verdict:
    """Check where the weak modality stands when the strong one has arrived: the follower's law.

    Args:
        answer: A function of the strong modality's weight, both strengths (strong, weak) and the common start. It
            returns the weak modality's weight.
    """
    mistakes: list[Mistake] = [
        ("The exponent is upside down: the weak one grows more slowly.", lambda u, a, b, e: e * (u / e) ** (a / b)),
        ("The start is missing: it is the ratio to the start that has the exponent.", lambda u, a, b, e: u ** (b / a)),
        ("Divide by the start inside the power, not only multiply outside.", lambda u, a, b, e: e * u ** (b / a)),
        ("Both grow exponentially: the relation is a power, not a proportion.", lambda u, a, b, e: u * b / a),
        ("Multiply by the start again: this is how many times the weak one has grown.",
         lambda u, a, b, e: (u / e) ** (b / a)),
    ]  # fmt: skip
    return judge(
        answer,
        lambda u, a, b, e: e * (u / e) ** (b / a),
        [(1.5, 2.0, 1.0, 0.01), (0.9, 1.2, 0.9, 0.05), (2.0, 1.0, 0.1, 0.2)],
        parts=["the weight"],
        right="The follower's weight is a power of the leader's: a little weaker is soon far behind.",
        mistakes=mistakes,
    )


def check_even(answer: Callable[[float, float], float]) -> Verdict:
    """Check what ratio of contributions remains when both modalities grow at the same rate.

    Args:
        answer: A function of both strengths (strong, weak). It returns the limit of the leader's contribution over the
            follower's.
    """
    mistakes: list[Mistake] = [
        ("Equal rates are not equal contributions: follow the factors in front of the exponentials.", lambda a, b: 1.0),
        ("This is the ratio of the strengths alone: the slowed encoder and its classifier no longer move together.",
         lambda a, b: a / b),
        ("The strengths stand in front of both contributions, too: multiply by their ratio.",
         lambda a, b: (a + b) ** 2 / (4 * a * b)),
        ("You put √k where k belongs, or the other way round: √k is weak over strong.",
         lambda a, b: a / b * (1 + (b / a) ** 2) ** 2 / (4 * (b / a) ** 2)),
        ("Each of cosh and sinh is half an exponential: the product of two sums has a quarter.",
         lambda a, b: (a + b) ** 2 / b**2),
        ("The ratio is upside down: leader over follower.", lambda a, b: 4 * b**2 / (a + b) ** 2),
    ]  # fmt: skip
    return judge(
        answer,
        lambda a, b: (a + b) ** 2 / (4 * b**2),
        [(1.0, 0.6), (2.0, 0.5), (1.2, 0.9)],
        parts=["the ratio"],
        right="The rates are equal, and the head start of the first steps stays for good.",
        mistakes=mistakes,
    )
