"""A synthetic world of three kinds of omics: many features, few people, and a Bayes rate in closed form.

Each person has factors: some are shared, that is, seen by all views, and some are private to one view. The class y, -1
or +1 with equal chances, shifts the factors: shared ones by y·μ₀ and those of view m by y·μₘ, each plus N(0, I). View m
shows

    xₘ = Wₘ s + Vₘ pₘ + σ εₘ,

with random loadings Wₘ, Vₘ whose columns have mean squared length 1, and noise on every feature. Given y, x is normal
with mean y·m and a covariance C that does not depend on y, where m = L μ and C = L Lᵀ + σ² I for the matrix L of all
loadings. So

    P(y = +1 | x) = sigmoid(2 mᵀ C⁻¹ x), and the Bayes rate is Φ(√(mᵀ C⁻¹ m)),

and both hold for any set of views, with the rows of L that belong to them. The best classifier is linear: what makes
the task hard is that directions in hundreds of features have to be found from few people. The sizes are those of
ROSMAP in the MOGONET split; nothing is fitted to data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmlab.data.tensors import TensorData
from mmlab.wording import require_at_least

__all__ = ["VIEWS", "OmicsWorld", "omics_world"]

VIEWS = ("methylation", "mirna", "mrna")


@dataclass(frozen=True, eq=False)
class OmicsWorld:
    """People with three views, and the law that they follow.

    Attributes:
        pairs: Keys ``mrna``, ``methylation``, ``mirna`` (N, D) float32 and ``label`` (N,) int64, 0 or 1.
        loadings: (3, D, F) float64, L: of each view (in the order of :data:`VIEWS`) on all factors.
        shift: (F,) float64, μ.
        noise: σ.
    """

    pairs: TensorData
    loadings: Tensor
    shift: Tensor
    noise: float

    @property
    def bayes_rate(self) -> float:
        """Accuracy of the best possible classifier that sees all views and knows the law."""
        return self.rate(VIEWS)

    def rate(self, views: Sequence[str]) -> float:
        """Accuracy of the best possible classifier that sees these views; 0.5 for none.

        Raises:
            ValueError: If a name is not one of :data:`VIEWS`.
        """
        if unknown := set(views) - set(VIEWS):
            raise ValueError(f"This world has the views {', '.join(VIEWS)}, not {min(unknown)!r}.")
        mean, direction = self._discriminant([view for view in VIEWS if view in views])
        return 0.5 * math.erfc(-math.sqrt(float(mean @ direction)) / math.sqrt(2))

    def posterior(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Probabilities of both classes given what is there.

        Args:
            batch: The views (B, D), and optionally ``<view>_present`` (B,) bool. What an absent item holds does not
                matter.

        Returns:
            (B, 2) float64, rows sum to one.
        """
        size = len(batch[VIEWS[0]])
        everywhere = torch.ones(size, dtype=torch.bool)
        there = torch.stack([batch.get(f"{view}_present", everywhere) for view in VIEWS], 1)  # (B, 3)
        odds = torch.zeros(size, dtype=torch.float64)
        for pattern in torch.unique(there, dim=0):
            rows = (there == pattern).all(1)
            views = [view for view, is_there in zip(VIEWS, pattern.tolist(), strict=True) if is_there]
            if views:
                x = torch.cat([batch[view][rows] for view in views], 1).double()
                odds[rows] = 2 * x @ self._discriminant(views)[1]
        return torch.stack([torch.sigmoid(-odds), torch.sigmoid(odds)], 1)

    def draw(self, people: int, seed: int) -> TensorData:
        """Other people of this world, half of each class (class 1 gets the odd one)."""
        rng = torch.Generator().manual_seed(seed)
        label = (torch.arange(people) % 2 == (people + 1) % 2).long()[torch.randperm(people, generator=rng)]
        factors = (2 * label[:, None] - 1) * self.shift  # (N, F)
        factors = factors + torch.randn(factors.shape, generator=rng, dtype=torch.float64)
        tensors = {"label": label}
        for view, loadings in zip(VIEWS, self.loadings, strict=True):
            clean = factors @ loadings.T  # (N, D)
            noise = torch.randn(clean.shape, generator=rng, dtype=torch.float64)
            tensors[view] = (clean + self.noise * noise).float()
        return TensorData(tensors)

    def _discriminant(self, views: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Mean m and C⁻¹ m of these views (float64), by Woodbury's identity in the space of the factors."""
        rows = self.loadings[[VIEWS.index(view) for view in views]].flatten(0, 1)  # (M·D, F)
        mean = rows @ self.shift
        inner = self.noise**2 * torch.eye(len(self.shift), dtype=torch.float64) + rows.T @ rows
        return mean, (mean - rows @ torch.linalg.solve(inner, rows.T @ mean)) / self.noise**2


def omics_world(
    people: int = 245,
    features: int = 200,
    shared: int = 20,
    private: int = 40,
    shared_strength: float = 0.7,
    private_strengths: tuple[float, float, float] = (0.3, 0.5, 0.8),
    noise: float = 3.0,
    seed: int = 0,
) -> OmicsWorld:
    """Draw a world. The same arguments give the same world; :meth:`OmicsWorld.draw` gives other people of it.

    Args:
        people: N, at least 2.
        features: D of each view.
        shared: Number of factors that all views see.
        private: Number of factors of each view alone.
        shared_strength: |μ₀|: what the shared factors tell, in standard deviations from the class border.
        private_strengths: |μₘ| of methylation, miRNA and mRNA.
        noise: σ, against the standard deviation 1 that each factor gives a feature.
        seed: Seed of everything that is random.

    Returns:
        The people with their posterior and Bayes rate.

    Raises:
        ValueError: If an argument is out of its range.
    """
    require_at_least(people=(people, 2), features=(features, 1), shared=(shared, 1), private=(private, 1))
    strengths = (shared_strength, *private_strengths)
    if len(strengths) != 4 or not all(math.isfinite(s) and s >= 0 for s in strengths):
        raise ValueError(
            f"The strengths are {strengths}: give one for the shared factors and three private ones, >= 0."
        )
    if not (math.isfinite(noise) and noise > 0):
        raise ValueError(f"noise={noise} leaves no Bayes rate below 1: give a number above 0.")
    rng = torch.Generator().manual_seed(seed)
    loadings = torch.randn(3, features, shared + 3 * private, generator=rng, dtype=torch.float64)
    shift = torch.zeros(loadings.shape[2], dtype=torch.float64)
    places = [slice(0, shared)] + [slice(shared + m * private, shared + (m + 1) * private) for m in range(3)]
    for place, strength in zip(places, strengths, strict=True):
        direction = torch.randn(shift[place].shape, generator=rng, dtype=torch.float64)
        shift[place] = strength * direction / direction.norm()
    for m in range(3):
        for other in {0, 1, 2} - {m}:
            loadings[m, :, places[1 + other]] = 0
    world = OmicsWorld(TensorData({"label": torch.zeros(1)}), loadings, shift, float(noise))
    return OmicsWorld(world.draw(people, seed + 1), loadings, shift, float(noise))
