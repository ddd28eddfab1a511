"""From the tokens of a vision tower to the word space of a language model: four connectors, one interface.

Each maps (B, P, vision width) to (B, P', language width). The linear map and the perceptron keep every token; the two
query connectors read P tokens into ``queries`` of their own.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["ConnectorKind", "QueryConnector", "make_connector", "tokens_after"]

ConnectorKind = Literal["linear", "mlp", "resampler", "q_former"]


class QueryConnector(nn.Module):
    """Learnt queries that read the picture, as in the Perceiver resampler and in BLIP-2's Q-Former.

    Args:
        vision_width: Width of the tokens that are read.
        language_width: Width of the tokens that come out.
        queries: Number of them.
        layers: Rounds of reading.
        heads: Heads of the attention.
        mutual: Whether the queries attend to one another before they read (Q-Former); the resampler's read themselves
            together with the picture.

    Source:
        Alayrac et al. 2022, "Flamingo", for the resampler; Li et al. 2023, "BLIP-2", for the Q-Former. Both are given
        here in their smallest form: no text enters the Q-Former, and it is not trained beforehand.
    """

    def __init__(
        self,
        vision_width: int,
        language_width: int,
        queries: int,
        layers: int = 2,
        heads: int = 4,
        mutual: bool = False,
    ) -> None:
        super().__init__()
        if language_width % heads:
            raise ValueError(f"language_width={language_width} is no multiple of {heads} heads.")
        self.queries = nn.Parameter(torch.randn(queries, language_width) * language_width**-0.5)
        self.enter = nn.Linear(vision_width, language_width)
        self.layers = nn.ModuleList(_Reader(language_width, heads, mutual) for _ in range(layers))
        self.leave = nn.Sequential(nn.LayerNorm(language_width), nn.Linear(language_width, language_width))

    def forward(self, tokens: Tensor) -> Tensor:
        """Read: (B, P, vision width) -> (B, queries, language width)."""
        seen = self.enter(tokens)  # (B, P, D)
        state = self.queries.expand(len(tokens), -1, -1)  # (B, Q, D)
        for layer in self.layers:
            state = layer(state, seen)
        return self.leave(state)


class _Reader(nn.Module):
    """One round: the queries read the picture, and think."""

    def __init__(self, width: int, heads: int, mutual: bool) -> None:
        super().__init__()
        self.mutual = nn.MultiheadAttention(width, heads, batch_first=True) if mutual else None
        self.read = nn.MultiheadAttention(width, heads, batch_first=True)
        self.think = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.before_read, self.of_picture = nn.LayerNorm(width), nn.LayerNorm(width)
        self.before_mutual = nn.LayerNorm(width) if mutual else None

    def forward(self, state: Tensor, seen: Tensor) -> Tensor:
        if self.mutual is not None and self.before_mutual is not None:
            own = self.before_mutual(state)
            state = state + self.mutual(own, own, own, need_weights=False)[0]
        own, picture = self.before_read(state), self.of_picture(seen)
        keys = picture if self.mutual is not None else torch.cat([picture, own], 1)
        state = state + self.read(own, keys, keys, need_weights=False)[0]
        return state + self.think(state)


def make_connector(kind: ConnectorKind, vision_width: int, language_width: int, queries: int = 16) -> nn.Module:
    """Build a connector: (B, P, vision_width) -> (B, P', language_width).

    Args:
        kind: ``"linear"`` (LLaVA), ``"mlp"`` (two layers with GELU: LLaVA-1.5, TinyLLaVA), ``"resampler"`` (Flamingo)
            or ``"q_former"`` (BLIP-2).
        vision_width: Width of the tower's tokens.
        language_width: Width of the language model's word vectors.
        queries: P' of the last two; the first two keep P.

    Raises:
        ValueError: If there is no such kind, or a number is below 1.
    """
    if min(vision_width, language_width, queries) < 1:
        raise ValueError(f"Widths {vision_width}, {language_width} and queries={queries} must be 1 or more.")
    if kind == "linear":
        return nn.Linear(vision_width, language_width)
    if kind == "mlp":
        return nn.Sequential(
            nn.Linear(vision_width, language_width), nn.GELU(), nn.Linear(language_width, language_width)
        )
    if kind in ("resampler", "q_former"):
        return QueryConnector(vision_width, language_width, queries, mutual=kind == "q_former")
    raise ValueError(f"There is no connector {kind!r}: choose linear, mlp, resampler or q_former.")


def tokens_after(connector: nn.Module, tokens: int) -> int:
    """P', the number of tokens that a connector, or what peft wraps around one, makes of P."""
    queries: Tensor | None = getattr(connector, "queries", None)
    return tokens if queries is None else len(queries)
