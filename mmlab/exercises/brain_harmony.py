"""Checks of the exercises in the chapter on Brain Harmony; equation numbers are the chapter's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge
from mmlab.methods.brain_harmony import resize_matrix

__all__ = ["check_kernel", "check_samples"]


def check_kernel(answer: Callable[[Tensor, Tensor], Tensor]) -> Verdict:
    """Check the resized kernels (2).

    Args:
        answer: A function of kernels (D, p) and the matrix M (p', p), to kernels (D, p').
    """

    def truth(kernel: Tensor, matrix: Tensor) -> Tensor:
        return kernel @ torch.linalg.pinv(matrix)

    def transposed(kernel: Tensor, matrix: Tensor) -> Tensor:
        return kernel @ matrix.T

    def scaled(kernel: Tensor, matrix: Tensor) -> Tensor:
        return kernel @ matrix.T * (matrix.shape[1] / matrix.shape[0])

    def backwards(kernel: Tensor, matrix: Tensor) -> Tensor:
        return truth(kernel, matrix).T

    mistakes: list[Mistake] = [
        ("This resizes the kernel like a signal: use the pseudo-inverse of M.", transposed),
        ("This is the stretched kernel: use the pseudo-inverse of M.", scaled),
        ("Kernels stand in rows: the result is (D, p').", backwards),
    ]
    rng = torch.Generator().manual_seed(0)
    cases = [(torch.randn(3, old, generator=rng), resize_matrix(old, new)) for old, new in ((6, 9), (6, 4), (5, 10))]
    return judge(
        answer,
        truth,
        cases,
        parts=["the kernels"],
        right="Where patches are stretched the answers are exactly the old ones.",
        mistakes=mistakes,
    )


def check_samples(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check samples in a patch of 35.28 s at two repetition times, and a frequency that is seen wrongly.

    Args:
        answer: Samples at 0.735 s and at 1.47 s, and the frequency in Hz.
    """
    mistakes: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("Divide the duration by the repetition time.", (35.28 * 0.735, None, None)),
        ("A slower scanner takes fewer samples in the same time.", (None, 96.0, None)),
        ("The number changes with the repetition time: the duration is what stays.", (None, 48.0, None)),
        ("The samples are farther apart than believed: the wave seems faster, not slower.", (None, None, 0.015)),
        ("A rhythm that is read with the wrong clock is not at its own frequency.", (None, None, 0.03)),
    ]
    return judge(
        lambda: answer,
        lambda: (35.28 / 0.735, 35.28 / 1.47, 0.06),
        [()],
        parts=["the usual number", "the number of the slower scanner", "the frequency"],
        right="That is close to the next rhythm, for which it would be taken.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
    )
