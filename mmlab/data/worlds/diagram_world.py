"""Diagrams: three outlines, one of each colour, which may cross, in a wide picture that is padded to a square.

A figure is a circle, a square or a triangle, anywhere and of any size in a range. Twelve questions can be asked of a
diagram: where a colour is, which shape it has, whether one is left of another, and which has the larger area. The facts
behind the first nine are its structure: three shapes, twelve numbers of boxes in bins, three relations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mmlab.data.tensors import TensorData
from mmlab.wording import require_at_least

__all__ = [
    "COLOURS",
    "PAINTS",
    "PAIRS",
    "PERCEIVED",
    "QUESTIONS",
    "SHAPES",
    "DiagramWorld",
    "diagram_world",
    "one_by_one",
    "profiles",
]

COLOURS = ("red", "green", "blue")
SHAPES = ("circle", "square", "triangle")
PAIRS = ((0, 1), (0, 2), (1, 2))
QUESTIONS = (
    *(f"Where is the {c} figure?" for c in COLOURS),
    *(f"Which shape is {c}? A: circle B: square C: triangle" for c in COLOURS),
    *(f"Is {COLOURS[i]} left of {COLOURS[j]}? A: yes B: no" for i, j in PAIRS),
    *(f"Which has the larger area? A: {COLOURS[i]} B: {COLOURS[j]}" for i, j in PAIRS),
)
"""Grounding, class, relation, and the derived comparison of areas: three of each."""

PERCEIVED = 9
"""How many of them are answered by the structure."""

PAINTS = ((1.0, 0.2, 0.2), (0.2, 0.8, 0.2), (0.2, 0.2, 1.0))
_SIDE, _HIGH, _DARK = 20, 14, -0.1


def profiles(images: Tensor) -> Tensor:
    """The means of the rows and of the columns of diagrams, (B, 6 S).

    Args:
        images: (B, 3, S, S).
    """
    return torch.cat([images.mean(2), images.mean(3)], 1).flatten(1)


def one_by_one(facts: Tensor) -> Tensor:
    """The facts of a structure as answers to the first nine questions, (B, 9, 5): a letter and four bins, -1 for none.

    Args:
        facts: (B, 18) as in :func:`write_structure`.
    """
    nothing = torch.full_like(facts[:, :3, None], -1)
    boxes = torch.cat([nothing, facts[:, 3:15].reshape(-1, 3, 4)], 2)
    sides = torch.where(facts[:, 15:] < 0, -1, 1 - facts[:, 15:])
    letters = torch.cat([facts[:, :3], sides], 1)[..., None]
    return torch.cat([boxes, torch.cat([letters, nothing.repeat(1, 2, 4)], 2)], 1)


@dataclass(frozen=True)
class DiagramWorld:
    """Diagrams of 20 × 20 pixels, 14 of which belong to the picture; the rest is padding.

    Attributes:
        bins: Bins of a box's numbers.
        noise: Standard deviation of the pixels' noise.
    """

    bins: int = 10
    noise: float = 0.1

    @property
    def pairs(self) -> TensorData:
        """Five hundred diagrams, each with a question and its structure: what ``mmlab train`` takes."""
        rng = torch.Generator().manual_seed(0)
        images, shape, box = self.draw(500, rng)
        ask = torch.randint(len(QUESTIONS), (500,), generator=rng)
        words = self.words(shape, box)[torch.arange(500), ask]
        return TensorData(
            {"profiles": profiles(images), "ask": ask, "words": words, "facts": self.facts(shape, box)},
        )

    def draw(self, count: int, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures (N, 3, 20, 20), shapes (N, 3) and boxes (N, 3, 4) in shares of the padded square.

        Args:
            count: Number of diagrams, N.
            rng: The only source of randomness.
        """
        shape = torch.randint(len(SHAPES), (count, 3), generator=rng)
        side, across, down = torch.rand(3, count, 3, generator=rng)
        side = 6 + 6 * side
        x, y = across * (_SIDE - side), (_SIDE - _HIGH) / 2 + down * (_HIGH - side)
        at = torch.arange(_SIDE) + 0.5
        v, u = torch.meshgrid(at, at, indexing="ij")
        r = (side / 2)[..., None, None]
        u, v = (u - x[..., None, None]) / r - 1, (v - y[..., None, None]) / r - 1
        outside = torch.stack(
            [
                (u * u + v * v).sqrt() - 1,
                torch.maximum(u.abs(), v.abs()) - 1,
                torch.maximum(v - 1, (2 * u.abs() - v - 1) / math.sqrt(5)),
            ]
        )  # distances to the outline, in half sides
        distance = outside.gather(0, shape[None, ..., None, None].expand(1, count, 3, _SIDE, _SIDE))[0] * r
        ink = torch.exp(-(((distance + 0.6) / 0.6) ** 2))
        images = torch.einsum("nkhw,kc->nchw", ink, torch.tensor(PAINTS))
        images = images + self.noise * torch.randn(images.shape, generator=rng) + _DARK
        return images, shape, torch.stack([x, y, x + side, y + side], -1) / _SIDE

    def facts(self, shape: Tensor, box: Tensor) -> Tensor:
        """The structure, (N, 18): shapes, bins of the boxes, and whether the first of a pair is left of the second.

        Args:
            shape: (N, 3).
            box: (N, 3, 4).
        """
        middle = box[..., 0] + box[..., 2]
        left = torch.stack([middle[:, i] < middle[:, j] for i, j in PAIRS], 1).long()
        bins = (box * self.bins).long().clamp(0, self.bins - 1)
        return torch.cat([shape, bins.flatten(1), left], 1)

    def words(self, shape: Tensor, box: Tensor) -> Tensor:
        """The right answers to all questions, (N, 12, 5): a letter's number and four bins, -1 where there is none.

        Args:
            shape: (N, 3).
            box: (N, 3, 4).
        """
        share = torch.tensor([math.pi / 4, 1.0, 0.5])[shape]
        area = share * (box[..., 2] - box[..., 0]) * (box[..., 3] - box[..., 1])
        second = torch.stack([area[:, i] < area[:, j] for i, j in PAIRS], 1).long()[..., None]
        nothing = torch.full((len(shape), 3, 4), -1)
        return torch.cat([one_by_one(self.facts(shape, box)), torch.cat([second, nothing], 2)], 1)


def diagram_world(bins: int = 10, noise: float = 0.1) -> DiagramWorld:
    """Make a world.

    Args:
        bins: Bins of a box's numbers.
        noise: Standard deviation of the pixels' noise.

    Raises:
        ValueError: If an argument is out of its range.
    """
    require_at_least(bins=(bins, 3))
    if not (math.isfinite(noise) and noise >= 0):
        raise ValueError(f"noise={noise} is a standard deviation: it is no negative number.")
    return DiagramWorld(bins, noise)
