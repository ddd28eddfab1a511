"""Checks of the exercises in the chapter on GILL; equation numbers are the chapter's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Verdict, judge

__all__ = ["check_distance", "check_sizes"]


def check_distance(answer: Callable[[Tensor, Tensor], Tensor]) -> Verdict:
    """Check the distance (5) between what was made and its target.

    Args:
        answer: A function of both, (B, Q, D) each, that returns a scalar.
    """
    rng = torch.Generator().manual_seed(0)
    cases = [tuple(torch.randn(2, *shape, generator=rng).unbind()) for shape in ((3, 5, 4), (2, 4, 7))]
    return judge(
        answer,
        lambda made, target: (made - target).norm(dim=-1).mean(),
        cases,
        parts=["the distance"],
        right="Vectors three apart one way and four the other are at distance five, whatever their width.",
        mistakes=[
            ("The square root is missing: (5) is a norm.", lambda a, b: (a - b).square().sum(-1).mean()),
            ("This is a mean of squares over everything: (5) sums over the width and takes the root.",
             lambda a, b: (a - b).square().mean()),
            ("You divided by the width under the root: (5) sums over it.",
             lambda a, b: (a - b).square().mean(-1).sqrt().mean()),
            ("This is one norm for a whole item: (5) has one for each position.",
             lambda a, b: (a - b).flatten(1).norm(dim=1).mean()),
            ("You summed over the positions: (5) averages them.", lambda a, b: (a - b).norm(dim=-1).sum(-1).mean()),
            ("These are absolute values: the norm is Euclidean.", lambda a, b: (a - b).abs().sum(-1).mean()),
        ],
    )  # fmt: skip


def check_sizes(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check the values of the prefix, those of the picture words, and how many times as large the embedding is.

    Args:
        answer: The three numbers, in this order.
    """
    mistakes: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("The map (1) has a bias, too.", (4 * 4096 * 1024, None, None)),
        ("A picture becomes four word vectors, not one.", (4096 * 1024 + 4096, None, None)),
        ("There are eight picture words.", (None, 4096, None)),
        ("The ratio is that of the rows: both have the same width.", (None, None, 50_274)),
    ]
    return judge(
        lambda: answer,
        lambda: (16_793_600, 32_768, 6284),
        [()],
        parts=["the number of values of (1)", "the number of the picture words", "the ratio"],
        right="A mask would have kept a gradient for thousands of rows of which eight may move.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
    )
