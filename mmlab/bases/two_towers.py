"""Two towers of the world of shapes, trained by InfoNCE: what chapters on contrast start from, teach with, or align.

There are four of them, of two seeds each: two that learnt from right captions, and two that learnt from the captions as
they come where 40 % of the pictures have another picture's (:func:`wrong_captions`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmlab.data.tensors import TensorData
from mmlab.data.worlds.shape_world import WORDS, ShapeWorld, exchanged, shape_world
from mmlab.losses.contrastive import identity_targets, soft_contrastive
from mmlab.method import Batch, Method
from mmlab.nn.towers import TwoTowers
from mmlab.train.once import trained_once

__all__ = ["SHARE", "ContrastedTowers", "TowerFamily", "tower_family", "two_towers", "wrong_captions"]

SHARE = 0.4
"""Share of the pictures whose caption is another picture's."""


class ContrastedTowers(Method):
    """Two towers under InfoNCE, as CLIP trains them: both directions, with a learnt temperature.

    Args:
        width: Number of features D.
        channels: Maps of the picture tower's first convolution.
    """

    def __init__(self, width: int = 64, channels: int = 16) -> None:
        super().__init__()
        self.towers = TwoTowers(len(WORDS), width, channels)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """InfoNCE of ``image`` and ``caption``.

        Args:
            batch: ``image`` (B, 3, 32, 32), ``caption`` (B, 5).
            rng: Not used.
        """
        u, v = self.towers.picture(batch["image"]), self.towers.caption(batch["caption"])
        return {"loss": soft_contrastive(u, v, identity_targets(len(u), u), 1 / self.towers.scale())}


@dataclass(frozen=True, eq=False)
class TowerFamily:
    """Towers, and what they have learnt from.

    Attributes:
        world: Pictures and facts.
        right: Two pairs of towers that learnt from right captions.
        wrong: Two pairs of towers that learnt from captions of which a share is wrong.
    """

    world: ShapeWorld
    right: Sequence[TwoTowers]
    wrong: Sequence[TwoTowers]


def wrong_captions(world: ShapeWorld, share: float = SHARE, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Captions of the training part of which a share is another picture's, (N, 5), and which are, (N,) bool."""
    return exchanged(world.train.tensors["caption"], share, torch.Generator().manual_seed(seed))


def two_towers(seed: int = 0, wrong: float = 0.0, world: ShapeWorld | None = None, **training: Any) -> TwoTowers:
    """A pair of towers, trained at the first call and kept for the next ones; they are frozen.

    Args:
        seed: Seed of their weights and their training.
        wrong: Share of the training pictures with another picture's caption.
        world: What they learn from; by default ``shape_world()``.
        **training: Arguments of fit that replace the usual ones.
    """
    world = world or shape_world()
    data = TensorData({"image": world.pictures["train"], "caption": wrong_captions(world, wrong)[0]})
    usual: dict[str, Any] = {"steps": 300, "batch_size": 128, "lr": 3e-3, "warmup": 20, "schedule": "cosine"}
    method = ContrastedTowers.seeded(seed)
    trained_once(method, data, seed=seed, **(usual | {"progress": False} | training))
    return method.towers.requires_grad_(False)


def tower_family(**training: Any) -> TowerFamily:
    """All four pairs of towers.

    Args:
        **training: Arguments of fit that replace the usual ones.
    """
    world = shape_world()
    right, wrong = ([two_towers(seed, share, world, **training) for seed in (0, 1)] for share in (0.0, SHARE))
    return TowerFamily(world, right, wrong)
