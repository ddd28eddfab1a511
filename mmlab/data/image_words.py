"""Captions that end in the words [IMG0] ... [IMG7], which stand for a picture to be found or drawn."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["IGNORE", "caption_labels", "end_in_image", "join_pairs", "places_in_pairs", "text_labels"]

IGNORE = -100
"""The label of a token that is not supervised."""


def end_in_image(
    captions: Sequence[Sequence[int]], words: int, count: int = 8, most: int = 32, start: int = 2, pad: int = 1
) -> dict[str, Tensor]:
    """Captions as a batch: a start token, the words, and the ``count`` words of a picture, which are never cut off.

    Args:
        captions: Token ids of each caption, without start or end.
        words: Size of the vocabulary; the first picture word, [IMG0], has this id, the next ones follow.
        count: Number of picture words.
        most: Most tokens of an item. Of a longer caption the end is lost, as in the published code, which writes the
            picture words over it.
        start: Id of the start token.
        pad: Id that fills up.

    Returns:
        ``input_ids`` (B, T) and ``length`` (B,), both int64.

    Raises:
        ValueError: If there is no caption, no room for one word, or an id is no word.
    """
    if not captions or most < count + 2:
        raise ValueError(
            f"end_in_image: {len(captions)} captions and most={most}; at least 1 and {count + 2} are needed."
        )
    if odd := [row for row, ids in enumerate(captions) if any(not 0 <= token < words for token in ids)]:
        raise ValueError(f"Caption {odd[0]} has a token outside 0 ... {words - 1}, where the words are.")
    picture = list(range(words, words + count))
    rows = [[start, *ids][: most - count] + picture for ids in captions]
    width = max(map(len, rows))
    padded = torch.tensor([row + [pad] * (width - len(row)) for row in rows])
    return {"input_ids": padded, "length": torch.tensor([len(row) for row in rows])}


def caption_labels(input_ids: Tensor, length: Tensor, count: int) -> Tensor:
    """What captioning is asked: the caption, its start token included, and nothing from [IMG0] on; (B, T).

    Args:
        input_ids: (B, T), each ending in the ``count`` picture words and padding.
        length: (B,), with the picture words.
        count: Number of picture words.
    """
    place = torch.arange(input_ids.shape[1], device=input_ids.device)
    return input_ids.masked_fill(place >= (length - count)[:, None], IGNORE)


def text_labels(input_ids: Tensor, length: Tensor, count: int) -> Tensor:
    """What reading a caption is asked: its words and [IMG0], but neither the other picture words nor padding; (B, T).

    Args:
        input_ids: As for :func:`caption_labels`.
        length: As for :func:`caption_labels`.
        count: Number of picture words.
    """
    place = torch.arange(input_ids.shape[1], device=input_ids.device)
    return input_ids.masked_fill(place > (length - count)[:, None], IGNORE)


def join_pairs(rows: Sequence[Tensor], start: int = 0) -> list[Tensor]:
    """Two items one after the other, as one; the second loses its start token. An odd item at the end stays alone.

    Args:
        rows: What stands at the positions of each item, (T, ...): vectors, labels or ids.
        start: Position of the start token within an item, that is the number of picture vectors before it.
    """
    joined = []
    for first, second in zip(rows[::2], rows[1::2], strict=False):
        joined.append(torch.cat([first, second[:start], second[start + 1 :]]))
    return joined + list(rows[len(joined) * 2 :])


def places_in_pairs(lengths: Sequence[int]) -> list[tuple[int, int]]:
    """Where :func:`join_pairs` put each item: its row, and by how much the positions behind its start token moved.

    Args:
        lengths: Length of each item before, T.
    """
    return [(item // 2, lengths[item - 1] - 1 if item % 2 else 0) for item in range(len(lengths))]
