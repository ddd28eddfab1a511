"""Kernel distance of two sets of features: unbiased, so that sets of a hundred points can be compared at all."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mmlab.metrics.features import checked_features
from mmlab.wording import require_at_least

__all__ = ["KernelDistance", "kernel_distance", "squared_mmd"]


class KernelDistance(NamedTuple):
    """Mean over subsets, and its standard deviation over them."""

    mean: float
    deviation: float


def squared_mmd(x: Tensor, y: Tensor, degree: int = 3) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel (xᵀy / D + 1)^degree.

    Args:
        x: (N, D) features.
        y: (M, D) features.
        degree: Degree of the polynomial.

    Returns:
        Zero on average for two sets of one law; hence also below zero.

    Raises:
        ValueError: If the features have different widths or are not finite.

    Source:
        Gretton et al. 2012, Lemma 6; the kernel is that of Bińkowski et al. 2018.
    """
    x, y = checked_features(x, y)
    require_at_least(degree=(degree, 1))

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** degree

    def without_self(a: Tensor) -> Tensor:
        values = kernel(a, a)
        return (values.sum() - values.diagonal().sum()) / (len(a) * (len(a) - 1))

    return float(without_self(x) + without_self(y) - 2 * kernel(x, y).mean())


def kernel_distance(
    x: Tensor, y: Tensor, rng: torch.Generator, subsets: int = 100, size: int = 1000, degree: int = 3
) -> KernelDistance:
    """KID where the features are Inception's: the mean of :func:`squared_mmd` over random subsets.

    Args:
        x: (N, D) features.
        y: (M, D) features.
        rng: Draws the subsets, without repetition inside one.
        subsets: Number of subsets.
        size: Points in each; fewer if there are fewer.
        degree: Degree of the kernel.

    Raises:
        ValueError: As in :func:`squared_mmd`.

    Source:
        Bińkowski et al. 2018.
    """
    x, y = checked_features(x, y)
    require_at_least(subsets=(subsets, 1), size=(size, 2))
    n = min(size, len(x), len(y))

    def subset(points: Tensor) -> Tensor:
        return points[torch.randperm(len(points), generator=rng)[:n]]

    values = torch.tensor([squared_mmd(subset(x), subset(y), degree) for _ in range(subsets)], dtype=torch.float64)
    return KernelDistance(float(values.mean()), float(values.std()) if subsets > 1 else float("nan"))
