"""Answers of a model that sees and writes, as rows of words: where they end, and how probable each word is.

The model is any with ``logits(batch)`` and ``image_tokens``, such as :class:`mmlab.methods.tinyllava.TinyLLaVA` or
:class:`mmlab.nn.small_reader.SmallReader`. To each of B prompts there are G answers of up to L words, (B, G, L).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from mmlab.nn.splicing import IMAGE

__all__ = ["answer_laws", "answer_log_probabilities", "answer_mask", "repeated", "rows_of_answers"]


def answer_mask(answers: Tensor, end: int) -> Tensor:
    """Which places of answers (..., L) are words: all up to the first end, and that.

    Args:
        answers: Ids.
        end: Id of the word that ends an answer.
    """
    ended = answers == end
    return ended.cumsum(-1) - ended.long() == 0


def repeated(batch: dict[str, Tensor], times: int) -> dict[str, Tensor]:
    """Each prompt so many times, one after the other: of ``input_ids``, ``length`` and ``images``."""
    return {key: batch[key].repeat_interleave(times, 0) for key in ("input_ids", "length", "images") if key in batch}


def answer_laws(model: Any, batch: dict[str, Tensor], answers: Tensor, end: int) -> Tensor:
    """Log-probabilities of all words at each place of answers (B, G, L), given those before: (B, G, L, V).

    An answer's row is its prompt and its words, padded on the right. Where a picture takes several places, words after
    it stand later by so many: what lies beside a row, or how many pictures it has, changes nothing.

    Args:
        model: Whose probabilities.
        batch: The prompts: ``input_ids`` (B, T), padded on the right, ``length`` (B,), and ``images`` if there are any.
        answers: Ids.
        end: Id of the word that ends an answer.
    """
    whole, places = rows_of_answers(model, batch, answers, end)
    logits = model.logits(whole)  # (B G, T', V)
    logits = logits.gather(1, places[..., None].expand(-1, -1, logits.shape[-1]))
    return logits.log_softmax(-1).view(*answers.shape, -1)


def rows_of_answers(
    model: Any, batch: dict[str, Tensor], answers: Tensor, end: int
) -> tuple[dict[str, Tensor], Tensor]:
    """Prompts and answers as one batch of B G rows, and the places (B G, L) whose output predicts each word.

    Args:
        model: What will read them.
        batch: As for :func:`answer_laws`.
        answers: Ids, (B, G, L).
        end: Id that pads.
    """
    rows, words = repeated(batch, answers.shape[1]), answers.flatten(0, 1)  # (B G, ...)
    ids, length = rows["input_ids"], rows["length"]
    places = length[:, None] + torch.arange(words.shape[1], device=ids.device)  # (B G, L)
    whole = pad(ids, (0, words.shape[1]), value=end).scatter(1, places, words)
    pictures = ((ids == IMAGE) & (torch.arange(ids.shape[1], device=ids.device) < length[:, None])).sum(1)
    places = places + (pictures * (model.image_tokens - 1))[:, None] - 1  # the place before predicts
    return {**rows, "input_ids": whole, "length": length + words.shape[1]}, places


def answer_log_probabilities(model: Any, batch: dict[str, Tensor], answers: Tensor, end: int) -> Tensor:
    """Log-probability of each word of answers (B, G, L), of the same shape; what stands after an end is of no use.

    Args:
        model: As for :func:`answer_laws`.
        batch: As for :func:`answer_laws`.
        answers: Ids.
        end: Id of the word that ends an answer.
    """
    return answer_laws(model, batch, answers, end).gather(-1, answers[..., None])[..., 0]
