"""Checks of the exercises in the chapter on C2C; equation numbers are the chapter's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge

__all__ = ["check_count", "check_direction"]

Direction = Callable[[Tensor, Tensor], Tensor]


def check_direction(answer: Direction) -> Verdict:
    """Check the first direction (3) of partial least squares.

    Args:
        answer: A function of scores t (S, p) and s (S, q), not centred, which returns a unit vector (p,); any sign.
    """
    rng = torch.Generator().manual_seed(0)
    cases = [(torch.randn(30, 4, generator=rng) + 1, torch.randn(30, 6, generator=rng) - 2) for _ in range(3)]

    def signed(vector: Tensor) -> Tensor:
        return vector * vector[vector.abs().argmax()].sign()

    def of(make: Callable[[Tensor, Tensor], Tensor]) -> Direction:
        return lambda t, s: signed(make(t - t.mean(0), s - s.mean(0)))

    def left(t: Tensor, s: Tensor) -> Tensor:
        return torch.linalg.svd(t.T @ s).U[:, 0]

    def answered(t: Tensor, s: Tensor) -> Any:
        value = answer(t, s)
        return signed(value) if isinstance(value, Tensor) and value.shape == t.shape[1:] else value

    mistakes: list[Mistake] = [
        ("The scores are not centred: take the mean over people off both.", lambda t, s: signed(left(t, s))),
        ("This is the direction in which $T$ itself is largest: ask the covariance with $S$.",
         of(lambda t, _: torch.linalg.svd(t).Vh[0])),
        ("This is the last singular vector: the strongest comes first.",
         of(lambda t, s: torch.linalg.svd(t.T @ s).U[:, -1])),
        ("The direction is right, but its length is not one.",
         of(lambda t, s: t.T @ s @ torch.linalg.svd(t.T @ s).Vh[0])),
        ("Here the *score* has length one; the exercise asks for a direction of length one.",
         of(lambda t, s: left(t, s) / (t @ left(t, s)).norm())),
    ]  # fmt: skip
    return judge(
        answered,
        of(left),
        cases,
        parts=["the direction"],
        right="No direction of the rest scores has a larger covariance with the task scores.",
        mistakes=mistakes,
        tolerance=1e-4,
    )


def check_count(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check three counts of free numbers, for 780 edges, 100 components and 10 directions.

    Args:
        answer: Entries of the full map, of both bases, and of the two factors of B.
    """
    wrong: list[tuple[str, tuple[int | None, int | None, int | None]]] = [
        ("A map from 780 edges to 780 edges has a coefficient for every pair of edges.", (2 * 780, None, None)),
        ("There are two bases, one for each state.", (None, 780 * 100, None)),
        ("This is the whole of $B$; as a product of two thin matrices it needs fewer.", (None, None, 100 * 100)),
        ("That is one of the two factors of $B$ only.", (None, None, 1000)),
    ]
    return judge(
        lambda: answer,
        lambda: (780**2, 2 * 780 * 100, 2 * 100 * 10),
        [()],
        parts=["the full map", "the bases", "the coefficients"],
        right="What is learned about the relation of the two states is the last and by far the smallest.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in wrong],
        tolerance=0,
    )
