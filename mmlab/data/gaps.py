"""Gaps: which modalities of which items are missing, drawn by one of the three mechanisms that statistics knows.

Of each item one modality stays, drawn evenly; each of the other M - 1 is hidden with a chance q. So the share of hidden
values is (M - 1)/M · q, which is called the rate here, and no item loses everything. What q depends on is the mechanism
(Rubin 1976):

* *completely at random*: nothing. q is the same for all.
* *at random*: the modality that stays. q rises with the rank of its mean among the items. Whoever sees what is there
  learns nothing more about the class from seeing what is not.
* *not at random*: the class, which nobody sees at test. q rises from the first class to the last, so a gap is evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Literal, get_args

import torch
from torch import Tensor

from mmlab.data.tensors import TensorData
from mmlab.wording import nearest

__all__ = ["Gaps", "Mechanism"]

Mechanism = Literal["completely at random", "at random", "not at random"]
"""What the chance of a gap depends on."""


@dataclass(frozen=True)
class Gaps:
    """A law of gaps.

    Attributes:
        rate: Share of hidden values, over items and modalities: from 0 to (M - 1)/M for M modalities.
        mechanism: What the chance of a gap depends on.
        strength: How much it depends on it, from 0 (not at all) to 1 (as much as the rate allows).
    """

    rate: float = 0.0
    mechanism: Mechanism = "completely at random"
    strength: float = 0.5

    def __post_init__(self) -> None:
        """Refuse what is no law."""
        if self.mechanism not in get_args(Mechanism):
            near = nearest(self.mechanism, get_args(Mechanism))
            raise ValueError(f"mechanism={self.mechanism!r} is no mechanism of gaps: {near}")
        for name, value in (("rate", self.rate), ("strength", self.strength)):
            if isinstance(value, bool) or not isinstance(value, Real):
                raise ValueError(f"{name}={value!r} is no number: choose it from 0 to 1.")
        if not 0 <= self.rate < 1:
            raise ValueError(f"rate={self.rate} is no share of hidden values: choose it from 0 to below 1.")
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength={self.strength} is out of range: choose it from 0 to 1.")

    def draw(self, data: TensorData, modalities: Sequence[str], rng: torch.Generator) -> TensorData:
        """The same items with gaps: masks ``<modality>_present``, and NaN in the place of what is hidden.

        Args:
            data: Complete items with the modalities, and ``label`` (N,) if the gaps are not at random.
            modalities: What may be hidden.
            rng: The only source of randomness.

        Raises:
            ValueError: If an item has gaps already, a modality is not there, or the rate is too high for so few.
        """
        names = sorted(modalities) if not isinstance(modalities, str) else [modalities]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"modalities={names!r}: name one or more, each once.")
        if absent := [name for name in names if name not in data.tensors]:
            raise ValueError(f"The items have no {absent[0]!r}; they have {', '.join(data.tensors)}.")
        if twice := [name for name in names if f"{name}_present" in data.tensors]:
            raise ValueError(f"{twice[0]!r} has gaps already: draw them into complete items.")
        if holed := [name for name in names if not torch.isfinite(data.tensors[name].float()).all()]:
            raise ValueError(f"{holed[0]!r} holds NaN or infinity, as gaps do: draw them into complete items.")
        if rng is None:
            raise ValueError("rng is None: hand in a torch.Generator, so that the same seed gives the same gaps.")
        chance = self.chance(len(names))
        count = len(data)
        stays = torch.randint(len(names), (count,), generator=rng)  # (N,)
        q = chance + self.strength * min(chance, 1 - chance) * self._lean(data, names, stays)  # (N,)
        hidden = torch.rand(count, len(names), generator=rng) < q[:, None]  # (N, M)
        hidden[torch.arange(count), stays] = False
        tensors = dict(data.tensors)
        for name, gone in zip(names, hidden.unbind(1), strict=True):
            values = data.tensors[name]
            nothing = torch.nan if values.is_floating_point() else 0
            tensors[name] = values.masked_fill(gone.view(-1, *[1] * (values.ndim - 1)), nothing)
            tensors[f"{name}_present"] = ~gone
        return TensorData(tensors, data.subjects)

    def chance(self, modalities: int) -> float:
        """q, the mean chance with which one of the modalities that do not stay is hidden.

        Raises:
            ValueError: If the rate cannot be reached with so few modalities.
        """
        most = (modalities - 1) / modalities
        if self.rate > most + 1e-9:
            raise ValueError(
                f"rate={self.rate}: of {modalities} modalities one stays, so at most {most:.3g} are hidden."
            )
        return min(1.0, self.rate / most) if modalities > 1 else 0.0

    def likelihood(self, present: Tensor, classes: int) -> Tensor:
        """How likely these gaps are in each class, given what is there, up to a factor that no class changes.

        Args:
            present: Which modalities are there, bool (N, M), at least one of each item.
            classes: K.

        Returns:
            (N, K) float64. With it, posterior times likelihood, normalised, is the answer that also reads the gaps.
        """
        count, size = present.shape
        if self.mechanism != "not at random":
            return torch.ones(count, classes, dtype=torch.float64)
        chance = self.chance(size)
        lean = torch.linspace(-1, 1, classes, dtype=torch.float64)
        q = chance + self.strength * min(chance, 1 - chance) * lean  # (K,)
        there = present.sum(1, keepdim=True)  # (N, 1): one of these stayed, any of them
        return there / size * q ** (size - there) * (1 - q) ** (there - 1)

    def _lean(self, data: TensorData, names: Sequence[str], stays: Tensor) -> Tensor:
        """From -1 (fewer gaps) to 1 (more), with mean 0 over evenly frequent classes, or over the items, (N,)."""
        if self.mechanism == "completely at random":
            return torch.zeros(len(data))
        if self.mechanism == "not at random":
            if "label" not in data.tensors:
                raise ValueError("Gaps that are not at random depend on the class: the items need a 'label'.")
            label = data.tensors["label"]
            if label.shape != (len(data),) or label.is_floating_point() or (len(label) and label.min() < 0):
                raise ValueError(
                    f"label has type {label.dtype} and shape {tuple(label.shape)}: gaps that are not at random need a "
                    "whole number from 0 for each item; of one-hot labels take label.argmax(1)."
                )
            return 2 * label / max(1, int(label.max())) - 1
        means = torch.stack([_standardised(data.tensors[name]) for name in names], 1)  # (N, M)
        seen = means[torch.arange(len(data)), stays]
        return 2 * (seen.argsort().argsort() + 0.5) / len(data) - 1


def _standardised(values: Tensor) -> Tensor:
    """Mean of each item's values, (N,), with mean 0 and deviation 1 over the items."""
    if len(values) < 2:  # nothing to rank
        return torch.zeros(len(values))
    means = values.reshape(len(values), -1).float().mean(1)
    return (means - means.mean()) / means.std().clamp_min(1e-12)
