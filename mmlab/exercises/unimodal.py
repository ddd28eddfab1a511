"""Checks of the exercises in the chapter on one modality."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Verdict, judge
from mmlab.metrics.classification import temper

__all__ = ["check_coins", "check_tempered", "check_witnesses"]

_BEST = 0.5931
"""Mean of the largest of twenty binomial shares of 100 with probability one half, by summing its distribution."""


def check_tempered(answer: Callable[[Tensor, float], Tensor]) -> Verdict:
    """Check probabilities that are raised to the power 1/T and normalised again.

    Args:
        answer: A function of probabilities (N, K) and a temperature above zero, which returns probabilities (N, K).
    """
    rng = torch.Generator().manual_seed(0)
    rows = [(6 * torch.randn(4, 5, generator=rng)).softmax(1) for _ in range(3)]
    return judge(
        answer,
        temper,
        list(zip(rows, (0.5, 1.5, 4.0), strict=True)),
        parts=["the tempered probabilities"],
        right="The order of the classes stays, and only the confidence changes.",
        mistakes=[
            ("The rows do not sum to one: normalise after taking the power.", lambda p, t: p ** (1 / t)),
            ("This is $p^T$: a temperature above one must make the answer less sure.", lambda p, t: temper(p, 1 / t)),
            (
                "The softmax is taken of probabilities; it wants their logarithms, or logits.",
                lambda p, t: (p / t).softmax(1),
            ),
            (
                "The rows are normalised over the items; each item's probabilities must sum to one.",
                lambda p, t: (p.log() / t).softmax(0),
            ),
            ("Dividing all probabilities of a row by one number is undone by normalising.", lambda p, t: p),
        ],
    )


def check_coins(answer: tuple[Any, Any]) -> Verdict:
    """Check how good the best of twenty coins looks on 100 items, and how good it is.

    Args:
        answer: Two accuracies between 0 and 1: of the best on the test set, on average, and on new items.
    """
    mistakes: list[tuple[str, tuple[float | None, float | None]]] = [
        ("Give shares between 0 and 1, not percentages.", (59.31, None)),
        ("One coin is right on half of the items; the best of twenty is luckier.", (0.5, None)),
        (
            "The rule of thumb $\\sqrt{2\\log n}$ is for many checkpoints; for twenty it is too much. Toss the coins.",
            (0.6224, None),
        ),
        ("On new items the chosen one is a coin as before: luck is not carried on.", (None, _BEST)),
    ]
    return judge(
        lambda: answer,
        lambda: (_BEST, 0.5),
        [()],
        parts=["the accuracy of the best on the test set", "the accuracy on new items"],
        right="Nine points for free, from nothing but choosing.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
        tolerance=0.007,
    )


def check_witnesses(answer: tuple[Any, Any]) -> Verdict:
    """Check the best accuracy with two and with three independent witnesses, to three decimals.

    Args:
        answer: The accuracy with witnesses of 0.8 and 0.7, and with a second one of 0.7.
    """
    mistakes: list[tuple[str, tuple[float | None, float | None]]] = [
        ("Two witnesses who contradict each other leave a choice: whom do you follow?", (0.56, None)),
        ("At least one of two is right this often, but nobody tells you which one.", (0.94, None)),
        ("The mean of two reliabilities is what you get by following one of them at random.", (0.75, None)),
        ("The odds multiply only where both say the same: average over what they may say.", (0.9032, None)),
        ("With three, two who agree may outvote the best one: compare the log-odds.", (None, 0.8)),
        ("All three are right this often; two are enough for the verdict.", (None, 0.392)),
    ]
    return judge(
        lambda: answer,
        lambda: (0.8, 0.826),
        [()],
        parts=["the accuracy with two", "the accuracy with three"],
        right="A second, weaker witness never turns the verdict; two of them together can.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
        tolerance=0.0005,
    )
