"""Checks of the exercises in the chapter on memes; equation numbers are the chapter's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge

__all__ = ["check_adapted", "check_joined", "check_paired"]


def check_adapted(answer: Callable[[Tensor, Tensor, Tensor, Tensor, float], Tensor]) -> Verdict:
    """Check a linear layer with LoRA, Eq. (1).

    Args:
        answer: A function of the input (N, I), the frozen weight (O, I), A (r, I), B (O, r) and alpha; it returns the
            output, (N, O).
    """

    def scaled(by: Callable[[float, int], float]) -> Callable[..., Tensor]:
        def output(x: Tensor, weight: Tensor, a: Tensor, b: Tensor, alpha: float) -> Tensor:
            return x @ weight.T + by(alpha, len(a)) * x @ a.T @ b.T

        return output

    def change(x: Tensor, weight: Tensor, a: Tensor, b: Tensor, alpha: float) -> Tensor:
        return alpha / len(a) * x @ a.T @ b.T

    def everything(x: Tensor, weight: Tensor, a: Tensor, b: Tensor, alpha: float) -> Tensor:
        return alpha / len(a) * (x @ weight.T + x @ a.T @ b.T)

    def by_inputs(x: Tensor, weight: Tensor, a: Tensor, b: Tensor, alpha: float) -> Tensor:
        return x @ weight.T + alpha / a.shape[1] * x @ a.T @ b.T

    mistakes: list[Mistake] = [
        ("The change is not scaled: it wants the factor $α/r$.", scaled(lambda alpha, r: 1.0)),
        ("The change is scaled by $α$ alone: divide by the rank, the number of rows of $A$.", scaled(lambda v, r: v)),
        ("The factor is upside down: it is $α/r$.", scaled(lambda alpha, r: r / alpha)),
        ("You divided by the root of the rank. There is a variant that does so, but (1) divides by $r$.",
         scaled(lambda alpha, r: alpha / math.sqrt(r))),
        ("You divided by the number of inputs: the rank is the number of *rows* of $A$.", by_inputs),
        ("This is the change alone: the frozen weight is missing.", change),
        ("You scaled the frozen weight, too: only the change gets the factor.", everything),
        ("The change has the wrong sign.", scaled(lambda alpha, r: -alpha / r)),
    ]  # fmt: skip
    rng = torch.Generator().manual_seed(0)

    def case(rank: int, alpha: float) -> tuple[Any, ...]:
        x, weight, a, b = (torch.randn(s, generator=rng) for s in ((5, 6), (4, 6), (rank, 6), (4, rank)))
        return x, weight, a, b, alpha

    return judge(
        answer,
        scaled(lambda alpha, r: alpha / r),
        [case(2, 3.0), case(3, 16.0)],
        parts=["the output"],
        right="And with $B = 0$ it is the frozen layer: a fresh adapter changes nothing.",
        mistakes=mistakes,
    )


def check_joined(answer: Callable[[Tensor, Tensor, Tensor, Tensor, float], tuple[Tensor, Tensor]]) -> Verdict:
    """Check one adapter of rank 2r whose change is a weighted mean of the changes of two of rank r.

    Args:
        answer: A function of A and B of the first, (r, I) and (O, r), those of the second, and the weight of the
            first. It returns A, (2r, I), and B, (O, 2r). Judged is the change that they make.
    """

    def change(a: Tensor, b: Tensor) -> Tensor:
        return b @ a / len(a)  # without alpha, which is the same for all

    def stacked(a1: Tensor, b1: Tensor, a2: Tensor, b2: Tensor, first: float, second: float) -> Tensor:
        return change(torch.cat([a1, a2], 0), torch.cat([first * b1, second * b2], 1))

    def mean_of_matrices(a1: Tensor, b1: Tensor, a2: Tensor, b2: Tensor, strength: float) -> Tensor:
        return change(strength * a1 + (1 - strength) * a2, strength * b1 + (1 - strength) * b2)

    def made(*case: Any) -> Any:
        parts: tuple[Any, Any] = answer(*case)
        return ... if any(part is ... for part in parts) else change(*parts)

    rng = torch.Generator().manual_seed(0)

    def case(rank: int, strength: float) -> tuple[Any, ...]:
        return (*(torch.randn(s, generator=rng) for s in ((rank, 6), (4, rank), (rank, 6), (4, rank))), strength)

    return judge(
        made if callable(answer) else answer,
        lambda a1, b1, a2, b2, s: stacked(a1, b1, a2, b2, 2 * s, 2 * (1 - s)),
        [case(2, 0.3), case(3, 0.8)],
        parts=["the change"],
        right="The change of a sum of adapters is of twice the rank; nothing smaller holds both in general.",
        mistakes=[
            ("The change is half of what it should be: the new rank is 2r, and (1) divides by it.",
             lambda a1, b1, a2, b2, s: stacked(a1, b1, a2, b2, s, 1 - s)),
            (r"$\lambda$ stands in both A and B, so that the change has its square.",
             lambda a1, b1, a2, b2, s: stacked(a1, b1, a2, b2, 2 * s**2, 2 * (1 - s) ** 2)),
            (r"The weights are swapped: $\lambda$ belongs to the first.",
             lambda a1, b1, a2, b2, s: stacked(a1, b1, a2, b2, 2 * (1 - s), 2 * s)),
            (r"Both changes are added in full: the weights $\lambda$ and $1 - \lambda$ are missing.",
             lambda a1, b1, a2, b2, s: stacked(a1, b1, a2, b2, 2.0, 2.0)),
            ("This is the mean of the matrices: its product has terms that mix both adapters.", mean_of_matrices),
        ],
    )  # fmt: skip


def check_paired(answer: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]) -> Verdict:
    """Check the ends of a paired bootstrap interval.

    Args:
        answer: A function of the scores of two systems on the same items, (N,) each, and of the drawn items, (R, N),
            as indices. It returns the 0.025 and the 0.975 quantile of the mean difference, first minus second.
    """

    def ends(gaps: Tensor, tail: float = 0.025) -> tuple[Tensor, Tensor]:
        return torch.quantile(gaps, tail), torch.quantile(gaps, 1 - tail)

    def normal(gaps: Tensor) -> tuple[Tensor, Tensor]:
        return gaps.mean() - 1.96 * gaps.std(), gaps.mean() + 1.96 * gaps.std()

    def truth(a: Tensor, b: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
        return ends((a - b)[draws].mean(1))

    def unpaired(a: Tensor, b: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
        return ends(a[draws].mean(1) - b[draws.flip(0)].mean(1))

    def first_only(a: Tensor, b: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
        return ends(a[draws].mean(1) - b.mean())

    mistakes: list[Mistake] = [
        ("You drew other items for the second system: both must be scored on the *same* draw, or what the items "
         "have in common is counted as noise.", unpaired),
        ("Only the first system is drawn anew; the second must be scored on the same drawn items.", first_only),
        ("The sign is turned: first minus second.", lambda a, b, d: truth(b, a, d)),
        ("The ends are swapped: the lower one first.", lambda a, b, d: truth(a, b, d)[::-1]),
        ("This is the normal interval, mean ± 1.96 standard deviations: take the quantiles of the drawn means.",
         lambda a, b, d: normal((a - b)[d].mean(1))),
        ("This is the spread of single items: take the mean over the items of each draw first.",
         lambda a, b, d: ends(a - b)),
        ("This is the spread of single items: take the mean over the items of each draw first.",
         lambda a, b, d: ends((a - b)[d].flatten())),
        ("You took the mean over the draws for each item: average over the second dimension.",
         lambda a, b, d: ends((a - b)[d].mean(0))),
        ("These are sums over the items, not means.", lambda a, b, d: ends((a - b)[d].sum(1))),
        ("These are the ends of a 90 % interval: cut off 0.025 on each side.",
         lambda a, b, d: ends((a - b)[d].mean(1), 0.05)),
    ]  # fmt: skip
    rng = torch.Generator().manual_seed(0)
    cases = []
    for count in (12, 30):
        shared = torch.randn(count, generator=rng)
        a, b = (shared + 0.4 * torch.randn(count, generator=rng) for _ in range(2))
        cases.append((a + 0.3, b, torch.randint(count, (60, count), generator=rng)))
    return judge(
        answer,
        truth,
        cases,
        parts=["the lower end", "the upper end"],
        right="Pairing takes out what makes an item easy or hard for both systems.",
        mistakes=mistakes,
    )
