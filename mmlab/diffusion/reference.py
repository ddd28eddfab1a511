"""The reference diffusion of bridge methods and its variances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

__all__ = ["Reference", "Schedule", "like"]

Schedule = Literal["constant", "triangular"]


@dataclass(frozen=True)
class Reference:
    """The reference diffusion dX = √β_t dW on [0, 1].

    Attributes:
        sigma: √S, the standard deviation that the diffusion gathers from t = 0 to 1, in units of the data.
        schedule: ``"constant"`` β = σ², or ``"triangular"``, β rising from 0 to 2σ² at t = ½ and back.
    """

    sigma: float
    schedule: Schedule = "constant"

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


def like(t: Tensor, x: Tensor) -> Tensor:
    """Times (B,) with as many dimensions as the states (B, ...), so that they broadcast."""
    return t.view(-1, *[1] * (x.ndim - 1))
