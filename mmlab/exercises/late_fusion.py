"""Checks of the exercises in the chapter on late fusion; equation numbers are the chapter's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Verdict, judge
from mmlab.nn.fusion import mean_of_probabilities, product_of_experts

__all__ = ["check_product", "check_squares", "check_weights"]

_FROZEN, _FULL = 40 * 60 * (49 + 193), 49 * 193 * 60


def check_product(answer: Callable[[Tensor, Tensor], Tensor]) -> Verdict:
    """Check the product (4) of the experts that are present.

    Args:
        answer: A function of logits (B, M, K) and presence (B, M), which returns log-probabilities (B, K).
    """
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 6, 3, 4, generator=rng)
    present = torch.rand(2, 6, 3, generator=rng) < 0.6
    present[:, :, 0] |= ~present.any(2)  # every item has something

    def summed(logits: Tensor, present: Tensor) -> Tensor:
        return torch.where(present[..., None], logits, 0).sum(1)

    return judge(
        answer,
        product_of_experts,
        [(logits[i], present[i]) for i in range(2)],
        parts=["the log-probabilities"],
        right="Normalising the experts first is not needed: the constants cancel.",
        mistakes=[
            (
                "The absent experts have a say: leave them out of the sum.",
                lambda x, s: product_of_experts(x, torch.ones_like(s)),
            ),
            ("These are probabilities: return their logarithms.", lambda x, s: product_of_experts(x, s).exp()),
            ("The probabilities do not sum to one: normalise after summing.", summed),
            (
                "The product is not normalised: its probabilities sum to less than one.",
                lambda x, s: summed(x.log_softmax(-1), s),
            ),
            (
                "This is the mean (3) of the probabilities.",
                lambda x, s: mean_of_probabilities(x.log_softmax(-1), s),
            ),
            (
                "The logits were divided by the number of experts: a product adds evidence, and does not average it.",
                lambda x, s: (summed(x, s) / s.sum(1, keepdim=True)).log_softmax(-1),
            ),
        ],
    )


def check_weights(answer: tuple[Any, Any]) -> Verdict:
    """Check how many weights of a low-rank fusion never move, and how many the full tensor has.

    Args:
        answer: The two numbers, in this order.
    """
    mistakes: list[tuple[str, tuple[float | None, float | None]]] = [
        ("The 1 that is appended to each vector has weights too.", (40 * 60 * (48 + 192), None)),
        ("The sizes of the factors add up; they do not multiply.", (40 * 60 * 49 * 193, None)),
        ("Each of the 40 ranks has its own factors.", (60 * (49 + 193), None)),
        ("The two are swapped.", (_FULL, _FROZEN)),
        ("In the full tensor, too, each vector has the 1 appended.", (None, 48 * 192 * 60)),
        ("The full tensor has a weight for every pair of features and each output: multiply.", (None, 60 * (49 + 193))),
        ("The full tensor has no rank.", (None, 40 * _FULL)),
    ]
    return judge(
        lambda: answer,
        lambda: (float(_FROZEN), float(_FULL)),
        [()],
        parts=["the number of frozen weights", "the number of weights of the full tensor"],
        right="At rank 40 the low-rank form is larger than the tensor that it should make small.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
        tolerance=1e-6,
    )


def check_squares(answer: tuple[Any, Any]) -> Verdict:
    """Check what the best sum of two opinions reaches on the chessboard, to within 0.002.

    Args:
        answer: Its best accuracy, and the lowest log loss of a sum in nats.
    """
    mistakes: list[tuple[str, tuple[float | None, float | None]]] = [
        ("A sum is more than a coin: give one of the four squares up, and see whether the others can be had.",
         (0.5, None)),
        ("Three squares of four, but the class agrees with its colour only most of the time.", (0.75, None)),
        ("On the square that was given up, the answer is still right now and then.", (0.7125, None)),
        ("All four squares cannot be had: add up the inequalities of opposite corners.", (0.95, None)),
        ("Bits and nats: the natural logarithm is asked for.", (None, 1.0)),
        ("This is the log loss of the whole truth, which is no sum.", (None, 0.1985)),
        ("The sum that is right most often is not the one with the lowest log loss.", (None, 0.5869)),
    ]  # fmt: skip
    return judge(
        lambda: answer,
        lambda: (0.725, 0.6931),
        [()],
        parts=["the accuracy", "the log loss"],
        right="In accuracy three squares can be had, in log loss nothing.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
        tolerance=0.001,
    )
