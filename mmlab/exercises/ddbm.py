"""Checks of the exercises in the chapter on denoising diffusion bridges; equation numbers are the chapter's."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge
from mmlab.methods.ddbm import Bridge

__all__ = ["check_coefficients", "check_line", "check_looks"]


def check_coefficients(answer: Callable[[Tensor, float], tuple[Tensor, Tensor, Tensor]]) -> Verdict:
    """Check the coefficients (1) of the VE bridge.

    Args:
        answer: A function of times (B,) and σ, which returns a, b and c², each (B,).
    """
    t = torch.tensor([0.1, 0.4, 0.7, 0.9])
    mistakes: list[Mistake] = [
        ("The ends are swapped: $t = 0$ is the target here.", lambda t, s: (1 - t**2, t**2, s**2 * t**2 * (1 - t**2))),
        ("In this diffusion the variance grows as $t^2$, so the weights are $t^2$ and $1 - t^2$.",
         lambda t, s: (t, 1 - t, s**2 * t * (1 - t))),
        ("The third thing is the variance $c^2$: leave out the square root.",
         lambda t, s: (t**2, 1 - t**2, s * t * (1 - t**2) ** 0.5)),
        ("The variance is that of the unpinned diffusion: the bridge has none at $t = 1$.",
         lambda t, s: (t**2, 1 - t**2, s**2 * t**2)),
        ("The variance has σ where it needs σ².", lambda t, s: (t**2, 1 - t**2, s * t**2 * (1 - t**2))),
    ]  # fmt: skip
    return judge(
        answer,
        lambda t, s: Bridge("ve", s).coefficients(t),
        [(t, 0.5), (t, 2.0)],
        parts=["a", "b", "c²"],
        right="It is the Brownian bridge, read on a clock that runs as t².",
        mistakes=mistakes,
        tolerance=1e-4,
    )


def check_line(answer: Callable[..., tuple[float, float]]) -> Verdict:
    """Check slope and residual (4) of the best line from the state to the target.

    Args:
        answer: A function of a, b, c², σ_0, σ_T and σ_0T, all numbers, which returns c_skip and c_out.
    """

    def total(a: float, b: float, c2: float, target: float, source: float, covariance: float) -> float:
        return a**2 * source**2 + b**2 * target**2 + 2 * a * b * covariance + c2

    def shared(a: float, b: float, _: float, target: float, __: float, covariance: float) -> float:
        return b * target**2 + a * covariance

    def truth(*values: float) -> tuple[float, float]:
        left = values[3] ** 2 - shared(*values) ** 2 / total(*values)
        return shared(*values) / total(*values), left**0.5

    def changed(skip: Callable[..., float], out: Callable[..., float]) -> Callable[..., tuple[float, float]]:
        return lambda *values: (skip(*values), out(*values))

    def slope(*values: float) -> float:
        return truth(*values)[0]

    def residual(*values: float) -> float:
        return truth(*values)[1]

    mistakes: list[Mistake] = [
        ("The second thing is a variance: take its square root.", changed(slope, lambda *v: residual(*v) ** 2)),
        ("The residual is that without any line: subtract what the line explains.", changed(slope, lambda *v: v[3])),
        ("The covariance of $x_0$ and $X_t$ also has the part that comes through the source.",
         lambda *v: (v[1] * v[3] ** 2 / total(*v), (v[3] ** 2 - (v[1] * v[3] ** 2) ** 2 / total(*v)) ** 0.5)),
        ("The variance of the state lacks twice the covariance of its two parts.",
         lambda *v: (shared(*v) / (total(*v) - 2 * v[0] * v[1] * v[5]),
                     (v[3] ** 2 - shared(*v) ** 2 / (total(*v) - 2 * v[0] * v[1] * v[5])) ** 0.5)),
        ("The variance of the state lacks the noise $c^2$.",
         lambda *v: (shared(*v) / (total(*v) - v[2]), (v[3] ** 2 - shared(*v) ** 2 / (total(*v) - v[2])) ** 0.5)),
        ("The two are swapped: first $c_\\mathrm{skip}$, then $c_\\mathrm{out}$.", changed(residual, slope)),
    ]  # fmt: skip
    return judge(
        answer,
        truth,
        [(0.3, 0.6, 0.2, 0.9, 1.3, 0.6), (0.7, 0.2, 0.5, 1.0, 0.8, 0.2)],
        parts=["c_skip", "c_out"],
        right="The network has to learn only what this line leaves.",
        mistakes=mistakes,
        tolerance=1e-4,
    )


def check_looks(answer: Callable[[float, float], tuple[float, float]]) -> Verdict:
    """Check by how much an error of the denoiser moves the state in one Heun step of the flow (7), for VE.

    Args:
        answer: A function of the times t and s < t, which returns the parts of the look at t and of that at s, as
            multiples of the error.
    """
    mistakes: list[Mistake] = [
        ("Each look has half of the say: Heun's method takes the mean of the two velocities.",
         lambda t, s: ((t - s) / t, (t - s) / s)),
        ("The two are swapped: first the look at $t$, where the step begins.",
         lambda t, s: ((t - s) / (2 * s), (t - s) / (2 * t))),
        ("The sign: a larger answer of the denoiser moves the state up, since the flow leads to it.",
         lambda t, s: ((s - t) / (2 * t), (s - t) / (2 * s))),
        ("These are velocities: multiply by the length of the step, $t - s$.", lambda t, s: (1 / (2 * t), 1 / (2 * s))),
        ("The second look is at $s$: put $s$ in its denominator.", lambda t, s: ((t - s) / (2 * t), (t - s) / (2 * t))),
        ("The factor is $g^2 b_t / 2c_t^2$, in which $c_t^2 = σ^2 t^2(1 - t^2)$ loses one $t$ to $g^2 = 2σ^2 t$.",
         lambda t, s: ((t - s) / (2 * t**2), (t - s) / (2 * s**2))),
    ]  # fmt: skip
    return judge(
        answer,
        lambda t, s: ((t - s) / (2 * t), (t - s) / (2 * s)),
        [(0.9, 0.5), (0.5, 0.1)],
        parts=["the part of the look at t", "the part of the look at s"],
        right="The first is at most a half; the second grows without bound as $s$ goes to 0.",
        mistakes=mistakes,
    )
