"""Checks of the exercises in the chapter on MERLIN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge

__all__ = ["check_prices", "check_reputation", "check_threshold"]


def check_prices(answer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Verdict:
    """Check the mean of the known prices of the neighbours.

    Args:
        answer: A function of prices (N,), which are known (N,), and the adjacency (N, N), to means (N,).
    """

    def mean(price: Tensor, usable: Tensor) -> Tensor:
        return usable.float() @ price / usable.sum(1).clamp(min=1)

    def others(adjacent: Tensor) -> Tensor:
        return adjacent & ~torch.eye(len(adjacent), dtype=torch.bool)

    def truth(price: Tensor, known: Tensor, adjacent: Tensor) -> Tensor:
        return mean(price, others(adjacent) & known)

    mistakes: list[Mistake] = [
        ("An item's own price is among them where the diagonal is true.",
         lambda price, known, adjacent: mean(price, adjacent & known)),
        ("Prices that are not known are among them.",
         lambda price, known, adjacent: mean(price, others(adjacent))),
        ("Divide by the number of known neighbours, not of all.",
         lambda price, known, adjacent: (others(adjacent) & known).float() @ price
         / others(adjacent).sum(1).clamp(min=1)),
        ("This is the sum: take the mean.",
         lambda price, known, adjacent: (others(adjacent) & known).float() @ price),
    ]  # fmt: skip
    rng = torch.Generator().manual_seed(0)
    price = torch.randn(6, generator=rng)
    adjacent = torch.rand(6, 6, generator=rng) < 0.6
    adjacent[2] = torch.arange(6) == 2  # its own neighbour only
    adjacent[0, 0] = adjacent[3, 3] = True
    known = torch.tensor([1, 0, 1, 1, 0, 1]).bool()
    return judge(
        answer,
        truth,
        [(price, known, adjacent)],
        parts=["the mean"],
        right="What is asked for is not among what is given.",
        mistakes=mistakes,
    )


def check_reputation(answer: Callable[[float, float], Any]) -> Verdict:
    """Check the squared correlation of a reputation with the mean of n pictures.

    Args:
        answer: A function of n and σ.
    """
    mistakes: list[Mistake] = [
        ("This is for one picture: the noise of a mean is smaller.", lambda n, sigma: 1 / (1 + sigma**2)),
        ("The variance of the mean's noise is σ²/n, not σ/n.", lambda n, sigma: n / (n + sigma)),
        ("This is the correlation: square it.", lambda n, sigma: (n / (n + sigma**2)) ** 0.5),
        ("The variance of the noise falls with n, not with its square.", lambda n, sigma: n**2 / (n**2 + sigma**2)),
    ]
    return judge(
        answer,
        lambda n, sigma: n / (n + sigma**2),
        [(1, 2.0), (8, 2.0), (3, 0.5)],
        parts=["the squared correlation"],
        right="That is what a relation to n items can bring in.",
        mistakes=mistakes,
    )


def check_threshold(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check precision and recall of the five items.

    Args:
        answer: Precision and recall at 0.65, and recall at 0.3.
    """
    mistakes: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("Precision is the share of the called items that are high: two are called.", (1 / 3, None, None)),
        ("At 0.65 the third item, with 0.6, is not called.", (2 / 3, 2 / 3, None)),
        ("Recall is the share of the high items that are called: three are high.", (None, 1 / 2, None)),
        ("At 0.3 four items are called, and all three high ones are among them.", (None, None, 3 / 4)),
    ]
    return judge(
        lambda: answer,
        lambda: (1 / 2, 1 / 3, 1.0),
        [()],
        parts=["the precision", "the recall", "the recall at the low threshold"],
        right="All that was called at the high threshold is called at the low one as well.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
    )
