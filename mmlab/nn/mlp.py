"""Perceptrons for long vectors, conditioned on time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmlab.nn.time import TimeEmbedding

__all__ = ["FiLMBlock", "FiLMPerceptron", "RefiningPerceptron"]


class FiLMBlock(nn.Module):
    """Pre-normalised residual block whose normalised input is scaled and shifted by a condition (FiLM).

    Args:
        width: Number of features D.
        condition_width: Length of the condition.
        dropout: Share of features dropped in training.

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
        dropout: Share of features dropped in training.
        see_time: If False, the network is blind to time.
    """

    def __init__(
        self,
        inputs: int,
        size: int,
        width: int = 256,
        depth: int = 2,
        outputs: int = 1,
        dropout: float = 0.0,
        see_time: bool = True,
    ) -> None:
        super().__init__()
        self.inputs, self.outputs, self.size = inputs, outputs, size
        self.time = TimeEmbedding(width, see_time)
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


class RefiningPerceptron(nn.Module):
    """Guess the end of a bridge from its start alone, then refine the guess by what the state has shown since.

    If the guess f(x0) were the end, the bridge would pass through (1 - u) x0 + u f(x0). The state's departure from
    there is noise plus what the guess missed; a gain and a low-rank map, both functions of u, turn it into a
    correction. The correction is linear in the departure, whose mean is zero, so the mean of the samples stays at the
    guess. With few training pairs this matters: a free network recognises the training pairs in the late states.

    Args:
        size: Length of the vectors E.
        width: Width of the guess's bottleneck D.
        depth: Residual blocks in the guess; with 0 it is linear.
        rank: Rank of the correction R.
        dropout: Share of features dropped in training.
    """

    def __init__(self, size: int, width: int = 256, depth: int = 0, rank: int = 16, dropout: float = 0.0) -> None:
        super().__init__()
        self.keep = nn.Parameter(torch.ones(()))
        self.encode = nn.Linear(size, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
            for _ in range(depth)
        )
        self.dropout = nn.Dropout(dropout)
        self.decode = nn.Linear(width, size)
        self.time = TimeEmbedding(64)
        self.gain = nn.Linear(64, 1)
        self.rank_gains = nn.Linear(64, rank)
        self.find = nn.Linear(size, rank, bias=False)
        self.correct = nn.Linear(rank, size, bias=False)
        for parameter in (*self.decode.parameters(), *self.gain.parameters(), *self.correct.parameters()):
            nn.init.zeros_(parameter)

    def guess(self, source: Tensor) -> Tensor:
        """The end expected from the start alone, (B, E) -> (B, E). It begins as the start itself."""
        hidden = self.encode(source)  # (B, D)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return self.keep * source + self.decode(self.dropout(hidden))

    def forward(self, x: Tensor, source: Tensor, u: Tensor, start: Tensor | None = None) -> Tensor:
        """The end expected from states and starts (B, E) at bridge times u (B,), the share of variance gathered.

        The state lies on the way from ``start`` to the end, which is the source if it is not given.
        """
        guess, share, time = self.guess(source), u[:, None], self.time(u)
        departure = x - (1 - share) * (source if start is None else start) - share * guess  # (B, E)
        seen = self.rank_gains(time) * self.find(departure)  # (B, R)
        return guess + self.gain(time) * departure + self.correct(self.dropout(seen))
