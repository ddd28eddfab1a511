"""Checks of the exercises in the chapter on describing first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmlab.exercises.verdict import Mistake, Verdict, judge

__all__ = ["check_mislead", "check_read", "check_tree"]

Law = Callable[[tuple[int, ...]], list[float]]
Names = list[tuple[int, ...]]


def _in_tree(law: Law, names: Names, name: tuple[int, ...], *, ends: bool = True, cut: bool = True) -> float:
    p, rows, own = 1.0, [(*other, 0) for other in names], (*name, 0) if ends else name
    for at, word in enumerate(own):
        here = law(own[:at])
        allowed = {row[at] for row in rows if len(row) > at and row[:at] == own[:at]}
        p *= here[word] / (sum(here[w] for w in allowed) if cut else 1.0)
    return p


def check_tree(answer: Callable[[Law, Names, tuple[int, ...]], Any]) -> Verdict:
    """Check the probability (2) of a name.

    Args:
        answer: A function of the law, all names and one of them, to a probability.
    """
    names = [(1,), (2, 3), (2, 4), (2, 4, 3)]

    def law(prefix: tuple[int, ...]) -> list[float]:
        weights = [1.0 + (3 * word + sum(prefix) + len(prefix)) % 5 for word in range(5)]
        return [weight / sum(weights) for weight in weights]

    def of_all(law: Law, names: Names, name: tuple[int, ...]) -> float:
        total = sum(_in_tree(law, names, other, cut=False) for other in names)
        return _in_tree(law, names, name, cut=False) / total

    mistakes: list[Mistake] = [
        ("Divide by the sum over the words that may stand there: this is the plain product.",
         lambda law, names, name: _in_tree(law, names, name, cut=False)),
        ("A name's end is a word, too: where another name goes on, it has a probability.",
         lambda law, names, name: _in_tree(law, names, name, ends=False)),
        ("Divide at each word, not once by the sum over all names.", of_all),
    ]  # fmt: skip
    return judge(
        answer,
        _in_tree,
        [(law, names, name) for name in names],
        parts=["the probability"],
        right="The probabilities of all names sum to 1, whatever the model would rather have said.",
        mistakes=mistakes,
    )


def check_read(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check three denominators.

    Args:
        answer: Accuracy over all questions, over what can be read, and with guesses for the rest.
    """
    truth = (0.56, 0.8, 0.635)
    mistakes: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("All 100 questions are in the denominator of the first one.", (0.8, None, None)),
        ("Seventy answers can be read: divide by these.", (None, 0.56, None)),
        ("Ambiguous answers are replaced, too: 30 in all.", (None, None, 0.61)),
        ("A guess among four options is right once in four times.", (None, None, 0.86)),
    ]
    return judge(
        lambda: answer,
        lambda: truth,
        [()],
        parts=["over all", "over what can be read", "by lot"],
        right="The same answers, and 24 points between two ways to print them.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
    )


def check_mislead(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check how a tree misleads.

    Args:
        answer: Probability of "do nel" by the sum of products, by (2), and where (2) turns.
    """
    truth = (0.6, 0.25, 0.15)
    mistakes: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("That is the product itself: divide it by the sum of all three.", (0.09, None, None)),
        ("In the tree the second word of \"do nel\" has no rival, so its factor is 1.", (None, 0.225, None)),
        ("Divide the first word among ki and do alone.", (None, 0.1, None)),
        ("It has to be above one species of ki, not above the genus.", (None, None, 0.3)),
    ]  # fmt: skip
    return judge(
        lambda: answer,
        lambda: truth,
        [()],
        parts=["by the sum", "in the tree", "where it turns"],
        right="Dividing word by word forgets how unlikely a branch was as a whole.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
    )
