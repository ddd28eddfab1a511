"""Checks of the exercises in the chapter on the tangent bridge; equation numbers are the chapter's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge
from mmlab.metrics.correlation_geometry import correlation_of

__all__ = ["check_back", "check_bounds"]

Back = Callable[[Tensor, Tensor], Tensor]


def check_bounds(answer: tuple[Any, Any]) -> Verdict:
    """Check the bounds of a correlation, when both regions correlate with a third one by 0.8.

    Args:
        answer: The smallest and the largest possible value, to within 0.001.
    """
    wrong: list[tuple[str, tuple[float | None, float | None]]] = [
        ("The two are swapped.", (1.0, 0.28)),
        ("Any value between −1 and 1 would be allowed if the third region did not bind them.", (-1.0, None)),
        ("That is what they share through the third region; what is left of each may still be opposed.", (0.64, None)),
        ("Take the unexplained *variance*, 1 − 0.8², not 1 − 0.8.", (0.44, None)),
        ("What is left of each may agree fully; then they are the same signal.", (None, 0.64)),
    ]
    return judge(
        lambda: answer,
        lambda: (0.28, 1.0),
        [()],
        parts=["the smallest correlation", "the largest correlation"],
        right="Outside these bounds the matrix has a negative eigenvalue.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in wrong],
        tolerance=1e-3,
    )


def check_back(answer: Back) -> Verdict:
    """Check the way from the tangent space to the correlation matrices, (3) and (4).

    Args:
        answer: A function of a symmetric (N, N) and a positive definite (N, N), which returns a correlation matrix.
    """
    rng = torch.Generator().manual_seed(0)

    def case() -> tuple[Tensor, Tensor]:
        x, y = torch.randn(2, 4, 4, generator=rng, dtype=torch.float64)
        return (x + x.T) / 8, y @ y.T + torch.eye(4, dtype=torch.float64)

    def root(mean: Tensor) -> Tensor:
        values, axes = torch.linalg.eigh(mean)
        return (axes * values.sqrt()) @ axes.T

    def covariance(logarithm: Tensor, mean: Tensor) -> Tensor:
        return root(mean) @ torch.linalg.matrix_exp(logarithm) @ root(mean)

    def through_cholesky(logarithm: Tensor, mean: Tensor) -> Tensor:
        factor = torch.linalg.cholesky(mean)
        return correlation_of(factor @ torch.linalg.matrix_exp(logarithm) @ factor.T)

    mistakes: list[Mistake] = [
        ("This is the covariance (3): its diagonal is not one yet, see (4).", covariance),
        ("You took the exponential of each entry; the exponential of a *matrix* is meant.",
         lambda v, m: correlation_of(root(m) @ v.exp() @ root(m))),
        ("The root of the mean is missing: the mean itself stands on both sides.",
         lambda v, m: correlation_of(m @ torch.linalg.matrix_exp(v) @ m)),
        ("The mean is missing: this is the exponential at the identity.",
         lambda v, _: correlation_of(torch.linalg.matrix_exp(v))),
        ("Divide by the square roots of the diagonal, not by the diagonal.",
         lambda v, m: covariance(v, m) / covariance(v, m).diagonal()[:, None] / covariance(v, m).diagonal()),
        ("A Cholesky factor is another root; (1) was taken with the symmetric one.", through_cholesky),
    ]  # fmt: skip
    return judge(
        answer,
        lambda v, m: correlation_of(covariance(v, m)),
        [case() for _ in range(3)],
        parts=["the matrix"],
        right="Whatever symmetric matrix you put in, a correlation matrix comes out.",
        mistakes=mistakes,
    )
