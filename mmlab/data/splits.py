"""A dataset that comes in parts: what to train on, what to choose by, and what to test on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mmlab.data.tensors import TensorData

__all__ = ["Scale", "Splits", "rescale", "stratified"]

Scale = Literal["none", "minmax", "zscore"]


@dataclass(frozen=True, eq=False)
class Splits:
    """Items for training, for choosing (epochs, settings), and for the test, which is looked at once.

    Attributes:
        train: Items to fit on.
        validation: Items to choose by; None if the set has none.
        test: Items to report on.
        description: What this is and how it was made, in a sentence or two; to be printed with results.
        source: Names of the registry's sources, or ``"synthetic"``.
        acknowledgement: What the terms ask to be printed with results, or an empty string.
    """

    train: TensorData
    validation: TensorData | None
    test: TensorData
    description: str
    source: tuple[str, ...] = ("synthetic",)
    acknowledgement: str = ""

    def __repr__(self) -> str:
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        held = ", ".join(f"{name} {len(part)}" for name, part in parts.items() if part is not None)
        return f"Splits({held}; {self.train!r}; from {', '.join(self.source)})"


def stratified(label: Tensor, share: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Split positions at random so that every class has the same share on both sides, up to rounding.

    Args:
        label: (N,) int64.
        share: Share of each class that is held out, above 0 and below 1.
        seed: Seed of the order.

    Returns:
        Positions that are kept and positions that are held out, each in ascending order.

    Raises:
        ValueError: If there is no item, or a class is too small to have one on both sides.
    """
    if not len(label):
        raise ValueError("No item has a label: there is nothing to split.")
    rng = torch.Generator().manual_seed(seed)
    kept, held = [], []
    for value in torch.unique(label).tolist():
        rows = torch.nonzero(label == value)[:, 0]
        count = round(share * len(rows))
        if not 0 < count < len(rows):
            raise ValueError(f"A share of {share:g} of the {len(rows)} items of class {value} leaves one side empty.")
        order = rows[torch.randperm(len(rows), generator=rng)]
        held.append(order[:count])
        kept.append(order[count:])
    return torch.cat(kept).sort().values, torch.cat(held).sort().values


def rescale(parts: Sequence[TensorData], keys: Sequence[str], how: Scale) -> list[TensorData]:
    """Rescale features by the items of the first part only, so that nothing of the others is known beforehand.

    Args:
        parts: The training items, then others, with features (N, D) under ``keys``.
        keys: What to rescale.
        how: ``"minmax"`` to 0..1 over the training items, ``"zscore"`` to their mean 0 and deviation 1, ``"none"`` not
            at all. A feature that does not vary becomes 0. NaN stays NaN: it marks what is absent, and does not count.

    Returns:
        New parts.

    Raises:
        ValueError: If ``how`` is unknown, or a feature is infinite somewhere, NaN for all training items, or beyond its
            own type when it is rescaled.
    """
    if how not in ("none", "minmax", "zscore"):
        raise ValueError(f"There is no scale {how!r}: choose none, minmax or zscore.")
    made = [dict(part.tensors) for part in parts]
    for key in keys if how != "none" else ():
        low, spread, varies = _extent(parts[0].tensors[key], key, how)
        for tensors in made:
            value = tensors[key]
            if bool(value.isinf().any()):
                raise ValueError(f"{key!r} holds infinity: no scale fits it; mark what is absent with NaN.")
            scaled = (value.double() - low) / torch.where(varies, spread, 1.0)
            tensors[key] = torch.where(varies | value.isnan(), scaled, 0.0).to(value.dtype)
            if bool(tensors[key].isinf().any()):
                raise ValueError(f"{key!r} has an item so far from the others that no scale fits both: leave it out.")
    return [TensorData(tensors, part.subjects) for tensors, part in zip(made, parts, strict=True)]


def _extent(values: Tensor, key: str, how: Scale) -> tuple[Tensor, Tensor, Tensor]:
    """Zero point and spread of each feature (D,) over the items (N, D) where it is not NaN, and whether it varies."""
    x = values.double()
    known = ~x.isnan()
    if not bool(known.any(0).all()):
        feature = int((~known.any(0)).nonzero()[0])
        raise ValueError(f"{key!r} is NaN in feature {feature} for all training items: leave that feature out.")
    if how == "minmax":
        low = torch.where(known, x, torch.inf).amin(0)
        spread = torch.where(known, x, -torch.inf).amax(0) - low
    else:
        low = x.nanmean(0)
        spread = (x - low).square().nanmean(0).sqrt()
    # A constant feature would be blown up to rounding noise by its tiny spread.
    return low, spread, spread > 1e-6 * torch.where(known, x.abs(), 0.0).amax(0)
