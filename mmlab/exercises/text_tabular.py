"""Checks of the exercises in the chapter on tables with text; equation numbers are the chapter's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge
from mmlab.methods.text_tabular import Fit, fit_line, out_of_fold

__all__ = ["check_flatter", "check_mean", "check_scores"]


def check_scores(answer: Callable[[Fit, Tensor, Tensor, Tensor], Tensor]) -> Verdict:
    """Check out-of-fold scores.

    Args:
        answer: A function of a part's fit, rows (N, F), labels (N,) and folds (N,), to scores (N,).
    """

    def part(x: Tensor, y: Tensor) -> Callable[[Tensor], Tensor]:
        line = fit_line(x, y, 1.0)
        return lambda rows: rows @ line[:-1] + line[-1]

    def leaky(fit: Fit, x: Tensor, y: Tensor, fold: Tensor) -> Tensor:
        return fit(x, y)(x)

    def turned(fit: Fit, x: Tensor, y: Tensor, fold: Tensor) -> Tensor:
        z = torch.zeros(len(x), dtype=x.dtype)
        for k in range(int(fold.max()) + 1):
            z[fold == k] = fit(x[fold == k], y[fold == k])(x[fold == k])
        return z

    def first(fit: Fit, x: Tensor, y: Tensor, fold: Tensor) -> Tensor:
        return fit(x[fold != 0], y[fold != 0])(x)

    mistakes: list[Mistake] = [
        ("These are scores of rows that the part was fitted to: the leak of (5).", leaky),
        ("You fitted each part to the fold itself: it must be fitted to all the others.", turned),
        ("You left one fold out for all rows: each row needs the part that did not see it.", first),
    ]
    rng = torch.Generator().manual_seed(0)
    cases = []
    for count, folds in ((24, 3), (30, 5)):
        x = torch.randn(count, 2, generator=rng, dtype=torch.float64)
        y = (x[:, 0] + torch.randn(count, generator=rng, dtype=torch.float64) > 0).double()
        cases.append((part, x, y, torch.arange(count) % folds))
    return judge(
        answer, out_of_fold, cases, parts=["the scores"], right="No row is scored by a part that saw it.",
        mistakes=mistakes,
    )  # fmt: skip


def check_mean(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check what a part that says the mean of its labels gives out of fold, to within 0.001.

    Args:
        answer: The score of a row with label 1, of a row with label 0, and the AUC.
    """
    mistakes: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("The row itself is left out: three labels remain.", (0.5, None, None)),
        ("This is the mean of the others for a row of the other label.", (2 / 3, 1 / 3, None)),
        ("The two scores differ, so the AUC is not one half: which label has the higher score?", (None, None, 0.5)),
        ("Every row with label 0 has the higher score: the AUC is turned over.", (None, None, 1.0)),
    ]
    return judge(
        lambda: answer,
        lambda: (1 / 3, 2 / 3, 0.0),
        [()],
        parts=["the score of a 1", "the score of a 0", "the AUC"],
        right="Whoever is left out is missing among the rest.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
        tolerance=0.001,
    )


def check_flatter(answer: Callable[[int, int, float], tuple[Any, Any]]) -> Verdict:
    """Check the expected squared errors of least squares on noise.

    Args:
        answer: A function of F, N and s, which returns the error on fitted rows and on the same rows with new noise.
    """

    def truth(columns: int, rows: int, s: float) -> tuple[float, float]:
        return s**2 * (1 - columns / rows), s**2 * (1 + columns / rows)

    def plain(columns: int, rows: int, s: float) -> tuple[float, float]:
        return s**2 * (1 - columns / rows), s**2

    def unbiased(columns: int, rows: int, s: float) -> tuple[float, float]:
        return s**2, s**2 * (1 + columns / rows)

    def deviation(columns: int, rows: int, s: float) -> tuple[float, float]:
        return s * (1 - columns / rows), s * (1 + columns / rows)

    def swapped(columns: int, rows: int, s: float) -> tuple[float, float]:
        return truth(columns, rows, s)[::-1]

    mistakes: list[Mistake] = [
        ("On new noise the fitted values are an error of their own: their variance adds to it.", plain),
        ("On fitted rows a part of the noise has been explained away.", unbiased),
        ("The noise has the variance s², not s.", deviation),
        ("The two are swapped: fitted rows flatter.", swapped),
    ]
    return judge(
        answer,
        truth,
        [(5, 50, 1.0), (30, 100, 2.0)],
        parts=["the error on fitted rows", "the error on new noise"],
        right="The gap between the two is 2 F s² / N: many columns and few rows flatter most.",
        mistakes=mistakes,
    )
