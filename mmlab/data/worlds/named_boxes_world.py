"""Scenes whose figures are asked for by their colour: features of the picture, the colour, and the figure's box.

The scenes are those of :mod:`mmlab.data.worlds.scene_world`, with one figure each. The features are what of each colour
there is in each patch: a picture of 32 x 32 pixels is cut into 8 x 8 patches, whose mean colours are listed. So a box
is nearly a linear function of the features of one colour, which a ridge regression can find.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from mmlab.data.tensors import TensorData
from mmlab.data.worlds.scene_world import COLOURS, mask, scene_world

__all__ = ["NamedBoxesWorld", "named_boxes_world"]


@dataclass(frozen=True, eq=False)
class NamedBoxesWorld:
    """Boxes by name, for methods that write regions.

    Attributes:
        pairs: ``features`` (N, 192), ``name`` (N,), which of the four colours, and ``box`` (N, 4), the ends x1, y1,
            x2, y2 as shares of the picture.
    """

    pairs: TensorData

    @property
    def arguments(self) -> dict[str, int]:
        """How many names there are."""
        return {"names": len(COLOURS)}


def named_boxes_world(items: int = 400, seed: int = 0) -> NamedBoxesWorld:
    """Draw scenes, and list their figures. The same arguments give the same ones.

    Args:
        items: Number of pictures N.
        seed: Seed of the scenes.

    Raises:
        ValueError: If there are too few items.
    """
    world = scene_world(items, seed)
    pictures, scenes = world.pictures["train"], world.scenes["train"]
    features = F.avg_pool2d(pictures, 4).flatten(1)
    figures = [scene.figures[0] for scene in scenes]
    boxes = torch.stack([_box(mask(figure, 32)) for figure in figures])
    name = torch.tensor([COLOURS.index(figure.colour) for figure in figures])
    return NamedBoxesWorld(TensorData({"features": features, "name": name, "box": boxes}))


def _box(inside: torch.Tensor) -> torch.Tensor:
    """The extent of a mask (H, W) as shares of the picture, (4,)."""
    height, width = inside.shape
    rows, columns = inside.any(1).nonzero()[:, 0], inside.any(0).nonzero()[:, 0]
    ends = torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    return ends / torch.tensor([width, height, width, height])
