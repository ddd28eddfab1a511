"""A small model that has learnt from demonstrations to say what a plotted series shows: where rewards start from."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mmlab.data.worlds.plotted_series import END, LONGEST, MARK, WORDS, PlottedSeries, plotted_series
from mmlab.method import Batch
from mmlab.methods.grpo import GRPO
from mmlab.train.once import trained_once

__all__ = ["RULES", "WRITER", "Imitation", "series_writer"]

WRITER: dict[str, Any] = {"words": len(WORDS), "picture": [3, 16, 16], "width": 32}
"""Size of the model."""

RULES: dict[str, Any] = {"mark": MARK, "end": END, "words": LONGEST}
"""What GRPO has to know of the world."""


class Imitation(GRPO):
    """Supervised tuning: raise the probability of the ``completions`` that a batch brings.

    Words count by ``weights`` (B, G, L), where the batch has them; else all do that :meth:`mask` names.
    """

    def prepare(self, batch: Batch, rng: torch.Generator) -> Batch:
        """The batch as it is."""
        return batch

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Cross-entropy, in the mean over the words that count."""
        completions = batch["completions"]
        weights = batch.get("weights", self.mask(completions).float())
        mean = (self.log_probabilities(batch, completions) * weights).sum() / weights.sum().clamp(min=1)
        return {"loss": -mean}


def series_writer(seed: int = 0, steps: int = 600) -> tuple[dict[str, Tensor], PlottedSeries]:
    """The weights of a model that imitates the demonstrations of its world, and that world.

    It is trained in a few seconds, and kept for the next call by :func:`mmlab.train.once.trained_once`.

    Args:
        seed: Seed of the world, of the initial weights, and of the training.
        steps: Length of the training.

    Returns:
        Weights of a :class:`mmlab.nn.small_reader.SmallReader` of the size :data:`WRITER`, and the world.
    """
    world = plotted_series(seed=seed)
    writer = trained_once(
        Imitation.seeded(seed, WRITER, **RULES, kl=0.0, updates=1),
        world.demonstrations,
        steps=steps,
        batch_size=32,
        lr=6e-3,
        schedule="cosine",
        seed=seed,
        progress=False,
        report=lambda line: None,
    )
    return {name: value.clone() for name, value in writer.policy.state_dict().items()}, world
