"""Time grids: where a sampler stops on its way."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["angular_grid", "power_grid", "uniform_grid"]


def uniform_grid(steps: int) -> Tensor:
    """Equal steps from 0 to 1: (steps + 1,) float64."""
    return torch.linspace(0, 1, steps + 1, dtype=torch.float64)


def angular_grid(steps: int, margin: float) -> Tensor:
    """sin² of equally spaced angles, in which a bridge's spread √(t(1-t)) is smooth; from about margin to 1 - margin.

    Args:
        steps: Number of steps.
        margin: Time to keep away from both ends.

    Returns:
        (steps + 1,) float64, ascending.
    """
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

    Source:
        Karras et al. 2022, "Elucidating the design space of diffusion-based generative models", Eq. (5).
    """
    ramp = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    return (1 - ramp * (1 - last ** (1 / power))).pow(power)
