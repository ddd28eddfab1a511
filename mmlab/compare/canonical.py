"""What several views have in common, in closed form: canonical correlation analysis of two views and of more.

The dull rival of every method that aligns modalities: no training, no step size, two numbers to choose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mmlab.wording import nearest, require_at_least

__all__ = ["Canonical", "canonical_correlations"]


@dataclass(frozen=True, eq=False)
class Canonical:
    """Directions of each view in which the views agree most.

    Attributes:
        means: By view, (D,).
        weights: By view, (D, K): the regression of the common variates, from the most common one to the least.
        agreement: (K,), from largest to smallest: the mean squared correlation of the common variate with the views'
            regressions on it, in [0, 1]. Of two views with correlation r it is (1 + r) / 2.
    """

    means: Mapping[str, Tensor]
    weights: Mapping[str, Tensor]
    agreement: Tensor

    def project(self, name: str, values: Tensor) -> Tensor:
        """Canonical variates (N, K) of one view (N, D).

        Raises:
            ValueError: If there is no such view.
        """
        if name not in self.weights:
            raise ValueError(f"There is no view {name!r}: {nearest(name, self.weights)}")
        return ((values.flatten(1).double() - self.means[name]) @ self.weights[name]).to(values.dtype)


def canonical_correlations(views: Mapping[str, Tensor], components: int, penalty: float = 0.0) -> Canonical:
    """Generalised canonical correlation analysis, of the kind that is solved by one eigenproblem (MAXVAR).

    Find variates g (N, K) with unit covariance, and for each view m a regression of them, that minimise
    Σ_m ‖g - X_m W_m‖². The minimum is at the leading eigenvectors of Σ_m P_m, where P_m projects on the columns of the
    centred X_m. With two views these are the directions of Hotelling's canonical correlations, and the eigenvalue of a
    pair with correlation r is 1 + r.

    Args:
        views: By name, the same N items each, (N, ...).
        components: K, at most the size of the largest view.
        penalty: Ridge: this share of a view's mean variance is added to each of its variances.

    Returns:
        Means, weights and agreement.

    Raises:
        ValueError: If there are fewer than two views, lengths differ, or a number is out of its range.

    Source:
        Hotelling 1936; Kettenring 1971, the method MAXVAR.
    """
    if len(views) < 2:
        raise ValueError("Canonical correlations compare views: give at least two.")
    if len({len(values) for values in views.values()}) > 1:
        lengths = ", ".join(f"{name} {len(values)}" for name, values in views.items())
        raise ValueError(f"The views have different numbers of items ({lengths}): give the same items in each.")
    require_at_least(components=(components, 1))
    if penalty < 0:
        raise ValueError(f"penalty={penalty} must not be negative.")
    flat = {name: values.flatten(1).double() for name, values in views.items()}
    count = len(next(iter(flat.values())))
    if components > (most := max(x.shape[1] for x in flat.values())):
        raise ValueError(f"components={components}: the largest view has {most} values.")
    means = {name: x.mean(0) for name, x in flat.items()}
    whitened, whiteners = [], {}
    for name, x in flat.items():
        centred = x - means[name]
        covariance = centred.T @ centred / count
        ridge = penalty * covariance.diagonal().mean()
        values, axes = torch.linalg.eigh(covariance)
        kept = values > 1e-10 * values[-1]
        whiteners[name] = axes[:, kept] / (values[kept] + ridge).sqrt()  # (D, rank)
        whitened.append(centred @ whiteners[name] / count**0.5)  # its Gram matrix is P_m
    stacked = torch.cat(whitened, 1)  # (N, Σ rank)
    _, singular, axes = torch.linalg.svd(stacked, full_matrices=False)
    weights, at = {}, 0
    for name, whitener in whiteners.items():
        own = axes[:components, at : at + whitener.shape[1]].T  # (rank, K)
        weights[name] = whitener @ (own * singular[:components])
        at += whitener.shape[1]
    return Canonical(means, weights, singular[:components].square() / len(views))
