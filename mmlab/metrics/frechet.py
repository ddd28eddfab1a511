"""Fréchet distance between two sets of features, its bias on small sets, and what is left in the limit.

Fit a Gaussian to each set; the distance is the squared 2-Wasserstein distance of the two. It is *biased*: two finite
sets of one law are apart by roughly (1/n + 1/m) times something that grows with the square of the dimension. So a
distance is printed beside that floor, or extrapolated, and never compared between sets of different sizes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mmlab.diffusion.gaussian import bures_wasserstein
from mmlab.metrics.features import checked_features
from mmlab.wording import require_at_least

__all__ = ["excess_frechet", "frechet_bias", "frechet_distance", "frechet_limit"]


def frechet_distance(x: Tensor, y: Tensor, *, rank_deficient: bool = False) -> float:
    """|μ_x - μ_y|² + tr(S_x + S_y - 2 (S_x^½ S_y S_x^½)^½) of two sets of features.

    The root is taken of a symmetric matrix, so that no imaginary parts have to be thrown away.

    Args:
        x: (N, D) features, as of :func:`mmlab.metrics.features.extract`.
        y: (M, D) features.
        rank_deficient: Allow fewer points than dimensions plus one, whose covariance is singular.

    Returns:
        The distance, in squared units of the features.

    Raises:
        ValueError: If the features have different widths, are not finite, or are too few for their covariance.

    Source:
        Heusel et al. 2017; the formula is that of Dowson and Landau 1982.
    """
    x, y = checked_features(x, y)
    fewest, width = min(len(x), len(y)), x.shape[1]
    if fewest <= width and not rank_deficient:
        raise ValueError(
            f"{fewest} points cannot show a covariance in {width} dimensions: take more points, fewer features "
            "(PrincipalComponents), the kernel distance, or rank_deficient=True to have the number all the same."
        )
    return float(bures_wasserstein(x.mean(0), _covariance(x), y.mean(0), _covariance(y)))


def frechet_bias(covariance: Tensor, n: int, m: int) -> float:
    """What the distance of n and m points of *one* Gaussian law is on average, to first order in 1/n and 1/m.

    The means differ by tr S (1/n + 1/m). Near S the squared distance of covariances is the Bures metric,
    ½ Σ_ij E_ij² / (λ_i + λ_j) in the eigenbasis, and a sample covariance is off by E with E[E_ij²] =
    (1 + δ_ij) λ_i λ_j / n. For S = I the sum is d + d (d + 1) / 4.

    Args:
        covariance: S, (D, D).
        n: Points of the one set.
        m: Points of the other.

    Returns:
        The floor, within 3 % from about 1.5 D points on, if the law is Gaussian.
    """
    require_at_least(n=(n, 2), m=(m, 2))
    values = torch.linalg.eigvalsh(covariance.double()).clamp_min(0)
    pairs = values[:, None] * values / (values[:, None] + values).clamp_min(torch.finfo(torch.float64).tiny)
    return float((1 / n + 1 / m) * (values.sum() + (pairs.sum() + pairs.diagonal().sum()) / 2))


def excess_frechet(x: Tensor, y: Tensor) -> tuple[float, float]:
    """The distance above its floor, and the floor.

    Args:
        x: (N, D) generated features.
        y: (M, D) real features; their covariance gives the floor.

    Returns:
        Distance minus :func:`frechet_bias`, which scatters about zero for a perfect sampler; and the bias itself.

    Raises:
        ValueError: As in :func:`frechet_distance`.
    """
    x, y = checked_features(x, y)
    floor = frechet_bias(_covariance(y), len(x), len(y))
    return frechet_distance(x, y) - floor, floor


def frechet_limit(x: Tensor, y: Tensor, rng: torch.Generator, sizes: int = 15, smallest: float = 0.5) -> float:
    """Distance in the limit of infinitely many points: the intercept of a line through distances over 1/N.

    *Both* sides are sub-sampled, to the same N. With the real side left whole its bias stays in the intercept.

    Args:
        x: (N, D) features.
        y: (M, D) features.
        rng: Draws the sub-samples.
        sizes: Number of sizes, evenly spaced in 1/N.
        smallest: The smallest size as a share of the largest, min(N, M).

    Returns:
        The intercept; it may be below zero by chance.

    Raises:
        ValueError: As in :func:`frechet_distance`, for the smallest size.

    Source:
        Chong and Forsyth 2020, who sub-sample the generated side.
    """
    x, y = checked_features(x, y)
    require_at_least(sizes=(sizes, 2))
    if not 0 < smallest < 1:
        raise ValueError(f"smallest={smallest} is not a share between 0 and 1.")
    most = min(len(x), len(y))
    inverse = np.linspace(1 / most, 1 / max(int(smallest * most), 2), sizes)
    distances = []
    for n in np.round(1 / inverse).astype(int).tolist():
        of_x, of_y = (points[torch.randperm(len(points), generator=rng)[:n]] for points in (x, y))
        distances.append(frechet_distance(of_x, of_y))
    return float(np.polynomial.Polynomial.fit(inverse, distances, 1).convert().coef[0])


def _covariance(points: Tensor) -> Tensor:
    """(D, D), also of a single column."""
    return torch.cov(points.T).reshape(points.shape[1], -1)
