"""Solve dx/dt = v(x, t) from t = 0 to 1 and count how often v was asked."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

__all__ = ["Field", "Solution", "Solver", "integrate"]

Field = Callable[[Tensor, Tensor], Tensor]
"""A velocity field: states (B, ...) and times (B,) to velocities (B, ...)."""

Solver = Literal["euler", "midpoint", "rk4", "adaptive"]


@dataclass(frozen=True)
class Solution:
    """Where the states went, and what it cost.

    Attributes:
        times: (K + 1,) times, the first 0 and the last 1.
        path: (K + 1, B, ...) states at these times.
        calls: How often the field was asked for the whole batch.
    """

    times: Tensor
    path: Tensor
    calls: int

    @property
    def end(self) -> Tensor:
        """The states at t = 1, (B, ...)."""
        return self.path[-1]


def integrate(
    field: Field, x: Tensor, *, steps: int = 20, solver: Solver = "midpoint", tolerance: float = 1e-3
) -> Solution:
    """Carry states along a velocity field.

    Args:
        field: v(x, t).
        x: States at t = 0, (B, ...).
        steps: Number of equal steps; the adaptive solver takes as many as it needs, and starts with this step size.
        solver: ``"euler"`` (order 1, one call per step), ``"midpoint"`` (2, two), ``"rk4"`` (4, four), or
            ``"adaptive"``: third order with a second-order check, three calls per step tried.
        tolerance: Largest error of one adaptive step, in root mean square over the values of a sample.

    Raises:
        ValueError: If the solver is unknown, a number is not positive and finite, or steps is not whole.
    """
    if solver not in get_args(Solver) or not (steps >= 1 and steps % 1 == 0) or not 0 < tolerance < math.inf:
        raise ValueError(
            f"A solver is one of {', '.join(get_args(Solver))}, with steps >= 1 and tolerance > 0; not {solver!r}, "
            f"{steps} and {tolerance}."
        )
    steps = int(steps)

    calls = 0

    def slope(x: Tensor, t: float) -> Tensor:
        nonlocal calls
        calls += 1
        return field(x, torch.full((len(x),), t, device=x.device, dtype=x.dtype))

    if solver == "adaptive":
        times, path = _adaptive(slope, x, 1 / steps, tolerance)
    else:
        step = {"euler": _euler, "midpoint": _midpoint, "rk4": _rk4}[solver]
        times, path = [k / steps for k in range(steps + 1)], [x]
        for t in times[:-1]:
            path.append(step(slope, path[-1], t, 1 / steps))
    return Solution(torch.tensor(times, dtype=torch.float64), torch.stack(path), calls)


_Slope = Callable[[Tensor, float], Tensor]


def _euler(slope: _Slope, x: Tensor, t: float, h: float) -> Tensor:
    return x + h * slope(x, t)


def _midpoint(slope: _Slope, x: Tensor, t: float, h: float) -> Tensor:
    return x + h * slope(x + h / 2 * slope(x, t), t + h / 2)


def _rk4(slope: _Slope, x: Tensor, t: float, h: float) -> Tensor:
    first = slope(x, t)
    second = slope(x + h / 2 * first, t + h / 2)
    third = slope(x + h / 2 * second, t + h / 2)
    return x + h / 6 * (first + 2 * second + 2 * third + slope(x + h * third, t + h))


def _adaptive(slope: _Slope, x: Tensor, h: float, tolerance: float) -> tuple[list[float], list[Tensor]]:
    """Bogacki and Shampine's pair of order 3(2): the last slope of a step is the first of the next."""
    t, times, path, first = 0.0, [0.0], [x], slope(x, 0.0)
    while t < 1:
        h = min(h, 1 - t)
        second = slope(x + h / 2 * first, t + h / 2)
        third = slope(x + 3 * h / 4 * second, t + 3 * h / 4)
        new = x + h / 9 * (2 * first + 3 * second + 4 * third)
        last = slope(new, t + h)
        gap = h * (-5 / 72 * first + second / 12 + third / 9 - last / 8)
        error = float(gap.flatten(1).square().mean(1).sqrt().max())
        if error <= tolerance or h < 1e-4:
            t = 1.0 if 1 - t - h < 1e-9 else t + h
            x, first = new, last
            times.append(t)
            path.append(x)
        h *= min(4.0, max(0.2, 0.9 * (tolerance / max(error, 1e-12)) ** (1 / 3)))
        h = max(h, 1e-4)
    return times, path
