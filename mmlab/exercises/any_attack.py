"""Checks of the exercises in the chapter on AnyAttack; equation numbers are the chapter's."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge
from mmlab.methods.any_attack import attacked, temperature

__all__ = ["check_bounded", "check_gain", "check_share"]


def check_bounded(answer: Callable[[Tensor, Tensor, float], Tensor]) -> Verdict:
    """Check (1).

    Args:
        answer: A function of pictures, noise and the bound, to pictures.
    """
    mistakes: list[Mistake] = [
        ("The noise is to be bounded by ε itself.", lambda x, noise, radius: (x + noise).clamp(-1, 1)),
        ("The sum is to be a picture again, within -1 and 1.",
         lambda x, noise, radius: x + noise.clamp(-radius, radius)),
        ("Bound each value, not the length of the whole.",
         lambda x, noise, radius: (x + noise * min(1.0, radius / float(noise.norm()))).clamp(-1, 1)),
        ("Pictures reach down to -1.", lambda x, noise, radius: (x + noise.clamp(-radius, radius)).clamp(0, 1)),
    ]  # fmt: skip
    rng = torch.Generator().manual_seed(0)
    cases = [
        (torch.rand(2, 3, 4, 4, generator=rng) * 2 - 1, torch.randn(2, 3, 4, 4, generator=rng), r) for r in (0.1, 0.5)
    ]
    right = "Where either clamp holds, no gradient comes back."
    return judge(answer, attacked, cases, parts=["the pictures"], right=right, mistakes=mistakes)


def check_share(answer: Callable[[float, float, float], float]) -> Verdict:
    """Check when the schedule reaches a temperature.

    Args:
        answer: A function of τ, the end and the share, to t; the start is 1.
    """

    def truth(tau: float, end: float, share: float) -> float:
        return share * math.log(tau) / math.log(end)

    mistakes: list[Mistake] = [
        ("It falls by equal factors, not by equal steps.", lambda tau, end, share: share * (1 - tau) / (1 - end)),
        ("It is at its end after the share already.", lambda tau, end, share: math.log(tau) / math.log(end)),
        ("The start is 1, whose logarithm is 0.", lambda tau, end, share: share * (1 - math.log(tau) / math.log(end))),
    ]
    cases = [(0.5, 0.07, 0.8), (0.1, 0.05, 1.0)]
    assert all(math.isclose(temperature(truth(*case), 1.0, *case[1:]), case[0]) for case in cases)
    right = "Half of the logarithm takes half of the time."
    return judge(answer, truth, cases, parts=["the share"], right=right, mistakes=mistakes)


def check_gain(answer: Callable[[Tensor, float], tuple[float, float]]) -> Verdict:
    """Check what a bounded noise does to a linear score.

    Args:
        answer: A function of the weights (N,) and ε, to the largest gain and the deviation of random signs' gain.
    """

    def truth(w: Tensor, radius: float) -> tuple[Tensor, Tensor]:
        return radius * w.abs().sum(), radius * w.norm()

    mistakes: list[Mistake] = [
        ("The bound is on each value: a corner of the box is reached, not a point of a ball.",
         lambda w, radius: (radius * w.norm(), radius * w.norm())),
        ("Signs are independent: their variances add up, not their deviations.",
         lambda w, radius: (radius * w.abs().sum(), radius * w.abs().sum())),
        ("That is the variance.", lambda w, radius: (radius * w.abs().sum(), radius**2 * w.square().sum())),
    ]  # fmt: skip
    rng = torch.Generator().manual_seed(0)
    cases = [(torch.randn(n, generator=rng), radius) for n, radius in ((5, 0.1), (200, 0.3))]
    right = "For N weights of a Gaussian the ratio is near the root of 2N/π: it grows with the picture."
    return judge(
        answer,
        truth,
        cases,
        parts=["the largest gain", "the deviation"],
        right=right,
        mistakes=mistakes,
        tolerance=1e-3,
    )
