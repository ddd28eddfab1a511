"""Checks of the exercises in the chapter on MDiCo; equation numbers are the chapter's."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge
from mmlab.losses.contrastive import nt_xent
from mmlab.methods.mdico import contrast

__all__ = ["check_over_pairs", "check_values"]

Parts = dict[str, Tensor]


def check_over_pairs(answer: Callable[[Parts, Parts, float], Tensor]) -> Verdict:
    """Check the contrast (4) over pairs of sensors.

    Args:
        answer: A function of the shared parts (B, D) and the presence (B,) by sensor, and of τ, to one number.
    """

    def over(shared: Parts, present: Parts, tau: float) -> list[Tensor]:
        rows = [(m, n, present[m] & present[n]) for m, n in combinations(sorted(shared), 2)]
        return [nt_xent(shared[m][both], shared[n][both], tau) for m, n, both in rows]

    def everybody(shared: Parts, present: Parts, tau: float) -> Tensor:
        return contrast(shared, {}, tau)

    def summed(shared: Parts, present: Parts, tau: float) -> Tensor:
        return torch.stack(over(shared, present, tau)).sum()

    def ordered(shared: Parts, present: Parts, tau: float) -> Tensor:
        return 2 * summed(shared, present, tau)

    def either(shared: Parts, present: Parts, tau: float) -> Tensor:
        rows = [(m, n, present[m] | present[n]) for m, n in combinations(sorted(shared), 2)]
        return torch.stack([nt_xent(shared[m][any_], shared[n][any_], tau) for m, n, any_ in rows]).mean()

    mistakes: list[Mistake] = [
        ("Items that lack a sensor are among those compared: take the rows that both sensors have.", everybody),
        ("You took the items that either of the two has: both must.", either),
        ("This is the sum over pairs of sensors: (4) is their mean.", summed),
        ("Every pair is there twice, once in each order, and you added them up: (4) is the mean.", ordered),
    ]
    rng = torch.Generator().manual_seed(0)
    cases = []
    for names in (("a", "b", "c"), ("a", "b", "c", "d")):
        shared = {name: torch.randn(12, 4, generator=rng) for name in names}
        item = torch.arange(12)
        lacking = {"a": item % 2 == 1, "b": item % 3 == 1, "c": item >= 8, "d": item % 4 == 3}
        present = {name: ~lacking[name] for name in names}
        cases.append((shared, present, 0.3))
    return judge(
        answer,
        contrast,
        cases,
        parts=["the contrast"],
        right="Absent measurements take no part, and more sensors do not weigh more.",
        mistakes=mistakes,
    )


def check_values(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check the values of (4) for collapsed and for perfect parts, B = 128, to within 0.01 %.

    Args:
        answer: The collapsed value, the perfect one at τ = 0.1, and the perfect one at τ = 1.
    """
    perfect, warm = (math.log(1 + 254 * math.exp(-1 / tau)) for tau in (0.1, 1.0))
    mistakes: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("With the vectors of both sensors there are 255 to choose from, not 128.", (math.log(128), None, None)),
        ("A vector is not compared with itself: 255 are left of 256.", (math.log(256), None, None)),
        ("It is a cross-entropy: 0 would need infinitely large similarities, and cosines end at 1.", (None, 0.0, None)),
        ("The partner has cosine 1 and the others 0, so divide their exponentials.", (None, math.log(255), None)),
        ("There are 254 vectors that are neither the item itself nor its partner.",
         (None, math.log(1 + 127 * math.exp(-10)), None)),
        ("At τ = 1 the similarities are ten times smaller, so the loss is larger.", (None, None, perfect)),
    ]  # fmt: skip
    return judge(
        lambda: answer,
        lambda: (math.log(255), perfect, warm),
        [()],
        parts=["the collapsed value", "the perfect one", "the perfect one at τ = 1"],
        right="The first is what nothing learned looks like. The last is why a temperature belongs to a loss.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
    )
