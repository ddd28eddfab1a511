"""Checks of the exercises in the chapter on synthetic training data; equation numbers are the chapter's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Verdict, judge

__all__ = ["check_deaf", "check_nearer", "check_worth"]


def check_deaf(answer: float) -> Verdict:
    """Check which share of labels is right by chance if pictures ignore their prompts.

    Args:
        answer: The share.
    """
    return judge(
        lambda: answer,
        lambda: 1 / 5,
        [()],
        parts=["the share"],
        right="Label and picture are independent, so it is the sum of the squared shares.",
        mistakes=[
            ("That holds for six classes of equal frequency.", lambda: 1 / 6),
            ("This is the share of the most frequent class: the constant answer.", lambda: 1 / 3),
            ("There are five places, not one.", lambda: (1 / 3) ** 2 + (2 / 15) ** 2),
            ("Both must show no polyp, or both the same place: square the shares.", lambda: 1.0),
        ],
        tolerance=1e-4,
    )


def check_nearer(answer: Callable[[Tensor, Tensor, Tensor], Any]) -> Verdict:
    """Check the test (2): which share of samples is nearer to the training pictures than to as many others.

    Args:
        answer: A function of three sets of features that returns a number.
    """
    rng = torch.Generator().manual_seed(0)
    a, b, c = (torch.randn(n, 3, generator=rng) for n in (7, 5, 5))
    cases = [(a, b, c), (a, torch.cat([b, a[:2]]), torch.cat([c, a[1:3]])), (b, b, c)]

    def gaps(x: Tensor, trained: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        return torch.cdist(x, trained).amin(1), torch.cdist(x, others).amin(1)

    def share(near: Tensor, far: Tensor, tie: float = 0.5) -> float:
        return float(((near < far).double() + tie * (near == far).double()).mean())

    def by_mean(x: Tensor, trained: Tensor, others: Tensor) -> float:
        return share(torch.cdist(x, trained).mean(1), torch.cdist(x, others).mean(1))

    return judge(
        answer,
        lambda x, trained, others: share(*gaps(x, trained, others)),
        cases,
        parts=["the share"],
        right="Its chance level is a half, whatever the features are.",
        mistakes=[
            ("This is the share that is nearer to the others.", lambda x, t, o: share(*gaps(x, o, t))),
            ("A tie counts half.", lambda x, t, o: share(*gaps(x, t, o), tie=0.0)),
            ("A tie counts half, not whole.", lambda x, t, o: share(*gaps(x, t, o), tie=1.0)),
            ("The nearest one counts, not the mean distance.", by_mean),
        ],
    )


def check_worth(answer: Callable[[float, int], float]) -> Verdict:
    """Check how many noisy labels are worth one right one.

    Args:
        answer: A function of the probability of an error and the number of classes.
    """

    def kept(epsilon: float, classes: int) -> float:
        return 1 - epsilon * classes / (classes - 1)

    return judge(
        answer,
        lambda epsilon, classes: kept(epsilon, classes) ** -2,
        [(0.1, 6), (0.3, 2), (0.2, 10)],
        parts=["the number"],
        right="With two classes and a third of the labels wrong it is nine.",
        mistakes=[
            ("Information goes with the square of the derivative.", lambda e, k: 1 / kept(e, k)),
            ("This is what a noisy label is worth, not how many are needed.", lambda e, k: kept(e, k) ** 2),
            ("A wrong label is spread over the K - 1 other classes: look at (1).", lambda e, k: (1 - e) ** -2),
            ("λ is 1 - ε K / (K - 1), for any number of classes.", lambda e, k: (1 - 2 * e) ** -2),
        ],
    )
