"""Checks of the exercises in the chapter on ITHP; equation numbers are the chapter's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge
from mmlab.methods.ithp import bottleneck_loss, gaussian_kl

__all__ = ["check_kink", "check_optimum", "check_pays"]


def check_pays(answer: Callable[[Tensor, Tensor, Tensor, Tensor, float], Tensor]) -> Verdict:
    """Check the loss (3) of one bottleneck.

    Args:
        answer: A function of mean and log variance (B, K), prediction and detector (B, D) and β, to one number.
    """

    def truth(mean: Tensor, log_variance: Tensor, prediction: Tensor, detector: Tensor, beta: float) -> Tensor:
        error = (prediction - detector).square().mean()
        return bottleneck_loss(gaussian_kl(mean, log_variance).mean(), error, beta)

    def averaged(mean: Tensor, log_variance: Tensor, prediction: Tensor, detector: Tensor, beta: float) -> Tensor:
        kl = gaussian_kl(mean, log_variance).mean() / mean.shape[1]
        return kl + beta * (prediction - detector).square().mean()

    def summed(mean: Tensor, log_variance: Tensor, prediction: Tensor, detector: Tensor, beta: float) -> Tensor:
        error = (prediction - detector).square().sum(-1).mean()
        return gaussian_kl(mean, log_variance).mean() + beta * error

    def deviation(mean: Tensor, log_variance: Tensor, prediction: Tensor, detector: Tensor, beta: float) -> Tensor:
        return truth(mean, 2 * log_variance, prediction, detector, beta)

    def whole(mean: Tensor, log_variance: Tensor, prediction: Tensor, detector: Tensor, beta: float) -> Tensor:
        return truth(mean, log_variance, prediction, detector, beta) + gaussian_kl(mean, log_variance).mean()

    def swapped(mean: Tensor, log_variance: Tensor, prediction: Tensor, detector: Tensor, beta: float) -> Tensor:
        kl = gaussian_kl(mean, log_variance).mean()
        return beta * kl + (prediction - detector).square().mean()

    mistakes: list[Mistake] = [
        ("You averaged the KL over dimensions, as the released code does: (2) sums.", averaged),
        ("You summed the squared error over the detector's values: (3) has their mean.", summed),
        ("The log variance is that of σ², not of σ: do not double it.", deviation),
        ("The one half in front of (2) is missing.", whole),
        ("β weighs the error, not the information.", swapped),
    ]
    rng = torch.Generator().manual_seed(0)
    cases = [(*torch.randn(2, 6, 4, generator=rng), *torch.randn(2, 6, 3, generator=rng), beta) for beta in (1.5, 8.0)]
    return judge(
        answer, truth, cases, parts=["the loss"], right="This is what each bottleneck pays.", mistakes=mistakes
    )


def check_kink(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check the threshold of (6) for g = 0.5, to within 0.5 %.

    Args:
        answer: The β from which anything is kept, the nats at β = 8, and the β for the mean over 10 values.
    """
    nats = 0.5 * math.log(4)
    mistakes: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("The 2 is missing: the kink is where 2βg² is 1.", (4.0, None, None)),
        ("g enters squared: the kink is where 2βg² is 1.", (1.0, None, None)),
        ("The one half in front of the logarithm is missing.", (None, 2 * nats, None)),
        ("This is in bits: nats use the natural logarithm.", (None, 1.0, None)),
        ("The mean divides the error by 10, so β must grow.", (None, None, 0.2)),
        ("The mean divides the error by 10: the threshold cannot stay as it was.", (None, None, 2.0)),
    ]
    return judge(
        lambda: answer,
        lambda: (2.0, nats, 20.0),
        [()],
        parts=["the first β", "the information", "the β for the mean"],
        right="A weight means nothing without the number of values that it is divided by.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
        tolerance=0.003,
    )


def check_optimum(answer: Callable[[Tensor, float], tuple[Tensor, Tensor]]) -> Verdict:
    """Check the bottleneck that minimises the loss of one direction.

    Args:
        answer: A function of g (N,) and β, which returns w and τ², (N,) each.
    """

    def truth(g: Tensor, beta: float) -> tuple[Tensor, Tensor]:
        share = (1 / (2 * beta * g.square())).clamp(max=1)
        return (1 - share).sqrt(), share

    def unbounded(g: Tensor, beta: float) -> tuple[Tensor, Tensor]:
        share = 1 / (2 * beta * g.square())
        return (1 - share).abs().sqrt(), share

    def stretched(g: Tensor, beta: float) -> tuple[Tensor, Tensor]:
        return (2 * beta * g.square() - 1).clamp(min=0).sqrt(), torch.ones_like(g)

    def squared(g: Tensor, beta: float) -> tuple[Tensor, Tensor]:
        slope, share = truth(g, beta)
        return slope.square(), share

    def deviation(g: Tensor, beta: float) -> tuple[Tensor, Tensor]:
        slope, share = truth(g, beta)
        return slope, share.sqrt()

    mistakes: list[Mistake] = [
        ("The share of noise cannot exceed 1: below the kink w is 0 and the noise has unit variance.", unbounded),
        (
            "This has the right ratio of signal to noise, but the KL also fixes the total variance: w² + τ² = 1.",
            stretched,
        ),
        ("This is w²: take its root.", squared),
        ("This is τ: the second value is τ².", deviation),
    ]
    g = torch.tensor([0.2, 0.4, 0.9, 1.5])
    return judge(
        answer,
        truth,
        [(g, 1.0), (g, 4.0)],
        parts=["w", "τ²"],
        right="A bottleneck of unit variance: its noise takes what the detector does not ask for.",
        mistakes=mistakes,
    )
