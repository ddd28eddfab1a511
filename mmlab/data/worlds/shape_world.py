"""One coloured shape in a picture, told in five words: 2,592 combinations, some of which are never shown in training.

It is the world of the chapters on two towers. A picture of 32 x 32 pixels shows one figure on one ground, and its
caption has one word for each fact::

    small red circle top-left night

The parts have different *combinations*: a caption of the test part is new, though each of its words is not. Who finds
the right one among all captions of the part has read all five facts. Retrieval at random finds one in as many as there
are.

A picture may be drawn with more noise or more jitter than in training, on one ground only, or with further figures
that the caption does not tell of (:func:`draw`); a heat map says where the one is that it tells of (:func:`heat_map`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from mmlab.data.tensors import TensorData
from mmlab.data.worlds.mini_memes import figure_distance
from mmlab.wording import require_at_least

__all__ = [
    "COMBINATIONS",
    "FACTS",
    "SIDE",
    "WORDS",
    "ShapeWorld",
    "caption_of",
    "draw",
    "exchanged",
    "heat_map",
    "middles",
    "shape_world",
    "tokens_of",
]

_RADII = {"small": 2.4, "medium": 3.5, "large": 4.8}
_PAINTS = {
    "red": (0.9, 0.1, 0.1),
    "green": (0.1, 0.75, 0.15),
    "blue": (0.15, 0.3, 0.95),
    "yellow": (0.95, 0.9, 0.15),
    "purple": (0.65, 0.15, 0.8),
    "cyan": (0.1, 0.85, 0.9),
}
_GROUNDS = {
    "night": (0.08, 0.08, 0.16),
    "fog": (0.62, 0.62, 0.62),
    "earth": (0.42, 0.27, 0.14),
    "snow": (1.0, 1.0, 1.0),
}
_ROWS, _COLUMNS = ("top", "middle", "bottom"), ("left", "centre", "right")

FACTS: dict[str, tuple[str, ...]] = {
    "size": tuple(_RADII),
    "colour": tuple(_PAINTS),
    "shape": ("circle", "square", "triangle", "cross"),
    "place": tuple(f"{row}-{column}" for row in _ROWS for column in _COLUMNS),
    "ground": tuple(_GROUNDS),
}
"""The words for each fact, in the order in which a caption has them."""

WORDS = tuple(word for words in FACTS.values() for word in words)
"""The vocabulary: the token of a word is its number here."""

SIDE = 32
"""Height and width of a picture, in pixels."""

COMBINATIONS = torch.cartesian_prod(*[torch.arange(len(words)) for words in FACTS.values()])
"""All combinations of facts, (2592, 5): the number of the word within its fact."""

_FIRST = torch.tensor([0, *[len(words) for words in FACTS.values()]]).cumsum(0)[:-1]  # (5,), first token of each fact


@dataclass(frozen=True, eq=False)
class ShapeWorld:
    """Pictures and their facts, by part; no combination of facts is in two parts.

    Attributes:
        facts: By part, (N, 5) long, as in :data:`COMBINATIONS`.
        pictures: By part, (N, 3, 32, 32) float32 in [-1, 1].
    """

    facts: dict[str, Tensor]
    pictures: dict[str, Tensor]

    @cached_property
    def train(self) -> TensorData:
        """Training pairs: ``image`` (N, 3, 32, 32) and ``caption`` (N, 5), the tokens."""
        return self._pairs("train")

    @cached_property
    def validation(self) -> TensorData:
        """Pairs to choose settings on, likewise."""
        return self._pairs("validation")

    @cached_property
    def test(self) -> TensorData:
        """Pairs of the test, likewise."""
        return self._pairs("test")

    def _pairs(self, part: str) -> TensorData:
        return TensorData({"image": self.pictures[part], "caption": tokens_of(self.facts[part])})


def shape_world(items: int = 6000, seed: int = 0, *, validation: int = 200, test: int = 792) -> ShapeWorld:
    """Draw a world. The same arguments give the same one.

    Args:
        items: Pictures of the training part: as many for each of its combinations, as nearly as can be.
        seed: Seed of which combinations are held back, and of how all is drawn.
        validation: Combinations that the validation part has, one picture each.
        test: Combinations that the test part has, one picture each.

    Raises:
        ValueError: If a number is out of its range, or no combination is left for training.
    """
    require_at_least(items=(items, 1), validation=(validation, 1), test=(test, 1))
    seen = len(COMBINATIONS) - validation - test
    if seen < 1:
        raise ValueError(
            f"shape_world: validation={validation} and test={test} leave none of {len(COMBINATIONS)} combinations for "
            "training: hold back fewer."
        )
    rng = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(COMBINATIONS), generator=rng)
    chosen = {"test": order[:test], "validation": order[test : test + validation], "train": order[test + validation :]}
    chosen["train"] = chosen["train"].repeat(-(-items // seen))[:items]
    facts = {part: COMBINATIONS[rows] for part, rows in chosen.items()}
    return ShapeWorld(facts, {part: draw(rows, rng) for part, rows in facts.items()})


def tokens_of(facts: Tensor) -> Tensor:
    """Tokens of the captions, (N, 5), of facts (N, 5): numbers in :data:`WORDS`."""
    return facts + _FIRST


def caption_of(facts: Sequence[int] | Tensor) -> str:
    """The caption of one combination, five words."""
    return " ".join(words[int(fact)] for words, fact in zip(FACTS.values(), facts, strict=True))


def exchanged(captions: Tensor, share: float, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Captions of which a share is wrong: they are passed on among the items that are chosen for it.

    Args:
        captions: Tokens (N, 5); they are left as they are.
        share: Probability with which an item loses its own caption.
        rng: Draws who does, and what each gets.

    Returns:
        Captions (N, 5), and which of them are another item's, (N,) bool. Such a caption may say the same by chance.

    Raises:
        ValueError: If the share is none.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"exchanged: share={share} must lie between 0 and 1.")
    wrong = torch.rand(len(captions), generator=rng) < share
    if wrong.sum() < 2:
        return captions.clone(), torch.zeros_like(wrong)
    rows = wrong.nonzero()[:, 0]
    rows = rows[torch.randperm(len(rows), generator=rng)]
    made = captions.clone()
    made[rows] = captions[rows.roll(1)]  # one round, so that nobody keeps its own
    return made, wrong


def middles(facts: Tensor, rng: torch.Generator, jitter: float = 1.5) -> Tensor:
    """Where the figures lie, (N, 2): x to the right and y down, in pixels, uniform about the middle of the place.

    Args:
        facts: N combinations, (N, 5).
        rng: Draws the jitter.
        jitter: Largest distance from the middle of the place, in each direction.
    """
    place = facts[:, 3]
    cell = torch.stack([place % 3, place.div(3, rounding_mode="floor")], 1) + 0.5
    return cell * SIDE / 3 + (2 * torch.rand(len(facts), 2, generator=rng) - 1) * jitter


def draw(
    facts: Tensor,
    rng: torch.Generator,
    *,
    noise: float = 0.15,
    jitter: float = 1.5,
    distractors: int = 0,
    at: Tensor | None = None,
) -> Tensor:
    """Draw combinations.

    Args:
        facts: N combinations, (N, 5).
        rng: Draws jitter, distractors and noise.
        noise: Deviation of the noise of each pixel, where black is 0 and white 1.
        jitter: Largest distance from the middle of the place, in pixels.
        distractors: Number of further figures, each at another place, of which the caption says nothing.
        at: Middles of the figures, (N, 2), from :func:`middles`; by default they are drawn here.

    Returns:
        (N, 3, 32, 32) float32 in [-1, 1].

    Raises:
        ValueError: If there are more distractors than places for them, or noise or jitter is negative.
    """
    if not 0 <= distractors < len(FACTS["place"]) or noise < 0 or jitter < 0:
        raise ValueError(
            f"draw: distractors={distractors}, noise={noise}, jitter={jitter}: there are at most "
            f"{len(FACTS['place']) - 1} distractors, and neither noise nor jitter is negative."
        )
    ground = torch.tensor(list(_GROUNDS.values()))[facts[:, 4]]  # (N, 3)
    pictures = ground[:, :, None, None].expand(-1, -1, SIDE, SIDE).clone()
    places = torch.rand(len(facts), len(FACTS["place"]), generator=rng)
    places = places.scatter(1, facts[:, 3:4], -1).argsort(1)  # first its own, then the others at random
    for number in range(1, distractors + 1):
        other = COMBINATIONS[torch.randint(len(COMBINATIONS), (len(facts),), generator=rng)].clone()
        other[:, 3] = places[:, number]
        _paint(pictures, other, middles(other, rng, jitter))
    _paint(pictures, facts, middles(facts, rng, jitter) if at is None else at)
    pictures += noise * torch.randn(pictures.shape, generator=rng)
    return (2 * pictures - 1).clamp_(-1, 1)


def _paint(pictures: Tensor, facts: Tensor, at: Tensor) -> None:
    """Paint one figure over each picture, in place."""
    axis = torch.arange(SIDE) + 0.5
    radius = torch.tensor(list(_RADII.values()))[facts[:, 0]][:, None, None]
    paint = torch.tensor(list(_PAINTS.values()))[facts[:, 1]][:, :, None, None]
    u = (axis - at[:, :1, None]) / radius  # (N, 1, 32)
    v = (axis[:, None] - at[:, 1:, None]) / radius  # (N, 32, 1)
    u, v = u.expand(-1, SIDE, -1), v.expand(-1, -1, SIDE)
    cover = torch.zeros_like(u)
    for number, shape in enumerate(FACTS["shape"]):
        rows = facts[:, 2] == number
        cover[rows] = (0.5 - figure_distance(shape, u[rows], v[rows]) * radius[rows]).clamp(0, 1)  # smooth edges
    cover = cover[:, None]
    pictures.mul_(1 - cover).add_(cover * paint)


def heat_map(at: Tensor, deviation: float = 4.0) -> Tensor:
    """Where somebody looked: a Gaussian hill about each middle, (N, 1, 32, 32), one at its top.

    Args:
        at: Middles (N, 2), in pixels.
        deviation: Width of the hill, in pixels.
    """
    axis = torch.arange(SIDE) + 0.5
    squared = (axis - at[:, :1, None]).square() + (axis[:, None] - at[:, 1:, None]).square()
    return torch.exp(-squared / (2 * deviation**2))[:, None]
