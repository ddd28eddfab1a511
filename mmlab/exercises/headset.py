"""Checks of the exercises in the chapter on HEADSET; equation numbers are the chapter's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge
from mmlab.methods.headset import seen

__all__ = ["check_hole", "check_posterior"]


def check_hole(answer: Callable[[Tensor, Tensor, Tensor, float], Tensor]) -> Verdict:
    """Check what an encoder gets of a map with a hole.

    Args:
        answer: A function of x (B, 1, S, S), hidden likewise, bool, the mean face (1, S, S) and a scale, to
            (B, 2, S, S).
    """

    def truth(x: Tensor, hidden: Tensor, mean: Tensor, scale: float) -> Tensor:
        return seen(x, hidden, mean, torch.tensor(scale))

    def late(x: Tensor, hidden: Tensor, mean: Tensor, scale: float) -> Tensor:
        return torch.cat([(x.masked_fill(hidden, 0) - mean) / scale, hidden.float()], 1)

    mistakes: list[Mistake] = [
        ("You cut the hole out before the mean face was taken off: it must be zero after that.", late),
        ("The second channel says where it is seen; it should say where it is hidden.",
         lambda x, h, mean, s: torch.cat([truth(x, h, mean, s)[:, :1], (~h).float()], 1)),
        ("You kept what is hidden and cut out what is seen.",
         lambda x, h, mean, s: torch.cat([truth(x, ~h, mean, s)[:, :1], h.float()], 1)),
        ("Divide by the scale.", lambda x, h, mean, s: truth(x, h, mean, 1.0)),
    ]  # fmt: skip
    rng = torch.Generator().manual_seed(0)
    cases: list[tuple[Any, ...]] = []
    for size in (3, 4):
        x, mean = torch.randn(2, 1, size, size, generator=rng), torch.randn(1, size, size, generator=rng)
        hidden = torch.rand(2, 1, size, size, generator=rng) < 0.5
        cases.append((x, hidden, mean, 2.0))
    return judge(
        answer, truth, cases, parts=["the two channels"], right="Nothing behind the mask has an effect.",
        mistakes=mistakes,
    )  # fmt: skip


def check_posterior(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check two posteriors and a rate of right guesses, to within 0.005.

    Args:
        answer: The probability of the second emotion with both numbers, with one, and how often the best guess is
            right.
    """
    both, right = 0.62246, 0.86822
    mistakes: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("A density falls by half of the squared distance: you left the half out.", (0.73106, None, None)),
        ("Half of the squared distance of the second number is what is left.", (None, 0.73106, None)),
        ("The first number lies in the middle of both means: it tells nothing.", (None, 0.5, None)),
        ("It is half of the distance, √5 / 2, not the distance.", (None, None, 0.98733)),
        ("The distance is that of both numbers, √(4 + 1).", (None, None, 0.84134)),
    ]
    return judge(
        lambda: answer,
        lambda: (both, both, right),
        [()],
        parts=["with both", "with one", "how often it is right"],
        right="A number in the middle tells nothing of this face, and much of others.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
        tolerance=0.005,
    )
