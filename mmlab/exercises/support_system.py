"""Checks of the exercises in the chapter on a support system; equation numbers are the chapter's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Verdict, judge

__all__ = ["check_leak", "check_split", "check_sum"]


def check_split(answer: Callable[[Tensor, Tensor], Tensor]) -> Verdict:
    """Check the repair of a split that went by row.

    Args:
        answer: A function of the person of each row (S,), and of the numbers of the rows that were drawn for the test,
            which returns for each row whether training may keep it, (S,).
    """
    cases = [
        (torch.tensor([4, 4, 1, 0, 1, 2, 4, 3]), torch.tensor([1, 4])),
        (torch.tensor([0, 1, 0, 2, 3, 3, 1]), torch.tensor([6, 0])),
    ]
    return judge(
        answer,
        lambda person, drawn: ~torch.isin(person, person[drawn]),
        cases,
        parts=["what training keeps"],
        right="Nobody is on both sides, however many scans there are.",
        mistakes=[
            ("This keeps the other scans of the tested people: that is the leak.",
             lambda person, drawn: ~torch.isin(torch.arange(len(person)), drawn)),
            ("You compared people with numbers of rows: look up whose the drawn rows are.",
             lambda person, drawn: ~torch.isin(person, drawn)),
            ("You have the two sides the wrong way round.", lambda person, drawn: torch.isin(person, person[drawn])),
        ],
    )  # fmt: skip


def check_leak(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check the three errors of (1) for τ = 0.12 and σ = 0.05.

    Args:
        answer: Those of the group mean, of a stranger's scan, of the mean of two other scans of one's own.
    """
    mistakes: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("The variances add, not the deviations: take the root of the sum.", (0.17, None, None)),
        ("That is the squared error: its root is asked for.", (0.0169, None, None)),
        ("The scan to be predicted has noise of its own, whatever is said of it.", (0.12, None, None)),
        ("Both scans have noise, and both people differ from the mean: everything counts twice.", (None, 0.13, None)),
        ("The errors are doubled before the root, not behind it.", (None, 0.26, None)),
        ("The scan to be predicted has noise, too: the variance counts one and a half times.",
         (None, None, 0.05 / 2**0.5)),
        ("This is one scan of one's own; the mean of two has half of its noise.", (None, None, 0.05 * 2**0.5)),
    ]  # fmt: skip
    return judge(
        lambda: answer,
        lambda: (0.13, 0.13 * 2**0.5, 0.05 * 1.5**0.5),
        [()],
        parts=["the error of the group mean", "the error of a stranger's scan", "the error of one's own scans"],
        right="Whoever finds a person again has half of the group mean's error, and has learnt nothing.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
    )


def check_sum(answer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Verdict:
    """Check the mean (2) of all drawings, where a drawing is a sum over independent words.

    Args:
        answer: A function of the probabilities (S, F, 3), the pieces (F, 3, E) and what is common to all (E,), which
            returns (S, E).
    """
    rng = torch.Generator().manual_seed(0)

    def case(count: int, facts: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
        p = torch.rand(count, facts, 3, generator=rng, dtype=torch.float64)
        pieces = torch.randn(facts, 3, width, generator=rng, dtype=torch.float64)
        return p / p.sum(-1, keepdim=True), pieces, torch.randn(width, generator=rng, dtype=torch.float64)

    def total(p: Tensor, pieces: Tensor) -> Tensor:
        return torch.einsum("sfl,fle->se", p, pieces)

    def likeliest(p: Tensor, pieces: Tensor, common: Tensor) -> Tensor:
        return common + total(torch.nn.functional.one_hot(p.argmax(-1), 3).to(p), pieces)

    return judge(
        answer,
        lambda p, pieces, common: common + total(p, pieces),
        [case(4, 3, 5), case(2, 8, 6)],
        parts=["the mean drawing"],
        right="Thousands of descriptions, and as many multiplications as there are words.",
        mistakes=[
            ("This draws the likeliest description: (2) weighs all of them.", likeliest),
            ("What is common to all drawings is missing.", lambda p, pieces, common: total(p, pieces)),
            ("What is common to all counts once, not once for each word.",
             lambda p, pieces, common: p.shape[1] * common + total(p, pieces)),
            ("You averaged over the words: their pieces add up.",
             lambda p, pieces, common: common + total(p, pieces) / p.shape[1]),
            ("Here every level has the same weight: use the probabilities.",
             lambda p, pieces, common: common + total(torch.full_like(p, 1 / 3), pieces)),
        ],
    )  # fmt: skip
