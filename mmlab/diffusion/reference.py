"""The reference diffusion of bridge methods and its variances; times and noise that fit a batch of states."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

__all__ = ["MARGIN", "Reference", "Schedule", "expand_to", "noise_like", "times_like"]

Schedule = Literal["constant", "triangular"]

MARGIN = 1e-3
"""Networks are trained on times in [MARGIN, 1 - MARGIN] and never asked outside: at the ends bridges are singular."""


@dataclass(frozen=True)
class Reference:
    """The reference diffusion dX = √β_t dW on [0, 1].

    Attributes:
        sigma: √S, the standard deviation that the diffusion gathers from t = 0 to 1, in units of the data.
        schedule: ``"constant"`` β = σ², or ``"triangular"``, β rising from 0 to 2σ² at t = ½ and back.
    """

    sigma: float
    schedule: Schedule = "constant"

    def __post_init__(self) -> None:
        if not 0 < self.sigma < math.inf:
            raise ValueError(f"sigma={self.sigma}: a standard deviation must be positive and finite.")
        if self.schedule not in get_args(Schedule):
            raise ValueError(f"schedule={self.schedule!r} is not one of {', '.join(get_args(Schedule))}.")

    def beta(self, t: Tensor) -> Tensor:
        """Diffusion coefficient β_t."""
        if self.schedule == "constant":
            return torch.full_like(t, self.sigma**2)
        return 4 * self.sigma**2 * torch.minimum(t, 1 - t)

    def from_start(self, t: Tensor) -> Tensor:
        """σ_t² = ∫₀ᵗ β: the variance gathered since the start."""
        if self.schedule == "constant":
            return self.sigma**2 * t
        return self.sigma**2 * torch.where(t < 0.5, 2 * t**2, 1 - 2 * (1 - t) ** 2)

    def to_end(self, t: Tensor) -> Tensor:
        """σ̄_t² = ∫ₜ¹ β: the variance still to come. Both schedules are symmetric, so it is σ² at 1 - t."""
        return self.from_start(1 - t)


def expand_to(t: Tensor, x: Tensor) -> Tensor:
    """Times (B,) with as many dimensions as the states x (B, ...), so that they broadcast."""
    return t.view(-1, *[1] * (x.ndim - 1))


def noise_like(x: Tensor, rng: torch.Generator) -> Tensor:
    """Standard normal noise with the shape, type and device of x, drawn from ``rng``."""
    return torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype)


def times_like(x: Tensor, rng: torch.Generator) -> Tensor:
    """Uniform times in [MARGIN, 1 - MARGIN], (B,), one for each state of x (B, ...)."""
    return MARGIN + (1 - 2 * MARGIN) * torch.rand(len(x), generator=rng, device=x.device, dtype=x.dtype)
