"""Prompts as token ids, in the layout of CLIP: start, words, end, and ends again up to a fixed length."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from mmlab.wording import few

__all__ = ["encode_prompts", "prompt_tokenizer"]

_START, _END = "<|startoftext|>", "<|endoftext|>"


def prompt_tokenizer(sentences: Iterable[str], length: int = 77) -> Any:
    """A ``CLIPTokenizer`` for a small world: its byte pairs are learnt on the sentences until every word is one token.

    A word that it has never seen is spelt by its letters, as CLIP's own does.

    Args:
        sentences: That hold all the words.
        length: Tokens of a prompt, start and end included.

    Raises:
        ValueError: If there is no word in them.
    """
    from transformers import CLIPTokenizer

    words = sorted({word for sentence in sentences for word in sentence.lower().replace(".", " ").split()})
    if not words:
        raise ValueError("prompt_tokenizer: there is no word in the sentences.")
    spelt = [_bytes(word) for word in words]
    merges = _byte_pairs(spelt)
    letters = [*"abcdefghijklmnopqrstuvwxyz0123456789.,-"]
    letters += sorted({letter for word in spelt for letter in word} - {*letters})
    known = dict.fromkeys([*letters, *(f"{letter}</w>" for letter in letters), *("".join(pair) for pair in merges)])
    vocabulary = {token: number for number, token in enumerate([*known, _START, _END])}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=length)  # type: ignore[arg-type]


def _bytes(word: str) -> str:
    """A word as CLIP's tokenizers see it: one character for each byte of its UTF-8."""
    from tokenizers.pre_tokenizers import ByteLevel

    whole = ByteLevel(add_prefix_space=False, use_regex=False)
    return "".join(piece for piece, _ in whole.pre_tokenize_str(unicodedata.normalize("NFC", word)))


def _byte_pairs(words: Sequence[str]) -> list[tuple[str, str]]:
    """Byte-pair encoding (Sennrich et al. 2016) until each word is one token; of equally frequent pairs the first.

    Written out, since the trainer of the package tokenizers decides between equals by chance: ids would change from one
    process to the next, and with them what a trained model reads.
    """
    spelt = [[*word[:-1], f"{word[-1]}</w>"] for word in words]
    merges: list[tuple[str, str]] = []
    while pairs := Counter(pair for word in spelt for pair in pairwise(word)):
        most = max(pairs.values())
        pair = min(pair for pair, count in pairs.items() if count == most)
        merges.append(pair)
        for word in spelt:
            place = 0
            while place < len(word) - 1:
                if (word[place], word[place + 1]) == pair:
                    word[place : place + 2] = ["".join(pair)]
                place += 1
    return merges


def encode_prompts(texts: Sequence[str], tokenizer: Any) -> Tensor:
    """Prompts as ids, (B, T) with T the length of the tokenizer; an empty prompt is the one that says nothing.

    Args:
        texts: B prompts.
        tokenizer: A ``CLIPTokenizer``, the world's or that of a pipeline.

    Raises:
        TypeError: If a prompt is no text.
        ValueError: If a prompt has more tokens than there is room for, which diffusers would cut off, or a word with
            letters that the tokenizer does not know, which would end the prompt.
    """
    texts = [texts] if isinstance(texts, str) else list(texts)
    if wrong := [text for text in texts if not isinstance(text, str)]:
        raise TypeError(f"encode_prompts: a prompt is a text, not {few([repr(wrong[0])])}.")
    room = int(tokenizer.model_max_length)
    # An end that somebody typed is split into letters.
    read = tokenizer(texts, padding="max_length", max_length=room, split_special_tokens=True) if texts else {}
    ids, unknown = read.get("input_ids", []), tokenizer.unk_token_id
    for text, row, there in zip(texts, ids, read.get("attention_mask", []), strict=True):
        if len(row) > room:
            raise ValueError(
                f"The prompt {text[:60]!r} has {len(row)} tokens, start and end included; there is room for {room}: "
                "shorten it, or what it says last would be lost."
            )
        if unknown in row[1 : sum(there) - 1]:
            raise ValueError(
                f"The prompt {text[:60]!r} has letters that the tokenizer does not know, and would end there: write it "
                "otherwise, or make the tokenizer from sentences that have them."
            )
    return torch.tensor(ids, dtype=torch.long).reshape(len(texts), room)
