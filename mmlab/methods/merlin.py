"""MERLIN: the price class of an item from its text, its picture, and those of the items that it is related to.

Symbols: t and v are the embeddings of text and picture, e their joint embedding; N(i) are the items related to i.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmlab.card import Budget, Card, Claim
from mmlab.method import Batch, Method
from mmlab.nn.graph import SageLayer

__all__ = ["MERLIN", "called_high"]

_NEEDED = ("text", "picture", "text_near", "picture_near")


def called_high(probabilities: Tensor, threshold: float) -> Tensor:
    """Which items (B,) are called to be of the highest class: those whose probability of it reaches the threshold.

    Args:
        probabilities: (B, K).
        threshold: τ; a high one calls few items, and risks less.
    """
    return probabilities[:, -1] >= threshold  # Eq. (4)


class MERLIN(Method):
    """Embeddings of an item and of its related items, one round of messages between them, and a class of price.

    Prices of related items are not among the inputs. An item without related items is judged by itself.

    Args:
        text: Features of a text.
        picture: Features of a picture.
        classes: Classes of price K, from low to high.
        width: Hidden features D.

    Raises:
        ValueError: If there are fewer than two classes.

    Source:
        Costa et al. 2023, whose embeddings come from fine-tuned transformers; here they are given.
    """

    card = Card(
        name="MERLIN",
        family="fusion",
        paper="merlin",
        summary="Tells the price class of an item from text and picture, its own and those of related items.",
        inputs=("text", "picture", "text_near", "picture_near", "label"),
        outputs=("label",),
        claims=(
            Claim("macro-F1", "concatenation", "higher", name="merlin-concatenation"),
            Claim("macro-F1", "shuffled relation", "higher", kind="sanity", name="merlin-shuffled-relation"),
            Claim("macro-F1", "alike", "higher", kind="sanity", name="merlin-alike"),
            Claim("macro-F1", "neighbours' prices", "higher", kind="sanity", name="merlin-neighbours-prices"),
        ),
        budget=Budget(cpu_seconds=40, cpu_memory_gb=1.5),
        tags=("graph", "prices", "NFT", "market", "data leak"),
    )

    def __init__(self, text: int, picture: int, classes: int = 3, width: int = 24) -> None:
        super().__init__()
        if classes < 2:
            raise ValueError(f"classes={classes}: there must be two at least.")
        self.embed = nn.Linear(text + picture, width)
        self.messages = SageLayer(width, {"near": width}, width)
        self.head = nn.Linear(width, classes)

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, K).

        Args:
            batch: ``text`` (B, T), ``picture`` (B, P), those of related items ``text_near`` (B, M, T) and
                ``picture_near`` (B, M, P), and which of these are there, ``near_there`` (B, M); without it, all.
        """
        near = torch.cat([batch["text_near"], batch["picture_near"]], -1)
        there = batch.get("near_there", torch.ones(near.shape[:2], dtype=torch.bool, device=near.device))
        own = torch.relu(self.embed(torch.cat([batch["text"], batch["picture"]], -1)))  # Eq. (1)
        others = torch.relu(self.embed(torch.where(there[..., None], near, 0)))
        return self.head(self.messages(own, {"near": others}, {"near": there}))  # Eq. (2)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Cross-entropy of the classes.

        Args:
            batch: As for :meth:`forward`, with ``label`` (B,).
            rng: Not needed.
        """
        return {"loss": F.cross_entropy(self(batch), batch["label"])}  # Eq. (3)

    def predict(self, batch: Batch) -> Tensor:
        """Probabilities (B, K) of the classes.

        Args:
            batch: As for :meth:`forward`.
        """
        with self.evaluating():
            return self(batch).softmax(-1)

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Items whose class stands in the pictures of their related items; some have none."""
        rng = torch.Generator().manual_seed(seed)
        label = torch.arange(18) % 3
        batch: Batch = {
            "text": torch.randn(18, 3, generator=rng),
            "picture": torch.randn(18, 4, generator=rng),
            "text_near": torch.randn(18, 2, 3, generator=rng),
            "picture_near": label[:, None, None] + 0.3 * torch.randn(18, 2, 4, generator=rng),
            "near_there": torch.arange(2) < torch.arange(18)[:, None] % 7,
            "label": label,
        }
        return cls.seeded(seed, 3, 4, width=12), batch

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """Sizes of text and picture.

        Raises:
            ValueError: If the data have no related items.
        """
        if absent := [name for name in _NEEDED if name not in item]:
            raise ValueError(f"MERLIN needs {', '.join(_NEEDED)}; the data have no {', '.join(absent)}.")
        return {"text": item["text"].shape[-1], "picture": item["picture"].shape[-1]}
