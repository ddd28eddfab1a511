"""Checks of the exercises in the chapter on memes; equation numbers are the chapter's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge

__all__ = ["check_adapted", "check_cost", "check_paired"]

LAYERS, WIDTH, INNER, RANK, ALL = 32, 2560, 10240, 128, 3_217_417_280
"""Phi-2's layers, its width and that of its MLP; the rank of TinyLLaVA's recipe; the values of the whole model."""


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


def check_cost(answer: tuple[Any, Any]) -> Verdict:
    """Check how many values LoRA of rank 128 adds to Phi-2, and what percentage of TinyLLaVA's values that is.

    Args:
        answer: The two numbers, in this order; the percentage to within a relative error of a ten-thousandth.
    """

    def layer(attention: int = 4, mlp: int = 2, rank: int = RANK) -> float:
        return rank * (attention * 2 * WIDTH + mlp * (WIDTH + INNER))

    full = LAYERS * (4 * WIDTH * WIDTH + 2 * WIDTH * INNER)
    right = LAYERS * layer()
    wrong: list[tuple[str, float]] = [
        ("That is one layer of 32.", layer()),
        ("Those are the attention's four layers alone: fc1 and fc2 get adapters, too.", LAYERS * layer(mlp=0)),
        ("Those are fc1 and fc2 alone: q, k, v and dense get adapters, too.", LAYERS * layer(attention=0)),
        ("You forgot fc2: each layer has two matrices beside the attention's.",
         LAYERS * layer(mlp=1)),
        ("You counted three projections: the fourth is the attention's output, called dense.",
         LAYERS * layer(attention=3)),
        ("You counted q and v alone, where the LoRA paper put its adapters.", LAYERS * layer(attention=2, mlp=0)),
        ("Those are the matrices that stay frozen: each gets an A with 128 rows and a B with 128 columns.",
         float(full)),
        ("You counted A and forgot B, or took A and B to be of the same size: A has 128 × inputs values, B outputs × "
         "128.", LAYERS * RANK * (4 * WIDTH + WIDTH + INNER)),
    ]  # fmt: skip
    mistakes: list[Mistake] = [(f"The number is off. {text}", lambda n=n: (n, None)) for text, n in wrong]
    mistakes += [
        *((f"The percentage is rounded to {digits} decimals: give the whole quotient, as Python has it.",
           lambda digits=digits: (None, round(100 * right / ALL, digits))) for digits in (0, 1, 2, 3)),
        ("The share is a fraction: give it in per cent.", lambda: (None, right / ALL)),
        ("The share is that of the matrices that are adapted: divide by all values of TinyLLaVA.",
         lambda: (None, 100 * right / full)),
        ("The share is that of the model with its adapter: divide by the values of the model alone.",
         lambda: (None, 100 * right / (ALL + right))),
    ]  # fmt: skip
    return judge(
        lambda: answer,
        lambda: (float(right), 100 * right / ALL),
        [()],
        parts=["the number of values", "the percentage"],
        right="That many for a few thousand memes. How much rank is needed has to be measured.",
        mistakes=mistakes,
    )


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
