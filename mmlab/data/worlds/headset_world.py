"""Drawn faces of people who show six emotions, as a picture and as a depth map, with a headset before the eyes or not.

A face has eight numbers. Four move its upper half: how high the brows are, how they tilt, how far the eyes are open,
and a ridge between the brows. Four move its lower half: how the mouth is bent, how far it is open, the cheeks and the
jaw. The picture shows brows, eyes and mouth; the depth map shows ridge, cheeks and jaw, and no lines. With w_e the
numbers of emotion e, person u has

    a = w_e + b_u + ε,   b_u ~ N(0, s² I) for all faces of the person,   ε ~ N(0, t² I) for each face.

A headset covers the same pixels of both maps, and all that the upper four numbers move lies below it: what is seen of a
face with a headset does not depend on them at all. Who could read the numbers that are seen has a posterior in closed
form (:func:`posterior`). Nobody reads better than that from a single face of a stranger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mmlab.data.tensors import TensorData
from mmlab.wording import require_at_least

__all__ = [
    "EMOTIONS",
    "NUMBERS",
    "SEEN",
    "SIDE",
    "Faces",
    "HeadsetWorld",
    "covers",
    "draw_faces",
    "headset_world",
    "items_of",
    "posterior",
    "render",
    "worn",
]

EMOTIONS = ("neutral", "happy", "sad", "surprised", "angry", "afraid")
"""The labels, in order."""

NUMBERS = ("brow height", "brow tilt", "eye opening", "brow ridge", "mouth bend", "mouth opening", "cheeks", "jaw")
"""The numbers of a face; the first four lie below a headset."""

SEEN = {"picture": (0, 1, 2, 4, 5), "depth": (3, 6, 7)}
"""Which numbers each modality shows."""

SIDE = 16
"""Height and width of both maps, in pixels."""

_SHOWN = torch.tensor(
    [
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, -0.4, 0.0, 1.0, 0.4, 1.0, 0.2],
        [0.2, -1.0, -0.3, 0.3, -0.8, 0.0, -0.2, -0.5],
        [1.0, 0.0, 1.0, -0.3, 0.0, 1.0, -0.3, 1.0],
        [-0.8, 1.0, -0.2, 1.0, -0.8, -0.1, 0.4, 0.5],
        [0.8, -0.8, 0.9, 0.3, -0.2, 0.8, -0.6, -0.2],
    ]
)  # (6, 8), w_e
_PERSON, _FACE = 0.25, 0.35  # s, t
_GREY, _DEEP = 0.06, 0.035  # noise of a pixel


@dataclass(frozen=True, eq=False)
class Faces:
    """N faces as they are, without a headset, and the box that a headset of theirs covers.

    Attributes:
        picture: (N, 1, 16, 16), grey values, dark at -1 and light at 1.
        depth: (N, 1, 16, 16), how near the surface is: 0 for the wall behind, about 1 for the tip of the nose.
        cover: (N, 1, 16, 16) bool, the pixels of the headset.
        label: (N,), the emotion.
        person: (N,), whose face it is.
        numbers: (N, 8), a.
    """

    picture: Tensor
    depth: Tensor
    cover: Tensor
    label: Tensor
    person: Tensor
    numbers: Tensor


@dataclass(frozen=True, eq=False)
class HeadsetWorld:
    """Faces of people, and of others: nobody is in two parts.

    Attributes:
        parts: ``train``, ``validation`` and ``test``.
    """

    parts: dict[str, Faces]

    @property
    def train(self) -> TensorData:
        """Faces to learn from, each once as it is and once covered; keys as :func:`items_of` has them."""
        return self._both("train")

    @property
    def validation(self) -> TensorData:
        """Faces to choose by, likewise."""
        return self._both("validation")

    @property
    def test(self) -> TensorData:
        """Faces of the test, likewise."""
        return self._both("test")

    def _both(self, part: str) -> TensorData:
        halves = [items_of(self.parts[part], with_headset) for with_headset in (False, True)]
        return TensorData({key: torch.cat([half[key] for half in halves]) for key in halves[0]})


def headset_world(
    people: tuple[int, int, int] = (27, 12, 60), times: tuple[int, int, int] = (8, 5, 4), seed: int = 0
) -> HeadsetWorld:
    """Draw people and their faces. The same arguments give the same ones.

    Args:
        people: Number of people to learn from, to choose by, and of the test.
        times: How often each of them shows each emotion, by part.
        seed: Seed of all draws.

    Raises:
        ValueError: If a number is below one.
    """
    require_at_least(people=(min(people), 1), times=(min(times), 1))
    rng = torch.Generator().manual_seed(seed)
    names = ("train", "validation", "test")
    return HeadsetWorld({name: draw_faces(n, k, rng) for name, n, k in zip(names, people, times, strict=True)})


def draw_faces(people: int, times: int, rng: torch.Generator) -> Faces:
    """Faces of so many people, each emotion so often.

    Args:
        people: Number of people.
        times: Faces for each person and emotion.
        rng: Draws all of it.
    """
    count = people * len(EMOTIONS) * times
    person = torch.arange(people).repeat_interleave(len(EMOTIONS) * times)
    label = torch.arange(len(EMOTIONS)).repeat_interleave(times).repeat(people)
    own = _PERSON * torch.randn(people, len(NUMBERS), generator=rng)
    numbers = _SHOWN[label] + own[person] + _FACE * torch.randn(count, len(NUMBERS), generator=rng)
    looks = torch.rand(people, 3, generator=rng)[person]  # tone, width of the face, thickness of the brows
    pieces = zip(torch.split(numbers, 256), torch.split(looks, 256), strict=True)  # for the memory
    parts = [render(*rows) for rows in pieces]
    picture, depth = (torch.cat(maps) for maps in zip(*parts, strict=True))
    picture = picture + _GREY * torch.randn(picture.shape, generator=rng)
    depth = depth + _DEEP * torch.randn(depth.shape, generator=rng)
    return Faces(picture.clamp(-1, 1), depth, covers(count, rng), label, person, numbers)


def render(numbers: Tensor, looks: Tensor) -> tuple[Tensor, Tensor]:
    """Picture and depth map without noise, (N, 1, 16, 16) each.

    Args:
        numbers: a, (N, 8); they are cut at ±2.
        looks: Tone, width and thickness of the brows of the person, (N, 3) in [0, 1].
    """
    a = numbers.clamp(-2, 2)[:, :, None, None].unbind(1)  # eight of (N, 1, 1)
    tone, wide, thick = looks[:, :, None, None].unbind(1)
    axis = (torch.arange(2 * SIDE) + 0.5) * 24 / (2 * SIDE)  # the face is laid out on 24 x 24, whatever the pixels
    x, y = (axis - 12)[None, None], axis[None, :, None]  # x to the right of the middle, y down
    face = _inside(((x / (9 + wide)) ** 2 + ((y - 12) / 11.5) ** 2).sqrt(), 1.0, 0.06)
    picture = -0.7 + face * (0.9 + 0.5 * tone)
    for side in (-1.0, 1.0):
        at = side * x - 4.5  # from the middle of this eye, outwards
        brow = (y - (7 - 0.8 * a[0] - 0.25 * a[1] * at)).abs() - 0.4 - 0.3 * thick
        line = _inside(brow, 0.0, 0.4) * _inside(at.abs(), 2.7, 0.4)
        eye = _inside(((at / 2.2) ** 2 + ((y - 10.5) / (1.0 + 0.3 * a[2])) ** 2).sqrt(), 1.0, 0.25)
        picture = picture * (1 - line) * (1 - eye) - 0.6 * line - 0.5 * eye
    lips = 18 - 0.13 * a[4] * (x**2 - 8)
    mouth = _inside((y - lips).abs(), 0.6 + 0.45 * (a[5] + 1).clamp(min=0), 0.4) * _inside(x.abs(), 4.0, 0.4)
    picture = picture * (1 - mouth) - 0.5 * mouth
    dome = (1 - (x / (9 + wide)) ** 2 - ((y - 12) / 11.5) ** 2).clamp(min=0).sqrt()
    depth = 0.7 * dome + 0.2 * _bump(x, y - 13.5, 2.5) + 0.09 * a[3] * _bump(x, y - 7.5, 3.5)
    for side in (-1.0, 1.0):
        depth = depth + 0.09 * a[6] * _bump(x - side * 5, y - 16, 3.5)
    depth = depth + 0.09 * a[7] * _bump(x, y - 20.5, 3.5)
    picture, depth = (F.avg_pool2d(fine[:, None], 2) for fine in (picture, depth))
    return picture, depth


def _inside(distance: Tensor, bound: float | Tensor, edge: float) -> Tensor:
    """1 well below the bound and 0 well above it, with a linear edge of this half width."""
    return ((bound - distance) / (2 * edge) + 0.5).clamp(0, 1)


def _bump(x: Tensor, y: Tensor, radius: float) -> Tensor:
    """A smooth hill that is exactly zero beyond its radius."""
    return (1 - (x**2 + y**2) / radius**2).clamp(min=0).square()


def covers(count: int, rng: torch.Generator, bottom: int = 9) -> Tensor:
    """Boxes of headsets, (count, 1, 16, 16) bool: from row 0 or 1 at the top, over the whole width.

    Args:
        count: How many.
        rng: Draws where each begins, and whether it ends a row further down.
        bottom: First row that is free below most of them; from 9 on, all that the upper numbers move is covered.
    """
    top = torch.randint(0, 2, (count, 1), generator=rng)
    end = bottom + torch.randint(0, 2, (count, 1), generator=rng)
    row = torch.arange(SIDE)
    rows = (row >= top) & (row < end)
    return rows[:, None, :, None].expand(-1, 1, -1, SIDE).clone()


def worn(faces: Faces) -> tuple[Tensor, Tensor]:
    """Picture and depth map with the headset on: its box is dark and near; all other pixels stay as they are."""
    picture = torch.where(faces.cover, -0.9, faces.picture)
    return picture, torch.where(faces.cover, 1.1, faces.depth)


def items_of(faces: Faces, headset: bool = False, only: Sequence[str] = ("picture", "depth")) -> dict[str, Tensor]:
    """Items of a method: both maps, what is hidden of each, and the label.

    Args:
        faces: The faces.
        headset: Whether the headset is on. Its pixels are marked as hidden then.
        only: The modalities that are there; of another one, all is hidden.

    Returns:
        ``picture`` and ``depth`` (N, 1, 16, 16), ``picture_hidden`` and ``depth_hidden`` likewise, bool, ``label``.
    """
    maps = worn(faces) if headset else (faces.picture, faces.depth)
    made = dict(zip(("picture", "depth"), maps, strict=True))
    for name in ("picture", "depth"):
        hidden = faces.cover if headset else torch.zeros_like(faces.cover)
        made[f"{name}_hidden"] = hidden if name in only else torch.ones_like(hidden)
    return made | {"label": faces.label}


def posterior(numbers: Tensor, seen: Sequence[int]) -> Tensor:
    """Probabilities of the emotions (N, 6) for who reads these numbers of a stranger's face without error.

    Args:
        numbers: a, (N, 8).
        seen: Places of the numbers that are read; the others are not looked at.
    """
    places = list(seen)
    apart = (numbers[:, None, places] - _SHOWN[None, :, places]).square().sum(-1)  # (N, 6)
    return (-apart / (2 * (_PERSON**2 + _FACE**2))).softmax(-1)
