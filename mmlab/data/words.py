"""Sentences as tensors: a vocabulary of lower-case words, and sentences as numbers, counts or one-hot vectors."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from mmlab.data.splits import Splits

__all__ = ["PADDING", "UNKNOWN", "Form", "SentenceSplits", "as_tensor", "hold_out_groups", "vocabulary", "words"]

Form = Literal["bag", "tokens", "one_hot"]
PADDING, UNKNOWN = 0, 1
"""Numbers of no word, and of a word that is not in the vocabulary."""


@dataclass(frozen=True, eq=False, repr=False)
class SentenceSplits(Splits):
    """Splits whose items have a sentence.

    Attributes:
        vocabulary: V words of the training sentences, after the entries for padding and unknown words.
        sentences: The sentences themselves, in the order of the items, by part: ``train``, ``validation``, ``test``.
    """

    vocabulary: tuple[str, ...] = ()
    sentences: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def words(sentence: str) -> list[str]:
    """Lower-case words and numbers, without punctuation."""
    return re.findall(r"[^\W_]+(?:'[^\W_]+)?", sentence.lower())


def vocabulary(sentences: Sequence[str], least: int = 2) -> tuple[str, ...]:
    """All words that are said at least so often, the most frequent first; ties in alphabetical order.

    Take it from the training sentences only. The first two entries stand for :data:`PADDING` and :data:`UNKNOWN`.
    """
    counts = Counter(word for sentence in sentences for word in words(sentence))
    chosen = sorted((word for word, count in counts.items() if count >= least), key=lambda word: (-counts[word], word))
    return ("<padding>", "<unknown>", *chosen)


def as_tensor(sentences: Sequence[str], known: Sequence[str], form: Form, length: int) -> Tensor:
    """Sentences in the form that a model reads.

    Args:
        sentences: N sentences.
        known: The vocabulary, V entries.
        form: ``"tokens"``: numbers of the words (N, T) int64. ``"one_hot"``: (N, T, V) float32, zeros after the end.
            ``"bag"``: how often each word occurs (N, V) float32, without order.
        length: T; further words are left out.

    Raises:
        ValueError: If the form is unknown.
    """
    if form not in ("bag", "tokens", "one_hot"):
        raise ValueError(f"There is no form {form!r} of a sentence: choose bag, tokens or one_hot.")
    places = {word: number for number, word in enumerate(known)}
    tokens = torch.full((len(sentences), length), PADDING)
    for row, sentence in zip(tokens, sentences, strict=True):
        numbers = [places.get(word, UNKNOWN) for word in words(sentence)[:length]]
        row[: len(numbers)] = torch.tensor(numbers, dtype=torch.long)
    if form == "tokens":
        return tokens
    if form == "bag":
        bag = torch.zeros(len(sentences), len(known))
        bag.scatter_add_(1, tokens, torch.ones(tokens.shape))
        bag[:, PADDING] = 0
        return bag
    one_hot = torch.nn.functional.one_hot(tokens, len(known)).float()
    one_hot[..., PADDING] = 0
    return one_hot


def hold_out_groups(groups: Sequence[str], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Split positions at random so that all items of a group are on one side.

    Args:
        groups: The group of each item.
        share: About this share of the items is held out: whole groups until it is reached. 0 holds out none.
        seed: Seed of the order of the groups.

    Returns:
        Positions that are kept and positions that are held out.

    Raises:
        ValueError: If nothing would be kept, or the share is not from 0 to below 1.
    """
    if not 0 <= share < 1:
        raise ValueError(f"validation={share} is no share of the items: choose 0 or more, below 1.")
    names = sorted(set(groups))
    sizes = Counter(groups)
    held: set[str] = set()
    count = 0
    for place in torch.randperm(len(names), generator=torch.Generator().manual_seed(seed)).tolist():
        if count >= share * len(groups):
            break
        held.add(names[place])
        count += sizes[names[place]]
    kept = [i for i, group in enumerate(groups) if group not in held]
    if not kept:
        raise ValueError(f"Holding out {share:g} of {len(names)} groups leaves nothing to train on.")
    return kept, [i for i, group in enumerate(groups) if group in held]
