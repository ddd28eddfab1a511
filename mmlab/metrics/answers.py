"""Short answers to questions about pictures, scored as benchmarks do: VQA accuracy, and POPE's yes and no."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from mmlab.data.words import normal

__all__ = ["YesNo", "normalised_answer", "says_yes", "vqa_accuracy", "yes_no"]

_NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
_DIGITS = {"none": "0"} | {word: str(value) for value, word in enumerate(_NUMBERS)}
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'


def normalised_answer(text: str) -> str:
    """An answer as VQA compares it: lower case, no articles and punctuation, small number words as digits.

    The rules are those of the benchmark's evaluation (Antol et al. 2015), but for contractions: there a table puts the
    missing apostrophes in, here all apostrophes are left out, so that "dont" and "don't" are the same, too. Before
    them, text of any script is put into one form (:func:`mmlab.data.words.normal`), and the marks of other
    scripts are left out. What the rules leave nothing of, as "!!!" or "the", stays as it is: it is not the same as no
    answer.
    """
    whole = " ".join(normal(text).split())
    text = whole
    joined = bool(re.search(r"\d,\d", text))  # then every mark is dropped, as in 1,000; else some become blanks
    for mark in _PUNCTUATION:
        beside_blank = f"{mark} " in text or f" {mark}" in text
        text = text.replace(mark, "" if joined or beside_blank else " ")
    text = re.sub(r"\.(?!\d)", "", text)
    if not text.isascii():  # the marks of other scripts, of which the benchmark has none
        text = "".join(" " if not c.isascii() and unicodedata.category(c).startswith("P") else c for c in text)
    kept = [_DIGITS.get(word, word) for word in text.lower().split() if word not in ("a", "an", "the")]
    return " ".join(kept).replace("'", "") or whole


def vqa_accuracy(answer: str, humans: Sequence[str]) -> float:
    """VQA accuracy (Antol et al. 2015): full marks if three people said the same, on the mean over leaving one out.

    Args:
        answer: What the system answered.
        humans: Answers of two or more people, ten in the benchmark.

    Returns:
        With ten people of whom 0, 1, 2, 3, or more said it: 0, 0.3, 0.6, 0.9, 1.

    Raises:
        ValueError: If there are fewer than two people.
    """
    if isinstance(humans, str) or len(humans) < 2:
        raise ValueError("vqa_accuracy needs a list of two or more people's answers.")
    same = [normalised_answer(human) == normalised_answer(answer) for human in humans]
    return sum(min((sum(same) - left_out) / 3, 1.0) for left_out in same) / len(same)


def says_yes(answer: str) -> bool:
    """POPE's reading of an answer (Li et al. 2023): no if "no" or "not" is a word of its first sentence, else yes."""
    first = normal(answer).split(".")[0].replace(",", " ")
    return not {"no", "not"} & set(first.split())


@dataclass(frozen=True)
class YesNo:
    """POPE's scores, which are read together: one who always says yes has recall 1.

    Attributes:
        accuracy: Share of right answers.
        precision: Share of right ones among those who say yes; 0 if none does.
        recall: Share of yes among those where it is right; 0 if it never is.
        f1: Harmonic mean of the two.
        yes_ratio: Share of answers that say yes.
    """

    accuracy: float
    precision: float
    recall: float
    f1: float
    yes_ratio: float


def yes_no(answers: Sequence[str], truth: Sequence[bool]) -> YesNo:
    """Score answers to yes-or-no questions as POPE does.

    Args:
        answers: N texts.
        truth: Whether yes is right, N.

    Raises:
        ValueError: If the numbers differ, or there are none.
    """
    if len(answers) != len(truth) or not answers:
        raise ValueError(f"yes_no: {len(answers)} answers for {len(truth)} questions; one each is needed.")
    said = [says_yes(answer) for answer in answers]
    hits = sum(s and t for s, t in zip(said, truth, strict=True))
    precision, recall = (hits / count if count else 0.0 for count in (sum(said), sum(truth)))
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    right = sum(s == t for s, t in zip(said, truth, strict=True))
    return YesNo(right / len(said), precision, recall, f1, sum(said) / len(said))
