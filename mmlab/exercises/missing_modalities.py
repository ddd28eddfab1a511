"""Checks of the exercises in the chapter on missing modalities; equation numbers are the chapter's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Verdict, judge

__all__ = ["check_excess", "check_fill", "check_gap"]


def check_excess(answer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Verdict:
    """Check what a zero in place of the guess adds to the mean squared error of a linear score.

    Args:
        answer: A function of the weights w of the missing modality (B,), of W (B, A), which makes the guess, and of the
            covariance of what is seen, (A, A); it returns a number.
    """
    rng = torch.Generator().manual_seed(1)
    cases = []
    for a, b in ((3, 2), (2, 4)):
        root = torch.randn(a, a, generator=rng)
        cases.append((torch.randn(b, generator=rng), torch.randn(b, a, generator=rng), root @ root.T))
    return judge(
        answer,
        lambda w, guess, cov: w @ guess @ cov @ guess.T @ w,
        cases,
        parts=["the excess"],
        right="It is the variance of what the guess contributes to the score.",
        mistakes=[
            ("What is seen has a covariance, and need not be white.", lambda w, guess, cov: (w @ guess).square().sum()),
            ("This is a standard deviation: the error is squared.",
             lambda w, guess, cov: (w @ guess @ cov @ guess.T @ w).sqrt()),
            ("This is the variance of the guess itself: it enters the score by its weights.",
             lambda w, guess, cov: (guess @ cov @ guess.T).trace()),
        ],
        tolerance=1e-3,
    )  # fmt: skip


def check_fill(answer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Verdict:
    """Check the guess of (1) by least squares with a constant.

    Args:
        answer: A function of what is seen of the training people, (N, A), what is wanted of them, (N, B), and what is
            seen of others, (K, A); it returns the guess (K, B).
    """
    rng = torch.Generator().manual_seed(0)
    cases = []
    for n, a, b, k in ((30, 3, 2, 5), (40, 2, 4, 3)):
        seen = torch.randn(n, a, generator=rng) + 2
        wanted = seen @ torch.randn(a, b, generator=rng) + 1 + 0.5 * torch.randn(n, b, generator=rng)
        cases.append((seen, wanted, torch.randn(k, a, generator=rng) - 1))

    def without_constant(seen: Tensor, wanted: Tensor, fresh: Tensor) -> Tensor:
        return fresh @ torch.linalg.lstsq(seen, wanted).solution

    def own_centre(seen: Tensor, wanted: Tensor, fresh: Tensor) -> Tensor:
        weights = torch.linalg.lstsq(seen - seen.mean(0), wanted - wanted.mean(0)).solution
        return wanted.mean(0) + (fresh - fresh.mean(0)) @ weights

    def no_mean(seen: Tensor, wanted: Tensor, fresh: Tensor) -> Tensor:
        weights = torch.linalg.lstsq(seen - seen.mean(0), wanted - wanted.mean(0)).solution
        return (fresh - seen.mean(0)) @ weights

    return judge(
        answer,
        lambda *case: own_centre(*case) + (case[2].mean(0) - case[0].mean(0)) @ _weights(*case[:2]),
        cases,
        parts=["the guess"],
        right="This is the best linear guess, and by (5) a linear score loses nothing by it.",
        mistakes=[
            ("The constant is missing: a line through the origin is another one.", without_constant),
            ("The fresh people were centred by their own mean: it belongs to the test, and is not known.", own_centre),
            ("The mean of what is wanted was taken away and never added again.", no_mean),
            ("This is the mean of what is wanted, whatever is seen.", lambda s, w, f: w.mean(0).expand(len(f), -1)),
            ("This is a zero for everybody.", lambda s, w, f: torch.zeros(len(f), w.shape[1])),
        ],
        tolerance=1e-3,
    )


def _weights(seen: Tensor, wanted: Tensor) -> Tensor:
    return torch.linalg.lstsq(seen - seen.mean(0), wanted - wanted.mean(0)).solution


def check_gap(answer: tuple[Any, Any]) -> Verdict:
    """Check what a missing scan says of a patient, and how often the gap alone is right.

    Args:
        answer: The share of ill among those without a scan, and how often the best guess from the gap is right.
    """
    mistakes: list[tuple[str, tuple[float | None, float | None]]] = [
        ("That is how often the ill lack a scan: turn it round with Bayes' rule.", (0.25, None)),
        ("That is the share of all patients who are ill and lack a scan: divide by all who lack one.", (0.05, None)),
        ("That is the share of ill among those *with* a scan.", (3 / 7, None)),
        ("The gap was taken for the diagnosis: with a scan, too, healthy is the likelier answer.", (None, 0.75)),
        ("Ill was guessed where the scan is missing.", (None, 0.25)),
    ]
    return judge(
        lambda: answer,
        lambda: (1 / 13, 0.8),
        [()],
        parts=["the share of ill", "how often the guess is right"],
        right="The gap changes what is likely, and not what is likeliest.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
        tolerance=1e-4,
    )
