"""Steps of solvers for ordinary differential equations."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

__all__ = ["heun_step"]


def heun_step(field: Callable[[Tensor, Tensor], Tensor], x: Tensor, s: Tensor, t: Tensor) -> Tensor:
    """One step of Heun's second-order method for dx/dt = field(x, t) from time s to t: two evaluations."""
    slope = field(x, s)
    return x + (t - s) / 2 * (slope + field(x + (t - s) * slope, t))
