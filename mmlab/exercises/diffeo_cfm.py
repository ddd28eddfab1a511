"""Checks of the exercises in the chapter on DiffeoCFM; equation numbers are the chapter's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge

__all__ = ["check_back", "check_half", "check_wide"]

Back = Callable[[Tensor], Tensor]
Wide = Callable[[float, float], tuple[Any, Any]]


def check_half(answer: Any) -> Verdict:
    """Check the correlation half-way between 0.6 and -0.8.

    Args:
        answer: The correlation, to within 0.001.
    """
    first, second = 0.6 / 0.8, -0.8 / 0.6
    middle = (first + second) / 2
    wrong = [
        ("This is the mean of the correlations, half-way without any geometry.", -0.1),
        ("This is the mean of the coordinates; map it back with (2).", middle),
        ("This is half-way in Fisher's z, another coordinate; (1) is r/√(1 - r²).", -0.2),
        ("Mind the sign of the second correlation.", (first - second) / 2 / (1 + ((first - second) / 2) ** 2) ** 0.5),
    ]
    return judge(
        lambda: answer,
        lambda: middle / (1 + middle**2) ** 0.5,
        [()],
        parts=["the correlation"],
        right="The coordinates are 0.75 and −1.33, whose mean lies on the side of the larger one.",
        mistakes=[(sentence, lambda value=value: value) for sentence, value in wrong],
        tolerance=1e-3,
    )


def check_back(answer: Back) -> Verdict:
    """Check the way from coordinates to correlations, (2).

    Args:
        answer: A function of a strictly lower triangular matrix (N, N), which returns a correlation matrix.
    """
    rng = torch.Generator().manual_seed(0)
    cases = [(torch.randn(4, 4, generator=rng, dtype=torch.float64).tril(-1),) for _ in range(3)]

    def triangle(below: Tensor) -> Tensor:
        return below + torch.eye(len(below), dtype=below.dtype)

    def right(below: Tensor) -> Tensor:
        unit = triangle(below) / triangle(below).norm(dim=1, keepdim=True)
        return unit @ unit.T

    def wrong_side(below: Tensor) -> Tensor:
        unit = triangle(below) / triangle(below).norm(dim=0, keepdim=True)
        return unit @ unit.T

    mistakes: list[Mistake] = [
        ("The rows are not unit vectors yet: this is a covariance.", lambda b: triangle(b) @ triangle(b).T),
        ("Ones are missing on the diagonal of the triangle.",
         lambda b: (b / b.norm(dim=1, keepdim=True)).nan_to_num() @ (b / b.norm(dim=1, keepdim=True)).nan_to_num().T),
        ("Divide each *row* by its length, not each column.", wrong_side),
        ("The factors stand in the other order: U Uᵀ, not Uᵀ U.",
         lambda b: (triangle(b) / triangle(b).norm(dim=1, keepdim=True)).T
         @ (triangle(b) / triangle(b).norm(dim=1, keepdim=True))),
    ]  # fmt: skip
    return judge(
        answer,
        right,
        cases,
        parts=["the matrix"],
        right="Whatever stands below the diagonal, a correlation matrix comes out.",
        mistakes=mistakes,
    )


def check_wide(answer: Wide) -> Verdict:
    """Check slope and factor of the exact flow from a prior that is too wide.

    Args:
        answer: A function of t and k, which returns slope and factor.
    """

    def slope(t: float, k: float) -> float:
        return (t - (1 - t) * k**2) / ((1 - t) ** 2 * k**2 + t**2)

    mistakes: list[Mistake] = [
        ("The slope is (8), that of a prior of the right width.",
         lambda t, k: ((2 * t - 1) / ((1 - t) ** 2 + t**2), 1 / k)),
        ("The factor is upside down: the flow must make the prior narrower.", lambda t, k: (slope(t, k), k)),
        ("The flow carries standard deviations, not variances.", lambda t, k: (slope(t, k), 1 / k**2)),
        ("The prior's variance is k², not k.",
         lambda t, k: ((t - (1 - t) * k) / ((1 - t) ** 2 * k + t**2), 1 / k)),
        ("The sign is turned: z1 - z0, not z0 - z1.", lambda t, k: (-slope(t, k), 1 / k)),
    ]  # fmt: skip
    return judge(
        answer,
        lambda t, k: (slope(t, k), 1 / k),
        [(0.3, 2.0), (0.8, 3.0), (0.5, 0.5)],
        parts=["the slope", "the factor"],
        right="The slope is the derivative of the logarithm of the state's size, so that the flow divides by k.",
        mistakes=mistakes,
    )
