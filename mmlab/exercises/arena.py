"""Checks of the exercises in the chapter on blind competitions; equation numbers are the chapter's."""

from __future__ import annotations

import math
from collections.abc import Callable

from mmlab.exercises.verdict import Mistake, Verdict, judge

__all__ = ["check_floor", "check_spread", "check_strength"]


def check_spread(answer: Callable[[float, float, float, int, int], float]) -> Verdict:
    """Check the standard deviation of a share of votes (1).

    Args:
        answer: A function of the three variances (respondents, items, votes) and the numbers R and I.
    """
    mistakes: list[Mistake] = [
        ("This is the variance: take its square root.", lambda p, q, e, r, i: p / r + q / i + e / (r * i)),
        ("This takes all votes for independent: what differs between people shrinks with R alone, and so for items.",
         lambda p, q, e, r, i: math.sqrt((p + q + e) / (r * i))),
        ("Respondents and items are exchanged: what differs between people is averaged over people.",
         lambda p, q, e, r, i: math.sqrt(p / i + q / r + e / (r * i))),
        ("The part of the single votes is missing.", lambda p, q, e, r, i: math.sqrt(p / r + q / i)),
    ]  # fmt: skip
    return judge(
        answer,
        lambda p, q, e, r, i: math.sqrt(p / r + q / i + e / (r * i)),
        [(0.01, 0.03, 0.2, 10, 40), (0.05, 0.01, 0.18, 30, 8)],
        parts=["the standard deviation"],
        right="Only the last part shrinks with every vote.",
        mistakes=mistakes,
    )


def check_strength(answer: Callable[[int, int, int], tuple[float, float]]) -> Verdict:
    """Check strength and standard error of two systems (4).

    Args:
        answer: A function of wins, losses and ties of independent votes, which returns the difference of strengths and
            its standard error, ties counted as half a win and half a loss.
    """
    mistakes: list[Mistake] = [
        ("A tie is half a win and half a loss: add half of the ties to each.",
         lambda w, n, t: (math.log(w / n), math.sqrt(1 / w + 1 / n))),
        ("The sign is turned: the first system has the wins.",
         lambda w, n, t: (math.log((n + t / 2) / (w + t / 2)), None)),
        ("This is the share of wins: the strength is the logarithm of wins over losses.",
         lambda w, n, t: ((w + t / 2) / (w + n + t), None)),
        ("The second thing is a variance: take its square root.",
         lambda w, n, t: (math.log((w + t / 2) / (n + t / 2)), 1 / (w + t / 2) + 1 / (n + t / 2))),
    ]  # fmt: skip
    return judge(
        answer,
        lambda w, n, t: (
            math.log((w + t / 2) / (n + t / 2)),
            math.sqrt(1 / (w + t / 2) + 1 / (n + t / 2)),
        ),
        [(60, 36, 4), (20, 30, 10)],
        parts=["the difference of strengths", "the standard error"],
        right="With two systems the model says no more than the share does. It pays from three on.",
        mistakes=mistakes,
    )


def check_floor(answer: Callable[[float, float, float], int]) -> Verdict:
    """Check how many items are needed however many respondents come.

    Args:
        answer: A function of the items' variance, the lead to be found and z, which returns the smallest number of
            items whose part of the interval's half-width alone is below the lead.
    """
    mistakes: list[Mistake] = [
        ("z stands in the half-width, and so its square in the number of items.",
         lambda v, d, z: math.floor(z * v / d**2) + 1),
        ("The lead counts squared: half of it takes four times as many items.",
         lambda v, d, z: math.floor(z**2 * v / d) + 1),
        ("Round up: a part of an item cannot be shown.", lambda v, d, z: math.floor(z**2 * v / d**2)),
        ("The half-width is z times the standard deviation; leave out the 2.",
         lambda v, d, z: math.floor(4 * z**2 * v / d**2) + 1),
    ]  # fmt: skip
    return judge(
        answer,
        lambda v, d, z: math.floor(z**2 * v / d**2) + 1,
        [(0.03, 0.1, 1.96), (0.02, 0.05, 2.5)],
        parts=["the number of items"],
        right="No crowd makes up for items that are too few.",
        mistakes=mistakes,
    )
