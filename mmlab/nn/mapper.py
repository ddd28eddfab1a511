"""From the states of a few words to the states that a text-to-picture model reads: GILL's mapper, and simpler ones."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

__all__ = ["Mapper", "MapperKind"]

MapperKind = Literal["full", "encoder", "mlp", "linear"]
"""What maps: GILL's encoder, queries and decoder; an encoder that reads the queries, too; three layers; or one."""


class Mapper(nn.Module):
    """Q target vectors from R states.

    ``full`` is the published GILLMapper: the states pass a transformer encoder, and learnt queries, which see one
    another, ask its decoder. ``encoder`` has the queries stand behind the states in one encoder of as many layers as
    the other has in both halves. ``mlp`` and ``linear`` have no attention: Q mixtures of the R states, with weights
    that do not depend on them, then three layers or one, the same for each.

    Args:
        width: D, of the states.
        count: R.
        target: Width of the target vectors.
        queries: Q.
        kind: What maps.
        hidden: Width of the transformer, or of the layers between.
        layers: Number of layers of the encoder, and of the decoder.
        heads: Number of heads.

    Raises:
        ValueError: If there is no such kind, or the width is no multiple of the heads.
    """

    def __init__(
        self,
        width: int,
        count: int,
        target: int,
        queries: int,
        kind: MapperKind = "full",
        hidden: int = 512,
        layers: int = 4,
        heads: int = 4,
    ) -> None:
        super().__init__()
        if kind not in get_args(MapperKind):
            raise ValueError(f"mapper: kind={kind!r} is none of {', '.join(get_args(MapperKind))}.")
        if min(width, count, target, queries, hidden, layers, heads) < 1 or hidden % heads:
            raise ValueError(
                f"mapper: hidden={hidden}, layers={layers}, heads={heads}; all numbers must be positive, and hidden a "
                "multiple of heads."
            )
        self.kind = kind
        if kind in ("mlp", "linear"):
            self.mix = nn.Linear(count, queries)
            between = [nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU()]
            self.model: nn.Module = (
                nn.Linear(width, target) if kind == "linear" else nn.Sequential(*between, nn.Linear(hidden, target))
            )
            return
        shape = {"dim_feedforward": 4 * hidden, "dropout": 0.0, "batch_first": True, "norm_first": True}
        layer = nn.TransformerEncoderLayer(hidden, heads, **shape)  # type: ignore[arg-type]
        depth = layers if kind == "full" else 2 * layers
        encoder = nn.TransformerEncoder(layer, depth, nn.LayerNorm(hidden), enable_nested_tensor=False)
        self.fc = nn.Linear(width, hidden)
        self.tfm: nn.Module = encoder
        if kind == "full":
            self.tfm = nn.Transformer(hidden, heads, layers, layers, custom_encoder=encoder, **shape)  # type: ignore[arg-type]
        self.model = nn.Linear(hidden, target)
        self.query_embs = nn.Parameter(torch.randn(1, queries, hidden))

    def forward(self, states: Tensor) -> Tensor:
        """(B, R, D) -> (B, Q, target)."""
        if self.kind in ("mlp", "linear"):
            made: Tensor = self.model(self.mix(states.mT).mT)
            return made
        x, queries = self.fc(states), self.query_embs.expand(len(states), -1, -1)
        if self.kind == "full":
            made = self.model(self.tfm(x, queries))  # no mask: the queries see one another
        else:
            made = self.model(self.tfm(torch.cat([x, queries], 1))[:, x.shape[1] :])
        return made
