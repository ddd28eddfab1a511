"""Pictures and conversations as batches of plain dicts, for methods that see and write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mmlab.data.chat import CAPTIONS, CHAT, IGNORE, IMAGE, Encoded, Template, Turn, encode, read_answers, tokenizer_of
from mmlab.data.files.pictures import read_picture as read_upright
from mmlab.wording import require_at_least

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = [
    "CAPTIONS",
    "CHAT",
    "IGNORE",
    "IMAGE",
    "Conversations",
    "Encoded",
    "Template",
    "Turn",
    "encode",
    "prompts",
    "read_answers",
    "read_picture",
    "tokenizer_of",
]


def prompts(
    asked: Sequence[tuple[Any, str | Sequence[Turn]]],
    tokenizer: PreTrainedTokenizerFast,
    template: Template = CHAT,
    size: int = 384,
) -> dict[str, Tensor]:
    """A batch to generate from.

    Args:
        asked: Pictures (None, one, or several; see :func:`read_picture`) and a question, or turns whose last answer is
            left out.
        tokenizer: As for :func:`encode`.
        template: As for :func:`encode`.
        size: Side of the pictures in pixels.

    Returns:
        ``input_ids`` (B, T), ``length`` (B,) and ``images`` (B, M, 3, size, size).

    Raises:
        ValueError: If nothing is asked, or as :func:`encode` and :func:`read_picture`.
    """
    if not asked:
        raise ValueError("There is nothing to ask: hand over at least one question.")
    rows, held = [], []
    for pictures, question in asked:
        turns = [Turn(question)] if isinstance(question, str) else question
        held.append([read_picture(picture, size) for picture in _several(pictures)])
        rows.append(encode(turns, tokenizer, template, len(held[-1]), unanswered=True).input_ids)
    return {**_padded(rows, tokenizer), "images": _stacked(held, size)}


def read_picture(picture: Any, size: int) -> Tensor:
    """A picture as a tensor (3, size, size) in [-1, 1], squeezed to a square as TinyLLaVA does.

    Args:
        picture: Such a tensor already, or an image of Pillow's or a file, which
            :func:`mmlab.data.files.pictures.read_picture` makes upright, opaque (on black) and eight bits deep.
        size: Side in pixels.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no picture, a tensor has another shape or range, or the size is none.
        TypeError: If it is none of the three.
    """
    require_at_least(size=(size, 1))
    if isinstance(picture, Tensor):
        if picture.shape != (3, size, size):
            raise ValueError(f"A picture has shape {tuple(picture.shape)}, not (3, {size}, {size}): resize it before.")
        if not (picture.isfinite().all() and picture.min() >= -1.001 and picture.max() <= 1.001):
            raise ValueError(
                "A picture has values outside [-1, 1] or not finite: divide bytes by 127.5 and subtract 1."
            )
        return picture
    import numpy as np
    from PIL import Image

    if not isinstance(picture, str | Path | Image.Image):
        raise TypeError(f"A picture is a tensor, an image of Pillow's or a file, not a {type(picture).__name__}.")
    small = read_upright(picture).resize((size, size), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(small)).permute(2, 0, 1) / 127.5 - 1


class Conversations:
    """Pictures and conversations as a map-style dataset of plain dicts, see :meth:`batch`.

    Args:
        items: Triples: pictures (None, one, or several; see :func:`read_picture`; files are read when they are needed),
            turns, and whatever else is known of the item, which is kept as it is.
        tokenizer: As for :func:`encode`. Its padding token may be its end-of-text token.
        template: How conversations are written.
        size: Side of the pictures in pixels.
        max_length: Most positions of an item, a picture counting ``image_tokens``; None for no limit. What is longer
            loses the end of its last answers, never a picture.
        image_tokens: Positions that a picture takes in the language model.

    Raises:
        ValueError: If there is no item, or one cannot be written down; or if ``max_length`` would leave one without any
            supervised token. The sentence names the item.
    """

    def __init__(
        self,
        items: Sequence[tuple[Any, Sequence[Turn], Any]],
        tokenizer: PreTrainedTokenizerFast,
        template: Template = CHAT,
        size: int = 384,
        max_length: int | None = None,
        image_tokens: int = 1,
    ) -> None:
        if not items:
            raise ValueError("Conversations needs at least one item.")
        self.items, self.tokenizer, self.template, self.size = list(items), tokenizer, template, size
        self.truncated = 0
        self.encoded: list[Encoded] = []
        for number, (pictures, turns, _) in enumerate(self.items):
            try:
                count = len(_several(pictures))
                whole = encode(turns, tokenizer, template, count)
                kept = whole if max_length is None else _cut(whole, max_length - count * (image_tokens - 1))
            except ValueError as error:
                raise ValueError(f"Item {number}: {error}") from None
            self.truncated += len(kept.labels) < len(whole.labels)
            self.encoded.append(kept)
        supervised = sum(int((labels != IGNORE).sum()) for _, labels in self.encoded)
        self.mean_supervised = supervised / len(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """One item, without padding and without the first dimension."""
        return {key: value[0] for key, value in self.batch(torch.tensor([index])).items()}

    def batch(self, indices: Tensor | Sequence[int]) -> dict[str, Tensor]:
        """Several items at once.

        Returns:
            ``input_ids`` and ``labels`` (B, T) int64, padded on the right; ``length`` (B,), true lengths; ``weights``
            (B, T), one over the mean number of supervised tokens of an item of the whole dataset, which makes the mean
            over batches the mean over items however they are grouped; ``images`` (B, M, 3, size, size), the first n
            of a row in use.
        """
        chosen = [int(i) for i in indices]
        encoded = [self.encoded[i] for i in chosen]
        labels = pad_sequence([labels for _, labels in encoded], batch_first=True, padding_value=IGNORE)
        weights = (labels != IGNORE) / self.mean_supervised
        return {**_padded([ids for ids, _ in encoded], self.tokenizer), "labels": labels, "weights": weights,
                "images": _stacked([self._pictures(i) for i in chosen], self.size)}  # fmt: skip

    def prompts(self, indices: Tensor | Sequence[int]) -> dict[str, Tensor]:
        """Several items without their last answers, to generate from; see :func:`prompts`."""
        asked = [(self.items[int(i)][0], self.items[int(i)][1]) for i in indices]
        return prompts(asked, self.tokenizer, self.template, self.size)

    def report(self) -> dict[str, float]:
        """Numbers of items and of those cut short, and the mean numbers of tokens and supervised tokens an item."""
        tokens = sum(len(ids) for ids, _ in self.encoded) / len(self)
        return {"items": len(self), "truncated": self.truncated, "tokens": tokens, "supervised": self.mean_supervised}

    def _pictures(self, index: int) -> list[Tensor]:
        try:
            return [read_picture(picture, self.size) for picture in _several(self.items[index][0])]
        except ValueError as error:
            raise ValueError(f"Item {index}: {error}") from None


def _several(pictures: Any) -> list[Any]:
    if pictures is None:
        return []
    if isinstance(pictures, Tensor):
        return list(pictures) if pictures.ndim == 4 else [pictures]
    return list(pictures) if isinstance(pictures, list | tuple) else [pictures]


def _cut(whole: Encoded, length: int) -> Encoded:
    """The first tokens, if all pictures and a supervised token are among them."""
    kept = Encoded(whole.input_ids[: max(length, 0)], whole.labels[: max(length, 0)])
    if (kept.input_ids == IMAGE).sum() < (whole.input_ids == IMAGE).sum():
        raise ValueError("max_length would cut a picture off: raise it.")
    if not (kept.labels != IGNORE).any():
        raise ValueError("max_length would leave no token of an answer: raise it, or shorten the question.")
    return kept


def _padded(rows: list[Tensor], tokenizer: PreTrainedTokenizerFast) -> dict[str, Tensor]:
    pad = tokenizer.pad_token_id or 0
    ids = pad_sequence(rows, batch_first=True, padding_value=pad)
    return {"input_ids": ids, "length": torch.tensor([len(row) for row in rows])}


def _stacked(held: list[list[Tensor]], size: int) -> Tensor:
    """(B, M, 3, size, size), zeros where an item has fewer pictures than another."""
    images = torch.zeros(len(held), max(map(len, held)), 3, size, size)
    for row, pictures in zip(images, held, strict=True):
        for place, picture in zip(row, pictures, strict=False):
            place.copy_(picture)
    return images
