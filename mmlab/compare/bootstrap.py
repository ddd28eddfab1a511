"""Two systems on the same items: how sure is the difference of their scores? The paired bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmlab.metrics.resampling import resampled
from mmlab.metrics.text import CorpusMetric, References

__all__ = ["Interval", "bootstrap_metric", "paired_bootstrap"]


@dataclass(frozen=True)
class Interval:
    """A difference between two systems, and how far to trust it.

    Attributes:
        difference: The first minus the second, on all items.
        low: Lower end of the bootstrap interval.
        high: Upper end.
        above: Share of the resamples in which the first is ahead; a tie counts as half.
    """

    difference: float
    low: float
    high: float
    above: float


def paired_bootstrap(a: Tensor, b: Tensor, *, resamples: int = 10_000, level: float = 0.95, seed: int = 0) -> Interval:
    """Compare two systems on the same items: draw items with replacement, and look at the mean difference each time.

    The interval says what other items of the same kind would give, with both systems as they are. What another run of
    the training would give is not in it. Percentile method (Efron and Tibshirani 1993, Chapter 13).

    Args:
        a: Scores of the first system, (N,).
        b: Values of the second, on the same items in the same order, (N,).
        resamples: Number of draws.
        level: Coverage, in (0, 1).
        seed: Seed of the draws.

    Raises:
        ValueError: If the shapes differ, or there are fewer than two items.
    """
    if a.shape != b.shape or a.ndim != 1 or len(a) < 2:
        raise ValueError(
            f"paired_bootstrap: {tuple(a.shape)} and {tuple(b.shape)} are no two scores of 2 or more items."
        )
    gaps = a.double() - b.double()
    rng = torch.Generator().manual_seed(seed)
    draws = torch.cat(  # in pieces, since resamples × N indices would be large
        [gaps[torch.randint(len(gaps), (min(500, resamples - at), len(gaps)), generator=rng)].mean(1)
         for at in range(0, resamples, 500)]
    )  # fmt: skip
    return _interval(float(gaps.mean()), draws, level)


def bootstrap_metric(
    a: Sequence[str],
    b: Sequence[str],
    references: References,
    metric: CorpusMetric,
    *,
    resamples: int = 200,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """As :func:`paired_bootstrap`, for scores of a corpus such as BLEU, which a draw changes as a whole.

    BLEU, chrF, the ratio of lengths and means of item scores (:func:`mmlab.metrics.resampling.mean_of`) are put
    together from what each item adds; other scores are computed anew from the texts of each draw.

    Args:
        a: Texts of the first system, one for each of N items.
        b: Values of the second, on the same items in the same order.
        references: N lists of one or more texts.
        metric: From (candidates, references) to a number, as :func:`mmlab.metrics.text.bleu`.
        resamples: Number of draws.
        level: Coverage, in (0, 1).
        seed: Seed of the draws.

    Raises:
        ValueError: If the numbers of texts and references differ, or there are fewer than two items.
    """
    if not len(a) == len(b) == len(references) or len(a) < 2:
        raise ValueError(f"{len(a)} and {len(b)} texts for {len(references)} items: one each is needed, of 2 or more.")
    scores = [resampled(metric, texts, references) for texts in (a, b)]
    rng, gaps = torch.Generator().manual_seed(seed), []
    for begin in range(0, resamples, 500):  # in pieces, since resamples x N numbers would be large
        drawn = torch.randint(len(a), (min(500, resamples - begin), len(a)), generator=rng)
        times = torch.zeros(drawn.shape, dtype=torch.float64).scatter_add_(1, drawn, torch.ones(drawn.shape).double())
        gaps.append(scores[0](times) - scores[1](times))
    once = torch.ones(1, len(a), dtype=torch.float64)
    return _interval(float(scores[0](once) - scores[1](once)), torch.cat(gaps), level)


def _interval(difference: float, draws: Tensor, level: float) -> Interval:
    tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = torch.quantile(draws, tails).tolist()
    return Interval(difference, low, high, float((draws > 0).double().mean() + 0.5 * (draws == 0).double().mean()))
