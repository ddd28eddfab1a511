"""Claims in clusters, with the tweets about them, their authors and their pictures; some claims are misinformation.

A cluster c is a story. It has a place m_c ~ N(0, s² I) among the texts, and a share p_c of misinformation, high in most
clusters and low in the others. A claim i of it is misinformation, y_i = 1, with probability p_c (else y_i = 0, and
t_i = 2 y_i - 1), and

    claim text   x_i = m_c + δ t_i a + ε,       tweet text   m_c / 2 + ε,
    author       f_u = z_u q + ε,               picture      η t_i b + ε    (half of the tweets have one),

with unit vectors a, q, b that hold in *all* clusters. Each tweet's author u has a leaning z_u = ±1, which agrees with
t_i with probability κ; authors come from a pool and write about claims of any cluster, their home clusters first.

So there are two roads to the label: to know the cluster, which helps in clusters that were seen; and the small cues
a, q, b, which help everywhere. :meth:`RumourWorld.posterior` goes the second road in closed form. There tweet texts
help, too: they tell about where m_c is, and against that the cue in x_i stands out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from mmlab.data.tensors import TensorData
from mmlab.wording import require_at_least

__all__ = ["RumourWorld", "rumour_world", "split_claims"]

_TEXT, _AUTHOR, _PICTURE, _TWEETS = 24, 6, 8, 4
_SPREAD, _CUE, _PICTURE_CUE, _LEANING = 1.5, 0.8, 0.6, 1.5
_HIGH = 0.6  # share of the clusters with much misinformation


@dataclass(frozen=True, eq=False)
class RumourWorld:
    """The law of claims and what is linked to them: :meth:`draw` makes a graph as often as one likes.

    Attributes:
        bias: Share of misinformation in the clusters with much of it; in the others it is one minus that.
        trust: κ, how often an author's leaning agrees with the claim.
        clusters: Number of clusters.
        size: Claims in a cluster.
        authors: Authors in the pool.
        cues: Unit vectors ``text`` (24,), ``author`` (6,), ``picture`` (8,).
    """

    bias: float
    trust: float
    clusters: int
    size: int
    authors: int
    cues: dict[str, Tensor]

    @property
    def pairs(self) -> TensorData:
        """One graph, the same each time: what ``mmlab train`` takes of this world."""
        return self.draw(0)

    def draw(self, seed: int = 0) -> TensorData:
        """A graph with clusters, claims and authors of its own.

        Args:
            seed: Seed of the graph.

        Returns:
            For N claims with up to 4 tweets each: ``claim`` (N, 24), ``tweets`` (N, 4, 24) with ``tweets_there``
            (N, 4), ``authors`` (N, 4, 6), ``pictures`` (N, 4, 8) with ``pictures_there`` (N, 4), ``label`` (N,) with 1
            for misinformation, ``cluster`` (N,), and ``who`` (N, 4), the numbers of the authors.
        """
        rng = torch.Generator().manual_seed(seed)
        count = self.clusters * self.size
        cluster = torch.arange(self.clusters).repeat_interleave(self.size)
        high = torch.rand(self.clusters, generator=rng) < _HIGH
        share = torch.where(high, self.bias, 1 - self.bias)
        label = (torch.rand(count, generator=rng) < share[cluster]).long()
        sign = (2 * label - 1).float()
        place = _SPREAD * torch.randn(self.clusters, _TEXT, generator=rng)
        claim = place[cluster] + _CUE * sign[:, None] * self.cues["text"] + torch.randn(count, _TEXT, generator=rng)
        shape = (count, _TWEETS)
        there = torch.arange(_TWEETS) <= torch.randint(0, _TWEETS, (count, 1), generator=rng)
        who, leaning = self._authors(cluster, sign, rng)
        authors = leaning[:, None] * _LEANING * self.cues["author"]
        authors = authors + torch.randn(self.authors, _AUTHOR, generator=rng)
        pictures = _PICTURE_CUE * sign[:, None, None] * self.cues["picture"]
        shown = (torch.rand(shape, generator=rng) < 0.5) & there
        tensors = {
            "claim": claim,
            "tweets": place[cluster][:, None] / 2 + torch.randn(*shape, _TEXT, generator=rng),
            "authors": authors[who],
            "pictures": pictures + torch.randn(*shape, _PICTURE, generator=rng),
        }
        masks = {"tweets": there, "authors": there, "pictures": shown}
        for name, mask in masks.items():
            tensors[name] = torch.where(mask[..., None], tensors[name], 0)
        masks = {"tweets_there": there, "pictures_there": shown}
        return TensorData(tensors | masks | {"label": label, "cluster": cluster, "who": torch.where(there, who, -1)})

    def _authors(self, cluster: Tensor, sign: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Who wrote each tweet (N, 4), and the leaning of each author; half of the tweets are written at home."""
        leaning = (torch.arange(self.authors) % 2 * 2 - 1).float()
        home = torch.randint(0, self.clusters, (self.authors,), generator=rng)
        shape = (len(cluster), _TWEETS)
        wanted = sign[:, None] * (2 * (torch.rand(shape, generator=rng) < self.trust).float() - 1)
        fits = (leaning == wanted[..., None]).float()  # (N, 4, authors)
        local = torch.rand(shape, generator=rng) < 0.5
        near = (home == cluster[:, None, None]).float()
        weight = fits * torch.where(local[..., None], near + 1e-6, 1.0)
        return torch.multinomial(weight.flatten(0, 1), 1, generator=rng).view(shape), leaning

    def posterior(
        self, batch: dict[str, Tensor], parts: tuple[str, ...] = ("claim", "tweets", "authors", "pictures")
    ) -> Tensor:
        """Probabilities (N, 2) float64 given a claim of an unknown cluster and what is linked to it, by these parts.

        It is exact but for one thing: two tweets of a claim by the same author count as tweets by two authors.

        Args:
            batch: As :meth:`draw` gives it.
            parts: What is looked at. Tweets tell nothing alone; beside the claim they tell about where its cluster is.
        """
        share = _HIGH * self.bias + (1 - _HIGH) * (1 - self.bias)
        odds = torch.full((len(batch["claim"]),), math.log(share / (1 - share)), dtype=torch.float64)
        if "claim" in parts:
            count = batch["tweets_there"].double().sum(1) * ("tweets" in parts)
            spread = 1 / (1 / _SPREAD**2 + count / 4)  # variance of m_c given the tweets
            place = (batch["tweets"].double() * (count > 0)[:, None, None]).sum(1) / 2 * spread[:, None]
            odds = odds + 2 * _CUE * ((batch["claim"].double() - place) @ self.cues["text"].double()) / (1 + spread)
        if "pictures" in parts:
            seen = batch["pictures"].double() @ self.cues["picture"].double()
            odds = odds + 2 * _PICTURE_CUE * (seen * batch["pictures_there"]).sum(1)
        if "authors" in parts:
            lean = torch.sigmoid(2 * _LEANING * (batch["authors"].double() @ self.cues["author"].double()))
            true, false = (k * lean + (1 - k) * (1 - lean) for k in (self.trust, 1 - self.trust))
            odds = odds + ((true / false).log() * batch["tweets_there"]).sum(1)
        return torch.stack([torch.sigmoid(-odds), torch.sigmoid(odds)], 1)


