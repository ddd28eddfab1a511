"""DAPO: GRPO with room to rise, without groups that teach nothing, and with a price for answers that find no end.

Symbols as in :mod:`mmlab.methods.grpo`; L is the most words of an answer, and the last ones of them are its cushion.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from mmlab.card import Card, Claim
from mmlab.method import Batch
from mmlab.methods.grpo import GRPO

__all__ = ["DAPO", "length_penalty", "with_spread"]


def length_penalty(length: Tensor, longest: int, cushion: int) -> Tensor:
    """What an answer's length costs: nothing up to the cushion, then linearly down to -1 at the most words.

    Args:
        length: Number of words of answers, of any shape; an end counts.
        longest: L, the most words.
        cushion: How many words before the most the price begins; 0: only what is longer than L pays.
    """
    beyond = length - (longest - cushion)
    return -(beyond / max(cushion, 1)).clamp(0, 1)  # Eq. (6)


def with_spread(rewards: Tensor) -> Tensor:
    """Which groups have rewards that differ, (B, G) -> (B,) bool: all other advantages are 0."""
    return rewards.amax(1) - rewards.amin(1) > 1e-6  # Eq. (7)


class DAPO(GRPO):
    """Decoupled clip and dynamic sampling policy optimisation.

    A step leaves out the groups without spread, and averages over the words of the others. The published one draws
    further prompts until its batch is full again; here a prompt without spread may be tried again, ``rounds`` times in
    all, so that the order of the prompts stays a function of seed and step. There is no divergence from a reference.

    Args:
        policy: As for :class:`mmlab.methods.grpo.GRPO`, like all that is not described.
        mark: Id of the word after which the answer comes.
        end: Id of the word that ends an answer.
        group: Answers to each prompt, G.
        words: Most words of an answer, L.
        clip: How far below 1 the ratio may go.
        clip_high: How far above 1.
        deviation: What advantages are divided by.
        updates: Updates on the answers of one step.
        form: Share of the reward that is for the form of an answer.
        rounds: How often, at most, a prompt is answered in a step until its rewards differ.
        cushion: See :func:`length_penalty`.

    Raises:
        ValueError: If a number is impossible.

    Source:
        Yu et al. 2025, "DAPO: An Open-Source LLM Reinforcement Learning System at Scale".
    """

    card = Card(
        name="DAPO",
        family="vision and language",
        paper="yu2025dapo",
        summary="GRPO that clips higher above than below, leaves out groups without spread, and prices length.",
        inputs=("input_ids", "length", "images", "answer"),
        outputs=("tokens",),
        claims=(
            Claim("right answers", "grpo", "higher", name="right-dapo-grpo"),
            Claim("right answers", "warm start", "higher", name="right-dapo-warm-start"),
        ),
        chapter="grpo",
        tags=("reinforcement learning", "clip-higher", "dynamic sampling", "Patho-R1"),
    )

    def __init__(
        self,
        policy: nn.Module | Mapping[str, Any] | None = None,
        mark: int = 1,
        end: int = 0,
        group: int = 8,
        words: int = 6,
        clip: float = 0.2,
        clip_high: float = 0.28,
        deviation: Literal["unbiased", "biased", "none"] = "unbiased",
        updates: int = 2,
        form: float = 0.1,
        rounds: int = 1,
        cushion: int = 1,
    ) -> None:
        super().__init__(policy, mark, end, group, words, clip, clip_high, 0.0, deviation, "tokens", updates, form)
        if rounds < 1 or not 0 <= cushion < words:
            raise ValueError(f"DAPO: rounds={rounds}, cushion={cushion}; they must be >= 1, and 0 or more and below L.")
        self.rounds, self.cushion = rounds, cushion

    def reward(self, batch: Batch, completions: Tensor) -> Tensor:
        """As GRPO's, less the price of the length, (B, G)."""
        return super().reward(batch, completions) + length_penalty(
            self.mask(completions).sum(-1), self.words, self.cushion
        )

    @torch.no_grad()
    def prepare(self, batch: Batch, rng: torch.Generator) -> Batch:
        """Answers to the prompts; those whose rewards are all the same are tried again, as long as rounds are left."""
        made = super().prepare(batch, rng)
        if "completions" in batch:
            return made
        drawn = torch.ones_like(batch["length"])
        for _ in range(self.rounds - 1):
            same = ~with_spread(made["rewards"])
            if not same.any():
                break
            again = super().prepare({key: value[same] for key, value in batch.items()}, rng)
            for key in ("completions", "rewards", "old"):
                made[key] = made[key].masked_scatter(same.view(-1, *[1] * (made[key].ndim - 1)), again[key])
            drawn = drawn + same
        return {**made, "drawn": drawn}

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """GRPO's loss of the groups with spread; without any, 0.

        Returns:
            As GRPO's, of all groups, and how many answers were drawn for each that is there (``drawn``).
        """
        if "completions" not in batch:
            return super().loss(batch, rng)  # which says what is missing
        kept = with_spread(batch["rewards"])
        chosen = batch if not kept.any() else {key: value[kept] for key, value in batch.items()}
        values = super().loss(chosen, rng)
        values |= {"reward": batch["rewards"].mean(), "zero_spread": (~kept).float().mean()}
        return {**values, "drawn": batch.get("drawn", torch.ones_like(batch["length"])).float().mean()}

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """GRPO's, with other lengths: six pictures of noise, four answers to each, and random rewards."""
        other, batch = GRPO.demo(seed)
        method = cls.seeded(seed, other.config["policy"], group=4, words=5)
        del batch["reference"]
        with torch.no_grad():
            batch["old"] = method.log_probabilities(batch, batch["completions"])
        return method, batch
