"""Time as a network input: a sinusoidal embedding whose frequencies fit the unit interval."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["TimeEmbedding", "sinusoidal_embedding"]


def sinusoidal_embedding(t: Tensor, width: int, scale: float = 1000.0, longest: float = 10_000.0) -> Tensor:
    """Embed times in [0, 1] as sines and cosines of geometrically spaced frequencies.

    Fed with a raw t in [0, 1] (scale 1), even
    the fastest sine turns by one radian only and most columns are constants, so the network hardly sees the time.

    Args:
        t: Times in [0, 1], shape (B,).
        width: Length of the embedding D; even.
        scale: Factor on the time before the sines.
        longest: Ratio of the longest wavelength to the shortest.

    Returns:
        Shape (B, D), cosines first.

    Source:
        Vaswani et al. 2017, section 3.5; the scaling by 1000 is that of diffusion models with 1000 steps.
    """
    if width % 2 or width < 4:
        raise ValueError(f"The width of a time embedding is even and at least 4, not {width}.")
    half = width // 2
    exponents = torch.arange(half, device=t.device, dtype=torch.float32) / (half - 1)
    frequencies = torch.exp(-math.log(longest) * exponents)  # (D/2,)
    angles = scale * t.float()[:, None] * frequencies  # (B, D/2)
    return torch.cat([angles.cos(), angles.sin()], dim=-1).to(t.dtype)  # (B, D)


class TimeEmbedding(nn.Module):
    """Sinusoidal embedding followed by two linear layers: the vector that conditions every block.

    Args:
        width: Length of the embedding D.
        enabled: If False, the embedding does not depend on time; for experiments that show what this costs.
    """

    def __init__(self, width: int, enabled: bool = True) -> None:
        super().__init__()
        self.width, self.enabled = width, enabled
        self.layers = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())

    def forward(self, t: Tensor) -> Tensor:
        """Embed times, shape (B,), to shape (B, D)."""
        return self.layers(sinusoidal_embedding(t if self.enabled else torch.zeros_like(t), self.width))
