"""Checks of the exercises in the contest, from rest to motor; equation numbers are the chapter's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.diffusion.gaussian import bures_wasserstein, matrix_root
from mmlab.exercises.verdict import Mistake, Verdict, judge

__all__ = ["check_distance", "check_price", "check_turn"]

Distance = Callable[[Tensor, Tensor], Any]
Turn = Callable[[float, float, float, float], Any]


def check_price(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check what samples cost when the mean of infinitely many has an RMSE of 0.10.

    Args:
        answer: RMSE of one sample, RMSE of the mean of four, and the number of samples for 0.102; to within 0.0005.
    """
    wrong: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("It is the *squared* error that doubles, not its root.", (0.2, None, None)),
        ("A sample is worse than the mean: by (1) its own spread is added.", (0.1, None, None)),
        ("The mean of four keeps a quarter of the *variance*; you took a quarter of the deviation, or half of it.",
         (None, 0.125, None)),
        ("The mean of four keeps a quarter of the variance; you took half of it.", (None, 0.15**0.5 / 10**0.5, None)),
        ("The error of the mean itself stays, however many samples there are: only their spread is divided by four.",
         (None, 0.05, None)),
        ("With 24 samples the RMSE is still a little above 0.102.", (None, None, 24)),
        ("That many would be needed if deviations added; it is variances that do.", (None, None, 50)),
    ]  # fmt: skip
    return judge(
        lambda: answer,
        lambda: (0.02**0.5, 0.0125**0.5, 25),
        [()],
        parts=["the error of one sample", "that of the mean of four", "the number of samples"],
        right="For a right sampler. One that is too sure of itself pays less.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in wrong],
        tolerance=5e-4,
    )


def check_distance(answer: Distance) -> Verdict:
    """Check the Fréchet distance (2) of two sets of coordinates.

    Args:
        answer: A function of two tensors, (S, D) and (R, D), which returns one number.
    """
    rng = torch.Generator().manual_seed(0)

    def case() -> tuple[Tensor, Tensor]:
        one, other, mix = (torch.randn(n, 3, generator=rng, dtype=torch.float64) for n in (9, 7, 3))
        return one + 0.5, other @ mix

    def parts(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return one.mean(0), torch.cov(one.T), other.mean(0), torch.cov(other.T)

    def truth(one: Tensor, other: Tensor) -> Tensor:
        return bures_wasserstein(*parts(one, other))

    def without_means(one: Tensor, other: Tensor) -> Tensor:
        return truth(one - one.mean(0), other - other.mean(0))

    def biased(one: Tensor, other: Tensor) -> Tensor:
        m, s, n, t = parts(one, other)
        return bures_wasserstein(m, s * (len(one) - 1) / len(one), n, t * (len(other) - 1) / len(other))

    def without_root(one: Tensor, other: Tensor) -> Tensor:
        m, s, n, t = parts(one, other)
        root = matrix_root(s)
        return (m - n).square().sum() + torch.trace(s + t - 2 * root @ t @ root)

    def roots_apart(one: Tensor, other: Tensor) -> Tensor:
        m, s, n, t = parts(one, other)
        return (m - n).square().sum() + torch.trace(s + t - 2 * matrix_root(s) @ matrix_root(t))

    def means_not_squared(one: Tensor, other: Tensor) -> Tensor:
        return without_means(one, other) + (one.mean(0) - other.mean(0)).norm()

    def over_people(one: Tensor, other: Tensor) -> Tensor:
        few = min(len(one), len(other))
        m, n = one.mean(0), other.mean(0)
        s, t = torch.cov(one[:few]), torch.cov(other[:few])
        return (m - n).square().sum() + bures_wasserstein(s[0] * 0, s, s[0] * 0, t)

    mistakes: list[Mistake] = [
        ("The means are missing: two groups of the same shape may be far apart.", without_means),
        ("The distance of the means is to be squared.", means_not_squared),
        ("Divide by the number of people *less one*, as `torch.cov` does.", biased),
        ("Take the root of the inner product before its trace.", without_root),
        ("The root of a product is not the product of the roots: put $S^{1/2}$ on both sides of T first.",
         roots_apart),
        ("This is the root of (2); leave the square.", lambda a, b: truth(a, b).clamp_min(0).sqrt()),
        ("Your covariance is between people, not coordinates: `torch.cov` wants one variable per *row*.",
         over_people),
    ]  # fmt: skip
    return judge(
        answer,
        truth,
        [case() for _ in range(3)],
        parts=["the distance"],
        right="Two equal groups are at zero, and so are two different groups with the same mean and covariance.",
        mistakes=mistakes,
    )


def check_turn(answer: Turn) -> Verdict:
    """Check the number of samples at which the order of two samplers turns.

    Args:
        answer: A function of the first sampler's RMSE in the limit and standard deviation of its samples, and the
            second's. It returns the number of samples, or infinity.
    """

    def truth(a: float, s_a: float, b: float, s_b: float) -> float:
        gap, tax = b**2 - a**2, s_a**2 - s_b**2
        return tax / gap if gap * tax > 0 else math.inf

    def unsquared(a: float, s_a: float, b: float, s_b: float) -> float:
        gap, tax = b - a, s_a - s_b
        return tax / gap if gap * tax > 0 else math.inf

    def spread_over_deviation(a: float, s_a: float, b: float, s_b: float) -> float:
        gap, tax = b**2 - a**2, s_a - s_b
        return tax / gap if gap * tax > 0 else math.inf

    def never_checked(a: float, s_a: float, b: float, s_b: float) -> float:
        gap, tax = b**2 - a**2, s_a**2 - s_b**2
        return tax / gap if gap else math.inf

    def one_way(a: float, s_a: float, b: float, s_b: float) -> float:
        return truth(a, s_a, b, s_b) if a < b else math.inf

    def inverse(a: float, s_a: float, b: float, s_b: float) -> float:
        samples = truth(a, s_a, b, s_b)
        return samples if math.isinf(samples) else 1 / samples

    mistakes: list[Mistake] = [
        ("By (1) it is *squares* that add: square the RMSEs and the deviations.", unsquared),
        ("The tax is the *variance* over K: square the deviations, too.", spread_over_deviation),
        ("A negative number of samples turns nothing: answer infinity there.", never_checked),
        ("The first sampler may be the worse one in the limit; the order turns there as well.", one_way),
        ("This is the inverse of the number of samples.", inverse),
    ]
    cases = [(0.10, 0.09, 0.102, 0.0), (0.11, 0.02, 0.10, 0.08), (0.10, 0.02, 0.11, 0.08), (0.10, 0.05, 0.10, 0.08)]
    return judge(
        answer,
        truth,
        cases,
        parts=["the number of samples"],
        right="The sampler that is closer in the limit needs that many samples to show it.",
        mistakes=mistakes,
    )
