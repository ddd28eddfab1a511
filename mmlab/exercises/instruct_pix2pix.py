"""Checks of the exercises in the chapter on InstructPix2Pix and ControlNet; equation numbers are the chapter's."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mmlab.exercises.verdict import Verdict, judge

__all__ = ["check_guided", "check_hidden", "check_scale"]


def check_guided(answer: Callable[[Tensor, Tensor, Tensor, float, float], Tensor]) -> Verdict:
    """Check guidance by two conditions (3).

    Args:
        answer: A function of three predictions (B, D), and the scales of source and prompt; it returns (B, D).
    """
    rng = torch.Generator().manual_seed(0)
    cases = []
    for scales in ((1.5, 7.5), (0.0, 2.0), (2.0, 0.0)):
        nothing, source, both = torch.randn(3, 2, 4, generator=rng)
        cases.append((nothing, source, both, *scales))

    def right(nothing: Tensor, source: Tensor, both: Tensor, i: float, t: float) -> Tensor:
        return nothing + i * (source - nothing) + t * (both - source)

    return judge(
        answer,
        right,
        cases,
        parts=["what is followed"],
        right="With both scales at one, what is left is the prediction for both.",
        mistakes=[
            ("The two scales are exchanged.", lambda n, s, b, i, t: right(n, s, b, t, i)),
            ("The prompt is weighed against nothing, not against the source.",
             lambda n, s, b, i, t: n + i * (s - n) + t * (b - n)),
            ("The prediction for nothing is missing, to which the two are added.",
             lambda n, s, b, i, t: i * (s - n) + t * (b - s)),
            ("The sum begins with the source, not with nothing.", lambda n, s, b, i, t: s + i * (s - n) + t * (b - s)),
        ],
    )  # fmt: skip


def check_hidden(answer: tuple[float, float]) -> Verdict:
    """Check what is hidden in training (2).

    Args:
        answer: Share of items with their source, and share of batches in which no item lacks both.
    """
    mistakes: list[tuple[str, tuple[float | None, float | None]]] = [
        ("For the source: it is hidden with the prompt, too, and both shares count.", (1 - 1 / 20, None)),
        ("For the source: that is the share in which both are shown.", (1 - 3 / 20, None)),
        ("For the batches: one share, not three, lacks both.", (None, (1 - 3 / 20) ** 16)),
        ("For the batches: one share, not two, lacks both.", (None, (1 - 2 / 20) ** 16)),
        ("For the batches: that is the share in which some item lacks both.", (None, 1 - (1 - 1 / 20) ** 16)),
    ]
    return judge(
        lambda: answer,
        lambda: (1 - 2 / 20, (1 - 1 / 20) ** 16),
        [()],
        parts=["share with their source", "share of batches"],
        right="Two shares of three hide the source; sixteen items must all escape one share.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
    )


def check_scale(answer: Callable[[float, float, float], tuple[float, float]]) -> Verdict:
    """Check the mean and the variance of a guided Gaussian.

    Args:
        answer: A function of c, s² and g; it returns mean and variance.
    """

    def gaussian(c: float, s2: float, g: float) -> tuple[float, float]:
        precision = 1 + g / s2
        return g / s2 * c / precision, 1 / precision

    def posterior(c: float, s2: float, g: float) -> tuple[float, float]:
        mean, _ = gaussian(c, s2, 1)
        return g * mean, gaussian(c, s2, 1)[1]

    return judge(
        answer,
        gaussian,
        [(1.0, 0.5, 1.0), (2.0, 0.7, 3.0), (-1.0, 2.0, 1.5)],
        parts=["the mean", "the variance"],
        right="A scale beyond one shrinks the spread: the samples of a guided model are too sure.",
        mistakes=[
            ("A scale does not multiply the mean and leave the variance: it multiplies the exponent of p(c | z).",
             posterior),
            ("That is the precision; the variance is one over it.",
             lambda c, s2, g: (gaussian(c, s2, g)[0], 1 + g / s2)),
            ("The power multiplies 1 / s², it does not divide it.", lambda c, s2, g: gaussian(c, s2, 1 / g)),
            ("The prior is missing: with it the curvature is 1 + g / s².", lambda c, s2, g: (c, s2 / g)),
        ],
    )  # fmt: skip
