"""Checks of the exercises in the chapter on the parts of the U-Net; equation numbers are the chapter's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge

__all__ = ["check_blind", "check_clock", "check_map"]

Clock = Callable[[Tensor, float], Any]


def check_map(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check what the map of attention weighs: one head, one image, four bytes a number.

    Args:
        answer: Megabytes for 100 x 100 pixels, the factor when the side doubles, and the largest side within 4 MB.
    """
    wrong: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("For the first, the tokens are the *pixels*, ten thousand of them: you took the side of the image.",
         (0.04, None, None)),
        ("For the first, a float32 takes four bytes; you counted one.", (100, None, None)),
        ("For the first, a float32 takes four bytes, not eight.", (800, None, None)),
        ("For the first, the map holds a number for every *pair* of pixels.", (0.04, None, None)),
        ("Twice the side is four times the pixels, and the map is their square.", (None, 4, None)),
        ("The map is the square of the number of pixels, and this is four times as large.", (None, 8, None)),
        ("A thousand is the largest number of *tokens*; the side is its root.", (None, None, 1000)),
        ("With 32 × 32 pixels the map is a little over 4 MB (and it is just what `UNet` still allows).",
         (None, None, 32)),
        ("Four megabytes hold a million numbers of four bytes each; you forgot the four bytes.", (None, None, 44)),
    ]  # fmt: skip
    return judge(
        lambda: answer,
        lambda: (400.0, 16.0, 31.0),
        [()],
        parts=["the size of the map", "the factor", "the largest side"],
        right="The map grows with the fourth power of the side.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in wrong],
    )


def check_clock(answer: Clock) -> Verdict:
    """Check the time that is read from noise alone, in the second half of a bridge.

    Args:
        answer: A function of the noise, shape (B, d), and σ > 0. It returns the times, (B,), from 0.5 to 1.
    """
    rng = torch.Generator().manual_seed(0)

    def case(sigma: float) -> tuple[Tensor, float]:
        t = torch.tensor([0.5, 0.6, 0.8, 0.9, 0.99], dtype=torch.float64)
        noise = torch.randn(5, 40, generator=rng, dtype=torch.float64) * (sigma * (t * (1 - t)).sqrt())[:, None]
        noise[0] *= 1.3  # more than any true variance gives
        return noise, sigma

    def solved(share: Tensor) -> Tensor:
        return 0.5 + (0.25 - share).clamp_min(0).sqrt()

    def truth(noise: Tensor, sigma: float) -> Tensor:
        return solved(noise.square().mean(1) / sigma**2)

    mistakes: list[Mistake] = [
        ("This is the other solution: these states are in the *second* half.", lambda r, s: 1 - truth(r, s)),
        ("You divided by σ; the variance is to be divided by σ².", lambda r, s: solved(r.square().mean(1) / s)),
        ("σ is left out: the noise is as large as σ makes it.", lambda r, s: solved(r.square().mean(1))),
        ("`std` is the deviation: square it.", lambda r, s: solved(r.square().mean(1).sqrt() / s)),
        ("The mean is *known* to be zero, so do not subtract one that is estimated.", lambda r, s: solved(
            r.var(1) / s**2)),
        ("The mean is *known* to be zero, so do not subtract one that is estimated.", lambda r, s: solved(
            r.var(1, correction=0) / s**2)),
        ("One time for each image is wanted; you took the mean over the images too.", lambda r, s: solved(
            r.square().mean() / s**2).expand(len(r))),
    ]  # fmt: skip
    return judge(
        answer,
        truth,
        [case(sigma) for sigma in (1.0, 0.5, 2.0)],
        parts=["the time"],
        right="The more values an image has, the better it tells the time.",
        mistakes=mistakes,
    )


def check_blind(answer: Callable[[Tensor, Tensor, float], Any]) -> Verdict:
    """Check the least squares drift of a network that does not see the time, for any power of 1 - t as weight.

    Args:
        answer: A function of the ways X₁ - x, (N, d), of what is left of the time, (N,), and of the power.
    """
    rng = torch.Generator().manual_seed(0)

    def case(power: float) -> tuple[Tensor, Tensor, float]:
        ways = torch.randn(6, 3, generator=rng, dtype=torch.float64)
        return ways, 0.1 + 0.9 * torch.rand(6, generator=rng, dtype=torch.float64), power

    def mean(ways: Tensor, left: Tensor, above: float, below: float) -> Tensor:
        return (left[:, None] ** above * ways).mean(0) / (left**below).mean()

    return judge(
        answer,
        lambda ways, left, power: mean(ways, left, power - 1, power),
        [case(power) for power in (1.0, 2.0, 0.0)],
        parts=["the drift"],
        right="With the power 1 it is (5).",
        mistakes=[
            ("This is (5), which holds for the power 1 only.", lambda w, left, power: mean(w, left, 0, 1)),
            ("The weight is left out.", lambda w, left, power: mean(w, left, -1, 0)),
            ("You averaged the ways; a drift is a way *divided by* the time that is left.",
             lambda w, left, power: mean(w, left, power, power)),
            ("A weighted mean is divided by the mean of the weights.",
             lambda w, left, power: mean(w, left, power - 1, 0)),
        ],
    )  # fmt: skip
