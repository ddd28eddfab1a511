"""Reading several modalities from one flat batch, some of them absent for some items.

A batch holds one tensor per modality, ``batch["image"]`` of shape (B, ...), and may hold ``batch["image_present"]``, a
boolean tensor of shape (B,). Without it, all items have the modality. The value of an absent item never matters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

__all__ = ["AV_MNIST", "drop_modalities", "present", "read"]

AV_MNIST = {"audio": (1, 32, 32), "image": (1, 28, 28)}
"""Shapes of the book's standard pair: a log spectrogram and a digit."""


def present(batch: Mapping[str, Tensor], name: str) -> Tensor:
    """Which items of the batch have this modality.

    Args:
        batch: Tensors with first dimension B.
        name: Name of the modality; its mask, if there is one, is ``batch[f"{name}_present"]``.

    Returns:
        Boolean tensor, shape (B,).

    Raises:
        KeyError: If the batch has no such modality.
        ValueError: If the mask is not boolean or not of shape (B,).
    """
    if name not in batch:
        there = ", ".join(sorted(batch))
        raise KeyError(f"The batch has no {name!r}, only {there}: give absent items any values and a {name}_present.")
    values, key = batch[name], f"{name}_present"
    if key not in batch:
        return torch.ones(len(values), dtype=torch.bool, device=values.device)
    mask = batch[key]
    if mask.dtype != torch.bool or mask.shape != values.shape[:1]:
        raise ValueError(
            f"{key} is {mask.dtype} of shape {tuple(mask.shape)}; it must be torch.bool of shape ({len(values)},)."
        )
    return mask


def read(
    batch: Mapping[str, Tensor], shapes: Mapping[str, Sequence[int]]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Inputs and their presence, with whatever stands in the place of absent items replaced by zeros.

    Args:
        batch: Tensors with first dimension B.
        shapes: Name of each modality to the shape of one item.

    Returns:
        Inputs (B, *shape) and presence (B,), each by modality in sorted order of the names.

    Raises:
        KeyError: If the batch lacks a modality.
        ValueError: If a modality has another shape, or its mask is no mask.
    """
    inputs, there = {}, {}
    for name in sorted(shapes):
        mask = present(batch, name)
        values, shape = batch[name], tuple(shapes[name])
        if tuple(values.shape[1:]) != shape:
            raise ValueError(f"An item of {name!r} has shape {tuple(values.shape[1:])}, but {shape} was promised.")
        # where() and not a product: an absent item may be NaN.
        inputs[name] = torch.where(mask.view(-1, *[1] * len(shape)), values, torch.zeros_like(values))
        there[name] = mask
    return inputs, there


def drop_modalities(there: Mapping[str, Tensor], probability: float, rng: torch.Generator) -> dict[str, Tensor]:
    """Modality dropout: hide each modality of each item with this probability, but never an item's last one.

    An item that would lose all it has keeps all it has, so that of two modalities each is hidden with probability
    p(1 - p).

    Args:
        there: Presence (B,) by modality.
        probability: p, in [0, 1).
        rng: Draws what is hidden.

    Returns:
        Presence after hiding, by modality, in sorted order of the names.
    """
    names = sorted(there)
    known = torch.stack([there[name] for name in names], dim=1)  # (B, M)
    kept = known & (torch.rand(known.shape, generator=rng, device=known.device) >= probability)
    kept = torch.where(kept.any(1, keepdim=True), kept, known)
    return dict(zip(names, kept.unbind(1), strict=True))
