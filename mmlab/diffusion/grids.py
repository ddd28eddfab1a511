"""Time grids: where a sampler stops on its way."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mmlab.wording import require_at_least

__all__ = ["angular_grid", "power_grid", "uniform_grid"]


def uniform_grid(steps: int) -> Tensor:
    """Equal steps from 0 to 1: (steps + 1,) float64.

    Raises:
        ValueError: If there is no step.
    """
    require_at_least(steps=(steps, 1))
    return torch.linspace(0, 1, steps + 1, dtype=torch.float64)


def angular_grid(steps: int, margin: float) -> Tensor:
    """sin² of equally spaced angles, in which a bridge's spread √(t(1-t)) is smooth; from about margin to 1 - margin.

    Args:
        steps: Number of steps.
        margin: Time to keep away from both ends.

    Returns:
        (steps + 1,) float64, ascending.

    Raises:
        ValueError: If there is no step, or the margin is not in [0, 1/2).
    """
    require_at_least(steps=(steps, 1))
    if not 0 <= margin < 0.5:
        raise ValueError(f"margin={margin}: the time to keep away from both ends is in [0, 1/2).")
    low = math.sqrt(margin)
    return torch.linspace(low, math.pi / 2 - low, steps + 1, dtype=torch.float64).sin().square()


def power_grid(steps: int, power: float, last: float = 0.0) -> Tensor:
    """Steps that get shorter, from 1 down to ``last``: (1 + r (last^(1/p) - 1))^p for r in equal steps from 0 to 1.

    Args:
        steps: Number of steps.
        power: p; 1 gives equal steps.
        last: The end of the grid.

    Returns:
        (steps + 1,) float64, descending.

    Raises:
        ValueError: If there is no step, the power is not positive and finite, or the end is not in [0, 1).

    Source:
        Karras et al. 2022, "Elucidating the design space of diffusion-based generative models", Eq. (5).
    """
    require_at_least(steps=(steps, 1))
    if not 0 < power < math.inf or not 0 <= last < 1:
        raise ValueError(f"power={power} and last={last}: a power is positive and finite, and the end is in [0, 1).")
    ramp = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    return (1 - ramp * (1 - last ** (1 / power))).pow(power)
