"""Are the samples of a stochastic predictor as spread out as its errors?

A sampler that is right about its own uncertainty covers: its central 80 % interval holds the truth 80 % of the time.
Coverage is taken per number (edge, pixel), over all subjects; K samples of the same input are the predictive
distribution.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["coverage", "crps", "spread_skill"]


def coverage(samples: Tensor, target: Tensor, levels: Sequence[float] = (0.5, 0.8, 0.95)) -> dict[float, float]:
    """Share of true values inside the central interval of the samples, at each level.

    The interval at level q is cut at the (1±q)/2 quantiles. K samples cannot resolve more than their ranks: among K
    draws of the right distribution, the truth has each of K+1 ranks with equal probability, so the quantile at p is
    taken at rank p (K+1). So a right sampler covers q for every K: exactly where that rank is whole, very nearly
    where it has to be interpolated.

    Args:
        samples: (K, S, E), K draws for each of S subjects.
        target: (S, E), what really happened; it must not be what a sample was drawn around.
        levels: Levels q in (0, 1); K must be at least (1+q)/(1-q).

    Returns:
        Observed coverage by level. Below the level means overconfident.

    Raises:
        ValueError: If shapes differ, something is not finite, a level is not in (0, 1), or there are too few samples
            for it.
    """
    _check(samples, target)
    draws = len(samples)
    ordered = samples.double().sort(0).values
    observed = {}
    for level in levels:
        if not 0 < level < 1:
            raise ValueError(f"level={level} is not between 0 and 1.")
        needed = (1 + level) / (1 - level)
        if draws < needed - 1e-9:
            raise ValueError(f"{draws} samples cannot show a {level:.0%} interval: draw at least {round(needed)}.")
        low = _at_rank(ordered, (1 - level) / 2 * (draws + 1))
        high = _at_rank(ordered, (1 + level) / 2 * (draws + 1))
        observed[level] = float(((target >= low) & (target <= high)).double().mean())
    return observed


def _at_rank(ordered: Tensor, rank: float) -> Tensor:
    """Value at a fractional rank 1..K of sorted samples, linear in between."""
    position = min(max(rank - 1, 0.0), len(ordered) - 1.0)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


def crps(samples: Tensor, target: Tensor) -> float:
    """Continuous ranked probability score, mean over all values; lower is better (Gneiting & Raftery 2007, Eq. 21).

    E|X - y| - E|X - X'| / 2 with the unbiased estimate of the second term, so that scores with different K compare. For
    one sample repeated it is the mean absolute error.

    Args:
        samples: (K, S, E) with K at least 2.
        target: (S, E).

    Raises:
        ValueError: If shapes differ, something is not finite, or there are fewer than 2 samples.
    """
    _check(samples, target)
    draws = len(samples)
    values = samples.double()
    error = (values - target).abs().mean(0)
    # Sorted, the sum over pairs of |x_i - x_j| is a weighted sum: no K x K differences are needed.
    weight = 2 * torch.arange(1, draws + 1, dtype=torch.float64, device=values.device) - draws - 1
    pairs = torch.einsum("k,k...->...", weight, values.sort(0).values) * 2 / (draws * (draws - 1))
    return float((error - pairs / 2).mean())


def spread_skill(samples: Tensor, target: Tensor) -> float:
    """Ratio of the spread of the samples to the error of their mean; 1 for a right sampler, below 1 overconfident.

    Root mean variance over root mean squared error, with the factor (K+1)/K that a mean of K samples needs (Fortin et
    al. 2014).

    Args:
        samples: (K, S, E) with K at least 2.
        target: (S, E).

    Raises:
        ValueError: If shapes differ, something is not finite, there are fewer than 2 samples, or the error is 0.
    """
    _check(samples, target)
    draws = len(samples)
    error = (samples.double().mean(0) - target).square().mean()
    if float(error) == 0:
        raise ValueError("The mean of the samples is exactly the target: is the target among what they were made from?")
    return float(((draws + 1) / draws * samples.double().var(0).mean() / error).sqrt())


def _check(samples: Tensor, target: Tensor) -> None:
    if samples.ndim != target.ndim + 1 or samples.shape[1:] != target.shape:
        shapes = (tuple(samples.shape), tuple(target.shape))
        raise ValueError(f"samples and target are {shapes[0]} and {shapes[1]}; expected (K, S, E) and (S, E).")
    if len(samples) < 2:
        raise ValueError("One sample has no spread: draw at least 2.")
    for name, values in (("samples", samples), ("target", target)):
        if not bool(torch.isfinite(values).all()):  # no interval holds NaN, and one with NaN has no ends
            raise ValueError(f"{name} has NaN or infinity: leave that out, or see where it comes from.")
