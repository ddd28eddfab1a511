"""Do generated points lie where real ones lie, everywhere they lie, and are they new? Measures of a whole sample.

No one number says it all: a generator that gives back its training set is precise and complete, and is caught by
:func:`authenticity` alone; one that always gives the mean is precise in a small ball. None of them reaches one for a
perfect sampler and finite sets, so print what a second real set gets beside them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmlab.wording import require_at_least

__all__ = ["alpha_precision", "alpha_precision_curve", "authenticity", "beta_recall", "beta_recall_curve"]

LEVELS = 100
"""Number of levels α or β, evenly spaced above 0, up to 1."""


def alpha_precision_curve(generated: Tensor, real: Tensor, levels: int = LEVELS) -> tuple[Tensor, Tensor]:
    """Share of generated points in the ball about the mean real point that holds a share α of the real points.

    Args:
        generated: N points, (N, ...).
        real: M points, (M, ...).
        levels: Number of levels α, from 1/levels to 1.

    Returns:
        α and the share P(α), (levels,) each. If both sets have one law, P(α) = α.

    Raises:
        ValueError: If the points have different shapes, are not finite, or are too few.

    Source:
        Alaa et al. 2022, α-Precision.
    """
    x, y = _rows(generated, real)
    centre = y.mean(0)
    return _shares((x - centre).norm(dim=1), (y - centre).norm(dim=1), levels)


def beta_recall_curve(
    generated: Tensor, real: Tensor, levels: int = LEVELS, neighbours: int = 5
) -> tuple[Tensor, Tensor]:
    """Share of real points that generated ones cover, if those count that lie in the ball of a share β of them.

    A real point is covered if its nearest generated point is in the ball about the mean generated point that holds a
    share β of the generated points, and is no farther than its k-th real neighbour. With one law and as many points on
    both sides, the k points nearest to a real one are all real with a probability of about 2⁻ᵏ.

    Args:
        generated: N points, (N, ...).
        real: M points, (M, ...).
        levels: Number of levels β, from 1/levels to 1.
        neighbours: k.

    Returns:
        β and the share R(β), (levels,) each.

    Raises:
        ValueError: As in :func:`alpha_precision_curve`.

    Source:
        Alaa et al. 2022, β-Recall.
    """
    x, y = _rows(generated, real)
    require_at_least(neighbours=(neighbours, 1), real=(len(y), neighbours + 1))
    between, index = torch.cdist(y, x).min(1)
    reach = torch.cdist(y, y).kthvalue(neighbours + 1, dim=1).values  # the nearest of all is the point itself
    away = (x - x.mean(0)).norm(dim=1)
    beta, inside = _radii(away, levels)
    covered = (between <= reach)[:, None] & (away[index, None] <= inside)
    return beta, covered.double().mean(0)


def alpha_precision(generated: Tensor, real: Tensor, levels: int = LEVELS) -> float:
    """1 - 2∫|P(α) - α|dα of :func:`alpha_precision_curve`: 1 if generated points fill the balls as real ones do."""
    return _score(*alpha_precision_curve(generated, real, levels))


def beta_recall(generated: Tensor, real: Tensor, levels: int = LEVELS, neighbours: int = 5) -> float:
    """1 - 2∫|R(β) - β|dβ of :func:`beta_recall_curve`."""
    return _score(*beta_recall_curve(generated, real, levels, neighbours))


def authenticity(generated: Tensor, train: Tensor) -> float:
    """Share of generated points that are no near copies of a training point.

    A near copy is closer to its nearest training point than that point's nearest training neighbour is. Copies of the
    training set give 0, points far from it 1, and points of its own law something in between: that is the floor.

    Args:
        generated: N points, (N, ...).
        train: M training points, (M, ...).

    Raises:
        ValueError: As in :func:`alpha_precision_curve`.

    Source:
        Alaa et al. 2022.
    """
    x, y = _rows(generated, train)
    nearest, index = torch.cdist(x, y).min(1)
    alone = torch.cdist(y, y).kthvalue(2, dim=1).values
    return float((nearest >= alone[index]).double().mean())


def _score(levels: Tensor, shares: Tensor) -> float:
    return float(1 - 2 * (shares - levels).abs().mean())


def _shares(values: Tensor, among: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """Share of values up to each quantile of others."""
    level, inside = _radii(among, levels)
    return level, (values[:, None] <= inside).double().mean(0)


def _radii(distances: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    require_at_least(levels=(levels, 1))
    level = torch.arange(1, levels + 1, dtype=torch.float64) / levels
    return level, torch.quantile(distances, level)


def _rows(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    if one.shape[1:] != other.shape[1:]:
        raise ValueError(f"Points of shape {tuple(one.shape[1:])} and {tuple(other.shape[1:])} cannot be compared.")
    require_at_least(points=(min(len(one), len(other)), 2))
    for points in (one, other):
        if not bool(torch.isfinite(points).all()):
            raise ValueError("A point holds NaN or infinity, to which there is no distance: leave it out.")
    return one.detach().flatten(1).double().cpu(), other.detach().flatten(1).double().cpu()
