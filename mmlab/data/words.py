"""What a word is, in every script; and sentences as tensors: numbers of words, counts or one-hot vectors.

The one rule for words, which scores, answers and vocabularies share:

1. A text is put into one form, see :func:`normal`: Unicode's NFKC, case folded, one kind of apostrophe, and nothing
   that cannot be seen. So both spellings of "é" are one letter, and full-width letters are letters.
2. A word is a run of letters, digits and the marks on them (Hindi vowels, accents), with apostrophes inside: "don't".
3. Scripts that write without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) have a word for each character.
4. An emoji, or another sign beyond ASCII that is no punctuation (€, ≠, →), is a word, whatever its skin tone.
   Punctuation separates words.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from mmlab.data.splits import Splits

__all__ = [
    "PADDING",
    "UNKNOWN",
    "Form",
    "SentenceSplits",
    "as_tensor",
    "hold_out_groups",
    "normal",
    "spaced",
    "vocabulary",
    "words",
]

Form = Literal["bag", "tokens", "one_hot"]
PADDING, UNKNOWN = 0, 1
"""Numbers of no word, and of a word that is not in the vocabulary."""

_DENSE = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai and Lao, Burmese, Khmer
    "\u3040-\u30ff\u31f0-\u31ff"  # Japanese syllables
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Chinese characters
)
"""Scripts without spaces, as the inside of a character class."""


_ONE_SIGN = str.maketrans("’ʼ\u2212\u2044", "''-/")
"""Apostrophes, the minus sign and the slash of fractions, as keyboards have them."""


@dataclass(frozen=True, eq=False, repr=False)
class SentenceSplits(Splits):
    """Splits whose items have a sentence.

    Attributes:
        vocabulary: V words of the training sentences, after the entries for padding and unknown words.
        sentences: The sentences themselves, in the order of the items, by part: ``train``, ``validation``, ``test``.
    """

    vocabulary: tuple[str, ...] = ()
    sentences: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def normal(text: str) -> str:
    """A text in one form: what looks the same is the same (NFKC, case folded, without invisible characters)."""
    if text.isascii():
        return text.lower()
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return _pattern("unseen").sub("", text).translate(_ONE_SIGN)


def words(text: str) -> list[str]:
    """The words of a text, by the rule that this module begins with.

    Args:
        text: In any script.

    Returns:
        Words in lower case, without punctuation.
    """
    if text.isascii():
        return re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.lower())
    return _pattern("words").findall(normal(text))


def spaced(text: str) -> str:
    """A text with spaces round each character of the scripts that have none, for tokenisers that split at spaces."""
    return text if text.isascii() else " ".join(_pattern("dense").sub(r" \g<0> ", text).split())


@cache
def _pattern(name: str) -> re.Pattern[str]:
    """Patterns that need to know the kinds of characters, which ``re`` does not; made when a text first needs them."""
    if name == "unseen":  # formats (direction marks, joiners, byte order marks, soft hyphens) and variation selectors
        return re.compile(f"[{_characters('Cf')}\ufe00-\ufe0f\U000e0100-\U000e01ef]")
    marks = _characters("Mn", "Mc", "Me")
    if name == "dense":
        return re.compile(f"[{_DENSE}][{marks}]*")
    letter = f"(?:(?![{_DENSE}])[^\\W_][{marks}]*)"
    return re.compile(
        f"[{_DENSE}][{marks}]*|{letter}+(?:'{letter}+)*|[{_characters('So', 'Sm', 'Sc')}][\U000e0020-\U000e007f]*"
    )


def _characters(*categories: str) -> str:
    """All characters of some of Unicode's general categories, as the inside of a character class."""
    found = [code for code in range(0x80, 0x20000) if unicodedata.category(chr(code)) in categories]
    starts = [code for code, before in zip(found, [-1, *found], strict=False) if code != before + 1]
    ends = [code for code, after in zip(found, [*found[1:], -1], strict=True) if code + 1 != after]
    return "".join(f"{chr(start)}-{chr(end)}" for start, end in zip(starts, ends, strict=True))


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


def hold_out_groups(groups: Sequence[str], share: float, seed: int, path: str | Path) -> tuple[list[int], list[int]]:
    """Split positions at random so that all items of a group are on one side.

    Args:
        groups: The group of each item.
        share: About this share of the items is held out: whole groups until it is reached. 0 holds out none.
        seed: Seed of the order of the groups.
        path: The file that the items were read from, for the message.

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
        told = f"holding out {share:g} of its {len(names)} groups leaves nothing to train on"
        raise ValueError(f"{path}: {told}. Choose validation=0, or put the whole file there.")
    return kept, [i for i, group in enumerate(groups) if group in held]