def rumour_world(
    bias: float = 0.9, trust: float = 0.7, clusters: int = 60, size: int = 10, authors: int = 240, seed: int = 0
) -> RumourWorld:
    """Make a world. The same arguments make the same world.

    Args:
        bias: Share of misinformation in clusters with much of it; 0.5 for clusters that tell nothing.
        trust: κ; 0.5 for authors that tell nothing.
        clusters: Number of clusters.
        size: Claims in a cluster.
        authors: Authors in the pool.
        seed: Seed of the cues.

    Raises:
        ValueError: If an argument is out of its range.
    """
    require_at_least(clusters=(clusters, 3), size=(size, 1), authors=(authors, 2))
    if not (0.5 <= bias < 1 and 0.5 <= trust < 1):
        raise ValueError(f"bias={bias}, trust={trust}: both lie between a half and one.")
    rng = torch.Generator().manual_seed(seed)
    sizes = {"text": _TEXT, "author": _AUTHOR, "picture": _PICTURE}
    draws = {name: torch.randn(length, generator=rng) for name, length in sizes.items()}
    return RumourWorld(bias, trust, clusters, size, authors, {n: v / v.norm() for n, v in draws.items()})


def split_claims(
    cluster: Tensor, by_cluster: bool, shares: tuple[float, float, float] = (0.6, 0.2, 0.2), seed: int = 0
) -> list[Tensor]:
    """Positions of the claims for training, validation and test.

    Args:
        cluster: The cluster of each claim, (N,).
        by_cluster: Whether whole clusters are dealt out; else single claims are.
        shares: How much goes where.
        seed: Seed of the order.

    Raises:
        ValueError: If a share is not positive, or they do not add up to one.
    """
    if min(shares) <= 0 or not math.isclose(sum(shares), 1):
        raise ValueError(f"shares={shares} must be positive and add up to one.")
    units = cluster if by_cluster else torch.arange(len(cluster))
    names = torch.tensor(sorted(set(units.tolist())))
    order = names[torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))]
    ends = [0, *(round(len(order) * sum(shares[: k + 1])) for k in range(3))]
    return [torch.isin(units, order[a:b]).nonzero()[:, 0] for a, b in pairwise(ends)]
