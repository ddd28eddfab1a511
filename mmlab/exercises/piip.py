"""Checks of the exercises in the chapter on PIIP; equation numbers are the chapter's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge
from mmlab.methods.piip import block_cost

__all__ = ["check_cheaper", "check_take"]


def check_take(answer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Verdict:
    """Check gated cross-attention (2) with one head and without maps.

    Args:
        answer: A function of tokens (N, D), tokens of the other branch (M, D) and the gate (D,), to (N, D).
    """

    def truth(x: Tensor, other: Tensor, gate: Tensor) -> Tensor:
        return x + gate * ((x @ other.T / x.shape[1] ** 0.5).softmax(1) @ other)

    def across(x: Tensor, other: Tensor, gate: Tensor) -> Tensor:
        return x + gate * ((x @ other.T / x.shape[1] ** 0.5).softmax(0) @ other)

    def unscaled(x: Tensor, other: Tensor, gate: Tensor) -> Tensor:
        return x + gate * ((x @ other.T).softmax(1) @ other)

    def replaced(x: Tensor, other: Tensor, gate: Tensor) -> Tensor:
        return truth(x, other, gate) - x

    def whole(x: Tensor, other: Tensor, gate: Tensor) -> Tensor:
        return gate * x + (truth(x, other, gate) - x)

    def ungated(x: Tensor, other: Tensor, gate: Tensor) -> Tensor:
        return truth(x, other, torch.ones_like(gate))

    def squared(x: Tensor, other: Tensor, gate: Tensor) -> Tensor:
        return x + gate * ((x @ other.T / x.shape[1]).softmax(1) @ other)

    mistakes: list[Mistake] = [
        ("Each token of this branch shares out its attention: the softmax is over the other's tokens.", across),
        ("Divide the products by the root of the width.", unscaled),
        ("Divide the products by the root of the width, not by the width.", squared),
        ("The tokens themselves are missing: what is taken is added.", replaced),
        ("The gate belongs to what is taken, not to the tokens themselves.", whole),
        ("The gate is missing: at zero the branches must have nothing to do with each other.", ungated),
    ]
    rng = torch.Generator().manual_seed(0)
    cases = [
        (torch.randn(n, 4, generator=rng), torch.randn(m, 4, generator=rng), torch.rand(4, generator=rng) + 0.2)
        for n, m in ((5, 3), (2, 6))
    ]
    return judge(
        answer,
        truth,
        cases,
        parts=["the tokens"],
        right="With the gate at zero this is the identity.",
        mistakes=mistakes,
    )


def check_cheaper(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check costs of blocks: width 32 on 64 tokens, the same on 16, and width 8 on 64.

    Args:
        answer: Multiplications of each of the three.
    """
    whole, small, narrow = block_cost(64, 32), block_cost(16, 32), block_cost(64, 8)
    mistakes: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("The term of the attention is missing: 2N²d.", (8 * 64 * 32**2, None, None)),
        ("The attention costs 2N²d: scores, and their mixture of values.", (8 * 64 * 32**2 + 64**2 * 32, None, None)),
        ("Half the side is a quarter of the tokens: N = 16.", (None, block_cost(32, 32), None)),
        ("A quarter of the tokens costs less than a quarter: the attention goes with N².", (None, whole / 4, None)),
        ("The width enters the first term squared.", (None, None, whole / 4)),
        ("The width enters the second term once.", (None, None, whole / 16)),
    ]
    return judge(
        lambda: answer,
        lambda: (whole, small, narrow),
        [()],
        parts=["the large network on the large picture", "the large one on the small", "the small one on the large"],
        right="The last two together cost less than the first.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
    )
