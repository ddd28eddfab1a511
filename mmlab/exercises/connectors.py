"""Checks of the exercises in the chapter on connectors; equation numbers are the chapter's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from mmlab.exercises.verdict import Verdict, judge

__all__ = ["check_derivative", "check_read", "check_room"]


def check_derivative(answer: Callable[[Tensor], Tensor]) -> Verdict:
    """Check how one look (2) changes with its query, where the query is zero.

    Args:
        answer: A function of the patches, (P, D), that returns the derivative of the token by the query, (D, D).
    """
    rng = torch.Generator().manual_seed(0)
    cases = [(torch.randn(p, d, generator=rng) + 1,) for p, d in ((5, 3), (7, 4))]

    def truth(v: Tensor) -> Tensor:
        return torch.cov(v.T, correction=0) / v.shape[1] ** 0.5

    return judge(
        answer,
        truth,
        cases,
        parts=["the derivative"],
        right="It is the covariance of the patches: where they are all alike, no query can tell them apart.",
        mistakes=[
            (r"The factor $1/\sqrt D$ of the scores is missing.", lambda v: torch.cov(v.T, correction=0)),
            (r"You divided by $D$; the scores are divided by $\sqrt D$.",
             lambda v: torch.cov(v.T, correction=0) / v.shape[1]),
            ("You divided by $P - 1$; the weights of even attention are $1/P$.",
             lambda v: torch.cov(v.T) / v.shape[1] ** 0.5),
            ("This is a sum over the patches: each has the weight $1/P$.", lambda v: len(v) * truth(v)),
            ("The softmax pushes the other weights down when it lifts one: subtract the average patch.",
             lambda v: v.T @ v / len(v) / v.shape[1] ** 0.5),
        ],
    )  # fmt: skip


def check_read(answer: Callable[[Tensor, Tensor], Tensor]) -> Verdict:
    """Check one look (2) of the queries at the patches, with one head and without matrices.

    Args:
        answer: A function of the queries, (Q, D), and the patches, (P, D), that returns the tokens, (Q, D).
    """
    rng = torch.Generator().manual_seed(0)
    cases = [(2 * torch.randn(q, 4, generator=rng), torch.randn(p, 4, generator=rng)) for q, p in ((3, 5), (2, 6))]
    return judge(
        answer,
        lambda q, v: scaled_dot_product_attention(q[None], v[None], v[None])[0],
        cases,
        parts=["the tokens"],
        right="There are as many tokens as queries, however many patches there are.",
        mistakes=[
            (r"The scores are not divided by $\sqrt D$.", lambda q, v: (q @ v.T).softmax(-1) @ v),
            (r"The scores are divided by $D$; it is $\sqrt D$.", lambda q, v: (q @ v.T / q.shape[1]).softmax(-1) @ v),
            ("The softmax runs over the queries; each query's weights on the patches must sum to one.",
             lambda q, v: (q @ v.T / q.shape[1] ** 0.5).softmax(0) @ v),
            ("The softmax is missing: the weights are the scores themselves.",
             lambda q, v: (q @ v.T / q.shape[1] ** 0.5) @ v),
            ("The patches look at the queries; it is the other way round.",
             lambda q, v: (v @ q.T / q.shape[1] ** 0.5).softmax(-1) @ q),
            ("Each query takes the average patch: the weights do not depend on it.",
             lambda q, v: v.mean(0).expand_as(q)),
        ],
    )  # fmt: skip


def check_room(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check positions left with all patches, positions left with queries, and the values of a matrix.

    Args:
        answer: The three numbers, in this order.
    """
    mistakes: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("With patches you put in one picture; there are four.", (3072 - 729, None, None)),
        ("With patches you gave the positions that the pictures take; what is left is asked for.", (2916, None, None)),
        ("With queries you put in one picture; there are four.", (None, 3072 - 64, None)),
        ("With queries you gave the positions that the pictures take; what is left is asked for.", (None, 256, None)),
        ("The matrix has a bias, too.", (None, None, 1152 * 2560)),
        ("The bias has as many values as come out, not as go in.", (None, None, 1152 * 2560 + 1152)),
    ]
    return judge(
        lambda: answer,
        lambda: (156, 2816, 2_951_680),
        [()],
        parts=["the number left with patches", "the number left with queries", "the number of values"],
        right="With every patch kept, four pictures fill nearly the whole of what the model can read.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
    )
