"""Checks of the exercises in the chapter on OpenViVQA; equation numbers are the chapter's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge

__all__ = ["check_flat", "check_gradient", "check_roads"]


def check_roads(answer: Callable[[Tensor, int, Tensor], Tensor]) -> Verdict:
    """Check the probability (3).

    Args:
        answer: A function of p (V + N,), the number of the word and the pieces that spell it (N,).
    """

    def pointed(p: Tensor, spelt: Tensor) -> Tensor:
        return p[len(p) - len(spelt) :][spelt].sum()

    def truth(p: Tensor, word: int, spelt: Tensor) -> Tensor:
        return pointed(p, spelt) + (p[word] if word > 0 else 0)

    mistakes: list[Mistake] = [
        ("Entry 0 is padding: a word that is not in the vocabulary has no entry there.",
         lambda p, word, spelt: pointed(p, spelt) + p[word]),
        ("The vocabulary is one road, the pieces are others: add both.", lambda p, word, spelt: pointed(p, spelt)),
        ("All roads add up: you took the most probable piece.",
         lambda p, word, spelt: truth(p, word, spelt) - pointed(p, spelt) + (p[-len(spelt) :] * spelt).max()),
        ("The pieces stand after the words, at the end of p.",
         lambda p, word, spelt: p[: len(spelt)][spelt].sum() + (p[word] if word > 0 else 0)),
    ]  # fmt: skip
    p = torch.randn(3, 9, generator=torch.Generator().manual_seed(0)).softmax(1)
    spelt = torch.tensor([[1, 0, 1], [1, 1, 0], [0, 0, 1]]).bool()
    return judge(
        answer,
        truth,
        [(p[0], 4, spelt[0]), (p[1], 0, spelt[1]), (p[2], 3, spelt[2])],
        parts=["the probability"],
        right="Whoever says the word is right, by whichever road.",
        mistakes=mistakes,
    )


def check_flat(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check the probabilities of a softmax that knows nothing, V = 62 and N = 6.

    Args:
        answer: Probabilities of one piece, of some piece, and of a word with three roads.
    """
    mistakes: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("Words and pieces are in one softmax: there are 68 entries.", (1 / 6, None, None)),
        ("Words and pieces share the mass by their numbers, not half and half.", (None, 0.5, None)),
        ("It has three roads: its own entry and two pieces.", (None, None, 2 / 68)),
        ("Roads add up, they do not multiply.", (None, None, (1 / 68) ** 3)),
    ]
    return judge(
        lambda: answer,
        lambda: (1 / 68, 6 / 68, 3 / 68),
        [()],
        parts=["the probability of one piece", "that of some piece", "that of the word"],
        right="Six of 68 entries: little, until the pointer has learnt.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
    )


def check_gradient(answer: Callable[[Tensor, Tensor], Tensor]) -> Verdict:
    """Check the derivative of minus the log of (3) by the scores.

    Args:
        answer: A function of p (V + N,) and of which entries count (V + N,).
    """

    def truth(p: Tensor, counts: Tensor) -> Tensor:
        return p - torch.where(counts, p, 0.0) / p[counts].sum()

    mistakes: list[Mistake] = [
        ("That would push all roads alike: the share of a road is p / P, not 1 / their number.",
         lambda p, counts: p - counts.float() / counts.sum()),
        ("That asks for each road with probability 1: they share it.", lambda p, counts: p - counts.float()),
        ("The sign is the other way round: this is the derivative of log P.", lambda p, counts: -truth(p, counts)),
    ]  # fmt: skip
    p = torch.randn(2, 7, generator=torch.Generator().manual_seed(1)).softmax(1)
    counts = torch.tensor([[0, 0, 1, 0, 1, 0, 1], [1, 0, 0, 0, 0, 1, 0]]).bool()
    return judge(
        answer,
        truth,
        list(zip(p, counts, strict=True)),
        parts=["the gradient"],
        right="It is the softmax before minus the softmax among the roads that count.",
        mistakes=mistakes,
    )
