"""Checks of the exercises in the chapter on the evaluation matrix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge

__all__ = ["check_chance", "check_dice"]


def check_dice(answer: Callable[[Tensor], Tensor]) -> Verdict:
    """Check Dice as a function of IoU (2).

    Args:
        answer: A function of IoU, of any shape, to Dice.
    """
    mistakes: list[Mistake] = [
        ("That is the way back: from Dice to IoU.", lambda iou: iou / (2 - iou)),
        ("The union counts the common part once: the denominator is 1 + IoU.", lambda iou: 2 * iou / (2 + iou)),
        ("The common part counts twice in Dice.", lambda iou: iou / (1 + iou)),
    ]
    return judge(
        answer,
        lambda iou: 2 * iou / (1 + iou),
        [(torch.tensor([0.0, 0.25, 0.5, 1.0]),), (torch.tensor([0.1]),)],
        parts=["Dice"],
        right="0 stays 0 and 1 stays 1; everything between looks better in Dice.",
        mistakes=mistakes,
    )


def check_chance(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check how many comparisons chance decides.

    Args:
        answer: Number of pairs, number that is decided, and the level of each interval.
    """
    pairs = 17 * 28
    mistakes: list[tuple[str, tuple[float | None, ...]]] = [
        ("Every pair once: divide by two.", (2.0 * pairs, None, None)),
        ("There are as many pairs in each column: times 17.", (28.0, None, None)),
        ("A level of 95 % decides one in twenty where nothing differs.", (None, 0.95 * pairs, None)),
        ("The chance of error is shared: alpha over the number of pairs.", (None, None, 0.95)),
        ("That is the chance of error that each may have; the level is one minus it.", (None, None, 0.05 / pairs)),
    ]
    return judge(
        lambda: answer,
        lambda: (float(pairs), 0.05 * pairs, 1 - 0.05 / pairs),
        [()],
        parts=["the number of pairs", "the number that is decided", "the level"],
        right="About two dozen decisions out of nothing, in a table of ordinary size.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
        tolerance=1e-6,
    )
