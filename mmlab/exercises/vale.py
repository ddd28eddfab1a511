"""Checks of the exercises in the chapter on VALE."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge
from mmlab.methods.vale import leave_one_out, only_one, shapley

__all__ = ["check_copies", "check_orders", "check_two"]


def check_two(answer: Callable[[float, float, float], tuple[Any, Any]]) -> Verdict:
    """Check the shares of two segments.

    Args:
        answer: A function of the three values to the two shares.
    """
    mistakes: list[Mistake] = [
        ("Those are the gains when the other is there already: average over both orders.",
         lambda a, b, c: (c - b, c - a)),
        ("Those are the gains alone: they do not add up to c.", lambda a, b, c: (a, b)),
        ("One share for each order: what 1 brings first is a, and second c - b.",
         lambda a, b, c: ((b + c - a) / 2, (a + c - b) / 2)),
    ]  # fmt: skip
    return judge(
        answer,
        lambda a, b, c: ((a + c - b) / 2, (b + c - a) / 2),
        [(0.2, 0.5, 0.9), (1.0, 1.0, 1.0), (0.0, 0.0, 1.0)],
        parts=["the share of 1", "the share of 2"],
        right="They add up to c, whatever a and b are.",
        mistakes=mistakes,
    )


def check_copies(answer: Callable[[int, int], tuple[Any, Any, Any]]) -> Verdict:
    """Check the game in which any copy is enough.

    Args:
        answer: A function of n and k to the three values.
    """

    def left(k: int) -> float:
        return float(k == 1)

    mistakes: list[Mistake] = [
        ("Segments without a copy never change v: they get nothing, and the others share among k.",
         lambda n, k: (1 / n, 1 / n, left(k))),
        ("The shares add up to 1: k equal ones are 1/k each.", lambda n, k: (1, 0, left(k))),
        ("If one of several copies is left out, another is still enough.", lambda n, k: (1 / k, 0, 1 / k)),
        ("If one of several copies is left out, another is still enough.", lambda n, k: (1 / k, 0, 1)),
    ]  # fmt: skip
    return judge(
        answer,
        lambda n, k: (1 / k, 0.0, left(k)),
        [(9, 1), (9, 2), (5, 3)],
        parts=["the share with a copy", "the share without", "what leaving out gives"],
        right="The more copies, the less each is to be thanked, and leaving out thanks none.",
        mistakes=mistakes,
    )


def check_orders(answer: Callable[[Any, int], Any]) -> Verdict:
    """Check Shapley values from orders.

    Args:
        answer: A function of the values of all sets and n to the shares (n,).
    """

    def truth(v: Tensor, n: int) -> Tensor:
        return shapley(v)

    def summed(v: Tensor, n: int) -> Tensor:
        return shapley(v) * torch.arange(1, n + 1).prod()

    mistakes: list[Mistake] = [
        ("That is the sum over the orders: divide by their number.", summed),
        ("That is what is lost when one is left out: gains in the middle of an order count as well.",
         lambda v, n: leave_one_out(v)),
        ("That is what each brings alone: add the player to the set after its turn.", lambda v, n: only_one(v)),
    ]  # fmt: skip
    rng = torch.Generator().manual_seed(0)
    return judge(
        answer,
        truth,
        [(torch.rand(2**n, generator=rng, dtype=torch.float64), n) for n in (3, 4)],
        parts=["the shares"],
        right="With n! orders this ends at about eight players; sets take you to a dozen.",
        mistakes=mistakes,
    )
