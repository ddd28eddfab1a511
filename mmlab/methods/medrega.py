"""MedRegA: regions as text on a grid from 0 to 999, in questions and in answers, and scorers for them.

Symbols: a box is (x1, y1, x2, y2) as shares of the picture; q is one of its numbers on the grid; P and G are predicted
and true boxes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Self

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from mmlab.card import Budget, Card, Claim
from mmlab.data.batches import read_all
from mmlab.method import Batch, Method

__all__ = [
    "MedRegA",
    "crop_window",
    "iou_table",
    "matched",
    "read_boxes",
    "region_scores",
    "ridge_of",
    "single_scores",
    "write_box",
]  # fmt: skip

GRID = 1000


def write_box(box: Sequence[float]) -> str:
    """A box as text, such as "[250,125,499,499]".

    Args:
        box: x1, y1, x2, y2 as shares of the picture; what lies outside is cut off.
    """
    numbers = [min(max(int(value * GRID), 0), GRID - 1) for value in box]  # Eq. (1)
    return "[" + ",".join(map(str, numbers)) + "]"


def read_boxes(text: str) -> list[tuple[float, float, float, float]]:
    """All boxes in a text, as shares of the picture.

    Four whole numbers in a row are a box, with or without brackets, whatever lies between them but letters. Numbers
    beyond the grid, and boxes whose ends are in the wrong order, are no boxes. What is left over of a list, because it
    broke off, is dropped.

    Args:
        text: What was said.
    """
    boxes = []
    for run in re.findall(r"\d[\d\s,;.()\[\]]*", text):
        for part in re.split(r"[\[\]]", run):
            numbers = [int(n) for n in re.findall(r"\d+", part)]
            for k in range(0, len(numbers) - 3, 4):
                x1, y1, x2, y2 = numbers[k : k + 4]
                if max(numbers[k : k + 4]) < GRID and x1 <= x2 and y1 <= y2:
                    a, b, c, d = ((q + 0.5) / GRID for q in (x1, y1, x2, y2))
                    boxes.append((a, b, c, d))
    return boxes


def iou_table(first: Tensor, second: Tensor) -> Tensor:
    """Overlap of every box of one list with every one of another, (..., P, G).

    Args:
        first: (..., P, 4).
        second: (..., G, 4).
    """
    a, b = first[..., :, None, :], second[..., None, :, :]
    sides = torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])
    both = sides.clamp(min=0).prod(-1)
    areas = [(box[..., 2:] - box[..., :2]).clamp(min=0).prod(-1) for box in (a, b)]
    return both / (areas[0] + areas[1] - both).clamp(min=1e-12)  # Eq. (2)


def matched(predicted: Tensor, true: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The one-to-one matching of boxes with the largest total overlap, by the Hungarian method.

    Args:
        predicted: (P, 4).
        true: (G, 4).

    Returns:
        Numbers of the matched predicted boxes, of the true ones, and their overlaps.
    """
    table = iou_table(predicted, true)
    rows, columns = (torch.as_tensor(at) for at in linear_sum_assignment(1 - table.numpy()))  # Eq. (3)
    return rows, columns, table[rows, columns]


def region_scores(predicted: Sequence[Tensor], true: Sequence[Tensor], threshold: float = 0.5) -> dict[str, float]:
    """Precision, recall, F1 and mean overlap of boxes over all items.

    Args:
        predicted: Boxes (P, 4) of each item; there may be none.
        true: Boxes (G, 4) of each item.
        threshold: Overlap from which on a match counts; 0.75 for whole objects, 0.5 else.

    Raises:
        ValueError: If the numbers of items differ.
    """
    if len(predicted) != len(true):
        raise ValueError(f"region_scores: {len(predicted)} answers for {len(true)} items; one each is needed.")
    hits, overlap, said, there = 0, 0.0, 0, 0
    for p, g in zip(predicted, true, strict=True):
        said, there = said + len(p), there + len(g)
        if len(p) and len(g):
            overlaps = matched(p, g)[2]
            hits += int((overlaps >= threshold).sum())
            overlap += float(overlaps.sum())
    precision, recall = hits / said if said else 0.0, hits / there if there else 0.0
    both = precision + recall
    f1 = 2 * precision * recall / both if both else 0.0  # Eq. (4)
    return {"precision": precision, "recall": recall, "F1": f1, "IoU": overlap / there if there else 0.0}


def single_scores(predicted: Tensor, true: Tensor) -> dict[str, float]:
    """Mean overlap, and the shares of overlaps above 0.25, 0.5 and 0.75, of one box an item.

    Args:
        predicted: (N, 4).
        true: (N, 4).
    """
    overlap = torch.stack([iou_table(p[None], t[None])[0, 0] for p, t in zip(predicted, true, strict=True)])
    shares = {f"above {at:g}": float((overlap >= at).float().mean()) for at in (0.25, 0.5, 0.75)}
    return {"IoU": float(overlap.mean())} | shares


def crop_window(box: Tensor, margin: float = 1.5, least: float = 0.15) -> Tensor:
    """A square window around boxes, pushed back into the picture, (..., 4).

    Args:
        box: (..., 4).
        margin: Side of the window, in longer sides of the box.
        least: Smallest side.
    """
    centre = (box[..., :2] + box[..., 2:]) / 2
    side = (margin * (box[..., 2:] - box[..., :2]).amax(-1, keepdim=True)).clamp(least, 1)
    low = torch.minimum((centre - side / 2).clamp(min=0), 1 - side)  # Eq. (5)
    return torch.cat([low, low + side], -1)


