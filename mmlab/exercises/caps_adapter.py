"""Checks of the exercises in the chapter on CapS-Adapter; equation numbers are the chapter's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmlab.exercises.verdict import Mistake, Verdict, judge
from mmlab.methods.caps_adapter import affinity, cache

__all__ = ["check_limits", "check_votes"]


def check_votes(answer: Callable[..., Tensor]) -> Verdict:
    """Check the votes of a cache with mixed keys.

    Args:
        answer: A function of f (B, D), support pictures and captions (N, D), Y (N, K), d and b, to votes (B, K).
    """

    def truth(f: Tensor, pictures: Tensor, captions: Tensor, Y: Tensor, d: float, b: float) -> Tensor:
        return cache(affinity(f, pictures, captions, d), Y, b)

    mistakes: list[Mistake] = [
        ("You exchanged d and 1 - d: d is the share of the captions.",
         lambda f, i, t, Y, d, b: truth(f, i, t, Y, 1 - d, b)),
        ("Sharpness counts from the perfect match: exp(-b (1 - K)).",
         lambda f, i, t, Y, d, b: torch.exp(-b * affinity(f, i, t, d)) @ Y),
        ("This votes with K itself, without the exponential.", lambda f, i, t, Y, d, b: affinity(f, i, t, d) @ Y),
    ]  # fmt: skip
    rng = torch.Generator().manual_seed(0)
    cases = []
    for d, b in ((0.3, 2.0), (0.9, 5.0)):
        f, i, t = F.normalize(torch.randn(3, 5, 4, generator=rng), dim=-1)
        cases.append((f, i, t, F.one_hot(torch.arange(5) % 2, 2).float(), d, b))
    return judge(answer, truth, cases, parts=["the votes"], right="The keys are mixed, the votes are not.",
                 mistakes=mistakes)  # fmt: skip


def check_limits(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check votes in the limits of a blunt and a sharp cache, to within 0.001.

    Args:
        answer: Votes for the second class with b = 0; share of the first class with b = 0; its share with an endless b.
    """
    mistakes: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("With b = 0 each item counts one, however near it is.", (1.7, None, None)),
        ("The share is one item of four.", (None, 1.0, None)),
        ("In the end the nearest key has all.", (None, None, 0.25)),
    ]
    return judge(
        lambda: answer,
        lambda: (3.0, 0.25, 1.0),
        [()],
        parts=["the votes", "the blunt share", "the sharp share"],
        right="A blunt cache knows only how large the classes are.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
        tolerance=0.001,
    )
