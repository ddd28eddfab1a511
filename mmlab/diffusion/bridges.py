"""Diffusion bridges: the reference diffusion pinned at both ends, its drift, its steps, and the flow beside it.

Symbols: σ_t² = ∫₀ᵗ β is the variance from the start, σ̄_t² = ∫ₜ¹ β the variance to the end, S their constant sum.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from mmlab.diffusion import steps
from mmlab.diffusion.reference import Reference

__all__ = [
    "BridgeSampler",
    "Output",
    "bridge_drift",
    "bridge_moments",
    "euler_step",
    "flow_step",
    "from_endpoint",
    "posterior_step",
    "to_endpoint",
    "velocity",
]

Output = Literal["endpoint", "displacement", "noise", "drift"]
"""What a network of a bridge may predict without preconditioning."""

BridgeSampler = Literal["posterior", "euler", "ode"]


def bridge_moments(reference: Reference, x0: Tensor, x1: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of the reference, pinned to x0 at time 0 and to x1 at time 1.

    Args:
        reference: The reference diffusion.
        x0: Sources, shape (B, ...).
        x1: Targets, of the same shape.
        t: Times in [0, 1] that broadcast against them.

    Returns:
        Mean, of the shape of the ends, and variance, of the shape of t.
    """
    start, end = reference.from_start(t), reference.to_end(t)
    total = start + end
    return (end * x0 + start * x1) / total, start * end / total


def bridge_drift(reference: Reference, x: Tensor, x1: Tensor, t: Tensor) -> Tensor:
    """Drift that steers the reference from x at time t < 1 into x1 at time 1 (Doob's h-transform)."""
    return reference.beta(t) * (x1 - x) / reference.to_end(t)


def velocity(reference: Reference, x: Tensor, x0: Tensor, x1: Tensor, t: Tensor) -> Tensor:
    """Velocity of the probability-flow ODE, 0 < t < 1, with the ends' expectations given X_t = x for x0 and x1."""
    forward = bridge_drift(reference, x, x1, t)
    backward = reference.beta(t) * (x0 - x) / reference.from_start(t)
    return (forward - backward) / 2


def from_endpoint(kind: Output, reference: Reference, x: Tensor, x1: Tensor, t: Tensor) -> Tensor:
    """What a network of this kind should predict if the endpoint is x1."""
    if kind == "endpoint":
        return x1
    if kind == "displacement":
        return x1 - x
    if kind == "noise":
        return (x - x1) / reference.to_end(t).sqrt()
    return bridge_drift(reference, x, x1, t)


def to_endpoint(kind: Output, reference: Reference, x: Tensor, output: Tensor, t: Tensor) -> Tensor:
    """The endpoint that a network's prediction means: the inverse of :func:`from_endpoint`."""
    if kind == "endpoint":
        return output
    if kind == "displacement":
        return x + output
    if kind == "noise":
        return x - reference.to_end(t).sqrt() * output
    return x + output * reference.to_end(t) / reference.beta(t)


def euler_step(reference: Reference, x: Tensor, x1: Tensor, s: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Euler-Maruyama from time s to t for the drift towards x1: an approximation that is good for small steps.

    The last step to t = 1 is never small: with the constant schedule it lands on x1; with the triangular schedule its
    coefficient is 2 however many steps there are, and it goes from x to 2 x1 - x.
    """
    return steps.euler_step(x, bridge_drift(reference, x, x1, s), reference.beta(s), t - s, noise)


def posterior_step(reference: Reference, x: Tensor, x1: Tensor, s: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Draw X_t from the bridge given X_s = x and X₁ = x1. Exact for any s < t <= 1; at t = 1 it returns x1."""
    return steps.posterior_step(x, x1, reference.to_end(s), reference.to_end(t), noise)


def flow_step(reference: Reference, x: Tensor, x0: Tensor, x1: Tensor, s: Tensor, t: Tensor) -> Tensor:
    """Solve the probability-flow ODE from s to t, both inside (0, 1), for fixed ends: exact, stable for any step."""
    mean_s, variance_s = bridge_moments(reference, x0, x1, s)
    mean_t, variance_t = bridge_moments(reference, x0, x1, t)
    return steps.ddim_step(x, mean_s, mean_t, (variance_t / variance_s).sqrt())
