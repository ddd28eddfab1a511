"""Checks of the exercises in the chapter on bridge matching; equation numbers are the chapter's."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise, product
from typing import Any

import torch
from torch import Tensor

from mmlab.diffusion.reference import Reference
from mmlab.exercises.verdict import Mistake, Verdict, judge
from mmlab.methods.bridge_matching import bridge_moments, euler_step, posterior_step

__all__ = ["check_centres", "check_triangular_moments", "check_two_steps", "check_walk"]

Moments = tuple[Tensor, Tensor]
Step = Callable[..., Tensor]


def check_centres(answer: tuple[Any, Any]) -> Verdict:
    """Check what minimises E|f - X| and E(f - X)² for a target X that is 1 with probability 0.3, else 0.

    Args:
        answer: The two numbers, in this order, to within 0.02.
    """
    weigh = "moving $f$ up by a little costs that much with probability 0.7 and gains it with probability 0.3."
    mistakes: list[tuple[str, tuple[float | None, float | None]]] = [
        ("The two are swapped: which loss is content with most of the targets, and which minds the rest?", (0.3, 0.0)),
        (f"For the absolute error you gave the mean; but from 0 on, {weigh}", (0.3, None)),
        (f"For the absolute error you gave the middle of 0 and 1; but from 0 on, {weigh}", (0.5, None)),
        ("For the absolute error you gave a probability: the median is the value with half of the targets on each "
         "side of it.", (0.7, None)),
        ("For the absolute error you gave the rarer outcome.", (1.0, None)),
        ("For the squared error you gave the probability of the 0: the mean is that of the 1.", (None, 0.7)),
        ("For the squared error you gave the middle of 0 and 1: the mean weighs them by their probabilities.",
         (None, 0.5)),
        ("For the squared error you gave the median, which minimises the absolute error; set the derivative of "
         "$0.7 f^2 + 0.3 (1 - f)^2$ to zero.", (None, 0.0)),
    ]  # fmt: skip
    return judge(
        lambda: answer,
        lambda: (0.0, 0.3),
        [()],
        parts=["the number for the absolute error", "the number for the squared error"],
        right="The absolute error takes the median and forgets the rarer targets, the squared error the mean.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
        tolerance=0.02,
    )


def check_triangular_moments(answer: Callable[[Tensor, Tensor, Tensor, float], Moments]) -> Verdict:
    """Check the moments (1) of the bridge whose β rises from 0 to 2σ² at t = ½ and falls back.

    Args:
        answer: A function of x0 and x1 of shape (B, E), t of shape (B, 1) in (0, 1), and σ > 0. It returns the mean,
            (B, E), and the variance, (B, 1) or (B, E).
    """

    def truth(x0: Tensor, x1: Tensor, t: Tensor, sigma: float) -> Moments:
        return bridge_moments(Reference(sigma, "triangular"), x0, x1, t)

    def swapped(x0: Tensor, x1: Tensor, t: Tensor, sigma: float) -> Moments:
        return truth(x1, x0, t, sigma)

    def deviation(x0: Tensor, x1: Tensor, t: Tensor, sigma: float) -> Moments:
        mean, variance = truth(x0, x1, t, sigma)
        return mean, variance.sqrt()

    def undivided(x0: Tensor, x1: Tensor, t: Tensor, sigma: float) -> Moments:
        mean, variance = truth(x0, x1, t, sigma)
        return mean, variance * sigma**2

    def unsquared(x0: Tensor, x1: Tensor, t: Tensor, sigma: float) -> Moments:
        mean, variance = truth(x0, x1, t, sigma)
        return mean, variance / sigma

    mistakes: list[Mistake] = [
        ("The ends are swapped, or $t$ is where $1 - t$ should be: at $t = 0$ the bridge must be in $x_0$.", swapped),
        ("The mean is right, but the second thing is the standard deviation: leave out the square root.", deviation),
        ("The mean is right, but the variance is not divided by $S = σ^2$.", undivided),
        ("The mean is right, but the variance has σ where it needs σ².", unsquared),
    ]
    for (sentence, from_start), end, whole in product(_INTEGRALS, ("mirror", "rest", "true"), ("sum", "sigma")):
        mistakes.append((sentence, _with_integral(from_start, end, whole)))
    rng = torch.Generator().manual_seed(0)
    times = torch.tensor([0.1, 0.35, 0.45, 0.6, 0.8])[:, None]  # (B, 1)
    cases = [(*torch.randn(2, 5, 3, generator=rng), times, sigma) for sigma in (0.7, 1.6)]
    return judge(
        answer,
        truth,
        cases,
        parts=["the mean", "the variance"],
        right="Mean and variance agree with the package, before and after the peak of β.",
        mistakes=mistakes,
    )


_INTEGRALS: list[tuple[str, Callable[[Tensor], Tensor]]] = [
    (
        "$σ_t^2$ is four times too large before $t = ½$: there β is $4σ^2 t$, and its integral $2σ^2 t^2$.",
        lambda t: torch.where(t < 0.5, 8 * t**2, 1 - 2 * (1 - t) ** 2),
    ),
    (
        "$σ_t^2$ is twice too large before $t = ½$: the integral of $4σ^2 s$ up to $t$ is $2σ^2 t^2$.",
        lambda t: torch.where(t < 0.5, 4 * t**2, 1 - 2 * (1 - t) ** 2),
    ),
    (
        "$σ_t^2$ is twice too large before $t = ½$, and so is what is left after it: integrate $4σ^2 s$ to $2σ^2 t^2$.",
        lambda t: torch.where(t < 0.5, 4 * t**2, 1 - 4 * (1 - t) ** 2),
    ),
    ("All is right up to $t = ½$, but after it β falls again: use the symmetry of the schedule.", lambda t: 2 * t**2),
    ("These are the moments of the constant schedule: $σ_t^2$ is $σ^2 t$ only if β does not change.", lambda t: t),
    ("You used $β_t$ itself: (1) wants its integral from 0 to $t$.", lambda t: 4 * torch.minimum(t, 1 - t)),
]
"""Wrong forms of σ_t²/σ², and what to say of them."""


def _with_integral(from_start: Callable[[Tensor], Tensor], end: str, whole: str) -> Callable[..., Moments]:
    """Eq. (1) with this σ_t²/σ², in one of the ways in which σ̄_t² and S may have been taken from it."""

    def moments(x0: Tensor, x1: Tensor, t: Tensor, sigma: float) -> Moments:
        start = sigma**2 * from_start(t)  # (B, 1)
        left = {
            "mirror": sigma**2 * from_start(1 - t),
            "rest": sigma**2 - start,
            "true": Reference(sigma, "triangular").to_end(t),
        }[end]
        total = start + left if whole == "sum" else sigma**2
        return (left * x0 + start * x1) / total, start * left / total

    return moments


def check_two_steps(answer: Callable[[float, float], Any]) -> Verdict:
    """Check the variance of samples by two posterior steps, at the times 0, ½ and 1, for the target N(m, s²).

    Args:
        answer: A function of s and σ, both positive, that returns the variance.
    """
    mistakes: list[Mistake] = [
        ("This is the true variance: but the network's guess at time 0 is the mean of the targets, so the state at ½ "
         "knows nothing of any one of them.", lambda s, sigma: s**2),
        ("This is the variance of the state at ½: the last step returns what the network expects *from* that state.",
         lambda s, sigma: sigma**2 / 4),
        ("This is the variance of a true bridge at ½: but with two steps, the state there holds noise alone.",
         lambda s, sigma: (s**2 + sigma**2) / 4),
        ("This is the variance of the expected end of a *true* bridge: with two steps, the state at ½ varies less, by "
         "the noise alone.", lambda s, sigma: s**4 / (s**2 + sigma**2)),
        ("This is the standard deviation: square it.", lambda s, sigma: s**2 * sigma / (s**2 + sigma**2)),
        ("This is the share of the true variance: multiply it by $s^2$.",
         lambda s, sigma: s**2 * sigma**2 / (s**2 + sigma**2) ** 2),
        ("The slope is half of what it is: the covariance of end and state is $t s^2 = s^2/2$, the variance of the "
         "state $s^2/4 + σ^2/4$.", lambda s, sigma: s**4 * sigma**2 / (4 * (s**2 + sigma**2) ** 2)),
    ]  # fmt: skip
    return judge(
        answer,
        lambda s, sigma: s**4 * sigma**2 / (s**2 + sigma**2) ** 2,
        [(0.5, 0.8), (1.3, 1.0), (1.0, 2.0)],
        parts=["the variance"],
        right="The share is $s^2σ^2/(s^2 + σ^2)^2$, at most a quarter, reached at $σ = s$.",
        mistakes=mistakes,
    )


def check_walk(answer: Callable[[Reference, Tensor, Tensor, Tensor, Tensor], Tensor]) -> Verdict:
    """Check a walk along the bridge from x0 to a known x1 by exact steps (6).

    Args:
        answer: A function of the reference, x0 and x1 of shape (N,), the K + 1 times, of which the first is 0, and
            standard normal noise (K, N). It returns the state at the last time, (N,).
    """

    def anew(reference: Reference, x0: Tensor, x1: Tensor, times: Tensor, noise: Tensor) -> Tensor:
        mean, variance = bridge_moments(reference, x0, x1, times[-1])
        return mean + variance.sqrt() * noise[-1]

    def constant(reference: Reference, x0: Tensor, x1: Tensor, times: Tensor, noise: Tensor) -> Tensor:
        return _walk(posterior_step)(Reference(reference.sigma), x0, x1, times, noise)

    def mirrored(reference: Reference, x0: Tensor, x1: Tensor, times: Tensor, noise: Tensor) -> Tensor:
        return _walk(posterior_step)(reference, x0, x1, times, -noise)  # the same law

    def restarted(reference: Reference, x0: Tensor, x1: Tensor, times: Tensor, noise: Tensor) -> Tensor:
        return posterior_step(reference, x0, x1, times[-2], times[-1], noise[-1])

    mistakes: list[Mistake] = [
        ("The noise is multiplied by the variance: you forgot the square root.",
         _walk(_step(lambda now, then: (then / now, ((now - then) * then / now) ** 2)))),
        ("The mean is right, but there is no noise: each step must add it.",
         _walk(_step(lambda now, then: (then / now, 0 * now)))),
        ("The noise is that of free diffusion: towards a known end, its variance shrinks by $\\bar σ_t^2/\\bar σ_s^2$.",
         _walk(_step(lambda now, then: (then / now, now - then)))),
        ("This is Euler–Maruyama (5), which is good for small steps only: use (6).", _walk(euler_step)),
        ("The weights of $X_s$ and $x_1$ are swapped: after a short step the state is still near $X_s$.",
         _walk(_step(lambda now, then: ((now - then) / now, (now - then) * then / now)))),
        ("Every step sets out from $x_0$ again: it must set out from where the last one arrived.", restarted),
        ("Every time is drawn anew from (1): the moments are right, but this is no walk. Set out from the last state.",
         anew),
        ("This is right for the constant schedule only: take the variances from `reference`.", constant),
    ]  # fmt: skip
    rng = torch.Generator().manual_seed(0)
    cases = []
    for reference, times in (
        (Reference(0.8), torch.tensor([0.0, 0.1, 0.15, 0.9])),
        (Reference(1.4, "triangular"), torch.tensor([0.0, 0.3, 0.7])),
    ):
        x0, x1 = torch.randn(2, 6, generator=rng)
        cases.append((reference, x0, x1, times, torch.randn(len(times) - 1, 6, generator=rng)))
    return judge(
        answer,
        _walk(posterior_step),
        cases,
        parts=["the state"],
        also_right=[mirrored],
        right="On uneven grids and for both schedules, your walk is the bridge.",
        mistakes=mistakes,
    )


def _step(weights: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> Step:
    """A step with this weight of X_s and this variance, as functions of σ̄_s² and σ̄_t²."""

    def step(reference: Reference, x: Tensor, x1: Tensor, s: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        weight, variance = weights(reference.to_end(s), reference.to_end(t))
        return weight * x + (1 - weight) * x1 + variance.sqrt() * noise

    return step


def _walk(step: Step) -> Callable[[Reference, Tensor, Tensor, Tensor, Tensor], Tensor]:
    """Steps of this kind through all times."""

    def walk(reference: Reference, x0: Tensor, x1: Tensor, times: Tensor, noise: Tensor) -> Tensor:
        x = x0
        for (s, t), z in zip(pairwise(times), noise, strict=True):
            x = step(reference, x, x1, s, t, z)
        return x

    return walk
