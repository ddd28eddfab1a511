"""A small model that has memorised the records of a tree of hospitals, or all but some of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mmlab.data.worlds.hospital_world import END, LONGEST, WORDS, HospitalWorld, joined
from mmlab.method import Batch
from mmlab.methods.unlearning import Unlearning
from mmlab.train.once import trained_once

__all__ = ["READER", "Memory", "hospital_reader"]

READER: dict[str, Any] = {"words": len(WORDS), "picture": [3, 16, 16], "width": 48}
"""Size of the model."""


class Memory(Unlearning):
    """What unlearning is to undo: raise the likelihood of the answers that a batch brings."""

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Cross-entropy, in the mean over the words."""
        s, _, mask = self._told(batch, self.policy)
        return {"loss": -s.sum() / mask.sum()}


def hospital_reader(
    world: HospitalWorld, without: Tensor | None = None, seed: int = 0, steps: int = 320
) -> dict[str, Tensor]:
    """The weights of a model that knows the records of a world and answers its public questions.

    It is trained in a few seconds, and kept for the next call by :func:`mmlab.train.once.trained_once`. Without some
    records it is what unlearning them is held against: it has never seen them.

    Args:
        world: Whose records.
        without: Which records are left out, (N,) bool; None for none.
        seed: Seed of the initial weights and of the training.
        steps: Length of the training.

    Returns:
        Weights of a :class:`mmlab.nn.small_reader.SmallReader` of the size :data:`READER`.
    """
    kept = None if without is None else ~without
    reader = trained_once(
        Memory.seeded(seed, READER, rule="ascent", end=END, words=LONGEST),
        joined(world.asked(kept), world.asked(kept, names=3, blank=True), world.public),
        steps=steps,
        batch_size=64,
        lr=1e-2,
        schedule="cosine",
        seed=seed,
        progress=False,
        report=lambda line: None,
    )
    return {name: value.clone() for name, value in reader.policy.state_dict().items()}
