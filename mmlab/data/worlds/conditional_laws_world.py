"""Targets whose law given the source is known, in one dimension or two: what a sampler must draw and a mean cannot.

All laws leave the same job to a regression, a smooth function of the source, and differ in what is spread about it.
Sources x are standard normal; ε is standard normal noise, one for each value.

- ``"two_modes"``: y = x/2 ± 1 + 0.15 ε, either sign with probability one half. Nothing lies about the mean x/2.
- ``"skewed"``: y = x/2 + e - 1 with exponential e.
- ``"unrelated"``: y = 1 + 0.5 ε, whatever the source.
- ``"heteroscedastic"``: y = x/2 + s(x) ε, where s rises from 0.1 to 1.1 with the first value of the source.
- ``"weighted_modes"``: y = ±1 + 0.2 ε, where + has the probability 1/(1 + exp(-2x)), x being the source's first value.

In two dimensions a sign and an exponential are shared by both values, so that these depend on each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from mmlab.data.tensors import TensorData
from mmlab.wording import nearest, require_at_least

__all__ = ["ConditionalLaw", "Law", "conditional_laws_world"]

Law = Literal["two_modes", "skewed", "unrelated", "heteroscedastic", "weighted_modes"]


@dataclass(frozen=True)
class ConditionalLaw:
    """The law of a target y given its source x.

    Attributes:
        name: Which law.
        size: Number of values E of source and target.
    """

    name: Law
    size: int = 1

    def __post_init__(self) -> None:
        """Refuse what does not exist."""
        if self.name not in get_args(Law):
            raise ValueError(f"name={self.name!r} is no conditional law: {nearest(self.name, get_args(Law))}")
        require_at_least(size=(self.size, 1))

    def sources(self, count: int, rng: torch.Generator) -> Tensor:
        """Sources x, (N, E)."""
        return torch.randn(count, self.size, generator=rng)

    def mean(self, source: Tensor) -> Tensor:
        """E[y | x] for sources (N, E): what the best regression answers."""
        self._check(source)
        if self.name == "unrelated":
            return torch.ones_like(source)
        if self.name == "weighted_modes":
            return source[:, :1].tanh().expand_as(source)  # 1/(1 + exp(-2x)) - 1/(1 + exp(2x))
        return source / 2

    def deviation(self, source: Tensor) -> Tensor:
        """Standard deviation of each value of y given x, for sources (N, E)."""
        self._check(source)
        constant = {"two_modes": (1 + 0.15**2) ** 0.5, "skewed": 1.0, "unrelated": 0.5}
        if self.name in constant:
            return torch.full_like(source, constant[self.name])
        if self.name == "heteroscedastic":
            return _rising(source).expand_as(source)
        return (1 - self.mean(source).square() + 0.2**2).sqrt()

    def sample(self, source: Tensor, rng: torch.Generator) -> Tensor:
        """One exact draw of y for each source (N, E)."""
        mean = self.mean(source)
        noise = torch.randn(source.shape, generator=rng)
        share = torch.rand(len(source), 1, generator=rng)  # one for all values of a target
        if self.name == "two_modes":
            return mean + torch.where(share < 0.5, -1.0, 1.0) + 0.15 * noise
        if self.name == "skewed":
            return mean - torch.log1p(-share) - 1
        if self.name == "unrelated":
            return mean + 0.5 * noise
        if self.name == "heteroscedastic":
            return mean + _rising(source) * noise
        return torch.where(share < torch.sigmoid(2 * source[:, :1]), 1.0, -1.0) + 0.2 * noise

    def gap(self, source: Tensor, target: Tensor) -> float:
        """Share of values in the middle half of the valley between the two modes, where hardly any belongs.

        Args:
            source: Sources, (N, E).
            target: Targets or samples for them, (N, E).

        Raises:
            ValueError: If this law has no two modes.
        """
        if self.name not in ("two_modes", "weighted_modes"):
            raise ValueError(f"The law {self.name!r} has one mode and no gap: ask two_modes or weighted_modes.")
        centre = self.mean(source) if self.name == "two_modes" else torch.zeros_like(source)
        return float(((target - centre).abs() < 0.5).float().mean())

    def _check(self, source: Tensor) -> None:
        if source.ndim != 2 or source.shape[1] != self.size:
            raise ValueError(f"source is {tuple(source.shape)}: this law takes (N, {self.size}).")


def conditional_laws_world(name: Law = "two_modes", size: int = 1, count: int = 10_000, seed: int = 0) -> TensorData:
    """Pairs from a conditional law.

    Args:
        name: Which law.
        size: Number of values E of source and target.
        count: Number of pairs N.
        seed: Seed of the pairs.

    Returns:
        Keys ``source`` and ``target``, (N, E) each.

    Raises:
        ValueError: If there is no such law, or a size or count is below 1.
    """
    require_at_least(count=(count, 1))
    law = ConditionalLaw(name, size)
    rng = torch.Generator().manual_seed(seed)
    source = law.sources(count, rng)
    return TensorData({"source": source, "target": law.sample(source, rng)})


def _rising(source: Tensor) -> Tensor:
    """Standard deviation (N, 1) of the noise of the heteroscedastic law."""
    return 0.1 + torch.sigmoid(3 * source[:, :1])
