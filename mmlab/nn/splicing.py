"""Pictures among words: a sequence with placeholders becomes a sequence of vectors, part words, part picture.

A placeholder is an id that no tokenizer gives, :data:`IMAGE`. It is never embedded: the sequence is cut there, and the
tokens of the picture are put in. Everything that is said of positions (labels, weights, true lengths) is said before
the splice and moved along with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

__all__ = ["IGNORE", "IMAGE", "Spliced", "splice", "with_room"]

IMAGE = -200
"""The id that stands where a picture goes, as in LLaVA."""

IGNORE = -100
"""The label of a position that is not supervised, as everywhere in PyTorch."""


class Spliced(NamedTuple):
    """A batch after the splice; T' is the length of its longest row.

    Attributes:
        vectors: (B, T', D), zeros where padded.
        mask: (B, T') int64, 1 where there is something.
        labels: (B, T') int64, :data:`IGNORE` on pictures and padding; None if there were none.
        weights: (B, T'), 0 there; None if there were none.
    """

    vectors: Tensor
    mask: Tensor
    labels: Tensor | None
    weights: Tensor | None


def splice(
    embed: Callable[[Tensor], Tensor],
    input_ids: Tensor,
    length: Tensor,
    features: Tensor | None = None,
    labels: Tensor | None = None,
    weights: Tensor | None = None,
    side: Literal["left", "right"] = "right",
) -> Spliced:
    """Embed the words, and put the pictures' tokens where the placeholders are.

    Args:
        embed: The embedding of words: (B, T) ids -> (B, T, D).
        input_ids: (B, T) int64, padded on the right with anything.
        length: (B,) int64, true lengths. Padding is known by them and never by an id, since the id that pads may be
            the one that ends an answer.
        features: (B, M, P, D), tokens of up to M pictures an item; the first ones are used. None: there is no picture.
        labels: (B, T) int64, or None.
        weights: (B, T) float, or None.
        side: Where the result is padded: on the right to train, on the left to generate, so that the next word of
            every row comes at the same place.

    Raises:
        ValueError: If an item has more placeholders than there are pictures, or nothing in it at all.
    """
    if len(length) and int(length.min()) < 1:
        raise ValueError("A text has no token at all: give a prompt of at least one word or picture.")
    places = [(row[:end] == IMAGE).nonzero().flatten().tolist() for row, end in zip(input_ids, length, strict=True)]
    held = 0 if features is None else features.shape[1]
    if (most := max(map(len, places), default=0)) > held:
        raise ValueError(f"A text has {most} places for pictures, but the batch holds {held} pictures an item.")
    words = embed(input_ids.clamp(min=0))  # (B, T, D); what is at a placeholder is not used
    count = 0 if features is None else features.shape[2]  # P

    def rows(values: Tensor, filler: Callable[[int, int], Tensor]) -> Tensor:
        """Cut each row at its placeholders, put the filler in, and pad."""
        joined = []
        for b, cuts in enumerate(places):
            parts, start = [], 0
            for m, place in enumerate(cuts):
                parts += [values[b, start:place], filler(b, m)]
                start = place + 1
            joined.append(torch.cat([*parts, values[b, start : int(length[b])]]))
        return pad_sequence(joined, batch_first=True, padding_side=side)

    def constant(values: Tensor, value: float) -> Tensor:
        return rows(values, lambda b, m: values.new_full((count,), value))

    vectors = rows(words, lambda b, m: features[b, m].to(words.dtype) if features is not None else words[b, :0])
    mask = constant(torch.ones_like(input_ids), 1)
    moved = None if labels is None else constant(labels, IGNORE).masked_fill(mask == 0, IGNORE)
    weighed = None if weights is None else constant(weights, 0)
    return Spliced(vectors, mask, moved, weighed)  # Eq. (1)


def with_room(prompt: Spliced, room: int | None) -> Spliced:
    """The same prompt, if a language model has room for it and a further word.

    Args:
        prompt: As :func:`splice` made it.
        room: How many positions the model has learned; None if they have no end.

    Raises:
        ValueError: If there are not as many.
    """
    if room is not None and prompt.mask.shape[1] >= room:
        raise ValueError(
            f"A prompt has {prompt.mask.shape[1]} tokens, those of its pictures included, and the language model has "
            f"room for {room}: shorten it."
        )
    return prompt
