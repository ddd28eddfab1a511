"""A dataset with controllable dependency: how two modalities tell of the label, each alone and both together.

The label y is -1 or +1 with equal chances (class 0 and class 1 in the tensors). Each of the two modalities is a vector
of D features with unit variance around their means:

* *Intra*: feature 0 of modality m is N(a·y, 1). Each modality tells something about y on its own, and given y the two
  are independent.
* *Inter*: feature 1 is N(0, 1) in each modality, but the two agree in sign with probability q if y = +1, and with
  probability 1 - q if y = -1. One modality alone says nothing about y: the label is in how the two belong together.
* The other D - 2 features are N(0, 1), and say nothing.

Then noise N(0, σₘ²) is added to all features of modality m. Write vₘ = 1 + σₘ². From feature 0 come log-odds

    T = Σₘ 2a·xₘ₀/vₘ,  and given y = +1, T is N(μ, 2μ) with μ = Σₘ 2a²/vₘ.

For feature 1, let Pₘ = Φ(xₘ₁/(σₘ√vₘ)) be the chance that its sign was positive before the noise (a step for σₘ = 0),
and A = P₁P₂ + (1-P₁)(1-P₂) the chance that the signs agreed. The density of both features 1 is that of independent
normals times 2w if y = +1 and times 2(1-w) if y = -1, with w = qA + (1-q)(1-A). So

    P(y = +1 | x) = sigmoid(T + log(w/(1-w))).

Without modality 2, w is its mean 1/2, and only modality 1's share of T is left. The Bayes rate is the mean over A of

    w·Φ((μ + ℓ)/√(2μ)) + (1-w)·Φ((μ - ℓ)/√(2μ)),  ℓ = log(w/(1-w)).

Settings that show the two ends and the middle: intra only, a = 0.8, q = 0.5 (Bayes rate 87.1 %); inter only, a = 0,
q = 0.95 (95 %); both, a = 0.6, q = 0.85 (88.9 %).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmlab.data.tensors import TensorData
from mmlab.wording import require_at_least

__all__ = ["MODALITIES", "DependencyWorld", "agreement", "dependency_world"]

MODALITIES = ("x1", "x2")
_GRID = 512


@dataclass(frozen=True, eq=False)
class DependencyWorld:
    """Items of two modalities, with the law that they follow.

    Attributes:
        pairs: Keys ``x1`` and ``x2`` (N, D) float32, and ``label`` (N,) int64, 0 or 1.
        intra: a, the shift of feature 0.
        inter: q, the probability that the signs of feature 1 agree in class 1.
        noise: σ₁ and σ₂, standard deviations of the noise of each modality.
    """

    pairs: TensorData
    intra: float
    inter: float
    noise: tuple[float, float]

    @property
    def bayes_rate(self) -> float:
        """Accuracy of the best possible classifier that sees both modalities."""
        return self.rate(MODALITIES)

    def rate(self, modalities: Sequence[str]) -> float:
        """Accuracy of the best possible classifier that sees these modalities; 0.5 for none.

        The mean over A is a midpoint rule over quantiles, exact without noise and to about 1e-5 with noise.

        Raises:
            ValueError: If a name is not one of :data:`MODALITIES`.
        """
        if unknown := set(modalities) - set(MODALITIES):
            raise ValueError(f"dependency_world has the modalities x1 and x2, not {min(unknown)!r}.")
        variances = [1 + s**2 for m, s in zip(MODALITIES, self.noise, strict=True) if m in modalities]
        mean = sum(2 * self.intra**2 / v for v in variances)
        weight = torch.full((1,), 0.5, dtype=torch.float64)
        if len(variances) == 2:
            quantile = (torch.arange(_GRID, dtype=torch.float64) + 0.5) / _GRID
            level = torch.special.ndtri(quantile)  # xₘ₁/√vₘ
            first, second = (_sign(level, s) for s in self.noise)  # (G,) each
            agree = agreement(first[:, None], second)
            weight = self.inter * agree + (1 - self.inter) * (1 - agree)
        if mean == 0:
            return float(torch.maximum(weight, 1 - weight).mean())
        odds, scale = torch.logit(weight), math.sqrt(2 * mean)
        right = weight * torch.special.ndtr((mean + odds) / scale)
        wrong = (1 - weight) * torch.special.ndtr((mean - odds) / scale)
        return float((right + wrong).mean())

    def posterior(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Probabilities of both classes given what is there: what the best possible classifier answers.

        Args:
            batch: ``x1`` and ``x2`` (B, D), and optionally ``x1_present`` and ``x2_present`` (B,) bool. What an absent
                item holds does not matter.

        Returns:
            (B, 2) float64, rows sum to one.
        """
        everywhere = torch.ones(len(batch["x1"]), dtype=torch.bool)
        odds, signs = torch.zeros(len(everywhere), dtype=torch.float64), []
        for name, sigma in zip(MODALITIES, self.noise, strict=True):
            there = batch.get(f"{name}_present", everywhere)
            # A zero tells nothing: no share of T, and a sign of either kind, so that A and w are 1/2.
            x = torch.where(there[:, None], batch[name][:, :2].double(), 0.0)  # (B, 2)
            variance = 1 + sigma**2
            odds = odds + 2 * self.intra * x[:, 0] / variance
            signs.append(_sign(x[:, 1] / math.sqrt(variance), sigma))
        agree = agreement(*signs)
        weight = self.inter * agree + (1 - self.inter) * (1 - agree)
        odds = odds + torch.logit(weight)
        return torch.stack([torch.sigmoid(-odds), torch.sigmoid(odds)], dim=1)


