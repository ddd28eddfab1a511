"""Checks of the exercises in the chapter pix2pix; equation numbers are the chapter's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from mmlab.exercises.verdict import Verdict, judge
from mmlab.methods.pix2pix import receptive_field

__all__ = ["check_fixed", "check_patch", "check_uniform"]


def check_uniform(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check the best discriminator of real values in [0, 1] and made ones in [0, 2], both uniform, and its loss (1).

    Args:
        answer: D at 0.5, D at 1.5, and the least loss, to within 0.005.
    """
    least = -(math.log(2 / 3) + math.log(1 / 3) / 2) / 2
    mistakes: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("At 0.5 you gave $q / (p + q)$: $D$ is the probability of real, not of made.", (1 / 3, None, None)),
        ("At 0.5 you took the two densities for equal: the made values are spread over twice the length.",
         (1 / 2, None, None)),
        ("At 1.5 no real value ever lies, so a made one is seen through there.", (None, 1 / 2, None)),
        ("At 1.5 you gave the probability of made; $D$ is that of real.", (None, 1.0, None)),
        ("The loss is twice too large: (1) takes half of each part.", (None, None, 2 * least)),
        ("In the loss, only half of the made values lie where they cost anything.",
         (None, None, -(math.log(2 / 3) + math.log(1 / 3)) / 2)),
        ("The loss has the wrong sign: it is the negative of mean logarithms.", (None, None, -least)),
        ("Log 2 is the loss of one who cannot tell at all; here half of the made values give themselves away.",
         (None, None, math.log(2))),
    ]  # fmt: skip
    return judge(
        lambda: answer,
        lambda: (2 / 3, 0.0, least),
        [()],
        parts=["the best D at 0.5", "the best D at 1.5", "the least loss"],
        right="Where only one of the two ever is, the judge is sure; elsewhere it weighs the densities.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
        tolerance=0.005,
    )


def check_patch(answer: Callable[[list[int], list[int]], int]) -> Verdict:
    """Check the receptive field (4).

    Args:
        answer: A function of kernels and strides, in order from the image to the output, which returns pixels.
    """

    def backwards(kernels: list[int], strides: list[int]) -> int:
        return receptive_field(kernels[::-1], strides[::-1])

    def unstrided(kernels: list[int], strides: list[int]) -> int:
        return receptive_field(kernels, [1] * len(strides))

    def outside(kernels: list[int], strides: list[int]) -> int:
        field = 1
        for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
            field = stride * field + kernel
        return field

    def multiplied(kernels: list[int], strides: list[int]) -> int:
        return math.prod(kernels)

    return judge(
        answer,
        receptive_field,
        [([4, 4, 4, 4, 4], [2, 2, 2, 1, 1]), ([4, 4], [1, 1]), ([7, 3, 3], [2, 1, 2])],
        parts=["the side of the patch"],
        right="Five layers of 4 x 4 see 70 x 70.",
        mistakes=[
            ("You went from the image to the output: (4) begins with one output and goes back, last layer first.",
             backwards),
            ("The strides are missing: a step in a later layer is several pixels of the image.", unstrided),
            ("Between r places there are r - 1 steps.", outside),
            ("Kernels do not multiply: neighbouring places see nearly the same pixels.", multiplied),
        ],
    )  # fmt: skip


def check_fixed(answer: Callable[[float], Any]) -> Verdict:
    """Check the expected absolute error of one fixed bright colour, in units of the grey value.

    Args:
        answer: A function of the colour's middle channel, from 0 to 1; the other two are 0 and 1.
    """

    def channel(f: float) -> float:
        return 1 / 3 + (f**2 + (1 - f) ** 2) / 6

    def truth(middle: float) -> float:
        return (channel(0) + channel(1) + channel(middle)) / 3

    return judge(
        answer,
        truth,
        [(0.0,), (0.2,), (0.5,), (0.9,)],
        parts=["the error"],
        right="Half-way between a primary and a mixed colour it is least, 17/36.",
        mistakes=[
            ("This is one channel; the error is the mean over all three.", channel),
            ("The error is the *mean* over the channels, not their sum.", lambda middle: 3 * truth(middle)),
            ("The channels that are 0 and 1 are left out.", lambda middle: channel(middle) / 3),
            ("In the third case Y is spread evenly: the mean of |f - Y| has squares in it.",
             lambda middle: (1 / 3 + 1 / 6 + 1 / 3 + 1 / 6 + 1 / 3 + 1 / 6) / 3),
        ],
    )  # fmt: skip
