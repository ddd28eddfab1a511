"""Checks of the exercises in the chapter on the broken scoreboard; equation numbers are the chapter's."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mmlab.exercises.verdict import Verdict, judge

__all__ = ["check_bracket", "check_share", "check_sure"]


def check_bracket(answer: Callable[[Tensor], Tensor]) -> Verdict:
    """Check the bracket of (5): what the bias of the Fréchet distance grows with.

    Args:
        answer: A function of the eigenvalues (D,) of the covariance that returns a number.
    """
    cases = [(torch.ones(5),), (torch.tensor([2.0, 0.5, 1.0]),), (torch.tensor([3.0]),)]

    def halves(v: Tensor) -> Tensor:
        return v[:, None] * v / (v[:, None] + v)

    return judge(
        answer,
        lambda v: v.sum() + (halves(v).sum() + halves(v).diagonal().sum()) / 2,
        cases,
        parts=["the bracket"],
        right="For equal eigenvalues of one it is d + d (d + 1) / 4.",
        mistakes=[
            ("The diagonal counts twice: a sample variance has the variance 2 λ² / n.",
             lambda v: v.sum() + halves(v).sum() / 2),
            ("The means are missing.", lambda v: (halves(v).sum() + halves(v).diagonal().sum()) / 2),
            ("The covariances are missing.", lambda v: v.sum()),
            ("The factor ½ of the cost is missing.", lambda v: v.sum() + halves(v).sum() + halves(v).diagonal().sum()),
        ],
    )  # fmt: skip


def check_share(answer: float) -> Verdict:
    """Check which share of a picture of 576 x 720 pixels fills a square of 299.

    Args:
        answer: The share.
    """
    return judge(
        lambda: answer,
        lambda: 299 * 299 / (576 * 720),
        [()],
        parts=["the share"],
        right="It is about the upper fifth of each picture.",
        mistakes=[
            ("This is the share of the width, not of the numbers.", lambda: 299 / 720),
            ("This is the share of the height, not of the numbers.", lambda: 299 / 576),
            ("Both have three colours: they cancel.", lambda: 299 * 299 / (3 * 576 * 720)),
            ("Give it as a share, not in percent.", lambda: 100 * 299 * 299 / (576 * 720)),
        ],
        tolerance=1e-3,
    )


def check_sure(answer: float) -> Verdict:
    """Check the Fréchet distance of sure probabilities: two classes equally often, against always the first.

    Args:
        answer: The distance.
    """
    return judge(
        lambda: answer,
        lambda: 1.0,
        [()],
        parts=["the distance"],
        right="So half of the bound (4) is reached by a generator that shows one of two classes.",
        mistakes=[
            ("This is the part of the means; the real probabilities also vary.", lambda: 0.5),
            ("This is the bound: it takes two different classes on the two sides.", lambda: 2.0),
            ("The variance of a fair coin of 0 and 1 is a quarter, for each entry.", lambda: 0.75),
        ],
    )