def ridge_of(features: Tensor, targets: Tensor, penalty: float) -> tuple[Tensor, Tensor, Tensor]:
    """Ridge regression in its dual form: mean of the features, weights (F, T), and mean of the targets.

    Args:
        features: (N, F).
        targets: (N, T).
        penalty: Share of the mean square of the features' spread that is added to the diagonal.
    """
    middle, level = features.mean(0), targets.mean(0)
    spread = (features - middle) @ (features - middle).T
    ridge = penalty * spread.diagonal().mean().clamp(min=1e-12) * torch.eye(len(spread), dtype=spread.dtype)
    return middle, (features - middle).T @ torch.linalg.solve(spread + ridge, targets - level), level  # Eq. (6)


class MedRegA(Method):
    """Finds the region of a name, and writes it as text.

    The language model of the paper is replaced by one ridge regression for each name, from features of a frozen vision
    tower to the four numbers: it is solved at once, and what the text format, the scorers and the two steps of locating
    and answering do can be seen without it.

    Args:
        names: How many names there are.
        features: How many numbers the tower gives for a picture.
        penalty: Strength of the ridge.

    Raises:
        ValueError: If there is no name, or the penalty is not positive.

    Source:
        Wang et al. 2025, "Interpretable Bilingual Multimodal Large Language Model for Diverse Biomedical Tasks"; the
        repository xmed-lab/MedRegA. There the model is InternVL with a language model of 34B parameters and LoRA.
    """

    card = Card(
        name="MedRegA",
        family="vision and language",
        paper="medrega",
        summary="Boxes as text on a grid from 0 to 999, scorers for them, and answers on a crop of what was located.",
        inputs=("features", "name", "box"),
        outputs=("box",),
        claims=(
            Claim("accuracy", "answer at once", "higher", kind="sanity", name="locate-at-once"),
            Claim("accuracy", "crop of a random place", "higher", kind="sanity", name="locate-random-place"),
            Claim("accuracy", "crop of few pixels", "higher", kind="sanity", name="locate-few-pixels"),
            Claim("IoU", "box of another picture", "higher", kind="sanity", name="boxes-another-picture"),
            Claim("IoU", "extent of the colour", "higher", kind="sanity", name="boxes-colour-extent"),
        ),
        budget=Budget(cpu_seconds=40, cpu_memory_gb=1.5),
        chapter="regions",
        tags=("grounding", "bounding boxes", "medical", "detection", "Hungarian matching", "region"),
    )

    def __init__(self, names: int, features: int, penalty: float = 0.01) -> None:
        super().__init__()
        if names < 1 or penalty <= 0:
            raise ValueError(f"MedRegA: names={names}, penalty={penalty}; at least 1 name, and a positive penalty.")
        self.penalty = penalty
        self.middle: Tensor
        self.weight: Tensor
        self.level: Tensor
        self.register_buffer("middle", torch.zeros(names, features, dtype=torch.float64))
        self.register_buffer("weight", torch.zeros(names, features, 4, dtype=torch.float64))
        self.register_buffer("level", torch.tensor([0.25, 0.25, 0.75, 0.75], dtype=torch.float64).repeat(names, 1))

    def solve(self, dataset: Any) -> Self:
        """Fit each name by itself; a name without items keeps the middle of the picture.

        Args:
            dataset: Items with ``features`` (F,), ``name`` and ``box`` (4,).
        """
        batch = read_all(dataset)
        for name in range(len(self.level)):
            own = batch["name"] == name
            if own.any():
                found = ridge_of(batch["features"][own].double(), batch["box"][own].double(), self.penalty)
                self.middle[name], self.weight[name], self.level[name] = found
        return self

    def boxes(self, batch: Batch) -> Tensor:
        """Boxes as shares of the picture, (B, 4) float32, ends in order.

        Args:
            batch: ``features`` (B, F) and ``name`` (B,).
        """
        with self.evaluating():
            name = batch["name"]
            x = (batch["features"].double() - self.middle[name])[:, None] @ self.weight[name]
            box = (x[:, 0] + self.level[name]).clamp(0, 1).float()
            return torch.cat([torch.minimum(box[:, :2], box[:, 2:]), torch.maximum(box[:, :2], box[:, 2:])], 1)

    def write(self, batch: Batch) -> list[str]:
        """The boxes as text.

        Args:
            batch: As for :meth:`boxes`.
        """
        return [write_box(box) for box in self.boxes(batch).tolist()]

    def generate(self, batch: Batch, *, max_new_tokens: int = 4) -> Tensor:
        """The numbers that :meth:`write` writes, (B, 4).

        Args:
            batch: As for :meth:`boxes`.
            max_new_tokens: How many of the four.
        """
        return (self.boxes(batch) * GRID).long().clamp(0, GRID - 1)[:, :max_new_tokens]

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """The number of features; that of names cannot be read from one item."""
        return {"features": len(item["features"])}

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Two names whose boxes follow from four numbers."""
        rng = torch.Generator().manual_seed(seed)
        features = torch.rand(24, 4, generator=rng)
        name = torch.arange(24) % 2
        low = 0.4 * torch.where(name[:, None] == 0, features[:, :2], features[:, 2:])
        return cls.seeded(seed, 2, 4), {"features": features, "name": name, "box": torch.cat([low, low + 0.3], 1)}
