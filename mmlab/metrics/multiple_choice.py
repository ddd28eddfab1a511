"""Multiple choice: which option an answer means, or a model finds likeliest, with what cannot be read counted.

A share of right answers has a denominator. Here it is always all questions: an answer that cannot be read, or that may
mean two options, is wrong, and how many such there were stands beside the share.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mmlab.data.words import normal, words

__all__ = ["AMBIGUOUS", "UNREADABLE", "ChoiceScores", "choice_scores", "joint_accuracy", "likeliest", "read_letter",
           "read_name"]  # fmt: skip

UNREADABLE, AMBIGUOUS = -1, -2
"""What is read where an answer means no option, and where it may mean several."""

Length = Literal["sum", "token", "byte"]


def read_letter(answer: str, letters: Sequence[str]) -> int:
    """The number of the option whose letter an answer gives, :data:`UNREADABLE` or :data:`AMBIGUOUS`.

    A letter counts where it stands alone: "B", "(b)", "Answer: B." So does the article in "B) a red circle", if there
    is an option A: the answer is ambiguous then, and nobody guesses.

    Args:
        answer: What was said.
        letters: The letters, such as "A" to "D"; case does not count.
    """
    known = [normal(letter) for letter in letters]
    said = {known.index(word) for word in re.findall(r"[^\W_]+", normal(answer)) if word in known}
    return said.pop() if len(said) == 1 else AMBIGUOUS if said else UNREADABLE


def read_name(answer: str, names: Sequence[str]) -> int:
    """The number of the option whose name an answer gives, :data:`UNREADABLE` or :data:`AMBIGUOUS`.

    Names are looked for as whole words in a row, the longest first, and what one covers is not read again: "cat" is not
    in "concatenate", and "polar bear" is no "bear". An answer with two different names is ambiguous.

    Args:
        answer: What was said.
        names: The names.

    Raises:
        ValueError: If two names are the same in words.
    """
    rows = [tuple(words(name)) for name in names]
    if len(set(rows)) < len(rows) or not all(rows):
        raise ValueError("read_name: two names have the same words, or one has none: give each option its own.")
    said, free = words(answer), [True] * len(words(answer))
    found: set[int] = set()
    for k in sorted(range(len(rows)), key=lambda k: -len(rows[k])):
        size = len(rows[k])
        for at in range(len(said) - size + 1):
            if tuple(said[at : at + size]) == rows[k] and all(free[at : at + size]):
                free[at : at + size] = [False] * size
                found.add(k)
    return found.pop() if len(found) == 1 else AMBIGUOUS if found else UNREADABLE


@dataclass(frozen=True)
class ChoiceScores:
    """Shares of all questions.

    Attributes:
        accuracy: Right answers.
        parsed: Answers that mean one option.
        unreadable: Answers that mean none.
        ambiguous: Answers that may mean several.
        among_parsed: Right answers among those that mean one option, as some benchmarks print; 0 if there is none.
    """

    accuracy: float
    parsed: float
    unreadable: float
    ambiguous: float
    among_parsed: float


def choice_scores(read: Sequence[int], truth: Sequence[int]) -> ChoiceScores:
    """Score what was read.

    Args:
        read: Numbers of options, :data:`UNREADABLE` or :data:`AMBIGUOUS`, one for each question.
        truth: Numbers of the right options.

    Raises:
        ValueError: If the numbers of answers and questions differ, or there are none.
    """
    if len(read) != len(truth) or not len(read):
        raise ValueError(f"choice_scores: {len(read)} answers for {len(truth)} questions; one each is needed.")
    count = len(read)
    right = sum(int(said) == int(true) for said, true in zip(read, truth, strict=True))
    unreadable, ambiguous = (sum(int(said) == kind for said in read) for kind in (UNREADABLE, AMBIGUOUS))
    parsed = count - unreadable - ambiguous
    return ChoiceScores(
        right / count, parsed / count, unreadable / count, ambiguous / count, right / parsed if parsed else 0.0
    )


def likeliest(log_probabilities: Tensor, mask: Tensor, length: Length = "sum", sizes: Tensor | None = None) -> Tensor:
    """The option that a model finds likeliest, (N,).

    A sum prefers short options, since each further word costs; a mean over words or bytes takes that off, and prefers
    long ones whose later words follow from the first.

    Args:
        log_probabilities: Those of the words of each option, (N, K, L).
        mask: Which places are words, (K, L) or (N, K, L) bool.
        length: What the sum is divided by: nothing, the number of words, or ``sizes``.
        sizes: Bytes of each option, (K,) or (N, K), for ``"byte"``.

    Raises:
        ValueError: If the sizes are missing.
    """
    total = torch.where(mask, log_probabilities, 0).sum(-1)
    if length == "byte":
        if sizes is None:
            raise ValueError("likeliest: length='byte' needs sizes, the number of bytes of each option.")
        total = total / sizes
    elif length == "token":
        total = total / mask.sum(-1)
    return total.argmax(-1)


def joint_accuracy(first: Sequence[bool], second: Sequence[bool]) -> tuple[float, float, float]:
    """Two questions of which the second counts only where the first is right, as in WeatherQA (Ma et al. 2024).

    Args:
        first: Whether the first answer is right, N.
        second: Whether the second one is.

    Returns:
        Accuracy of the first; of the second where the first is right, 0 if it never is; and the share of items with
        both right, which is the product of the two.

    Raises:
        ValueError: If the numbers differ, or there are none.
    """
    if len(first) != len(second) or not len(first):
        raise ValueError(f"joint_accuracy: {len(first)} and {len(second)} answers; as many of each are needed.")
    hits = sum(map(bool, first))
    both = sum(bool(a) and bool(b) for a, b in zip(first, second, strict=True))
    return hits / len(first), both / hits if hits else 0.0, both / len(first)
