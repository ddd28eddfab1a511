"""MuMiN's graph baseline: a claim is judged with what is linked to it, by two rounds of messages over kinds of edges.

Symbols: x is the text of a claim; h_t, f_u and v are the features of a tweet, of its author and of its picture;
W are weights, one for each kind of edge; y is 1 for misinformation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmlab.card import Budget, Card, Claim
from mmlab.method import Batch, Method
from mmlab.nn.graph import SageLayer

__all__ = ["MuMiN", "weighted_cross_entropy"]


def weighted_cross_entropy(logits: Tensor, label: Tensor, weight: float) -> Tensor:
    """Cross-entropy in which an item of class 0, the rarer one, counts so many times.

    Args:
        logits: (B, classes).
        label: (B,), 1 for misinformation.
        weight: ω.
    """
    each = torch.where(label == 0, weight, 1.0)
    return (each * F.cross_entropy(logits, label, reduction="none")).sum() / each.sum()  # Eq. (3)


class MuMiN(Method):
    """Tweets hear from their authors and pictures, claims hear from their tweets, and a line judges the claim.

    Both rounds are :class:`mmlab.nn.graph.SageLayer`. A claim without tweets is judged by its text.

    Args:
        shapes: Features of ``claim``, and N and features of ``tweets``, ``authors`` and ``pictures``.
        width: Hidden features D.
        factual_weight: ω, the weight of an item of the class 0; below 1 if it is the more frequent one.
        normalise: Whether there are layer norms.
        classes: Verdicts, 2 in the paper; 0 is "factual".

    Raises:
        ValueError: If the weight is not positive.

    Source:
        Nielsen and McConville 2022, the baseline on claims with a graph.
    """

    card = Card(
        name="MuMiN",
        family="fusion",
        paper="mumin",
        summary="Judges claims with the tweets, authors and pictures linked to them, by messages over a graph.",
        inputs=("claim", "tweets", "authors", "pictures", "label"),
        outputs=("label",),
        claims=(
            Claim("macro-F1", "claim alone", "higher", kind="sanity", name="mumin-cluster-claim-alone"),
            Claim("macro-F1", "shuffled graph", "higher", kind="sanity", name="mumin-cluster-shuffled-graph"),
            Claim("macro-F1", "graph alone", "higher", kind="sanity", name="mumin-cluster-graph-alone"),
            Claim("macro-F1", "its own cluster split", "higher", name="mumin-random-against-cluster"),
        ),
        budget=Budget(cpu_seconds=40, cpu_memory_gb=1.5),
        tags=("graph", "misinformation", "fact-checking", "data leak", "splits"),
    )

    def __init__(
        self,
        shapes: Mapping[str, Sequence[int]],
        width: int = 24,
        factual_weight: float = 1.0,
        normalise: bool = True,
        classes: int = 2,
    ) -> None:
        super().__init__()
        if not factual_weight > 0:
            raise ValueError(f"factual_weight={factual_weight} must be positive.")
        self.factual_weight = factual_weight
        sizes = {name: shapes[name][-1] for name in ("claim", "tweets", "authors", "pictures")}
        near = {name: sizes[name] for name in ("authors", "pictures")}
        self.tweet = SageLayer(sizes["tweets"], near, width, normalise)
        self.claim = SageLayer(sizes["claim"], {"tweets": width}, width, normalise)
        self.head = nn.Linear(width, classes)

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, classes).

        Args:
            batch: ``claim`` (B, C), ``tweets`` (B, N, D), ``authors`` (B, N, E), ``pictures`` (B, N, P), and which
                are there: ``tweets_there`` and ``pictures_there`` (B, N) bool; without these, all.
        """
        tweets = batch["tweets"]
        all_there = torch.ones(tweets.shape[:2], dtype=torch.bool, device=tweets.device)
        there = batch.get("tweets_there", all_there)
        shown = batch.get("pictures_there", all_there) & there
        near = {name: batch[name][:, :, None] for name in ("authors", "pictures")}  # one of each to a tweet
        seen = {"authors": there[..., None], "pictures": shown[..., None]}
        h = self.tweet(torch.where(there[..., None], tweets, 0), near, seen)  # Eq. (1)
        g = self.claim(batch["claim"], {"tweets": h}, {"tweets": there})  # Eq. (2)
        return self.head(g)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """The weighted cross-entropy (3).

        Args:
            batch: As for :meth:`forward`, with ``label`` (B,).
            rng: Not needed.
        """
        return {"loss": weighted_cross_entropy(self(batch), batch["label"], self.factual_weight)}

    def predict(self, batch: Batch) -> Tensor:
        """Probabilities (B, classes) of factual and misinformation.

        Args:
            batch: As for :meth:`forward`.
        """
        with self.evaluating():
            return self(batch).softmax(-1)

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Claims whose label stands in the authors of their tweets; some have no tweet, some tweets no picture."""
        rng = torch.Generator().manual_seed(seed)
        label = torch.arange(16) % 2
        sign = (2 * label - 1).float()
        batch: Batch = {
            "claim": torch.randn(16, 4, generator=rng),
            "tweets": torch.randn(16, 3, 4, generator=rng),
            "authors": sign[:, None, None] + torch.randn(16, 3, 2, generator=rng),
            "pictures": torch.randn(16, 3, 5, generator=rng),
            "tweets_there": torch.arange(3) < torch.arange(16)[:, None] % 4,
            "pictures_there": torch.rand(16, 3, generator=rng) < 0.5,
            "label": label,
        }
        return cls.seeded(seed, {key: list(value.shape[1:]) for key, value in batch.items()}, width=12), batch

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """The shapes of what is linked to a claim.

        Raises:
            ValueError: If there is no claim in the data, or nothing that is linked to it.
        """
        wanted = ("claim", "tweets", "authors", "pictures")
        if absent := [name for name in wanted if name not in item]:
            raise ValueError(f"MuMiN needs {', '.join(wanted)}; the data have no {', '.join(absent)}.")
        return {"shapes": {name: list(item[name].shape) for name in wanted}}
