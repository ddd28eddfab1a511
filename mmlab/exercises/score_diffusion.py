"""Checks of the exercises in the chapter on score diffusion; equation numbers are the chapter's."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge

__all__ = ["check_convert", "check_score"]

LEVELS = [(0.95, 0.31), (0.6, 0.8), (0.1, 0.995)]


def check_score(answer: Callable[..., Tensor]) -> Verdict:
    """Check the score of a blurred Gaussian.

    Args:
        answer: A function of x (B,), the mean m, the variance v, alpha and sigma, which returns the score (B,).
    """
    x = torch.linspace(-2, 2, 5)
    mistakes: list[Mistake] = [
        ("The sign is turned: the score points to where data are likely.",
         lambda x, m, v, a, s: (x - a * m) / (a**2 * v + s**2)),
        ("The mean has not shrunk with the data: it is $\\alpha m$ at this time.",
         lambda x, m, v, a, s: (m - x) / (a**2 * v + s**2)),
        ("That is the score given one clean sample $m$: the data have a variance of their own.",
         lambda x, m, v, a, s: (a * m - x) / s**2),
        ("The variance of the data shrinks by $\\alpha^2$, not by $\\alpha$.",
         lambda x, m, v, a, s: (a * m - x) / (a * v + s**2)),
        ("The variance of the data has not shrunk: it is $\\alpha^2 v$.",
         lambda x, m, v, a, s: (a * m - x) / (v + s**2)),
        ("Variances add, standard deviations do not: square σ.", lambda x, m, v, a, s: (a * m - x) / (a**2 * v + s)),
        ("Divide by the variance, not by its square root.",
         lambda x, m, v, a, s: (a * m - x) / (a**2 * v + s**2) ** 0.5),
    ]  # fmt: skip
    return judge(
        answer,
        lambda x, m, v, a, s: (a * m - x) / (a**2 * v + s**2),
        [(x, 0.7, 0.3, alpha, sigma) for alpha, sigma in LEVELS],
        parts=["the score"],
        right="A straight line through zero at the blurred mean.",
        mistakes=mistakes,
        tolerance=1e-4,
    )


def check_convert(answer: Callable[..., tuple[Tensor, Tensor]]) -> Verdict:
    """Check what a predicted noise says about the clean sample and the score.

    Args:
        answer: A function of the state x and the noise, both (B,), alpha and sigma; it returns the clean sample, (B,),
            and the score, (B,).
    """
    x, noise = torch.randn(2, 5, generator=torch.Generator().manual_seed(0))
    mistakes: list[Mistake] = [
        ("The two are swapped: first the clean sample, then the score.",
         lambda x, e, a, s: (-e / s, (x - s * e) / a)),
        ("The clean sample is not divided by $\\alpha$.", lambda x, e, a, s: (x - s * e, -e / s)),
        ("The noise in (1) has the weight σ.", lambda x, e, a, s: ((x - e) / a, -e / s)),
        ("The score points against the noise: mind the sign.", lambda x, e, a, s: ((x - s * e) / a, e / s)),
        ("The score is $-\\hat\\varepsilon/\\sigma$: one σ cancels.", lambda x, e, a, s: ((x - s * e) / a, -e / s**2)),
        ("The score must be divided by σ.", lambda x, e, a, s: ((x - s * e) / a, -e)),
    ]  # fmt: skip
    return judge(
        answer,
        lambda x, e, a, s: ((x - s * e) / a, -e / s),
        [(x, noise, alpha, sigma) for alpha, sigma in LEVELS],
        parts=["the clean sample", "the score"],
        right="The score is the noise, turned round and divided by its level.",
        mistakes=mistakes,
        tolerance=1e-4,
    )
