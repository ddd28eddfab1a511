"""Checks of the exercises in the chapter on MathGlance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmlab.exercises.verdict import Mistake, Verdict, judge

__all__ = ["check_shift", "check_unpadded"]


def check_unpadded(answer: Callable[[float, float, int, int], tuple[Any, Any]]) -> Verdict:
    """Check the way from the padded square to pixels.

    Args:
        answer: A function of u, v, the width and the height, to x and y.
    """

    def right(u: float, v: float, w: int, h: int) -> tuple[float, float]:
        m = max(w, h)
        return u * m - (m - w) / 2, v * m - (m - h) / 2

    mistakes: list[Mistake] = [
        ("These are shares of the picture: the square is as long as the longer side.",
         lambda u, v, w, h: (u * w, v * h)),
        ("The padding is still in: half of what was added stands before the picture.",
         lambda u, v, w, h: (u * max(w, h), v * max(w, h))),
        ("The padding stands on both sides: take off half of it.",
         lambda u, v, w, h: (u * max(w, h) - (max(w, h) - w), v * max(w, h) - (max(w, h) - h))),
    ]  # fmt: skip
    return judge(
        answer,
        right,
        [(0.5, 0.5, 400, 280), (0.2, 0.9, 100, 300)],
        parts=["x", "y"],
        right="Along the longer side nothing is taken off.",
        mistakes=mistakes,
    )


def check_shift(answer: Callable[[float, float], tuple[Any, Any]]) -> Verdict:
    """Check how far a square may be off.

    Args:
        answer: A function of the side and the threshold, to the largest shift and the largest growth.
    """

    def right(s: float, t: float) -> tuple[float, float]:
        return s * (1 - t) / (1 + t), s * (t**-0.5 - 1)

    mistakes: list[Mistake] = [
        ("What one box loses at one end, the union gains at the other: the overlap is (s - d) / (s + d).",
         lambda s, t: (s * (1 - t), s * (t**-0.5 - 1))),
        ("Both sides grow, so the areas are as the squares of the sides.",
         lambda s, t: (s * (1 - t) / (1 + t), s * (1 / t - 1))),
        ("Asked for is the growth, not the new side.", lambda s, t: (s * (1 - t) / (1 + t), s * t**-0.5)),
    ]  # fmt: skip
    return judge(
        answer,
        right,
        [(8.0, 0.65), (0.3, 0.5)],
        parts=["the largest shift", "the largest growth"],
        right="At the benchmark's threshold a square may shift by about a fifth of its side, or grow by almost 1/4.",
        mistakes=mistakes,
    )
