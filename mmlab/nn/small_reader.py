"""A very small model that sees and writes: a picture is one vector among the words, and a recurrent network reads on.

It takes the batches of :mod:`mmlab.data.conversations`, as TinyLLaVA does, and has the same verbs. A hundred answers
of it cost a few milliseconds, so that a chapter can afford what rewards need: thousands of answers, for several seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmlab.nn.splicing import IMAGE

__all__ = ["SmallReader"]


class SmallReader(nn.Module):
    """Patches of a picture become one vector; a GRU reads pictures and words in order, and a head says the next word.

    Args:
        words: Size of the vocabulary, V.
        picture: Shape of a picture, (C, H, W).
        patch: Side of the patches, in pixels; it divides H and W.
        width: Width of the vectors, D.

    Raises:
        ValueError: If the patches do not fit.
    """

    image_tokens = 1

    def __init__(self, words: int = 16, picture: Sequence[int] = (3, 16, 16), patch: int = 4, width: int = 64) -> None:
        super().__init__()
        channels, high, wide = picture
        if high % patch or wide % patch:
            raise ValueError(f"SmallReader: patch={patch} does not divide the sides {high} and {wide} of a picture.")
        count = (high // patch) * (wide // patch)
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, 16, patch, stride=patch), nn.SiLU(), nn.Flatten(), nn.Linear(16 * count, width)
        )
        self.embedding = nn.Embedding(words, width)
        self.reader = nn.GRU(width, width, batch_first=True)
        self.head = nn.Linear(width, words)

    def embed(self, batch: dict[str, Tensor]) -> Tensor:
        """Words (B, T) and pictures (B, M, C, H, W) as one sequence of vectors (B, T, D).

        Raises:
            ValueError: If a text has nothing in it, or more places for pictures than there are.
        """
        ids = batch["input_ids"]
        if len(ids) and int(batch["length"].min()) < 1:
            raise ValueError("SmallReader: a text has no token at all: give a prompt of at least one word or picture.")
        vectors: Tensor = self.embedding(ids.clamp(min=0))
        places = ids == IMAGE
        places = places & (torch.arange(ids.shape[1], device=ids.device) < batch["length"][:, None])
        if not places.any():
            return vectors
        if (images := batch.get("images")) is None:  # the first n of a row are in use
            raise ValueError("SmallReader: a text has places for pictures, but the batch holds no images.")
        held = torch.arange(images.shape[1], device=ids.device) < places.sum(1, keepdim=True)  # (B, M)
        if int(places.sum()) != int(held.sum()):
            raise ValueError("SmallReader: a text has more places for pictures than the batch holds pictures an item.")
        return vectors.masked_scatter(places[..., None], self.encoder(images[held]))

    def logits(self, batch: dict[str, Tensor]) -> Tensor:
        """Scores of the next word at every position, (B, T, V); what is padded on the right changes nothing."""
        scores: Tensor = self.head(self.reader(self.embed(batch))[0])
        return scores

    @torch.no_grad()
    def generate(
        self,
        batch: dict[str, Tensor],
        rng: torch.Generator | None = None,
        *,
        max_new_tokens: int = 8,
        do_sample: bool = False,
        temperature: float = 1.0,
        **how: Any,
    ) -> Tensor:
        """Write on: new words (B, max_new_tokens), id 0 after the first 0, which ends an answer.

        Args:
            batch: Prompts.
            rng: Randomness of the draws; without it, the global generator's.
            max_new_tokens: Length of what comes back.
            do_sample: Whether words are drawn; else the most probable one is taken.
            temperature: What logits are divided by before the draws.
            **how: Ignored, so that calls that are meant for transformers' ``generate`` work.
        """
        states = self.reader(self.embed(batch))[0]
        rows = torch.arange(len(states), device=states.device)
        state = states[rows, batch["length"] - 1]  # of a GRU, output and state are one
        words = torch.zeros(len(states), max_new_tokens, dtype=torch.long, device=states.device)
        going = torch.ones(len(states), dtype=torch.bool, device=states.device)
        for place in range(max_new_tokens):
            scores = self.head(state)
            if do_sample:
                next_word = torch.multinomial((scores / temperature).softmax(-1), 1, generator=rng)[:, 0]
            else:
                next_word = scores.argmax(-1)
            words[:, place] = next_word * going
            going = going & (next_word != 0)
            if place + 1 < max_new_tokens:
                state = self.reader(self.embedding(words[:, place])[:, None], state[None])[1][0]
        return words
