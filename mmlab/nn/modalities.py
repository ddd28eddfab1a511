"""Reading and encoding several modalities of one flat batch, some of them absent for some items.

A batch holds one tensor per modality, ``batch["image"]`` of shape (B, ...), and may hold ``batch["image_present"]``, a
boolean tensor of shape (B,). Without it, all items have the modality. The value of an absent item never matters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mmlab.nn.encoders import EncoderKind, make_encoder
from mmlab.wording import nearest

__all__ = ["ModalityEncoders", "drop_modalities", "presence", "read", "sorted_shapes"]


def sorted_shapes(shapes: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    """Shape of one item of each modality, in sorted order of the names: the order of every fusion method."""
    return {name: tuple(shapes[name]) for name in sorted(shapes)}


def presence(batch: Mapping[str, Tensor], name: str) -> Tensor:
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
        keys = ", ".join(sorted(batch))
        raise KeyError(
            f"The batch has no {name!r}, only {keys}: give absent items any values, and {name}_present=False."
        )
    values, key = batch[name], f"{name}_present"
    if key not in batch:
        return torch.ones(len(values), dtype=torch.bool, device=values.device)
    mask = batch[key]
    if mask.dtype != torch.bool or mask.shape != values.shape[:1]:
        raise ValueError(
            f"{key} is {mask.dtype} of shape {tuple(mask.shape)}; it must be torch.bool of shape ({len(values)},): "
            "give one True or False for each item."
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
    inputs: dict[str, Tensor] = {}
    present: dict[str, Tensor] = {}
    for name, shape in sorted_shapes(shapes).items():
        mask = presence(batch, name)
        values = batch[name]
        if tuple(values.shape[1:]) != shape:
            raise ValueError(
                f"An item of {name!r} has shape {tuple(values.shape[1:])}, but {shape} was promised: build the method "
                "for the shapes of the items."
            )
        # where() and not a product: an absent item may be NaN.
        inputs[name] = torch.where(mask.view(-1, *[1] * len(shape)), values, torch.zeros_like(values))
        present[name] = mask
    return inputs, present


class ModalityEncoders(nn.ModuleDict):
    """One encoder for each modality, by name: a batch in, features and presence out.

    Args:
        shapes: Shape of one item of each modality.
        kind: Kind of the encoders, see :func:`mmlab.nn.encoders.make_encoder`.
        width: Number of features D of each modality.
        dropout: Dropout probability of the encoders that are made here.
        encoders: Encoders of your own by modality, from items (B, *shape) to features (B, D). Modalities that are not
            named get an encoder of ``kind``.

    Raises:
        TypeError: If one of your encoders is no module.
        ValueError: If one of your encoders belongs to no modality.
    """

    def __init__(
        self,
        shapes: Mapping[str, Sequence[int]],
        kind: EncoderKind = "perceptron",
        width: int = 64,
        dropout: float = 0.0,
        encoders: Mapping[str, nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.shapes = sorted_shapes(shapes)
        self.width = width
        own = dict(encoders or {})
        for name, encoder in own.items():
            if name not in self.shapes:
                raise ValueError(f"encoders: there is no modality {name!r}; {nearest(name, self.shapes)}")
            if not isinstance(encoder, nn.Module):
                kind_of = type(encoder).__name__
                raise TypeError(
                    f"encoders[{name!r}] is a {kind_of}; give an nn.Module that makes features (B, {width})."
                )
        for name, shape in self.shapes.items():
            self[name] = own[name] if name in own else make_encoder(kind, shape, width, dropout)

    def forward(self, batch: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Encode what is there.

        Args:
            batch: The modalities (B, ...), and optionally ``"<modality>_present"`` (B,).

        Returns:
            Features z (B, D) and presence (B,), each by modality in sorted order of the names. The features of an
            absent item are those of zeros: whoever uses them looks at its presence.

        Raises:
            KeyError: If the batch lacks a modality.
            ValueError: If a modality, its mask or the output of an encoder has another shape than it should.
        """
        inputs, present = read(batch, self.shapes)
        z = {name: self[name](x) for name, x in inputs.items()}  # (B, D) each
        for name, features in z.items():
            if features.shape != (len(inputs[name]), self.width):
                raise ValueError(
                    f"encoders[{name!r}] made {tuple(features.shape)} of {len(inputs[name])} items; "
                    f"with width={self.width} features are (B, {self.width}): change the encoder's output or width."
                )
        return z, present


def drop_modalities(present: Mapping[str, Tensor], probability: float, rng: torch.Generator) -> dict[str, Tensor]:
    """Modality dropout: hide each modality of each item with this probability, but never an item's last one.

    An item that would lose all it has keeps all it has, so that of two modalities each is hidden with probability
    p(1 - p).

    Args:
        present: Presence (B,) by modality.
        probability: p, in [0, 1).
        rng: Draws what is hidden.

    Returns:
        Presence after hiding, by modality, in sorted order of the names.
    """
    names = sorted(present)
    before = torch.stack([present[name] for name in names], dim=1)  # (B, M)
    kept = before & (torch.rand(before.shape, generator=rng, device=before.device) >= probability)
    kept = torch.where(kept.any(1, keepdim=True), kept, before)
    return dict(zip(names, kept.unbind(1), strict=True))
