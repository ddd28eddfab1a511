"""Checks of the exercises in the chapter on model merging; equation numbers are the chapter's."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge
from mmlab.methods.merging import ties

__all__ = ["check_adapters", "check_ridge", "check_ties"]


def check_ties(answer: Callable[[Tensor, float], Tensor]) -> Verdict:
    """Check the rule of equation (2).

    Args:
        answer: A function of task vectors (N, m, n) and the share that is kept, to a matrix (m, n).
    """

    def truth(t: Tensor, keep: float) -> Tensor:
        return ties(t, keep=keep)

    def kept(t: Tensor, keep: float) -> Tensor:
        least = t.flatten(1).abs().sort(descending=True).values[:, int(keep * t[0].numel()) - 1]
        return t * (t.abs() >= least[:, None, None])

    def over_all(t: Tensor, keep: float) -> Tensor:
        t = kept(t, keep)
        return t * (t.sign() == t.sum(0).sign())

    def by_votes(t: Tensor, keep: float) -> Tensor:
        t = kept(t, keep)
        agree = (t.sign() == t.sign().sum(0).sign()) & (t != 0)
        return (t * agree).sum(0) / agree.sum(0).clamp(min=1)

    mistakes: list[Mistake] = [
        ("Trim first: only the largest values of each task vector are kept.", lambda t, keep: ties(t, keep=1.0)),
        ("Average over those that agree, not over all N.", lambda t, keep: over_all(t, keep).mean(0)),
        ("Those that agree are averaged, not added.", lambda t, keep: over_all(t, keep).sum(0)),
        ("The sign is that of the sum of the values: a large value outvotes two small ones.", by_votes),
        ("Values whose sign lost the election are left out.",
         lambda t, keep: kept(t, keep).sum(0) / (kept(t, keep) != 0).sum(0).clamp(min=1)),
    ]  # fmt: skip
    rng = torch.Generator().manual_seed(0)
    cases = [(torch.randn(n, 5, 8, generator=rng), keep) for n, keep in ((3, 0.5), (4, 0.3))]
    return judge(answer, truth, cases, parts=["T"], right="Where nobody was kept, T is 0.", mistakes=mistakes)


def check_adapters(answer: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> Verdict:
    """Check the error of averaging the factors of two adapters.

    Args:
        answer: A function of B1 (m, r), A1 (r, n), B2 (m, r) and A2 (r, n), to a number.
    """

    def truth(B1: Tensor, A1: Tensor, B2: Tensor, A2: Tensor, *, times: float = 1.0, alone: bool = False) -> Tensor:
        wanted = (B1 @ A1 + B2 @ A2) / 2
        got = times * (B1 + B2) @ (A1 + A2) / 4
        return (got - wanted).norm() / (got if alone else wanted).norm()

    mistakes: list[Mistake] = [
        ("Both factors are halved: their product is a quarter of the product of the sums.",
         lambda *given: truth(*given, times=2.0)),
        ("Divide by the norm of the average of the updates.", lambda *given: truth(*given, alone=True)),
        ("Divide the norm of the difference by that of the average of the updates.",
         lambda B1, A1, B2, A2: ((B1 + B2) @ (A1 + A2) / 4 - (B1 @ A1 + B2 @ A2) / 2).norm()),
    ]  # fmt: skip
    rng = torch.Generator().manual_seed(0)
    cases = [tuple(torch.randn(shape, generator=rng) for shape in ((6, r), (r, 8), (6, r), (r, 8))) for r in (1, 3)]
    return judge(
        answer,
        truth,
        cases,
        parts=["the error"],
        right="The error is about as large as the update itself: merge products, not factors.",
        mistakes=mistakes,
    )


def check_ridge(answer: Callable[[Tensor, float], Tensor]) -> Verdict:
    """Check the minimum of (6) with a price for leaving the sum.

    Args:
        answer: A function of task vectors (N, m, n) and rho, to a matrix (m, n).
    """

    def truth(t: Tensor, rho: float, *, towards: float = 1.0, shared: bool = True) -> Tensor:
        n = t.square().sum((1, 2))[:, None, None] if shared else 1.0
        C, D = (t.mT @ t / n).sum(0), (t @ t.mT @ t / n).sum(0)
        made: Tensor = torch.linalg.solve(C + rho * torch.eye(C.shape[0]), D + towards * rho * t.sum(0), left=False)
        return made

    mistakes: list[Mistake] = [
        ("The price is for leaving the sum, not for the size of T: ρ Σ t stands on the right side, too.",
         lambda t, rho: truth(t, rho, towards=0.0)),
        ("It is the sum that one leaves, not the mean.", lambda t, rho: truth(t, rho, towards=1 / len(t))),
        ("Each expert's part of (6) is divided by its squared norm.", lambda t, rho: truth(t, rho, shared=False)),
    ]  # fmt: skip
    rng = torch.Generator().manual_seed(0)
    cases = [(torch.randn(3, 4, 6, generator=rng), rho) for rho in (0.1, 1.0)]
    return judge(
        answer,
        truth,
        cases,
        parts=["T"],
        right="Directions are followed by the share μ/(μ + ρ): a filter with a soft edge.",
        mistakes=mistakes,
    )
