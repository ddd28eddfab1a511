"""A Gaussian over long vectors that is fitted in closed form, kept with the weights, and drawn from."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmlab.wording import require_at_least

__all__ = ["FittedGaussian", "oas_weight"]


def oas_weight(gram: Tensor, size: int) -> float:
    """How much of the identity the oracle approximating shrinkage mixes into a covariance.

    Args:
        gram: X Xᵀ of centred items X (n, D): (n, n), so that no (D, D) matrix is needed.
        size: D.

    Returns:
        ρ in (1 - ρ) S + ρ (tr S / D) I, with S = Xᵀ X / n.

    Source:
        Chen et al. 2010, "Shrinkage algorithms for MMSE covariance estimation", in the form of scikit-learn's ``OAS``.
    """
    n = len(gram)
    mean = float(gram.diagonal().sum()) / n / size  # tr S / D
    square = float(gram.square().sum()) / n**2 / size**2  # mean of the squared entries of S
    below = (n + 1) * (square - mean**2 / size)
    return 1.0 if below <= 0 else min((square + mean**2) / below, 1.0)


class FittedGaussian(nn.Module):
    """N(m, Σ) with Σ by oracle approximating shrinkage; N(0, I) before :meth:`fit`.

    Σ is kept as directions and an even rest, Aᵀ A + f² I. That is exact with at most ``rank`` directions, so with
    fewer items than that, or as few values; of more directions, the variance of the least is spread evenly.

    Args:
        size: Number of values D.
        rank: Most directions kept.
    """

    fitted: Tensor
    mean: Tensor
    axes: Tensor
    rest: Tensor
    spread: Tensor

    def __init__(self, size: int, rank: int = 512) -> None:
        super().__init__()
        self.register_buffer("fitted", torch.zeros((), dtype=torch.bool))
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("axes", torch.zeros(min(rank, size), size))  # A
        self.register_buffer("rest", torch.ones(()))  # f
        self.register_buffer("spread", torch.ones(()))  # root of the mean variance of a value

    @torch.no_grad()
    def fit(self, items: Tensor, variance: float | None = None) -> None:
        """Find mean and covariance of items (n, D); ``variance`` sets the mean variance of a value instead.

        Raises:
            ValueError: If there are fewer than two items.
        """
        require_at_least(items=(len(items), 2))
        items = items.double().cpu()
        mean = items.mean(0)
        x = items - mean
        weight = oas_weight(x @ x.T, x.shape[1])
        _, values, directions = torch.linalg.svd(x, full_matrices=False)
        values = values.square() / len(x)  # of S
        total = float(values.sum())
        kept = min(len(self.axes), len(values))
        rest = weight * total / x.shape[1] + (1 - weight) * float(values[kept:].sum()) / x.shape[1]
        factor = 1.0 if variance is None or total <= 0 else (variance / (total / x.shape[1])) ** 0.5
        self.mean.copy_(mean)
        self.axes.zero_()
        self.axes[:kept] = factor * ((1 - weight) * values[:kept]).sqrt()[:, None] * directions[:kept]
        self.rest.fill_(factor * rest**0.5)
        self.spread.fill_(max(factor * (total / x.shape[1]) ** 0.5, 1e-6))
        self.fitted.fill_(True)

    def deviations(self, count: int, rng: torch.Generator) -> Tensor:
        """Draws of N(0, Σ), (count, D)."""
        along, even = (
            torch.randn(count, size, generator=rng, device=self.mean.device, dtype=self.mean.dtype)
            for size in self.axes.shape
        )
        return along @ self.axes + self.rest * even
