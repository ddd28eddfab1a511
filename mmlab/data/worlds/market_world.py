"""A drawn market: items with a text and a picture, made by creators; prices in three classes. Nothing here was sold.

Creator c has a reputation r_c ~ N(0, 1), item i of c a text quality t_i and a picture quality m_i, both N(0, 1). The
log-price is

    v_i = √α t_i + √α m_i + √ρ r_c + √(1 - 2α - ρ) ε_i,    α = 0.2,

so that ρ is the share of the creator in its variance, which is 1. The class is its third: low, middle or high. What one
can look at are vectors, turned by random orthogonal matrices, that show

    text:     t_i + 0.5 ε, and eleven directions without meaning,
    picture:  m_i + 0.5 ε,  r_c + 2 ε, and ten directions without meaning.

A single picture hardly shows the reputation; the pictures of all items of a creator together do. So the relation *same
creator* carries what an item alone does not have, as far as ρ is above 0. The relation *looks alike* joins items
whose vectors are near, and can carry only what the vectors say. :meth:`MarketWorld.posterior` is exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mmlab.data.neighbours import neighbour_table
from mmlab.data.tensors import TensorData
from mmlab.wording import require_at_least

__all__ = ["CLASSES", "RELATIONS", "MarketWorld", "market_world"]

CLASSES = ("low", "middle", "high")
RELATIONS = ("creator", "alike", "shuffled")
_SIZE, _QUALITY, _READ, _SHOWN = 12, 0.2, 0.5, 2.0
_CUT = 0.4307273  # the standard normal has a third below -0.43 and a third above 0.43


@dataclass(frozen=True, eq=False)
class MarketWorld:
    """The law of items and prices: :meth:`draw` makes a market as often as one likes.

    Attributes:
        share: ρ.
        creators: Number of creators.
        size: Items of each.
        turns: Orthogonal matrices (12, 12) float64 of ``text`` and ``picture``.
    """

    share: float
    creators: int
    size: int
    turns: dict[str, Tensor]

    @property
    def pairs(self) -> TensorData:
        """One market with the relation *creator*, the same each time: what ``mmlab train`` takes of this world."""
        return self.draw(0)

    def draw(self, seed: int = 0, relation: str = "creator") -> TensorData:
        """A market of its own.

        Args:
            seed: Seed of the market; the relation does not change the items.
            relation: ``"creator"``; ``"alike"``: the nearest vectors; ``"shuffled"``: as *creator*, but each item has
                the neighbours of another one.

        Returns:
            ``text`` (N, 12), ``picture`` (N, 12), those of up to ``size - 1`` related items ``text_near`` and
            ``picture_near`` (N, M, 12) with ``near_there`` (N, M) and their places ``near`` (N, M), ``creator`` (N,),
            and ``label`` (N,) from 0 to 2.

        Raises:
            ValueError: If there is no such relation.
        """
        if relation not in RELATIONS:
            raise ValueError(f"There is no relation {relation!r}: choose {', '.join(RELATIONS)}.")
        rng = torch.Generator().manual_seed(seed)
        count = self.creators * self.size
        creator = torch.arange(self.creators).repeat_interleave(self.size)
        fame = torch.randn(self.creators, generator=rng, dtype=torch.float64)[creator]
        draws = torch.randn(count, 3, generator=rng, dtype=torch.float64)
        parts = torch.cat([draws[:, :2], fame[:, None], draws[:, 2:]], 1)
        value = parts @ torch.tensor(self._weights(), dtype=torch.float64)
        noise = torch.randn(2, count, _SIZE, generator=rng, dtype=torch.float64)
        text, picture = noise[0].clone(), noise[1].clone()
        text[:, 0] = draws[:, 0] + _READ * noise[0, :, 0]
        picture[:, 0] = draws[:, 1] + _READ * noise[1, :, 0]
        picture[:, 1] = fame + _SHOWN * noise[1, :, 1]
        seen = {"text": text @ self.turns["text"].T, "picture": picture @ self.turns["picture"].T}
        tensors = {name: made.float() for name, made in seen.items()}
        if relation == "alike":
            both = torch.cat([tensors["text"], tensors["picture"]], 1)
            far = torch.cdist(both, both) + torch.diag(torch.full((count,), torch.inf))
            near, there = far.topk(self.size - 1, largest=False).indices, torch.ones(count, self.size - 1).bool()
        else:
            same = creator[:, None] == creator
            edges = (same & ~torch.eye(count, dtype=torch.bool)).nonzero().T
            near, there = neighbour_table(edges, count, self.size - 1, rng)
            if relation == "shuffled":
                near = near[torch.randperm(count, generator=rng)]
        tensors |= {f"{name}_near": tensors[name][near] for name in ("text", "picture")}
        label = (value > -_CUT).long() + (value > _CUT).long()
        return TensorData(tensors | {"near": near, "near_there": there, "creator": creator, "label": label})

    def posterior(self, batch: dict[str, Tensor], related: bool = True) -> Tensor:
        """Exact probabilities (N, 3) float64 of the classes.

        Args:
            batch: A market with the relation *creator*.
            related: Whether the pictures of the creator's other items are looked at.
        """
        text = batch["text"].double() @ self.turns["text"]
        picture = batch["picture"].double() @ self.turns["picture"]
        readings = picture[:, 1:2]
        there = torch.ones(len(text), 1, dtype=torch.float64)
        if related:
            others = (batch["picture_near"].double() @ self.turns["picture"])[..., 1]
            readings, there = torch.cat([readings, others], 1), torch.cat([there, batch["near_there"].double()], 1)
        precision = there.sum(1) / _SHOWN**2
        known = precision / (1 + precision)  # share of the reputation's variance
        fame = known * (readings * there).sum(1) / there.sum(1)
        read = 1 / (1 + _READ**2)
        weights = self._weights()
        mean = weights[0] * read * text[:, 0] + weights[1] * read * picture[:, 0] + weights[2] * fame
        rest = 1 - (weights[0] ** 2 + weights[1] ** 2) * read - weights[2] ** 2 * known
        below = [torch.special.ndtr((cut - mean) / rest.sqrt()) for cut in (-_CUT, _CUT)]
        return torch.stack([below[0], below[1] - below[0], 1 - below[1]], 1)

    def _weights(self) -> list[float]:
        """Weights of text, picture, reputation and chance in the log-price."""
        return [math.sqrt(part) for part in (_QUALITY, _QUALITY, self.share, 1 - 2 * _QUALITY - self.share)]


def market_world(share: float = 0.4, creators: int = 100, size: int = 8, seed: int = 0) -> MarketWorld:
    """Make a world. The same arguments make the same world.

    Args:
        share: ρ, the creator's share in the variance of the log-price.
        creators: Number of creators.
        size: Items of each.
        seed: Seed of the turns.

    Raises:
        ValueError: If the share is not from 0 to 0.6.
    """
    require_at_least(creators=(creators, 2), size=(size, 2))
    if not 0 <= share <= 1 - 2 * _QUALITY:
        raise ValueError(f"share={share} must lie between 0 and {1 - 2 * _QUALITY:g}.")
    rng = torch.Generator().manual_seed(seed)
    draws = {name: torch.randn(_SIZE, _SIZE, generator=rng, dtype=torch.float64) for name in ("text", "picture")}
    return MarketWorld(share, creators, size, {name: torch.linalg.qr(draw).Q for name, draw in draws.items()})
