"""Perceptrons for long vectors, conditioned on time."""

from __future__ import annotations

from torch import Tensor, nn

from mmlab.nn.time import TimeEmbedding

__all__ = ["FiLMBlock", "FiLMPerceptron"]


class FiLMBlock(nn.Module):
    """Pre-normalised residual block whose normalised input is scaled and shifted by a condition (FiLM).

    Args:
        width: Number of features D.
        condition_width: Length of the condition.
        dropout: Dropout probability.

    Source:
        Perez et al. 2018, "FiLM: Visual reasoning with a general conditioning layer".
    """

    def __init__(self, width: int, condition_width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(condition_width, 2 * width)
        self.layers = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Dropout(dropout), nn.Linear(width, width))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Transform features (B, D) under conditions (B, condition_width)."""
        scale, shift = self.modulation(condition).chunk(2, dim=-1)  # (B, D) each
        return x + self.layers(self.norm(x) * (1 + scale) + shift)


class FiLMPerceptron(nn.Module):
    """Several vectors of E values in, one out, through a bottleneck; the output starts at zero.

    A bottleneck cannot copy its input. Copying is what a denoiser of long vectors mostly does, so each input also
    reaches the output directly, through one learned gain that depends on time.

    Args:
        inputs: Number of input vectors K.
        size: Length of each vector E.
        width: Width of the bottleneck D.
        depth: Number of residual blocks.
        outputs: Number of output vectors.
        dropout: Dropout probability.
        time_conditioning: If False, the network is not conditioned on time.
    """

    def __init__(
        self,
        inputs: int,
        size: int,
        width: int = 256,
        depth: int = 2,
        outputs: int = 1,
        dropout: float = 0.0,
        time_conditioning: bool = True,
    ) -> None:
        super().__init__()
        self.inputs, self.outputs, self.size = inputs, outputs, size
        self.time = TimeEmbedding(width, time_conditioning)
        self.encode = nn.Linear(inputs * size, width)
        self.blocks = nn.ModuleList(FiLMBlock(width, width, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.decode = nn.Linear(width, outputs * size)
        self.gains = nn.Linear(width, outputs * inputs)
        for layer in (self.decode, self.gains):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Map vectors (B, K, E) at times (B,) to vectors (B, outputs, E)."""
        time = self.time(t)  # (B, D)
        hidden = self.encode(x.flatten(1))  # (B, D)
        for block in self.blocks:
            hidden = block(hidden, time)
        gains = self.gains(time).unflatten(1, (self.outputs, self.inputs))  # (B, outputs, K)
        return self.decode(self.norm(hidden)).unflatten(1, (self.outputs, self.size)) + gains @ x
