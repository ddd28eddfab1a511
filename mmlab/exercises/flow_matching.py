"""Checks of the exercises in the chapter on flow matching; equation numbers are the chapter's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge
from mmlab.methods.flow_matching import point_on_path, straight_velocity

__all__ = ["check_energy", "check_slopes", "check_training_pair"]


def check_training_pair(answer: Callable[[Tensor, Tensor, Tensor, float, Tensor], tuple[Tensor, Tensor]]) -> Verdict:
    """Check the point (1) and the velocity (2).

    Args:
        answer: A function of x0 and x1 of shape (B, E), t (B,), σ and noise (B, E). It returns two tensors (B, E).
    """

    def truth(x0: Tensor, x1: Tensor, t: Tensor, sigma: float, noise: Tensor) -> tuple[Tensor, Tensor]:
        return point_on_path(x0, x1, t[:, None], sigma, noise), straight_velocity(x0, x1)

    def swapped(x0: Tensor, x1: Tensor, t: Tensor, sigma: float, noise: Tensor) -> tuple[Tensor, None]:
        return point_on_path(x0, x1, 1 - t[:, None], sigma, noise), None

    def bridge(x0: Tensor, x1: Tensor, t: Tensor, sigma: float, noise: Tensor) -> tuple[Tensor, None]:
        spread = sigma * (t * (1 - t)).sqrt()[:, None] * noise
        return point_on_path(x0, x1, t[:, None], 1.0, spread), None

    def varied(x0: Tensor, x1: Tensor, t: Tensor, sigma: float, noise: Tensor) -> tuple[Tensor, None]:
        return point_on_path(x0, x1, t[:, None], sigma**2, noise), None

    def bare(x0: Tensor, x1: Tensor, t: Tensor, sigma: float, noise: Tensor) -> tuple[Tensor, None]:
        return point_on_path(x0, x1, t[:, None], 0.0, noise), None

    def backward(x0: Tensor, x1: Tensor, t: Tensor, sigma: float, noise: Tensor) -> tuple[None, Tensor]:
        return None, x0 - x1

    def left(x0: Tensor, x1: Tensor, t: Tensor, sigma: float, noise: Tensor) -> tuple[None, Tensor]:
        return None, x1 - point_on_path(x0, x1, t[:, None], sigma, noise)

    mistakes: list[Mistake] = [
        ("The point goes backwards: at $t = 0$ it must be at $x_0$.", swapped),
        ("The spread of the point is that of a bridge: here it is σ at all times.", bridge),
        ("The noise is multiplied by the variance: σ is the standard deviation.", varied),
        ("The point is exactly on the line: add $σ z$.", bare),
        ("The velocity points backwards, from the target to the source.", backward),
        ("The velocity is what is left of the way, $x_1 - x_t$; the line's speed is the whole way in unit time.", left),
    ]
    rng = torch.Generator().manual_seed(0)
    cases = [
        (*torch.randn(2, 6, 3, generator=rng), torch.rand(6, generator=rng), 0.4, torch.randn(6, 3, generator=rng))
    ]
    return judge(
        answer,
        truth,
        cases,
        parts=["the point", "the velocity"],
        right="That is the whole of the training data.",
        mistakes=mistakes,
    )


def check_slopes(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check the slope a(t) of the field between independent N(0, 1) ends, at t = 0, ¼ and 1.

    Args:
        answer: The three numbers.
    """
    mistakes: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("These are covariances: divide by the variance $(1-t)^2 + t^2$.", (None, -0.5, None)),
        (
            "The signs are wrong: early, $X_t$ is mostly $X_0$, and $u = X_1 - X_0$ points away from it.",
            (1.0, 0.8, -1.0),
        ),
        ("The variance of $X_t$ is not one: it is $(1-t)^2 + t^2$, least half-way.", (-1.0, -0.5, 1.0)),
        ("The velocity is not zero on average *given* the place: only its mean over all places is.", (0.0, 0.0, 0.0)),
        (
            "The field changes its sign half-way: by symmetry the slope at $t$ is minus that at $1 - t$.",
            (-1.0, None, -1.0),
        ),
    ]
    return judge(
        lambda: answer,
        lambda: (-1.0, -0.8, 1.0),
        [()],
        parts=["the slope at the start", "the slope at a quarter", "the slope at the end"],
        right="Inwards first, outwards later.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
        tolerance=0.01,
    )


def check_energy(answer: Callable[[float, float], Any]) -> Verdict:
    """Check the energy E|v*(X_t, t)|² of the flow between N(0, 1) ends with correlation c, without noise.

    Args:
        answer: A function of t and c that returns a number.
    """

    def covariance(t: float, c: float) -> float:
        return (2 * t - 1) * (1 - c)

    def variance(t: float, c: float) -> float:
        return (1 - t) ** 2 + t**2 + 2 * c * t * (1 - t)

    mistakes: list[Mistake] = [
        ("This is the slope of the field: its energy is the slope squared times the variance of $X_t$.",
         lambda t, c: covariance(t, c) / variance(t, c)),
        ("This is the slope squared: multiply it by the variance of $X_t$.",
         lambda t, c: (covariance(t, c) / variance(t, c)) ** 2),
        ("This is the energy of the lines, $2 - 2c$: the average of crossing velocities is less.",
         lambda t, c: 2 - 2 * c),
        ("The variance of $X_t$ lacks what the ends have in common, $2ct(1-t)$.",
         lambda t, c: covariance(t, c) ** 2 / variance(t, 0.0)),
        ("The covariance of $u$ and $X_t$ lacks what the ends have in common.",
         lambda t, c: covariance(t, 0.0) ** 2 / variance(t, c)),
        ("This holds for independent ends only: use $c$.", lambda t, c: covariance(t, 0.0) ** 2 / variance(t, 0.0)),
        ("This is the covariance squared: divide it by the variance of $X_t$.", lambda t, c: covariance(t, c) ** 2),
    ]  # fmt: skip
    return judge(
        answer,
        lambda t, c: covariance(t, c) ** 2 / variance(t, c),
        [(0.2, 0.5), (0.9, -0.3), (0.7, 0.0)],
        parts=["the energy"],
        right="It vanishes half-way, where velocities of both signs cross.",
        mistakes=mistakes,
    )
