"""A network that reads the facts of colonoscopies off pictures: how the book judges whether a picture shows its prompt.

It is trained on drawn pictures of :func:`mmlab.data.worlds.colonoscopy_world.colonoscopy_world`, the shape that
generators have to be taught among them, and sees no picture of a generator. Its own errors bound what it can say:
:meth:`FindingsReader.read` on held-out drawn pictures gives the ceiling of every faithfulness.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from mmlab.data.tensors import TensorData
from mmlab.data.worlds.colonoscopy_world import (
    ARTEFACTS,
    NUMBERS,
    POSITIONS,
    SHAPES,
    SIZES,
    UNSEEN,
    Scene,
    colonoscopy_world,
)
from mmlab.method import Batch, Method
from mmlab.train.once import trained_once

__all__ = ["FindingsReader", "findings_reader", "labels"]

_CLASSES: dict[str, tuple[Any, ...]] = {
    "number": tuple(range(len(NUMBERS))),
    "shape": (*SHAPES, UNSEEN),
    "size": tuple(SIZES),
    "artefact": ARTEFACTS,
}
_SWITCHES = ("instrument", "text")
_ABSENT = -100  # what cross_entropy leaves out


def labels(scenes: Sequence[Scene]) -> dict[str, Tensor]:
    """Facts of N scenes as targets: one column per class (N,), -100 where there is none; ``cells`` (N, 5), and more."""
    facts = [scene.facts() for scene in scenes]
    made = {
        name: torch.tensor([classes.index(fact[name]) if name in fact else _ABSENT for fact in facts])
        for name, classes in _CLASSES.items()
    }
    made["cells"] = torch.tensor([[float(place in scene.positions) for place in POSITIONS] for scene in scenes])
    made["switches"] = torch.tensor([[float(fact[name]) for name in _SWITCHES] for fact in facts])
    return made


class FindingsReader(Method):
    """A small convolutional network with one head for each fact; places survive, since nothing is averaged over them.

    Args:
        size: Height and width of the pictures, in pixels; a multiple of 8.
        width: Channels of the first layer.
        features: Features before the heads.
    """

    def __init__(self, size: int = 32, width: int = 16, features: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels, more in ((3, width), (width, 2 * width), (2 * width, 4 * width)):
            layers += [nn.Conv2d(channels, more, 3, stride=2, padding=1), nn.GroupNorm(4, more), nn.SiLU()]
        self.body = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(4 * width * (size // 8) ** 2, features), nn.LayerNorm(features), nn.SiLU()
        )
        widths = {name: len(classes) for name, classes in _CLASSES.items()}
        widths |= {"cells": len(POSITIONS), "switches": len(_SWITCHES)}
        self.heads = nn.ModuleDict({name: nn.Linear(features, count) for name, count in widths.items()})

    def embed(self, pictures: Tensor) -> Tensor:
        """Features of pictures (B, 3, S, S), (B, features): for distances between sets of pictures."""
        made: Tensor = self.body(pictures)
        return made

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Sum of the heads' cross-entropies; a little noise keeps it from reading single pixels."""
        noise = torch.randn(batch["image"].shape, generator=rng, device=batch["image"].device)
        read = self.body(batch["image"] + 0.05 * noise)
        total = torch.zeros((), device=read.device)
        for name, head in self.heads.items():
            logits, target = head(read), batch[name]
            if name in _CLASSES:
                known = (target != _ABSENT).sum().clamp(min=1)
                total = total + cross_entropy(logits, target, ignore_index=_ABSENT, reduction="sum") / known
            else:
                total = total + binary_cross_entropy_with_logits(logits, target)
        return {"loss": total}

    def read(self, pictures: Tensor) -> list[dict[str, Any]]:
        """Facts of pictures (B, 3, S, S), as :meth:`Scene.facts` names them, the most probable ones."""
        with self.evaluating():
            features = torch.cat([self.body(part) for part in torch.split(pictures, 512)])
            logits = {name: head(features) for name, head in self.heads.items()}
        best = {name: logits[name].argmax(1).tolist() for name in _CLASSES}
        cells, switches = (logits["cells"] > 0).tolist(), (logits["switches"] > 0).tolist()
        found = []
        for row in range(len(pictures)):
            number = best["number"][row]
            facts: dict[str, Any] = {"number": number, "presence": number > 0}
            if number:
                facts |= {name: _CLASSES[name][best[name][row]] for name in ("shape", "size")}
                facts["positions"] = tuple(p for p, lit in zip(POSITIONS, cells[row], strict=True) if lit)
            facts |= dict(zip(_SWITCHES, switches[row], strict=True))
            found.append(facts | {"artefact": ARTEFACTS[best["artefact"][row]]})
        return found


def findings_reader(size: int = 32, seed: int = 0, pictures: int = 4000, steps: int = 1200) -> FindingsReader:
    """The reader, trained on drawn pictures of all shapes, and kept for the next call.

    Args:
        size: Height and width of the pictures, in pixels.
        seed: Seed of its weights and its training; its pictures are not those of the generator's base.
        pictures: Number of pictures that it is trained on.
        steps: Steps of the training.
    """
    world = colonoscopy_world(pictures, seed=1000 + seed, size=size, shapes=(*SHAPES, UNSEEN))
    data = TensorData({"image": world.pictures, **labels(world.scenes)})
    reader = FindingsReader.seeded(seed, size)
    return trained_once(reader, data, steps=steps, batch_size=64, lr=3e-3, schedule="cosine", seed=seed, progress=False)
