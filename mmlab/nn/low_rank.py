"""Low-rank updates of linear layers (Hu et al. 2022): W + (α / r) B A, of which A and B alone are trained."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

__all__ = ["ATTENTION", "LINEAR", "LowRank", "low_rank_update"]

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
"""The four matrices of every attention in a U-Net of diffusers."""

LINEAR = (*ATTENTION, "net.0.proj", "net.2")
"""All linear layers of the transformer blocks in a U-Net of diffusers."""


def low_rank_update(x: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
    """What the adapter adds to a layer's output: (..., in) -> (..., out), without ever forming B A."""
    return scale * linear(linear(x, a), b)


class LowRank(nn.Module):
    """A linear layer with its low-rank update.

    Args:
        base: The layer, an ``nn.Linear`` or what takes its place; it is frozen.
        rank: Rank r.
        alpha: Scale α: the update is multiplied by α / r.
    """

    def __init__(self, base: Any, rank: int, alpha: float) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.scale = alpha / rank
        made = {"device": base.weight.device}
        self.a = nn.Parameter(torch.randn(rank, base.in_features, **made) / rank)  # Gaussian, as diffusers' script
        self.b = nn.Parameter(torch.zeros(base.out_features, rank, **made))  # so that nothing changes at first

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        out: Tensor = self.base(x)
        return out + low_rank_update(x, self.a, self.b, self.scale)

    def merged(self) -> nn.Linear:
        """One plain layer that computes the same: W + (α / r) B A."""
        plain: nn.Linear = self.base.plain() if hasattr(self.base, "plain") else copy.deepcopy(self.base)
        with torch.no_grad():
            plain.weight += self.scale * self.b @ self.a
        return plain
