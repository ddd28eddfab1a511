"""HEADSET: emotion from a picture and a depth map of a face, of which a headset hides a part.

Symbols: x_m is the map of modality m, h_m its mask, 1 where a pixel is hidden; z_m its features (D); y the emotion; c_n
a box that a headset of item n would cover.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmlab.card import Budget, Card, Claim
from mmlab.data.batches import read_all
from mmlab.method import Batch, Method

__all__ = ["Headset", "cover", "seen"]

MODALITIES = ("picture", "depth")


def seen(x: Tensor, hidden: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """What a network may know of a map: how it differs from the mean face where it is seen, and where that is.

    Args:
        x: The map, (B, C, S, S); what stands where it is hidden has no effect, not even if it is no number.
        hidden: True where a pixel is hidden, (B, 1, S, S).
        mean: Mean face, (C, S, S).
        scale: Deviation from it, a number.

    Returns:
        (B, C + 1, S, S); in place of what is hidden stands zero, which is the mean face.
    """
    return torch.cat([((x - mean) / scale).masked_fill(hidden, 0), hidden.to(x)], 1)  # Eq. (1)


def cover(batch: Batch, boxes: Tensor) -> Batch:
    """The same items with these boxes hidden in every modality, too; labels and all else stay as they are.

    Args:
        batch: ``<modality>_hidden`` (B, 1, S, S), where something is hidden already.
        boxes: c, bool (B, 1, S, S).
    """
    none = torch.zeros_like(boxes)
    return batch | {f"{name}_hidden": batch.get(f"{name}_hidden", none) | boxes for name in MODALITIES}


class Headset(Method):
    """Masked fusion: an encoder for each map that is told what is hidden, and one line on the features of both.

    A modality that is not there is one whose pixels are all hidden. With ``covered`` above zero the loss covers items
    itself; data may also bring covered items along (:func:`cover`), and then it is zero.

    Args:
        shapes: Shapes (C, S, S) of ``picture`` and ``depth``.
        classes: Number of emotions K.
        width: Hidden features D of each modality.
        covered: Share of the items that the loss covers with their box ``cover``; an item without one is left as it is.

    Raises:
        ValueError: If the share is none.

    Source:
        The data set is that of Lohesara et al. 2023, who classify expressions with and without headsets. The network is
        this package's.
    """

    card = Card(
        name="HEADSET",
        family="fusion",
        paper="lohesara2023headset",
        summary="Tells emotions from picture and depth of faces whose upper half a headset hides.",
        inputs=("picture", "depth", "label"),
        outputs=("label",),
        claims=(
            Claim("accuracy with headset", "picture alone", "higher", name="headset-worn-picture-alone"),
            Claim("accuracy with headset", "depth alone", "higher", name="headset-worn-depth-alone"),
            Claim("accuracy with headset", "trained without boxes", "higher", name="headset-worn-no-boxes"),
            Claim(
                "accuracy with headset", "product of two experts", "higher", kind="sanity", name="headset-worn-product"
            ),
            Claim(
                "accuracy with headset", "shuffled depth", "higher", kind="sanity", name="headset-worn-shuffled-depth"
            ),
        ),
        budget=Budget(cpu_seconds=40, cpu_memory_gb=1.5),
        tags=("occlusion", "emotion", "faces", "depth", "masks"),
        level="introductory",
    )

    def __init__(
        self, shapes: Mapping[str, Sequence[int]], classes: int = 6, width: int = 24, covered: float = 0.0
    ) -> None:
        super().__init__()
        if not 0 <= covered <= 1:
            raise ValueError(f"covered={covered} is a share of items: it lies between 0 and 1.")
        self.covered = covered
        for name in MODALITIES:
            self.register_buffer(f"{name}_mean", torch.zeros(*shapes[name]))
            self.register_buffer(f"{name}_scale", torch.ones(()))
        sizes = {name: (shapes[name][0] + 1) * prod(shapes[name][1:]) for name in MODALITIES}
        self.encoders = nn.ModuleDict({name: nn.Linear(size, width) for name, size in sizes.items()})
        self.head = nn.Linear(len(MODALITIES) * width, classes)

    def look_at(self, dataset: Any) -> Self:
        """Take the mean face and the deviation of each modality from training items, where they are seen.

        Until then the mean is zero and the deviation one.

        Args:
            dataset: Items as for :meth:`forward`.
        """
        batch = read_all(dataset)
        for name in MODALITIES:
            there = (~self.hidden(batch, name)).to(batch[name])
            x = batch[name].masked_fill(there == 0, 0)
            mean = x.sum(0) / there.sum(0).clamp(min=1)
            spread = (there * (x - mean).square()).sum() / (there.sum() * x.shape[1]).clamp(min=1)
            self.get_buffer(f"{name}_mean").copy_(mean)
            self.get_buffer(f"{name}_scale").copy_(spread.sqrt() if spread > 0 else torch.ones(()))
        return self

    def hidden(self, batch: Batch, name: str) -> Tensor:
        """What is hidden of a modality, (B, 1, S, S) bool; without a mask in the batch, nothing."""
        nothing = torch.zeros_like(batch[name][:, :1], dtype=torch.bool)
        return batch.get(f"{name}_hidden", nothing)

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, K).

        Args:
            batch: ``picture`` and ``depth`` (B, C, S, S), and bool (B, 1, S, S) what is hidden: ``picture_hidden``,
                ``depth_hidden``; without these, nothing.
        """
        features = []
        for name in MODALITIES:
            mean, scale = self.get_buffer(f"{name}_mean"), self.get_buffer(f"{name}_scale")
            x = seen(batch[name], self.hidden(batch, name), mean, scale)
            features.append(F.relu(self.encoders[name](x.flatten(1))))
        return self.head(torch.cat(features, 1))  # Eq. (2)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Cross-entropy of the emotion, of items some of which are covered.

        Args:
            batch: As for :meth:`forward`, with ``label`` (B,), and perhaps ``cover``, bool (B, 1, S, S).
            rng: Draws who is covered.
        """
        if self.covered and "cover" in batch:
            there = torch.rand(len(batch["label"]), 1, 1, 1, generator=rng, device=rng.device) < self.covered
            batch = cover(batch, batch["cover"] & there)
        return {"loss": F.cross_entropy(self(batch), batch["label"])}  # Eq. (3)

    def predict(self, batch: Batch) -> Tensor:
        """Probabilities (B, K) of the emotions.

        Args:
            batch: As for :meth:`forward`.
        """
        with self.evaluating():
            return self(batch).softmax(-1)

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """The shapes of both maps.

        Raises:
            ValueError: If one of them is absent, or no map.
        """
        if absent := [name for name in MODALITIES if name not in item or item[name].ndim != 3]:
            raise ValueError(f"Headset needs picture and depth, (C, S, S) each; {absent[0]!r} is no such map here.")
        return {"shapes": {name: list(item[name].shape) for name in MODALITIES}}

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Maps of noise whose middle tells the label; of half of the items the upper rows are hidden."""
        rng = torch.Generator().manual_seed(seed)
        label = torch.arange(12) % 3
        batch: Batch = {"label": label}
        hidden = torch.zeros(12, 1, 8, 8, dtype=torch.bool)
        hidden[::2, :, :3] = True
        for shift, name in enumerate(MODALITIES):
            x = 0.5 * torch.randn(12, 1, 8, 8, generator=rng)
            x[:, 0, 5] += ((label + shift) % 3).float()[:, None]
            batch |= {name: x, f"{name}_hidden": hidden.clone()}
        shapes = {name: [1, 8, 8] for name in MODALITIES}
        return cls.seeded(seed, shapes, classes=3, width=12), batch
