"""VALE: which part of a picture decided, its box, its mask, and words about what is there.

Symbols: N are n players (segments of a picture, or modalities), S a set of them, v(S) what the model gives when only S
is shown, phi_i the share of player i. A set is numbered by its bits: player i is in it if bit i is set.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmlab.card import Budget, Card, Claim
from mmlab.method import Batch, Method
from mmlab.nn.encoders import make_encoder

__all__ = ["Vale", "coalitions", "extent", "flood", "grid_segments", "leave_one_out", "only_one", "shapley", "shown"]

MOST_PLAYERS = 12


def coalitions(players: int) -> Tensor:
    """All sets of players, (2^n, n) bool: the empty set first, all of them last.

    Args:
        players: n, at most 12.

    Raises:
        ValueError: If there are none, or too many to enumerate.
    """
    if not 1 <= players <= MOST_PLAYERS:
        raise ValueError(f"coalitions: players={players}; enumerate 1 to {MOST_PLAYERS}, and sample for more.")
    return (torch.arange(2**players)[:, None] >> torch.arange(players)) % 2 == 1


def shapley(values: Tensor) -> Tensor:
    """Exact Shapley values, by enumeration.

    Args:
        values: v of all sets in the order of :func:`coalitions`, (..., 2^n).

    Returns:
        phi, (..., n); their sum is v(N) - v(empty).

    Raises:
        ValueError: If the number of values is no power of two.
    """
    players = values.shape[-1].bit_length() - 1
    if values.shape[-1] != 2**players:
        raise ValueError(f"shapley: {values.shape[-1]} values are not those of all sets; 2^n are needed.")
    member = coalitions(players)
    size = member.sum(1)
    weight = torch.tensor(
        [math.factorial(s) * math.factorial(players - s - 1) / math.factorial(players) for s in range(players)],
        dtype=values.dtype,
        device=values.device,
    )
    shares = []
    for i in range(players):
        without = (~member[:, i]).nonzero()[:, 0]  # S, and S with i is 2^i further on
        gained = values[..., without + 2**i] - values[..., without]
        shares.append((gained * weight[size[without]]).sum(-1))  # Eq. (1)
    return torch.stack(shares, -1)


def leave_one_out(values: Tensor) -> Tensor:
    """What is lost when one player is taken from all, (..., n).

    Args:
        values: As for :func:`shapley`.
    """
    last = values.shape[-1] - 1
    players = last.bit_length()
    return values[..., -1:] - values[..., [last - 2**i for i in range(players)]]  # Eq. (3)


def only_one(values: Tensor) -> Tensor:
    """What one player brings alone, (..., n).

    Args:
        values: As for :func:`shapley`.
    """
    players = (values.shape[-1] - 1).bit_length()
    return values[..., [2**i for i in range(players)]] - values[..., :1]  # Eq. (4)


def grid_segments(size: int, side: int) -> Tensor:
    """Number of the segment of each pixel, (size, size), in a grid of side x side.

    Args:
        size: H = W, in pixels.
        side: Segments along each axis.
    """
    at = (torch.arange(size) * side) // size
    return at[:, None] * side + at


def shown(pictures: Tensor, segments: Tensor, sets: Tensor, blank: Tensor) -> Tensor:
    """Pictures of which only some segments are shown.

    Args:
        pictures: (B, C, H, W).
        segments: Number of the segment of each pixel, (H, W).
        sets: Which segments are shown, (K, n) bool.
        blank: What stands in place of the others, broadcast to (B, C, H, W).

    Returns:
        (B, K, C, H, W).
    """
    there = sets[:, segments]  # (K, H, W)
    return torch.where(there[None, :, None], pictures[:, None], blank.expand_as(pictures)[:, None])  # Eq. (2)


def flood(picture: Tensor, inside: Tensor, tolerance: float = 0.35) -> Tensor:
    """The pixels that hang together with the most striking pixel of a region and have its colour, (H, W) bool.

    Args:
        picture: (C, H, W).
        inside: The region, (H, W) bool.
        tolerance: Largest difference from the colour of the first pixel, in the mean over channels.
    """
    ground = picture.flatten(1).median(1).values
    far = torch.where(inside, (picture - ground[:, None, None]).abs().mean(0), -1.0)
    start = int(far.argmax())
    like = (picture - picture.flatten(1)[:, start, None, None]).abs().mean(0) <= tolerance
    found = torch.zeros_like(inside)
    found.view(-1)[start] = True
    while True:
        cross = found.clone()
        cross[1:] |= found[:-1]
        cross[:-1] |= found[1:]
        cross[:, 1:] |= found[:, :-1]
        cross[:, :-1] |= found[:, 1:]
        cross &= like
        if torch.equal(cross, found):
            return found
        found = cross  # Eq. (5)


def extent(mask: Tensor) -> tuple[int, int, int, int]:
    """The box x1, y1, x2, y2 of a mask in pixels, with the ends excluded; of an empty one, four zeros.

    Args:
        mask: (H, W) bool.
    """
    rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
    if not len(rows):
        return 0, 0, 0, 0
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


class Vale(Method):
    """Finds the segment with the largest Shapley value, and the thing that it belongs to.

    Nothing is trained: it wraps a classifier.

    Args:
        shape: Shape of a picture, (C, size, size).
        classes: Number of classes K.
        model: A network from pictures (B, C, size, size) to logits (B, K), each class by itself; or a width, for a
            small network of convolutions.
        side: Segments along each axis; side x side sets of them are enumerated.
        blank: The value of what is hidden.
        tolerance: See :func:`flood`.

    Raises:
        ValueError: If there are too many segments to enumerate.

    Source:
        Natarajan and Nambiar 2024, "VALE"; no repository was found. There the mask is made by Segment Anything and the
        text by a large model; here by flood filling and by any reader that is asked about :meth:`cut`.
    """

    card = Card(
        name="VALE",
        family="vision and language",
        paper="vale",
        summary="Finds the deciding segment by exact Shapley values, then its box and mask, and lets a reader name it.",
        inputs=("image", "label"),
        outputs=("segment", "mask"),
        claims=(
            Claim("pointing game", "input gradient", "higher", name="vale-one-gradient"),
            Claim("pointing game", "leave one out", "higher", name="vale-one-leave"),
            Claim("pointing game", "leave one out, figure twice", "higher", name="vale-twice-leave"),
            Claim("pointing game", "most striking segment", "higher", kind="sanity", name="vale-one-striking"),
            Claim("pointing game", "random segment", "higher", kind="sanity", name="vale-one-random"),
            Claim("colour told", "whole picture", "higher", name="vale-words-whole"),
        ),
        budget=Budget(cpu_seconds=40, cpu_memory_gb=1.5),
        tags=("Shapley", "SHAP", "explanation", "saliency", "pointing game", "captioning", "attribution"),
    )

    def __init__(
        self,
        shape: tuple[int, ...] | list[int],
        classes: int,
        model: nn.Module | Mapping[str, Any] | int = 16,
        side: int = 3,
        blank: float = 0.0,
        tolerance: float = 0.35,
    ) -> None:
        super().__init__()
        if side**2 > MOST_PLAYERS:
            raise ValueError(f"Vale: side={side} makes {side**2} segments; at most {MOST_PLAYERS} are enumerated.")
        self.blank, self.tolerance = blank, tolerance
        self.model: nn.Module
        if isinstance(model, nn.Module):
            self.model = model
        else:
            width = int(model["width"]) if isinstance(model, Mapping) else model
            encoder = make_encoder("convolutional", shape, width)
            self.model = nn.Sequential(encoder, nn.ReLU(), nn.Linear(width, classes))
        self.segments: Tensor
        self.register_buffer("segments", grid_segments(int(shape[-1]), side), persistent=False)

    def values(self, batch: Batch) -> Tensor:
        """V of all sets of segments, (B, 2^n): the probability of ``label`` when only they are shown.

        Args:
            batch: ``image`` (B, C, size, size) and ``label`` (B,).
        """
        image, label = batch["image"], batch["label"]
        sets = coalitions(int(self.segments.max()) + 1).to(image.device)
        with self.evaluating():
            rows = []
            for k in range(len(image)):  # one picture at a time: 2^n copies of it are held
                copies = shown(image[k : k + 1], self.segments, sets, image.new_tensor(self.blank))[0]
                rows.append(self.model(copies)[:, label[k]].sigmoid())
            return torch.stack(rows)

    def predict(self, batch: Batch) -> Tensor:
        """Shares of the segments, (B, n): positive Shapley values, made to sum to 1.

        Args:
            batch: As for :meth:`values`.
        """
        phi = shapley(self.values(batch)).clamp(min=0)
        return F.normalize(phi + 1e-9, p=1, dim=1)

    def masks(self, batch: Batch, top: Tensor) -> Tensor:
        """The thing in the top segment, (B, H, W) bool.

        Args:
            batch: ``image``.
            top: Number of the segment, (B,).
        """
        found = [flood(x, self.segments == t, self.tolerance) for x, t in zip(batch["image"], top, strict=True)]
        return torch.stack(found)

    @staticmethod
    def cut(batch: Batch, masks: Tensor, ground: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Pictures of which only the masked thing is left, (B, C, H, W).

        Args:
            batch: ``image``.
            masks: (B, H, W) bool.
            ground: What the rest becomes; by default the median colour.
        """
        image = batch["image"]
        rest = image.flatten(2).median(2).values[..., None, None] if ground is None else ground(image)
        return torch.where(masks[:, None], image, rest)

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """The shape of the picture; the number of classes cannot be read from one item."""
        return {"shape": list(item["image"].shape)}

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Six small pictures of noise, and a network that was never trained."""
        rng = torch.Generator().manual_seed(seed)
        batch = {"image": torch.rand(6, 1, 8, 8, generator=rng), "label": torch.arange(6) % 2}
        return cls.seeded(seed, [1, 8, 8], classes=2, model=8, side=2), batch