def dependency_world(
    items: int = 4000,
    features: int = 8,
    intra: float = 0.6,
    inter: float = 0.85,
    noise: float | tuple[float, float] = 0.0,
    seed: int = 0,
) -> DependencyWorld:
    """Draw items. The same arguments give the same items; another seed gives fresh items of the same law.

    Args:
        items: N, half of each class (class 1 gets the odd one).
        features: D of each modality, at least 2.
        intra: a at or above 0, what each modality says on its own.
        inter: q from 0 to 1, what the two say together; 0.5 is nothing.
        noise: Standard deviation of the noise added to all features: one number, or one for each modality.
        seed: Seed of everything that is random.

    Returns:
        The items with their posterior and Bayes rate.

    Raises:
        ValueError: If an argument is out of its range.
    """
    levels = (noise, noise) if isinstance(noise, int | float) else tuple(noise)
    require_at_least(items=(items, 2), features=(features, 2), intra=(intra, 0))
    if not math.isfinite(intra):
        raise ValueError(f"intra={intra} leaves no finite items: choose a finite shift of at least 0.")
    if not 0 <= inter <= 1:
        raise ValueError(f"inter={inter} is no probability: choose inter from 0 to 1.")
    if len(levels) != 2 or not all(math.isfinite(s) and s >= 0 for s in levels):
        raise ValueError(f"noise={noise} is not one standard deviation, or two: give numbers of 0 or more.")
    rng = torch.Generator().manual_seed(seed)
    label = (torch.arange(items) % 2 == (items + 1) % 2).long()[torch.randperm(items, generator=rng)]
    y = 2.0 * label - 1  # (N,)
    x1, x2 = torch.randn(2, items, features, generator=rng)
    agree = torch.where(torch.rand(items, generator=rng) < inter, y, -y)
    x2[:, 1] = x2[:, 1].abs() * x1[:, 1].sign() * agree
    tensors = {"label": label}
    for name, x, sigma in zip(MODALITIES, (x1, x2), levels, strict=True):
        x[:, 0] += intra * y
        tensors[name] = x + sigma * torch.randn(x.shape, generator=rng)
    return DependencyWorld(TensorData(tensors), intra, inter, (float(levels[0]), float(levels[1])))


def agreement(first: Tensor, second: Tensor) -> Tensor:
    """A, the chance that two signs agree that are positive with these chances, independently."""
    return first * second + (1 - first) * (1 - second)


def _sign(level: Tensor, sigma: float) -> Tensor:
    """Pₘ, the chance that a feature of this many standard deviations was positive before the noise."""
    return torch.special.ndtr(level / sigma) if sigma > 0 else torch.heaviside(level, torch.full_like(level[:1], 0.5))
