"""Checks of the exercises in the chapter on STRUCTURE; equation numbers are the chapter's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmlab.exercises.verdict import Mistake, Verdict, judge
from mmlab.methods.structure import neighbourhoods

__all__ = ["check_both", "check_near"]


def check_near(answer: Callable[[Tensor, float], Tensor]) -> Verdict:
    """Check the matrix of transitions.

    Args:
        answer: A function of vectors (B, C) and a temperature, to (B, B).
    """

    def first(x: Tensor, tau: float) -> Tensor:
        z = F.normalize(x - x.mean(0), dim=1)
        return (z @ z.mT / tau).softmax(1)

    def whole(x: Tensor, tau: float) -> Tensor:
        z = F.normalize(x, dim=1)
        return (z @ z.mT / tau).softmax(1)

    mistakes: list[Mistake] = [
        ("The mean comes off after the vectors have length one, not before.", first),
        ("The mean is still in it.", whole),
        ("Divide by the temperature.", lambda x, tau: neighbourhoods(x, 1 / tau)),
        ("The rows should sum to one: you took the softmax of columns.", lambda x, tau: neighbourhoods(x, tau).mT),
        ("The vectors are not brought to length one.",
         lambda x, tau: ((x - x.mean(0)) @ (x - x.mean(0)).mT / tau).softmax(1)),
    ]  # fmt: skip
    rng = torch.Generator().manual_seed(0)
    cases = [(torch.randn(n, 4, generator=rng) + 0.5, tau) for n, tau in ((5, 0.2), (7, 0.5))]
    return judge(
        answer, neighbourhoods, cases, parts=["the transitions"], right="Each row says where one gets to.",
        mistakes=mistakes,
    )  # fmt: skip


def check_both(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check two divergences and a limit, to within 0.001.

    Args:
        answer: The Jensen-Shannon divergence, the turned form and the limit, in nats.
    """
    js, turned = 0.75 * math.log(1.5) - 0.25 * math.log(2), 0.5 * math.log(4 / 3)
    mistakes: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("These are bits: take natural logarithms.", (js / math.log(2), None, None)),
        ("You exchanged the two forms.", (turned, js, None)),
        ("Each of the two terms counts one half.", (2 * js, None, None)),
        ("Each of the two terms of the turned form counts one half.", (None, 2 * turned, None)),
        ("In bits it is one; in nats it is another number.", (None, None, 1.0)),
        ("It has a bound: the mixture has at least half of what either has.", (None, None, math.inf)),
    ]
    return judge(
        lambda: answer,
        lambda: (js, turned, math.log(2)),
        [()],
        parts=["the Jensen-Shannon divergence", "the turned form", "the limit"],
        right="Near zero the two forms are alike; only one of them has a bound.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
        tolerance=0.001,
    )
