"""CHIP: make a model forget without training, by projecting the rows of a few neurons off a few directions.

Symbols: a is what a linear layer gives out, S its selected neurons, W_S their rows, Q an orthonormal basis of the
directions that tell what is to be forgotten from what is to stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from mmlab.card import Card, Claim
from mmlab.data.batches import read_all
from mmlab.data.chat import IMAGE
from mmlab.method import Batch, Method
from mmlab.nn.answers import rows_of_answers
from mmlab.nn.small_reader import SmallReader

__all__ = ["Chip", "basis", "projected", "selected"]


def selected(forget: Tensor, retain: Tensor, share: float) -> Tensor:
    """Numbers of the neurons that answer most to what is to be forgotten, against what is to stay.

    Args:
        forget: What the neurons give out for records to forget, (N, D).
        retain: The same for records to retain, (M, D).
        share: Share of the neurons that is taken; at least one is.
    """
    score = forget.abs().mean(0) - retain.abs().mean(0)  # Eq. (7)
    return score.topk(max(1, round(share * len(score)))).indices


def basis(directions: Tensor, energy: float) -> Tensor:
    """Orthonormal columns Q (D, r) of the least number that holds this share of the directions' squares.

    Args:
        directions: One of unit length a child, (C, D); rows of zeros say nothing.
        energy: Share of the squared singular values.
    """
    _, values, rows = torch.linalg.svd(directions, full_matrices=False)
    if values.max() < 1e-8:
        return directions.new_zeros(directions.shape[1], 0)
    held = values.square().cumsum(0) / values.square().sum()
    return rows[: int((held < energy - 1e-6).sum()) + 1].mT


def projected(rows: Tensor, Q: Tensor) -> Tensor:
    """Rows of weights (D, I) without their part along Q (D, r): (I - Q Q^T) W_S."""
    return rows - Q @ (Q.mT @ rows)  # Eq. (8)


class Chip(Method):
    """A model whose layers are projected once, without any step of training.

    Args:
        policy: The model: a network with ``logits(batch)``, ``generate(batch, rng)`` and ``image_tokens``; or arguments
            of :class:`mmlab.nn.small_reader.SmallReader`.
        layers: Names of the linear layers of the model that are projected.
        share: Share of each layer's neurons that is selected.
        energy: Share of the directions' squares that the basis holds.
        end: Id of the word that ends an answer.
        words: Most words of an answer.

    Raises:
        ValueError: If a share is none, or a layer is not linear or not there.

    Source:
        Wu et al. 2025, "MedForget". There the outputs of inner layers of a language model and its connector are pooled
        with other weights for pictures and words; here all places count alike.
    """

    card = Card(
        name="CHIP",
        family="vision and language",
        paper="wu2025medforget",
        summary="Makes a model forget without training, by projecting a few neurons' weights off a few directions.",
        inputs=("input_ids", "length", "images", "completions"),
        outputs=("tokens",),
        claims=(
            Claim("forgotten secrets by picture", "before", "lower", kind="sanity", name="forgets-chip-before"),
            Claim("siblings kept", "NPO", "higher", kind="sanity", name="kept-chip-npo"),
        ),
        chapter="unlearning",
        tags=("machine unlearning", "MedForget", "training-free"),
    )

    def __init__(
        self,
        policy: nn.Module | Mapping[str, Any] | None = None,
        layers: Sequence[str] = ("encoder.3",),
        share: float = 0.1,
        energy: float = 0.95,
        end: int = 0,
        words: int = 3,
    ) -> None:
        super().__init__()
        if not (0 < share <= 1 and 0 < energy <= 1) or words < 1:
            raise ValueError(f"CHIP: share={share}, energy={energy}, words={words}; two shares above 0, and 1 or more.")
        self.policy: Any = policy if isinstance(policy, nn.Module) else SmallReader(**(policy or {}))
        named = dict(self.policy.named_modules())
        if wrong := [name for name in layers if not isinstance(named.get(name), nn.Linear)]:
            raise ValueError(f"CHIP: {wrong[0]!r} is no linear layer of the model: name one of its linear layers.")
        self.layers, self.share, self.energy, self.end, self.words = list(layers), share, energy, end, words

    @torch.no_grad()
    def solve(self, dataset: Any) -> Self:
        """Project the layers of the model as it is, one after the other; a second time it goes on from there.

        What a layer gives out is measured after those named before it have been projected.

        Args:
            dataset: Items with what is to be forgotten and, with ``retain_`` before each name, what is to stay, else
                directions are from zero; and optionally ``child`` (N,), which says what of it belongs together: one
                direction for each.
        """
        batch = read_all(dataset)
        kept = {key.removeprefix("retain_"): value for key, value in batch.items() if key.startswith("retain_")}
        child = batch.get("child", torch.zeros(len(batch["length"]), dtype=torch.long))
        modules = dict(self.policy.named_modules())
        for name in self.layers:
            layer = modules[name]
            forget = self._outputs(batch, layer)
            retain = self._outputs(kept, layer) if kept else torch.zeros_like(forget[:1])
            S = selected(forget, retain, self.share)
            means = torch.stack([forget[child == c][:, S].mean(0) - retain[:, S].mean(0) for c in torch.unique(child)])
            lengths = means.norm(dim=1, keepdim=True)
            Q = basis(torch.where(lengths > 1e-6, means / lengths, 0.0), self.energy)
            layer.weight[S] = projected(layer.weight[S], Q)
        return self

    def _outputs(self, batch: Batch, layer: nn.Module) -> Tensor:
        """What a layer gives out for each item, in the mean over the places of its question and answer, (N, D)."""
        seen: list[Tensor] = []
        rows, _ = rows_of_answers(self.policy, batch, batch["completions"][:, :1], self.end)
        hook = layer.register_forward_hook(lambda _, inputs, output: seen.append(output))
        try:
            width = self.policy.logits(rows).shape[1]
        finally:
            hook.remove()
        out = torch.cat(seen)
        if out.ndim == 3 and out.shape[:2] == (
            len(rows["length"]),
            width,
        ):  # of the language model: padding is left out
            pictures = (rows["input_ids"] == IMAGE).sum(1)
            length = rows["length"] + pictures * (self.policy.image_tokens - 1)
            mask = torch.arange(width, device=out.device) < length[:, None]
            return (out * mask[..., None]).sum(1) / length[:, None]
        return out.flatten(1, -2).mean(1) if out.ndim > 2 else out

    def generate(self, batch: Batch, rng: torch.Generator | None = None, **how: Any) -> Tensor:
        """Write answers (B, T), the most probable words by default; see the policy's ``generate``."""
        with self.evaluating():
            made: Tensor = self.policy.generate(batch, rng, **{"max_new_tokens": self.words, **how})
        return made

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """A small model for pictures of this shape, with room for the words of the book's worlds."""
        return {"policy": {"picture": list(item["images"].shape[1:]), "words": 128}}

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """One model for all seeds; six pictures of noise to forget and six to retain, with answers of random words."""
        rng = torch.Generator().manual_seed(seed)
        batch = {"child": torch.arange(6) % 2}
        for name in ("", "retain_"):
            batch[name + "input_ids"] = torch.tensor([[IMAGE, 3]]).repeat(6, 1)
            batch[name + "length"] = torch.full((6,), 2)
            batch[name + "images"] = torch.rand(6, 1, 3, 8, 8, generator=rng) * 2 - 1
            words = torch.randint(1, 16, (6, 1, 2), generator=rng)
            batch[name + "completions"] = torch.cat([words, torch.zeros(6, 1, 1, dtype=torch.long)], 2)
        return cls.seeded(0, {"picture": [3, 8, 8], "width": 16}, share=0.5), batch
