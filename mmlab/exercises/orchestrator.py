"""Checks of the exercises in the chapter on whom to believe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge
from mmlab.methods.orchestrator import trust

__all__ = ["check_gain", "check_record", "check_two"]


def check_record(answer: Callable[[Tensor, Tensor, float], Tensor]) -> Verdict:
    """Check the smoothed record (4).

    Args:
        answer: A function of counts (A, K), hits (A, K) and m to the trust (A, K).
    """

    def by_class(count: Tensor, hits: Tensor, m: float) -> Tensor:
        overall = (1 + hits.sum(0, keepdim=True)) / (2 + count.sum(0, keepdim=True))
        return (hits + m * overall) / (count + m)

    def unsmoothed(count: Tensor, hits: Tensor, m: float) -> Tensor:
        overall = hits.sum(1, keepdim=True) / count.sum(1, keepdim=True)
        return (hits + m * overall) / (count + m)

    mistakes: list[Mistake] = [
        ("p_a is the share of an agent over all classes: sum over the classes, not over the agents.", by_class),
        ("p_a is smoothed, too: one right answer more, two answers more.", unsmoothed),
        ("The record is drawn towards the agent's own share: m p_a, not m, is added to the hits.",
         lambda n, r, m: (r + m) / (n + m)),
    ]  # fmt: skip
    count = torch.tensor([[4.0, 10.0, 0.0], [7.0, 2.0, 5.0]], dtype=torch.float64)
    hits = torch.tensor([[4.0, 3.0, 0.0], [1.0, 2.0, 5.0]], dtype=torch.float64)
    return judge(
        answer,
        trust,
        [(count, hits, 2.0), (count, hits, 0.5)],
        parts=["the trust"],
        right="An answer that was never given is trusted like the agent itself.",
        mistakes=mistakes,
    )


def check_gain(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check three ways to say the same gain.

    Args:
        answer: Gain in points, relative gain in percent, and share of errors that are gone in percent.
    """
    before, after = 48.125, 85.625
    points, relative, gone = after - before, 100 * (after / before - 1), 100 * (after - before) / (100 - before)
    mistakes: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("That is the relative gain: the gain in points is a difference.", (relative, None, None)),
        ("Relative to the first round: divide by what it had right.", (None, 100 * points / after, None)),
        ("Say it in percent: times 100.", (None, relative / 100, None)),
        ("The errors of the first round are what it had wrong: divide by that.", (None, None, 100 * points / before)),
        ("Say it in percent: times 100.", (None, None, gone / 100)),
    ]
    return judge(
        lambda: answer,
        lambda: (points, relative, gone),
        [()],
        parts=["the gain in points", "the relative gain", "the share of errors"],
        right="One pair of numbers, three gains: say which one you mean.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
    )


def check_two(answer: Callable[[float, int], tuple[Any, Any]]) -> Verdict:
    """Check the ceiling of taking one of two answers, and what can be reached.

    Args:
        answer: A function of p and K to the probability that one is right, and the best accuracy.
    """

    def either(p: float) -> float:
        return 1 - (1 - p) ** 2

    mistakes: list[Mistake] = [
        ("Both may be wrong at once: one minus the probability of that.", lambda p, k: (2 * p, p)),
        ("When they differ nobody knows who is right: the ceiling is not reached.",
         lambda p, k: (either(p), either(p))),
        ("They may also agree on a wrong class, and when they differ one of them may still be right.",
         lambda p, k: (either(p), p**2)),
    ]  # fmt: skip
    return judge(
        answer,
        lambda p, k: (either(p), p),
        [(0.5, 10), (0.7, 4), (0.3, 5)],
        parts=["the probability that one is right", "the best accuracy"],
        right="Two equal agents are worth no more than one, unless something tells when to believe which.",
        mistakes=mistakes,
    )
