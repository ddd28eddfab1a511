"""Checks of the exercises in the chapter on Schrödinger bridges; equation numbers are the chapter's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge

__all__ = ["check_limits", "check_plan_correlation", "check_sinkhorn"]


def check_sinkhorn(answer: Callable[[Tensor, float, int], Tensor]) -> Verdict:
    """Check Sinkhorn's algorithm.

    Args:
        answer: A function of the costs (B, B), ε and the number of rounds. It returns the plan (B, B).
    """
    truth = _sinkhorn()
    mistakes: list[Mistake] = [
        ("The kernel grows with the cost: it is $e^{-C/ε}$, with a minus.", _sinkhorn(sign=1.0)),
        ("The kernel does not know ε: divide the cost by it.", _sinkhorn(divide=False)),
        ("The plan sums to B: rows and columns have to sum to $1/B$.", _sinkhorn(total=1.0, power=0)),
        ("Only the rows are right: after $a$, choose $b$ for the columns.", _sinkhorn(columns=False)),
        (
            "You began with the columns: first $a$ for the rows, then $b$, so that the columns are right at the end.",
            _sinkhorn(rows_first=False),
        ),
        ("The columns are scaled by row sums: use the transpose of the kernel for $b$.", _sinkhorn(transpose=False)),
        ("One round is not enough: repeat.", _sinkhorn(rounds_done=1)),
        ("The kernel itself is returned, without $a$ and $b$.", _sinkhorn(scale=False)),
    ]
    rng = torch.Generator().manual_seed(0)
    cases = [
        (torch.rand(5, 5, generator=rng, dtype=torch.float64), 0.3, 40),
        (2 * torch.rand(4, 4, generator=rng, dtype=torch.float64), 0.8, 3),
    ]
    return judge(
        answer,
        truth,
        cases,
        parts=["the plan"],
        right="Rows and columns sum to $1/B$, and short ways are preferred.",
        mistakes=mistakes,
        tolerance=1e-6,
    )


def _sinkhorn(
    *,
    sign: float = -1.0,
    divide: bool = True,
    total: float = 1.0,
    power: int = 1,
    columns: bool = True,
    rows_first: bool = True,
    transpose: bool = True,
    rounds_done: int | None = None,
    scale: bool = True,
) -> Callable[[Tensor, float, int], Tensor]:
    """Sinkhorn's algorithm, right or with one mistake."""

    def plan(cost: Tensor, epsilon: float, rounds: int) -> Tensor:
        kernel = torch.exp(sign * cost / (epsilon if divide else 1.0))
        share = total / len(cost) ** power
        a = b = torch.ones(len(cost), dtype=cost.dtype)
        for _ in range(rounds_done or rounds):
            if rows_first:
                a = share / (kernel @ b)
            if columns:
                b = share / ((kernel.T if transpose else kernel) @ a)
            if not rows_first:
                a = share / (kernel @ b)
        return a[:, None] * kernel * b if scale else kernel

    return plan


def check_limits(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check the correlation of the Schrödinger bridge between N(0, 1) ends for σ = ½, 1 and 2.

    Args:
        answer: The three numbers, to within 0.001.
    """

    def solved(variance: Callable[[float], float]) -> tuple[float, ...]:
        return tuple((-variance(s) + (variance(s) ** 2 + 4) ** 0.5) / 2 for s in (0.5, 1.0, 2.0))

    right = solved(lambda sigma: sigma**2)
    mistakes: list[tuple[str, tuple[float, ...]]] = [
        ("There is σ where σ² belongs.", solved(lambda sigma: sigma)),
        ("Rounded to two decimals; give three at least.", tuple(round(c, 2) for c in right)),
        ("The order is reversed, or there is 1/σ where σ belongs: the correlation falls as σ grows.", right[::-1]),
        ("This is the other root of the quadratic: a correlation lies between -1 and 1.", tuple(-1 / c for c in right)),
        ("The sign is wrong: the reference pulls the ends together.", tuple(-c for c in right)),
        ("This is ε = 2σ² in the place of σ².", solved(lambda sigma: 2 * sigma**2)),
        ("These are the correlations of free diffusion from $x_0$, which does not end as $\\mathcal N(0, 1)$.",
         tuple((1 + s**2) ** -0.5 for s in (0.5, 1.0, 2.0))),
    ]  # fmt: skip
    return judge(
        lambda: answer,
        lambda: right,
        [()],
        parts=["the correlation for σ = ½", "the correlation for σ = 1", "the correlation for σ = 2"],
        right="Less noise, tighter pairs.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
        tolerance=1e-3,
    )


def check_plan_correlation(answer: Callable[[float], Any]) -> Verdict:
    """Check the correlation of the entropic transport plan between N(0, 1) ends.

    Args:
        answer: A function of ε that returns the correlation.
    """

    def solved(variance: float) -> float:
        return (-variance + (variance**2 + 4) ** 0.5) / 2

    mistakes: list[Mistake] = [
        ("You took ε for σ²: by (3), $σ^2 = ε/2$.", lambda epsilon: solved(epsilon)),
        ("(3) is the other way round: σ² is *half* of ε.", lambda epsilon: solved(2 * epsilon)),
        ("There is σ where σ² belongs.", lambda epsilon: solved((epsilon / 2) ** 0.5)),
        ("This is the other root of the quadratic: a correlation lies between -1 and 1.",
         lambda epsilon: -1 / solved(epsilon / 2)),
        ("The sign is wrong: the plan prefers near partners.", lambda epsilon: -solved(epsilon / 2)),
        ("This is free diffusion, whose end is not $\\mathcal N(0, 1)$.", lambda epsilon: (1 + epsilon / 2) ** -0.5),
    ]  # fmt: skip
    return judge(
        answer,
        lambda epsilon: solved(epsilon / 2),
        [(0.3,), (1.0,), (4.0,)],
        parts=["the correlation"],
        right="With $ε = σ^2$ it is the bridge of a diffusion with half the variance.",
        mistakes=mistakes,
    )
