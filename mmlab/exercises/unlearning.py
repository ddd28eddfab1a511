"""Checks of the exercises in the chapter on unlearning; equation numbers are the chapter's."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge
from mmlab.methods.unlearning import npo

__all__ = ["check_fall", "check_npo", "check_push"]


def check_npo(answer: Callable[[Tensor, Tensor, float], Tensor]) -> Verdict:
    """Check the loss of equation (4).

    Args:
        answer: A function of log-likelihoods (N,), those of the reference (N,) and beta, to a number.
    """

    def truth(s: Tensor, reference: Tensor, beta: float) -> Tensor:
        return npo(s, reference, beta).mean()

    mistakes: list[Mistake] = [
        ("The factor 2/β is missing: with it the first step is that of gradient ascent.",
         lambda s, reference, beta: truth(s, reference, beta) * beta / 2),
        ("Secrets are to get less probable: mind the sign of s - reference.",
         lambda s, reference, beta: truth(reference, s, beta)),
        ("Take the mean over the secrets.", lambda s, reference, beta: npo(s, reference, beta).sum()),
        ("exp(500) overflows: use logaddexp or softplus.",
         lambda s, reference, beta: (2 / beta * torch.log(1 + torch.exp(beta * (s - reference)))).mean()),
    ]  # fmt: skip
    rng = torch.Generator().manual_seed(0)
    cases = [(-5 * torch.rand(6, generator=rng), -2 * torch.rand(6, generator=rng), beta) for beta in (0.1, 1.0)]
    cases.append((torch.tensor([0.0, -3.0]), torch.tensor([-500.0, -1.0]), 1.0))
    right = "At the reference it is 2 log 2 / β."
    return judge(answer, truth, cases, parts=["the loss"], right=right, mistakes=mistakes)


def check_push(answer: Callable[[Tensor, float], Tensor]) -> Verdict:
    """Check the weight of NPO's gradient.

    Args:
        answer: A function of the fall d (N,) and beta, to the ratio (N,).
    """

    def truth(d: Tensor, beta: float) -> Tensor:
        return 2 * torch.sigmoid(-beta * d)

    mistakes: list[Mistake] = [
        ("At the reference the ratio is 1: a factor 2 is missing.", lambda d, beta: torch.sigmoid(-beta * d)),
        ("The push fades as the likelihood falls: mind the sign.", lambda d, beta: 2 * torch.sigmoid(beta * d)),
        ("β stands in the exponent.", lambda d, beta: 2 * torch.sigmoid(-d)),
    ]
    cases = [(torch.tensor([0.0, 1.0, 5.0, 20.0]), 0.1), (torch.tensor([0.5, 3.0]), 0.7)]
    right = "After a fall of log(3)/β half of it is left."
    return judge(answer, truth, cases, parts=["the ratio"], right=right, mistakes=mistakes)


def check_fall(answer: Callable[[float, float], float]) -> Verdict:
    """Check how far NPO falls in a time.

    Args:
        answer: A function of the time and beta, to the fall.
    """

    def solved(t: float, beta: float, left: Callable[[float], float], right: float) -> float:
        low, high = 0.0, max(4 * t, 1.0)
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (middle, high) if left(min(beta * middle, 700.0)) < right else (low, middle)
        return low

    def truth(t: float, beta: float) -> float:
        return solved(t, beta, lambda u: u + math.exp(u) - 1, 2 * beta * t)

    mistakes: list[Mistake] = [
        ("This is gradient ascent's fall.", lambda t, beta: t),
        ("u is 0 at the start: the constant of integration is missing.",
         lambda t, beta: solved(t, beta, lambda u: u + math.exp(u), 2 * beta * t)),
        ("Going from d to u brings a factor β to the time.",
         lambda t, beta: solved(t, beta, lambda u: u + math.exp(u) - 1, 2 * t)),
        ("That is how it grows in the end; at a finite time solve the whole equation.",
         lambda t, beta: math.log(2 * beta * t) / beta),
    ]  # fmt: skip
    right = "It grows like log(2βt)/β: ten times the time adds a constant."
    cases = [(3.0, 0.5), (40.0, 0.5), (100.0, 0.1)]
    return judge(answer, truth, cases, parts=["the fall"], right=right, mistakes=mistakes)
