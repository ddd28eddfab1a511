"""Precision, recall, density and coverage: is what is generated real, and is all that is real generated?

Each set is replaced by balls, one around each point, that reach to its k-th neighbour in the set. None of the four is
one for a perfect sampler: coverage has a closed form, density is one on average, and precision and recall fall with
the dimension. Print what a second real set gets.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mmlab.metrics.features import checked_features
from mmlab.wording import require_at_least

__all__ = ["Manifold", "expected_coverage", "precision_recall"]


class Manifold(NamedTuple):
    """Shares of generated points among real ones, and of real points among generated ones."""

    precision: float
    recall: float
    density: float
    coverage: float


def precision_recall(generated: Tensor, real: Tensor, neighbours: int = 5) -> Manifold:
    """The four measures of two sets of features.

    Args:
        generated: (N, D) features.
        real: (M, D) features.
        neighbours: k; a point is not its own neighbour.

    Returns:
        precision: share of generated points inside a real ball. recall: share of real points inside a generated
        ball. density: real balls that a generated point lies in, over k, on average; outliers among the real points
        weigh less there. coverage: share of real balls that hold a generated point.

    Raises:
        ValueError: If the features have different widths, are not finite, or are not more than k.

    Source:
        Kynkäänniemi et al. 2019; Naeem et al. 2020.
    """
    x, y = checked_features(generated, real)
    require_at_least(neighbours=(neighbours, 1), points=(min(len(x), len(y)), neighbours + 1))
    apart = torch.cdist(x, y)  # (N, M)
    real_balls, generated_balls = (_reach(points, neighbours) for points in (y, x))
    inside = apart <= real_balls  # generated i inside the ball of real j
    return Manifold(
        precision=float(inside.any(1).double().mean()),
        recall=float((apart <= generated_balls[:, None]).any(0).double().mean()),
        density=float(inside.double().sum(1).mean() / neighbours),
        coverage=float(inside.any(0).double().mean()),
    )


def expected_coverage(generated: int, real: int, neighbours: int = 5) -> float:
    """Coverage that a perfect sampler has on average, in any dimension.

    Among the other real points and all generated ones, the k nearest to a real point are in random order. It is not
    covered if all of the k are real: with probability Π_{i=1..k} (M - i) / (N + M - i).

    Args:
        generated: N.
        real: M.
        neighbours: k.

    Source:
        Naeem et al. 2020.
    """
    require_at_least(neighbours=(neighbours, 1), generated=(generated, 1), real=(real, neighbours + 1))
    missed = 1.0
    for i in range(1, neighbours + 1):
        missed *= (real - i) / (generated + real - i)
    return 1 - missed


def _reach(points: Tensor, neighbours: int) -> Tensor:
    """Distance of each point to its k-th neighbour: the nearest of all is the point itself."""
    return torch.cdist(points, points).kthvalue(neighbours + 1, dim=1).values
