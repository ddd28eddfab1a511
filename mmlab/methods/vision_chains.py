"""Vision chains: boxes, masks and depth from a model that does nothing but answer small questions.

Symbols: a window or box is (x1, y1, x2, y2) as shares of the picture; c is where a window is cut, so that its cells end
at c and 1 - c; x_i is the depth of region i, larger is farther; a pair (i, j) says that i is farther than j.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmlab.card import Budget, Card, Claim
from mmlab.method import Batch, Method
from mmlab.nn.encoders import make_encoder

__all__ = ["VisionChains", "box_iou", "crops", "floor_of", "order_by_pairs", "scale_and_shift", "superpixels",
           "win_rates", "zoom"]  # fmt: skip

Ask = Callable[[Tensor, Tensor], Tensor]
"""From cells (M, K, 4) and the numbers (M,) of their pictures to whether any of the object is inside, (M, K) bool."""


def box_iou(first: Tensor, second: Tensor) -> Tensor:
    """Area that two boxes share, divided by the area that either covers; 0 for boxes without area.

    Args:
        first: (..., 4).
        second: (..., 4).
    """
    low = torch.maximum(first[..., :2], second[..., :2])
    both = (torch.minimum(first[..., 2:], second[..., 2:]) - low).clamp(min=0).prod(-1)
    either = sum((box[..., 2:] - box[..., :2]).clamp(min=0).prod(-1) for box in (first, second)) - both
    return torch.where(either > 0, both / either.clamp(min=1e-12), 0)


def zoom(ask: Ask, count: int, cut: float = 1 / 4, fine: float = 1 / 8, rounds: int = 7) -> tuple[Tensor, Tensor]:
    """Boxes by questions: cut the window in nine, ask of each cell, keep the rectangle around those with a yes.

    Where no side can be cut off, the cells at the sides become as narrow as ``fine``; where that cuts nothing off
    either, the window is the answer. No yes at all counts as nine.

    Args:
        ask: Who answers.
        count: Number of pictures N.
        cut: c of the first cuts.
        fine: c of the last cuts.
        rounds: Most rounds of nine questions.

    Returns:
        Boxes (N, 4), and the number of questions that each took, (N,).
    """
    box = torch.tensor([0.0, 0.0, 1.0, 1.0]).repeat(count, 1)
    c = torch.full((count,), cut)
    open_, questions = torch.ones(count, dtype=torch.bool), torch.zeros(count)
    for _ in range(rounds):
        zero = torch.zeros_like(c)
        at = torch.stack([zero, c, 1 - c, zero + 1], 1)  # (N, 4), as shares of the window
        x = box[:, :1] + at * (box[:, 2:3] - box[:, :1])
        y = box[:, 1:2] + at * (box[:, 3:] - box[:, 1:2])
        rows, columns = torch.arange(9) // 3, torch.arange(9) % 3
        cells = torch.stack([x[:, columns], y[:, rows], x[:, columns + 1], y[:, rows + 1]], 2)  # (N, 9, 4)
        which = open_.nonzero()[:, 0]
        yes = torch.zeros(count, 9, dtype=torch.bool)
        yes[which] = ask(cells[which], which)
        yes = torch.where(yes.any(1, keepdim=True), yes, True)
        low = torch.where(yes[..., None], cells[..., :2], 2.0).amin(1)
        high = torch.where(yes[..., None], cells[..., 2:], -1.0).amax(1)  # Eq. (1)
        kept = (torch.cat([low, high], 1) - box).abs().amax(1) < 1e-9
        questions += 9.0 * open_
        box = torch.where(open_[:, None], torch.cat([low, high], 1), box)
        open_ = open_ & ~(kept & (c <= fine))
        c = torch.where(kept, fine, c)
        if not open_.any():
            break
    return box, questions


def floor_of(cut: float) -> float:
    """The least overlap of an answer of :func:`zoom` to an errorless oracle that stopped by itself.

    Args:
        cut: c of the last cuts.
    """
    return (1 - 2 * cut) ** 2  # Eq. (2)


def order_by_pairs(
    pairs: Tensor, count: int, smooth: float = 0.0, neighbours: Tensor | None = None, weight: Tensor | None = None
) -> Tensor:
    """Depths of regions by least squares, from which of two is farther.

    Args:
        pairs: (P, 2), the farther region first.
        count: Number of regions N.
        smooth: λ, the weight of the differences between neighbours.
        neighbours: (E, 2), pairs of regions that touch.
        weight: w, (P,): how far each answer is to be believed; by default 1.

    Returns:
        x, (N,) float64, of mean 0 and without a unit.
    """
    w = torch.ones(len(pairs)) if weight is None else weight
    step = torch.zeros(len(pairs), count, dtype=torch.float64)
    step.scatter_(1, pairs, torch.tensor([[1.0, -1.0]], dtype=torch.float64).expand(len(pairs), -1))
    weighed = step * w.double()[:, None]
    matrix, side = weighed.T @ step, weighed.sum(0)  # Eq. (3)
    if neighbours is not None and smooth > 0:
        touch = torch.zeros(len(neighbours), count, dtype=torch.float64)
        touch.scatter_(1, neighbours, torch.tensor([[1.0, -1.0]], dtype=torch.float64).expand(len(neighbours), -1))
        matrix = matrix + smooth * touch.T @ touch
    eye = torch.eye(count, dtype=torch.float64)
    x = torch.linalg.solve(matrix + 1 / count + 1e-9 * eye, side)  # 1/N takes off what the pairs cannot tell
    return x - x.mean()


def win_rates(pairs: Tensor, count: int, prior: float = 1.0) -> Tensor:
    """How often each region was called the farther one, (N,) float64, drawn towards a half.

    Args:
        pairs: (P, 2), the farther region first.
        count: Number of regions N.
        prior: How many answers the half counts for.
    """
    won, asked = torch.bincount(pairs[:, 0], minlength=count), torch.bincount(pairs.flatten(), minlength=count)
    return (won + prior / 2).double() / (asked + prior).double()  # Eq. (4)


def scale_and_shift(depth: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """The a and b for which a depth + b is nearest to the truth in the mean square.

    Args:
        depth: (..., N), without a unit.
        truth: (..., N).
    """
    d, t = depth - depth.mean(-1, keepdim=True), truth - truth.mean(-1, keepdim=True)
    a = (d * t).sum(-1) / d.square().sum(-1).clamp(min=1e-12)
    return a, truth.mean(-1) - a * depth.mean(-1)  # Eq. (5)


def superpixels(picture: Tensor, side: int = 8, colour: float = 1.0, turns: int = 5) -> Tensor:
    """Pieces of like colour and near place, by k-means from a grid, as SLIC makes them.

    Args:
        picture: (C, H, W).
        side: The grid has side x side cells; some pieces may end empty.
        colour: Weight of colour beside place; with 0, the pieces are the cells.
        turns: Turns of k-means.

    Returns:
        The number of each pixel's piece, (H, W).
    """
    _, height, width = picture.shape
    y, x = torch.meshgrid((torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width, indexing="ij")
    cell = ((y * side).long() * side + (x * side).long()).flatten()
    points = torch.cat([torch.stack([y, x]) * side, colour * picture]).flatten(1).T  # (H W, 2 + C)
    for _ in range(turns if colour > 0 else 0):
        one = F.one_hot(cell, side * side).to(points)
        centres = (one.T @ points) / one.sum(0).clamp(min=1)[:, None]
        far = torch.cdist(points, centres) + 1e6 * (one.sum(0) == 0)
        far = far + 1e6 * ((points[:, None, :2] - centres[:, :2]).abs().amax(-1) > 1.5)  # only centres near by
        cell = far.argmin(1)
    return cell.view(height, width)


def crops(pictures: Tensor, cells: Tensor, size: int = 32) -> Tensor:
    """What lies in cells of pictures, each drawn to one size.

    Args:
        pictures: (N, C, H, W).
        cells: (N, K, 4).
        size: Side of a crop in pixels.

    Returns:
        (N, K, C, size, size).
    """
    at = (torch.arange(2 * size, device=cells.device) + 0.5) / (2 * size)  # twice as fine, then averaged
    x = cells[..., 0, None] + at * (cells[..., 2] - cells[..., 0])[..., None]  # (N, K, 2 size)
    y = cells[..., 1, None] + at * (cells[..., 3] - cells[..., 1])[..., None]
    count, k = cells.shape[:2]
    grid = torch.stack(
        [x[:, :, None].expand(-1, -1, 2 * size, -1), y[..., None].expand(-1, -1, -1, 2 * size)], -1
    )  # (N, K, 2 size, 2 size, 2)
    taken = F.grid_sample(pictures, (grid * 2 - 1).flatten(1, 2), align_corners=False, padding_mode="border")
    return F.avg_pool2d(taken.view(count, -1, k, 2 * size, 2 * size).transpose(1, 2).flatten(0, 1), 2).view(
        count, k, -1, size, size
    )


class VisionChains(Method):
    """Finds an object by asking a model of cells of the picture, whether any part of it is inside.

    Nothing is trained: it wraps a model that answers.

    Args:
        shape: Shape of a picture that the model takes, (C, size, size).
        model: A network from pictures (N, C, size, size) to logits of yes (N,) or (N, 1); or a width, for a small
            network of convolutions.
        threshold: Logit above which the answer is yes.
        cut: c of the first cuts of :func:`zoom`.
        fine: c of the last cuts.
        rounds: Most rounds.

    Raises:
        ValueError: If a cut is not below a half, or there is no round.

    Source:
        Ramachandran et al. 2025, "How Well Does GPT-4o Understand Vision?"; the repository EPFL-VILAB/fm-vision-evals.
    """

    card = Card(
        name="Vision chains",
        family="vision and language",
        paper="vision_chains",
        summary="Turns boxes, masks and depth into chains of small questions, and measures what the chain alone costs.",
        inputs=("image",),
        outputs=("box",),
        claims=(
            Claim("IoU", "coordinates with error", "higher", kind="sanity", name="zoom-coordinates-at-5"),
            Claim("IoU", "halving", "higher", kind="sanity", name="zoom-halving-at-5"),
            Claim("IoU", "fixed grid", "higher", kind="sanity", name="zoom-grid-at-5"),
            Claim("Spearman", "win rate", "higher", kind="sanity", name="squares-win-rate-at-200-85"),
            Claim("IoU", "specialist in the chain", "higher", kind="sanity", name="seen-reader-specialist-in-chain"),
            Claim("IoU", "specialist, directly", "higher", kind="sanity", name="seen-specialist-in-chain-directly"),
        ),
        budget=Budget(cpu_seconds=40, cpu_memory_gb=1.5),
        tags=("detection", "segmentation", "depth", "GPT-4o", "questions", "zoom", "prompt chaining"),
    )

    def __init__(
        self,
        shape: tuple[int, ...] | list[int],
        model: nn.Module | Mapping[str, Any] | int = 16,
        threshold: float = 0.0,
        cut: float = 1 / 4,
        fine: float = 1 / 8,
        rounds: int = 7,
    ) -> None:
        super().__init__()
        if not (0 < cut < 0.5 and 0 < fine < 0.5) or rounds < 1:
            raise ValueError(f"VisionChains: cut={cut}, fine={fine}, rounds={rounds}; cuts below 1/2, and 1 round.")
        self.size, self.threshold = int(shape[-1]), threshold
        self.cut, self.fine, self.rounds = cut, fine, rounds
        self.model: nn.Module
        if isinstance(model, nn.Module):
            self.model = model
        else:
            width = int(model["width"]) if isinstance(model, Mapping) else model
            encoder = make_encoder("convolutional", shape, width)
            self.model = nn.Sequential(encoder, nn.ReLU(), nn.Linear(width, 1))

    def logits(self, pictures: Tensor, cells: Tensor) -> Tensor:
        """Logits of yes for cells (N, K, 4) of pictures (N, C, H, W), (N, K)."""
        asked = crops(pictures, cells, self.size).flatten(0, 1)
        answers: Tensor = self.model(asked)
        return answers.view(cells.shape[:2])

    def boxes(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Boxes (B, 4) as shares of the picture, and how many questions each took (B,).

        Args:
            batch: ``image`` (B, C, H, W).
        """
        with self.evaluating():
            pictures = batch["image"]

            def ask(cells: Tensor, which: Tensor) -> Tensor:
                return self.logits(pictures[which], cells) > self.threshold

            return zoom(ask, len(pictures), self.cut, self.fine, self.rounds)

    def generate(self, batch: Batch, *, max_new_tokens: int = 4) -> Tensor:
        """The boxes as whole numbers from 0 to 999, (B, 4), as a model that writes them would.

        Args:
            batch: ``image`` (B, C, H, W).
            max_new_tokens: How many of the four numbers are written.
        """
        return (self.boxes(batch)[0] * 1000).long().clamp(0, 999)[:, :max_new_tokens]

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """The shape of the picture."""
        return {"shape": list(item["image"].shape)}

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Six small pictures with a bright square, and a network that was never trained."""
        rng = torch.Generator().manual_seed(seed)
        image = torch.rand(6, 1, 16, 16, generator=rng)
        at = torch.randint(0, 11, (6, 2), generator=rng).tolist()
        for page, (x, y) in zip(image, at, strict=True):
            page[:, y : y + 5, x : x + 5] += 1
        return cls.seeded(seed, [1, 16, 16], model=8), {"image": image}
