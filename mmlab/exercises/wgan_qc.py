"""Checks of the exercises in the chapter wgan_qc."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mmlab.exercises.verdict import Verdict, judge
from mmlab.methods.wgan_qc import squared_error

__all__ = ["check_loss"]


def check_loss(answer: Callable[[Tensor, Tensor], Tensor]) -> Verdict:
    """Check the loss (1).

    Args:
        answer: A function of a prediction and its target, (B, E), which returns one number.
    """
    pairs = torch.randn(3, 2, 4, 5, generator=torch.Generator().manual_seed(0))
    return judge(
        answer,
        squared_error,
        [(prediction, target) for prediction, target in pairs],
        parts=["the loss"],
        right="Your loss is that of the method.",
        mistakes=[
            ("This is the sum of the squares: take their mean.", lambda p, y: (p - y).square().sum()),
            ("This is the absolute error: square the difference.", lambda p, y: (p - y).abs().mean()),
            ("You have taken the square root of it.", lambda p, y: (p - y).square().mean().sqrt()),
        ],
    )
